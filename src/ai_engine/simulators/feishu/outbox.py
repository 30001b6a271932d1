"""Events on their way to the engine: over a long connection, else by HTTP; again until taken."""

import asyncio
import base64
import secrets
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp
import msgspec

from ai_engine.domain.errors import NotFound, Overloaded
from ai_engine.domain.message import Json
from ai_engine.simulators.feishu import crypto, events

if TYPE_CHECKING:
    from ai_engine.simulators.feishu.server import FeishuSimulator

PENDING_MAX = 10_000
KEPT_MAX = 5_000
ANSWER_SECONDS = 3.0
RETRY_SECONDS = (15.0, 300.0, 3_600.0, 21_600.0)
REORDER_SECONDS = 1.0
WRONG = "-wrong"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    taken: bool
    via: str
    detail: str = ""
    answer: Json = field(default_factory=dict[str, Any])
    """What the engine answered, such as a toast."""


class Outbox:
    """One queue a conversation, served in order; what is not taken is sent again, out of order."""

    def __init__(self, simulator: "FeishuSimulator") -> None:
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

    def put(self, message_id: str, conversation: str, event: Json) -> None:
        """Queue a message behind the others of its conversation."""
        self._messages[message_id] = event
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

    async def tell(self, event: Json) -> Outcome:
        """Send an event that is no message, now; again later if it is not taken."""
        outcome = await self.deliver(event)
        if not outcome.taken:
            self._sim.own(self._again(event, ""))
        return outcome

    async def resend(self, message_id: str, *, replay: bool) -> None:
        """See `Simulator.resend`."""
        event = self._messages.get(message_id)
        if event is None:
            raise NotFound(f"no message {message_id} is kept")
        if replay and (kept := self._signed.get(message_id)):
            await self._post(*kept)
            return
        self._settle(message_id, await self.deliver(event, message_id))

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
        event = self._messages.get(message_id)
        if event is None:
            self._sim.transcript.mark(message_id, status="undelivered", detail="forgotten")
            return
        if self._sim.faults.delay_seconds:
            await self._sim.clock.sleep(self._sim.faults.delay_seconds)
        outcome = await self.deliver(event, message_id)
        self._settle(message_id, outcome)
        for _ in range(self._sim.faults.duplicate):
            await self.deliver(event, message_id)
        if not outcome.taken:
            self._sim.own(self._again(event, message_id))

    async def _again(self, event: Json, message_id: str) -> None:
        """Four more attempts, ever later, as Feishu documents them."""
        for wait in RETRY_SECONDS:
            await self._sim.clock.sleep(wait)
            outcome = await self.deliver(event, message_id)
            if message_id:
                self._settle(message_id, outcome)
            if outcome.taken:
                return

    def _settle(self, message_id: str, outcome: Outcome) -> None:
        self._sim.transcript.mark(
            message_id,
            status="delivered" if outcome.taken else "undelivered",
            detail=outcome.detail,
            via=outcome.via,
        )

    async def deliver(self, event: Json, message_id: str = "") -> Outcome:
        """One attempt."""
        sim = self._sim
        event = events.spoiled(event, sim.faults)
        if sim.faults.old_schema and "header" in event:
            event = events.old(event)
        body = msgspec.json.encode(event)
        if sim.faults.malformed_json:
            body = body[: len(body) // 2]
        if sim.ws.connections:
            return await sim.ws.send_event(event, body)
        if not sim.engine:
            detail = "no long connection is open and no engine URL is set"
            return Outcome(taken=False, via="", detail=detail)
        headers, sealed = self.sealed(body)
        if message_id:
            self._signed[message_id] = (headers, sealed)
        return await self._post(headers, sealed)

    def sealed(self, body: bytes) -> tuple[dict[str, str], bytes]:
        """Headers and body of the request that carries an event."""
        sim = self._sim
        headers = {"Content-Type": "application/json; charset=utf-8"}
        wrong = WRONG if sim.faults.wrong_secret else ""
        if not sim.encrypt_key:
            token = f'"token":"{sim.verification_token}"'.encode()
            forged = f'"token":"{sim.verification_token}{wrong}"'.encode()
            return headers, body.replace(token, forged)
        if not sim.faults.plain_events:
            body = msgspec.json.encode({"encrypt": crypto.encrypt(body, sim.encrypt_key)})
        timestamp = str(int(sim.clock.time() + sim.faults.clock_skew_seconds))
        nonce = secrets.token_hex(8)
        return {
            **headers,
            "X-Lark-Request-Timestamp": timestamp,
            "X-Lark-Request-Nonce": nonce,
            "X-Lark-Signature": crypto.signature(timestamp, nonce, sim.encrypt_key + wrong, body),
        }, body

    async def _post(self, headers: dict[str, str], body: bytes) -> Outcome:
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
        return Outcome(taken=status == 200, via="http", detail=detail, answer=as_object(answer))


def as_object(data: bytes) -> Json:
    """The JSON object in `data`, or {}."""
    try:
        found: Any = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}
    return found if isinstance(found, dict) else {}  # pyright: ignore[reportUnknownVariableType]


def decoded(data: object) -> Json:
    """The JSON object behind base64, or {}."""
    return as_object(base64.b64decode(data)) if isinstance(data, str) and data else {}
