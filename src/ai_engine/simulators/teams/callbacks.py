"""Activities on their way to the engine: signed, in order within a conversation."""

import asyncio
from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import aiohttp

from ai_engine.domain.errors import NotFound, Overloaded
from ai_engine.domain.message import Json
from ai_engine.simulators.teams.codec import encoded
from ai_engine.simulators.teams.crypto import bearer

if TYPE_CHECKING:
    from ai_engine.simulators.teams.platform import TeamsPlatform

T = TypeVar("T")

PENDING_MAX = 10_000
KEPT_MAX = 5_000
"""Activities kept for `resend`, and answers to invokes."""
ANSWER_SECONDS = 15.0
"""How long Teams waits for an answer."""
REORDER_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    status: int
    body: bytes = b""
    error: str = ""

    @property
    def taken(self) -> bool:
        return 200 <= self.status < 300


class Callbacks:
    """One queue a conversation; conversations do not wait for each other. What fails is not tried
    again: Microsoft documents no retries for activities."""

    def __init__(self, simulator: "TeamsPlatform") -> None:
        self._sim = simulator
        self._queues: dict[str, deque[Json]] = {}
        self._arrived: dict[str, asyncio.Event] = {}
        self._pending = 0
        self._kept: OrderedDict[str, Json] = OrderedDict()
        self._signed: OrderedDict[str, tuple[dict[str, str], bytes]] = OrderedDict()
        self._answers: OrderedDict[str, asyncio.Future[Outcome]] = OrderedDict()

    def check_room(self) -> None:
        """Raises Overloaded when too many activities are under way."""
        if self._pending >= PENDING_MAX:
            raise Overloaded(f"{PENDING_MAX} activities are under way already")

    def put(self, activity: Json) -> str:
        """Queue it behind the others of its conversation; its id."""
        self.check_room()
        id_: str = activity["id"]
        conversation: str = activity["conversation"]["id"]
        _keep(self._kept, id_, activity)
        _keep(self._answers, id_, asyncio.get_running_loop().create_future())
        self._pending += 1
        queue = self._queues.get(conversation)
        if queue is not None:
            queue.append(activity)
            self._arrived[conversation].set()
            return id_
        self._queues[conversation] = deque([activity])
        self._arrived[conversation] = asyncio.Event()
        self._sim.own(self._serve(conversation))
        return id_

    async def answer(self, id_: str, timeout_seconds: float = 10.0) -> Outcome:
        """What the engine answered to an activity; an invoke's body is shown to the person.

        Raises:
            NotFound: no such activity is kept. TimeoutError: no answer in time.
        """
        waiting = self._answers.get(id_)
        if waiting is None:
            raise NotFound(f"no activity {id_} is kept")
        async with asyncio.timeout(timeout_seconds):
            return await asyncio.shield(waiting)

    async def resend(self, id_: str, *, replay: bool) -> None:
        """See `Simulator.resend`."""
        activity = self._kept.get(id_)
        if activity is None:
            raise NotFound(f"no message {id_} is kept")
        if replay and (signed := self._signed.get(id_)):
            await self._post(*signed)
            return
        self._settle(id_, await self._deliver(activity))

    async def _serve(self, conversation: str) -> None:
        queue = self._queues[conversation]
        try:
            while queue:
                for activity in await self._run(conversation, queue):
                    self._pending -= 1
                    await self._send(activity)
        finally:
            self._pending -= len(queue)
            del self._queues[conversation], self._arrived[conversation]

    async def _run(self, conversation: str, queue: deque[Json]) -> list[Json]:
        """The next to send: one, or a reversed run when the knob asks for it."""
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

    async def _send(self, activity: Json) -> None:
        if self._sim.faults.delay_seconds:
            await self._sim.clock.sleep(self._sim.faults.delay_seconds)
        self._settle(activity["id"], await self._deliver(activity))
        for _ in range(self._sim.faults.duplicate):
            await self._deliver(activity)

    def _settle(self, id_: str, outcome: Outcome) -> None:
        self._sim.transcript.mark(
            id_,
            status="delivered" if outcome.taken else "undelivered",
            detail=outcome.error or f"HTTP {outcome.status}",
            via="http",
        )
        waiting = self._answers.get(id_)
        if waiting is not None and not waiting.done():
            waiting.set_result(outcome)

    async def _deliver(self, activity: Json) -> Outcome:
        sim = self._sim
        if not sim.engine:
            return Outcome(status=0, error="no engine URL is set")
        headers = {"Content-Type": "application/json; charset=utf-8"}
        if not sim.faults.no_authorization:
            headers["Authorization"] = bearer(
                sim.app_id, activity["serviceUrl"], sim.clock.time(), sim.faults
            )
        body = encoded(activity, sim.faults)
        _keep(self._signed, activity["id"], (headers, body))
        return await self._post(headers, body)

    async def _post(self, headers: dict[str, str], body: bytes) -> Outcome:
        sim = self._sim
        path = f"/api/message/{sim.channel}"
        began = asyncio.get_running_loop().time()
        status, answer, error = 0, b"", ""
        try:
            async with sim.http.post(
                sim.engine + path,
                data=body,
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS),
                allow_redirects=False,
            ) as response:
                status = response.status
                answer = await response.content.read(65_536)
        except TimeoutError:
            error = f"no answer within {ANSWER_SECONDS:.0f} s"
        except (aiohttp.ClientError, OSError) as failed:
            error = f"{type(failed).__name__}: {failed}"
        sim.wire.add(
            direction="out",
            at=sim.clock.time(),
            method="POST",
            path=path,
            headers=headers,
            body=body,
            status=status,
            answer=answer,
            milliseconds=(asyncio.get_running_loop().time() - began) * 1000,
            error=error,
        )
        return Outcome(status=status, body=answer, error=error)


def _keep(kept: "OrderedDict[str, T]", key: str, value: T) -> None:
    kept[key] = value
    while len(kept) > KEPT_MAX:
        kept.popitem(last=False)
