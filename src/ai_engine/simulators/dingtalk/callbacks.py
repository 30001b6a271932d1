"""Robot messages on their way to the engine: over a stream connection, else by signed HTTP."""

import asyncio
from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import aiohttp

from ai_engine.domain.errors import NotFound, Overloaded
from ai_engine.domain.message import Json
from ai_engine.simulators.dingtalk.codec import encoded, spoiled
from ai_engine.simulators.dingtalk.crypto import sign

if TYPE_CHECKING:
    from ai_engine.simulators.dingtalk.server import DingTalkSimulator

PENDING_MAX = 10_000
KEPT_MAX = 5_000
"""Messages kept for `resend`."""
ANSWER_SECONDS = 5.0
"""How long a callback waits for its answer. DingTalk documents none for robots."""
REORDER_SECONDS = 1.0
WRONG = "-wrong"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    taken: bool
    via: str
    detail: str = ""


class Callbacks:
    """One queue a conversation, served in order; conversations do not wait for each other.

    What fails is not tried again: DingTalk sends a robot message once.
    """

    def __init__(self, simulator: "DingTalkSimulator") -> None:
        self._sim = simulator
        self._queues: dict[str, deque[str]] = {}
        self._arrived: dict[str, asyncio.Event] = {}
        self._pending = 0
        self._messages: OrderedDict[str, Json] = OrderedDict()
        self._signed: dict[str, tuple[dict[str, str], bytes]] = {}

    def check_room(self) -> None:
        """Raises Overloaded when too many messages are under way."""
        if self._pending >= PENDING_MAX:
            raise Overloaded(f"{PENDING_MAX} messages are under way already")

    def put(self, message: Json) -> None:
        """Queue a message behind the others of its conversation."""
        message_id, conversation = message["msgId"], message["conversationId"]
        self._messages[message_id] = message
        while len(self._messages) > KEPT_MAX:
            old, _ = self._messages.popitem(last=False)
            self._signed.pop(old, None)
        self._pending += 1
        queue = self._queues.get(conversation)
        if queue is not None:
            queue.append(message_id)
            self._arrived[conversation].set()
            return
        self._queues[conversation] = deque([message_id])
        self._arrived[conversation] = asyncio.Event()
        self._sim.own(self._serve(conversation))

    async def resend(self, message_id: str, *, replay: bool) -> None:
        """See `Simulator.resend`."""
        message = self._messages.get(message_id)
        if message is None:
            raise NotFound(f"no message {message_id} is kept")
        if replay and (kept := self._signed.get(message_id)):
            await self._post(message_id, *kept)
            return
        self._settle(message_id, await self._deliver(message))

    async def _serve(self, conversation: str) -> None:
        queue = self._queues[conversation]
        try:
            while queue:
                for message_id in await self._run(conversation, queue):
                    self._pending -= 1
                    await self._send(message_id)
        finally:
            self._pending -= len(queue)
            del self._queues[conversation], self._arrived[conversation]

    async def _run(self, conversation: str, queue: deque[str]) -> list[str]:
        """The next messages to send: one, or a reversed run when the knob asks for it."""
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

    async def _send(self, message_id: str) -> None:
        message = self._messages.get(message_id)
        if message is None:
            self._sim.transcript.mark(message_id, status="undelivered", detail="forgotten")
            return
        if self._sim.faults.delay_seconds:
            await self._sim.clock.sleep(self._sim.faults.delay_seconds)
        self._settle(message_id, await self._deliver(message))
        for _ in range(self._sim.faults.duplicate):
            await self._deliver(message)

    def _settle(self, message_id: str, outcome: Outcome) -> None:
        self._sim.transcript.mark(
            message_id,
            status="delivered" if outcome.taken else "undelivered",
            detail=outcome.detail,
            via=outcome.via,
        )

    async def _deliver(self, message: Json) -> Outcome:
        sim = self._sim
        body = encoded(spoiled(message, sim.faults), sim.faults)
        if sim.stream.robot_connections:
            return await sim.stream.send_robot_message(body.decode("utf-8", "replace"))
        if not sim.engine:
            detail = "no stream connection is open and no engine URL is set"
            return Outcome(taken=False, via="", detail=detail)
        now_ms = str(int((sim.clock.time() + sim.faults.clock_skew_seconds) * 1000))
        secret = sim.app_secret + (WRONG if sim.faults.wrong_secret else "")
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "timestamp": now_ms,
            "sign": sign(now_ms, secret),
        }
        self._signed[message["msgId"]] = (headers, body)
        return await self._post(message["msgId"], headers, body)

    async def _post(self, message_id: str, headers: dict[str, str], body: bytes) -> Outcome:
        sim = self._sim
        url = f"{sim.engine}/api/message/{sim.channel}"
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
                answer = await response.content.read(65_536)
        except TimeoutError:
            error = f"no answer within {ANSWER_SECONDS:.0f} s"
        except (aiohttp.ClientError, OSError) as failed:
            error = f"{type(failed).__name__}: {failed}"
        sim.wire.add(
            direction="out",
            at=sim.clock.time(),
            method="POST",
            path=f"/api/message/{sim.channel}",
            headers=headers,
            body=body,
            status=status,
            answer=answer,
            milliseconds=(asyncio.get_running_loop().time() - began) * 1000,
            error=error,
        )
        detail = error or f"HTTP {status}"
        return Outcome(taken=200 <= status < 300, via="http", detail=detail)
