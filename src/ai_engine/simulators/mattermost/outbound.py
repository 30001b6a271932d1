"""What the simulated people do, on its way to the engine: in order within a conversation."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import aiohttp

from ai_engine.domain.errors import NotFound, Overloaded

if TYPE_CHECKING:
    from ai_engine.simulators.mattermost.server import MattermostSimulator

PENDING_MAX = 10_000
KEPT_MAX = 5_000
ANSWER_SECONDS = 30.0
"""`OutgoingIntegrationRequestsTimeout`."""
REORDER_SECONDS = 1.0
ANSWER_BYTES_MAX = 1_048_576


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    taken: bool
    via: str
    detail: str = ""
    answer: bytes = b""


Deliver = Callable[[], Awaitable[Outcome]]


class Outbound:
    """One queue a conversation; nothing is tried again: Mattermost sends everything once."""

    def __init__(self, simulator: "MattermostSimulator") -> None:
        self._sim = simulator
        self._queues: dict[str, deque[tuple[str, Deliver]]] = {}
        self._arrived: dict[str, asyncio.Event] = {}
        self._kept: dict[str, Deliver] = {}
        self._posted: dict[str, tuple[str, dict[str, str], bytes]] = {}
        self._pending = 0

    def check_room(self) -> None:
        """Raises Overloaded when too many are under way."""
        if self._pending >= PENDING_MAX:
            raise Overloaded(f"{PENDING_MAX} messages are under way already")

    def put(self, conversation: str, entry_id: str, deliver: Deliver) -> None:
        """Queue behind what happened before in the conversation."""
        self._kept[entry_id] = deliver
        while len(self._kept) > KEPT_MAX:
            old = next(iter(self._kept))
            del self._kept[old]
            self._posted.pop(old, None)
        self._pending += 1
        queue = self._queues.get(conversation)
        if queue is not None:
            queue.append((entry_id, deliver))
            self._arrived[conversation].set()
            return
        self._queues[conversation] = deque([(entry_id, deliver)])
        self._arrived[conversation] = asyncio.Event()
        self._sim.own(self._serve(conversation))

    async def resend(self, entry_id: str, *, replay: bool) -> None:
        """See `Simulator.resend`."""
        deliver = self._kept.get(entry_id)
        if deliver is None:
            raise NotFound(f"no message {entry_id} is kept")
        if replay and entry_id in self._posted:
            await self.post(entry_id, *self._posted[entry_id])
            return
        self._settle(entry_id, await deliver())

    async def _serve(self, conversation: str) -> None:
        queue = self._queues[conversation]
        try:
            while queue:
                for entry_id, deliver in await self._run(conversation, queue):
                    self._pending -= 1
                    await self._one(entry_id, deliver)
        finally:
            self._pending -= len(queue)
            del self._queues[conversation], self._arrived[conversation]

    async def _run(
        self, conversation: str, queue: deque[tuple[str, Deliver]]
    ) -> list[tuple[str, Deliver]]:
        """The next: one, or a reversed run when the knob asks for it."""
        size = self._sim.faults.reorder
        if size < 2:
            return [queue.popleft()]
        try:
            async with asyncio.timeout(REORDER_SECONDS):
                while len(queue) < size:
                    self._arrived[conversation].clear()
                    await self._arrived[conversation].wait()
        except TimeoutError:
            pass  # a shorter run then
        return [queue.popleft() for _ in range(min(size, len(queue)))][::-1]

    async def _one(self, entry_id: str, deliver: Deliver) -> None:
        faults = self._sim.faults
        if faults.delay_seconds:
            await self._sim.clock.sleep(faults.delay_seconds)
        self._settle(entry_id, await deliver())
        for _ in range(faults.duplicate):
            await deliver()

    def _settle(self, entry_id: str, outcome: Outcome) -> None:
        self._sim.transcript.mark(
            entry_id,
            status="delivered" if outcome.taken else "undelivered",
            detail=outcome.detail,
            via=outcome.via,
        )

    async def post(self, entry_id: str, url: str, headers: dict[str, str], body: bytes) -> Outcome:
        """One callback to the engine."""
        sim = self._sim
        self._posted[entry_id] = (url, headers, body)
        began = asyncio.get_running_loop().time()
        status, answer, error = 0, b"", ""
        try:
            async with sim.http.post(
                url,
                data=body,
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS),
                allow_redirects=False,
            ) as response:
                status = response.status
                answer = await response.content.read(ANSWER_BYTES_MAX)
        except TimeoutError:
            error = f"no answer within {ANSWER_SECONDS:.0f} s"
        except (aiohttp.ClientError, OSError) as failed:
            error = f"{type(failed).__name__}: {failed}"
        sim.wire.add(
            direction="out",
            at=sim.clock.time(),
            method="POST",
            path=url.removeprefix(sim.engine),
            headers=headers,
            body=body,
            status=status,
            answer=answer,
            milliseconds=(asyncio.get_running_loop().time() - began) * 1000,
            error=error,
        )
        taken = 200 <= status < 300
        detail = error or f"HTTP {status}"
        return Outcome(taken=taken, via="http", detail=detail, answer=answer if taken else b"")
