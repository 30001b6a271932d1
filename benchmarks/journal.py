"""The journal's cost: messages a second, CPU and fsyncs a message, at several depths.

Run: python benchmarks/journal.py [--messages N] [--rate N] [--dir DIR]
A message is accepted, started, committed with one reply and delivered. With `--rate` the messages
come at that rate instead of as fast as each depth allows.
"""

import argparse
import asyncio
import resource
import tempfile
import time
from pathlib import Path

import uvloop

from ai_engine.domain.message import Chat, ChatKind, InboundMessage, Sender
from ai_engine.domain.reply import Reply
from ai_engine.domain.session import Context, HistoryEntry
from ai_engine.journal.base import Outcome
from ai_engine.journal.sqlite import SqliteJournal

SESSIONS = 500
ANSWER = "The weather in Shanghai tomorrow: light rain, 12 to 17 degrees, wind from the north-east."


def message(n: int) -> InboundMessage:
    return InboundMessage(
        channel="dingtalk",
        message_id=f"msg{n:08d}aGVsbG8=",
        sender=Sender(platform="dingtalk", user_id=f"user{n % SESSIONS}", tenant="t", name="张三"),
        chat=Chat(kind=ChatKind.PRIVATE, id=f"cid{n % SESSIONS}"),
        text=f"message {n}: what is the weather tomorrow in Shanghai?",
        target={"webhook": "https://oapi.dingtalk.com/robot/sendBySession?session=0123456789"},
        received_at=time.time(),
        trace_id=f"{n:032x}",
    )


def outcome(turn_id: str, text: str) -> Outcome:
    return Outcome(
        replies=(Reply(id=f"r_{turn_id}", text=ANSWER, produced_by="model:main"),),
        context=Context(last_skill="weather_query", params={"city": "Shanghai"}),
        history=(
            HistoryEntry(role="user", text=text, tokens=12),
            HistoryEntry(role="assistant", text=ANSWER, tokens=30),
        ),
        trace=({"at": time.time(), "step": "routed", "rule": "weather"},),
    )


class Run:
    """One measurement."""

    def __init__(self, journal: SqliteJournal, messages: int, depth: int, rate: float) -> None:
        self.journal = journal
        self.messages = messages
        self.depth = asyncio.Semaphore(depth)
        self.rate = rate
        self.acks: list[float] = []
        self.done = asyncio.Event()
        self.delivered = 0
        self.owners: set[asyncio.Task[None]] = set()

    def spawn(self, work) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self.owners.add(task)
        task.add_done_callback(self.owners.discard)

    async def accept(self, n: int) -> None:
        began = time.perf_counter()
        await self.journal.accept(message(n), f"dingtalk:user{n % SESSIONS}")
        self.acks.append(time.perf_counter() - began)

    async def feed(self) -> None:
        began = time.perf_counter()
        for n in range(self.messages):
            if self.rate:
                await asyncio.sleep(max(0.0, began + n / self.rate - time.perf_counter()))
            else:
                await self.depth.acquire()
            self.spawn(self.accept(n))

    async def turns(self) -> None:
        async for turn in self.journal.turns():
            self.spawn(self.journal.commit(turn, outcome(turn.id, turn.message.text)))

    async def deliveries(self) -> None:
        async for delivery in self.journal.deliveries():
            await self.journal.delivered(delivery)
            self.delivered += 1
            if not self.rate:
                self.depth.release()
            if self.delivered == self.messages:
                self.done.set()

    async def go(self) -> None:
        async with asyncio.TaskGroup() as group:
            readers = [group.create_task(self.turns()), group.create_task(self.deliveries())]
            await self.feed()
            await self.done.wait()
            await self.journal.drain()
            del readers


def cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def measure(directory: Path, messages: int, depth: int, rate: float) -> str:
    async with SqliteJournal(directory / f"bench-{depth}-{rate}.db") as journal:
        run = Run(journal, messages, depth, rate)
        wall, used = time.perf_counter(), cpu()
        await run.go()
        wall, used = time.perf_counter() - wall, cpu() - used
        stats = await journal.stats()
    acks = sorted(run.acks)
    what = f"rate {rate:.0f}/s" if rate else f"in flight {depth}"
    return (
        f"{what:>14}  {messages / wall:8.0f} messages/s  {used / messages * 1e6:6.0f} us CPU"
        f"  {stats.syncs / messages:5.2f} fsyncs  {stats.round_trips / messages:4.2f} round trips"
        f"  ack p50 {acks[len(acks) // 2] * 1e3:5.1f} ms"
        f"  p99 {acks[len(acks) * 99 // 100] * 1e3:5.1f} ms"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=3000)
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--dir", type=Path, default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.dir) as directory:
        depths = [1] if options.rate else [1, 32, 256]
        for depth in depths:
            messages = options.messages if depth > 1 or options.rate else options.messages // 10
            print(uvloop.run(measure(Path(directory), messages, depth, options.rate)))


if __name__ == "__main__":
    main()
