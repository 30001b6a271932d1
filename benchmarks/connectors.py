"""What each connector costs: CPU of a message in, of an answer out, of one update of a stream.

Run: python benchmarks/connectors.py [--times N]
A message is taken from a simulated platform once, and what the platform answers is noted. Then the
same calls are repeated with those answers, without a network: proof, decryption and decoding on the
way in; rendering, splitting and encoding on the way out. Prints a table in Markdown; its last line
says whether a message in and its answer out stay within a millisecond for every connector.
"""

import argparse
import asyncio
import gc
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

import msgspec
import uvloop

from ai_engine.channels.base import Accepted, Outgoing, WebhookRequest
from ai_engine.channels.http import Answer, Api
from ai_engine.channels.types import build
from ai_engine.cli.verification.world import CHANNEL, World, world
from ai_engine.config.schema import ChannelConfig
from ai_engine.domain.clock import SystemClock
from ai_engine.domain.message import InboundMessage
from ai_engine.domain.reply import Reply

GOAL_MS = 1.0
CONNECTORS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("dingtalk", {}),
    ("dingtalk", {"reply": "card"}),
    ("wecom", {}),
    ("wecom_aibot", {}),
    ("feishu", {}),
    ("slack", {}),
    ("teams", {}),
    ("telegram", {}),
    ("mattermost", {"mode": "webhook"}),
)
"""Those that are called; in their other modes they decode and render the same things."""
ANSWER = """**Disk usage** of `host-17` is at 82 %:

| volume | used | free |
| --- | --- | --- |
| / | 31 GB | 9 GB |
| /var/log | 18 GB | 2 GB |

1. Logs older than 14 days take **11 GB**; [clean them](https://wiki.example.org/logs).
2. The backup of last night is *complete*.

磁盘 `/var/log` 将在约三天后写满，建议先清理旧日志，再检查日志级别设置。
"""


OK = Answer(status=200, headers={}, body=b'{"errcode":0,"errmsg":"ok"}', retry_after=None)


class Hasty(SystemClock):
    """Does not wait: its hands run ahead, so that a platform's pace costs no time here."""

    ahead = 0.0

    def time(self) -> float:
        return super().time() + self.ahead

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead

    async def sleep(self, seconds: float) -> None:
        self.ahead += seconds
        await asyncio.sleep(0)


@dataclass
class Noted:
    """What a platform sent and answered."""

    request: WebhookRequest | None = None
    message: InboundMessage | None = None
    answers: dict[tuple[str, str], Answer] = field(default_factory=dict)

    def answer(self, method: str, url: str) -> Answer:
        """What was answered to the same call, or to the most similar one."""
        path = urlsplit(url).path
        found = self.answers.get((method, path))
        if found is None:
            if not self.answers:  # WeCom's AI bots are answered when they ask
                return OK
            similar = [known for known_method, known in self.answers if known_method == method]
            found = self.answers[method, max(similar, key=lambda known: _common(known, path))]
        return found


def _common(one: str, other: str) -> int:
    parts = zip(one.split("/"), other.split("/"), strict=False)
    return sum(a == b for a, b in parts)


def outgoing(message: InboundMessage, n: int) -> Outgoing:
    reply = Reply(id=f"r_{n:032x}", text=ANSWER, produced_by="model:main")
    return Outgoing(
        reply=reply,
        target=message.target,
        in_reply_to=message.message_id,
        inbound_id="in_1",
        session_key="k",
        user_id=message.sender.user_id,
    )


@contextmanager
def noting(found: Noted) -> Iterator[None]:
    """What platforms answer inside the block is noted."""
    called = Api.call

    async def call(self: Api, method: str, url: str, **more: Any) -> Answer:
        answer = await called(self, method, url, **more)
        if answer.status < 300:
            found.answers[method, urlsplit(url).path] = answer
        return answer

    Api.call = call
    try:
        yield
    finally:
        Api.call = called


async def note(made: World, found: Noted) -> None:
    """One message, its answer, and one stream, against the simulated platform."""
    channel = made.engine.plan.channels[CHANNEL]
    took = channel.webhook

    async def webhook(request: WebhookRequest, accept: Any) -> Any:
        async def accepting(message: InboundMessage) -> Accepted:
            found.request, found.message = request, message
            return await accept(message)

        return await took(request, accepting)

    channel.webhook = webhook
    try:
        group = made.about.type == "mattermost"  # its webhooks are for public channels
        await made.ask("echo hello", "You said: hello", group=group)
        await asyncio.sleep(0.3)
        assert found.message is not None
        if made.capabilities.streaming:
            handle = await channel.open_stream(found.message.target, "s1")
            if handle is not None:
                await channel.update(handle, ANSWER)
                await channel.finish(handle, outgoing(found.message, 1))
        if made.about.type != "wecom_aibot":  # it answers within the callback
            await channel.send(outgoing(found.message, 2))
    finally:
        channel.webhook = took


async def cpu_ms(times: int, work: Any) -> float:
    """Median of five rounds, per call."""
    rounds = []
    await work(0)
    for at in range(5):
        gc.collect()
        began = time.process_time()
        for n in range(times):
            await work(1 + at * times + n)
        rounds.append((time.process_time() - began) * 1000 / times)
    return statistics.median(rounds)


async def accepted(_: InboundMessage) -> Accepted:
    return Accepted(id="in_1", duplicate=False)


async def measured(made: World, found: Noted, times: int) -> tuple[float, float, float | None]:
    """(in, out, update) in ms of CPU."""
    kind, config = made.about.type, made.engine.config.channels[CHANNEL]
    clock = Hasty()
    host = replace(made.engine.plan.channels[CHANNEL].host, clock=clock)
    channel = build(kind, CHANNEL, config, host)
    await channel.start()
    called = Api.call

    async def call(self: Api, method: str, url: str, *, json: Any = None, **_: Any) -> Answer:
        if json is not None:
            msgspec.json.encode(json)
        return found.answer(method, url)

    request, message = found.request, found.message
    assert request is not None
    assert message is not None

    async def send(n: int) -> None:
        clock.ahead += 3.0  # so much passes between two answers: no platform's limit is met
        await channel.send(outgoing(message, n))

    Api.call = call
    try:
        coming = await cpu_ms(times, lambda _: channel.webhook(request, accepted))
        going = await cpu_ms(times, send)
        handle = None
        if channel.capabilities.streaming:
            handle = await channel.open_stream(message.target, "s2")
        growing = None
        if handle is not None:
            growing = await cpu_ms(times, lambda n: channel.update(handle, f"{ANSWER}{n}"))
    finally:
        Api.call = called
        await channel.close()
    return coming, going, growing


async def all_of_them(times: int) -> list[tuple[str, float, float, float | None]]:
    rows = []
    for kind, more in CONNECTORS:
        settings = ChannelConfig.model_validate({"type": kind, **more})
        found = Noted()
        with noting(found):
            async with world(kind, settings) as made:
                await note(made, found)
                name = " ".join((kind, *(v for k, v in more.items() if k != "mode")))
                rows.append((name, *await measured(made, found, times)))
    return rows


def table(rows: list[tuple[str, float, float, float | None]]) -> str:
    lines = [
        "| connector | in: proof, decoding | out: rendering | together | an update of a stream |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, coming, going, growing in rows:
        shown = "–" if growing is None else f"{growing:.3f} ms"
        lines.append(
            f"| {name} | {coming:.3f} ms | {going:.3f} ms | {coming + going:.3f} ms | {shown} |"
        )
    return "\n".join(lines)


def measure(times: int) -> tuple[str, bool]:
    """(table, whether all is within the goal)."""
    rows = uvloop.run(all_of_them(times))
    within = all(a + b <= GOAL_MS and (c or 0.0) <= GOAL_MS for _, a, b, c in rows)
    return table(rows), within


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=200)
    found, within = measure(parser.parse_args().times)
    print(found)
    print(f"\nall within {GOAL_MS:.1f} ms: {'yes' if within else 'no'}")


if __name__ == "__main__":
    main()
