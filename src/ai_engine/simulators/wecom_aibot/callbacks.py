"""Callbacks on their way to the engine: over the WebSocket, else by encrypted HTTP."""

import asyncio
import secrets
from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import aiohttp
import msgspec

from ai_engine.domain.errors import NotFound, Overloaded
from ai_engine.domain.ids import new_id
from ai_engine.domain.message import Json
from ai_engine.simulators.wecom_aibot.chat import Stream
from ai_engine.simulators.wecom_aibot.codec import (
    Bad,
    encoded,
    part,
    read_answer,
    read_card,
    read_object,
    spoiled,
)
from ai_engine.simulators.wecom_aibot.crypto import seal, sign, unseal

if TYPE_CHECKING:
    from ai_engine.simulators.wecom_aibot.server import WecomAibotSimulator

PENDING_MAX = 10_000
KEPT_MAX = 5_000
ANSWER_SECONDS = 5.0
REORDER_SECONDS = 1.0
WRONG = "-wrong"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    taken: bool
    via: str
    detail: str = ""
    answer: Json | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Callback:
    """One thing that happened. `entry`: the pressed card's."""

    id: str
    conversation: str
    body: Json
    entry: str = ""

    @property
    def is_event(self) -> bool:
        return self.body["msgtype"] == "event"


class Callbacks:
    """One queue a conversation, served in order; conversations do not wait for each other."""

    def __init__(self, simulator: "WecomAibotSimulator") -> None:
        self._sim = simulator
        self._queues: dict[str, deque[str]] = {}
        self._arrived: dict[str, asyncio.Event] = {}
        self._pending = 0
        self._kept: OrderedDict[str, Callback] = OrderedDict()
        self._posted: dict[str, tuple[dict[str, str], bytes]] = {}

    def put(self, callback: Callback) -> None:
        """Queue it behind the others of its conversation. Raises Overloaded."""
        if self._pending >= PENDING_MAX:
            raise Overloaded(f"{PENDING_MAX} messages are under way already")
        self._kept[callback.id] = callback
        while len(self._kept) > KEPT_MAX:
            old, _ = self._kept.popitem(last=False)
            self._posted.pop(old, None)
        self._pending += 1
        queue = self._queues.get(callback.conversation)
        if queue is not None:
            queue.append(callback.id)
            self._arrived[callback.conversation].set()
            return
        self._queues[callback.conversation] = deque([callback.id])
        self._arrived[callback.conversation] = asyncio.Event()
        self._sim.own(self._serve(callback.conversation))

    async def resend(self, message_id: str, *, replay: bool) -> None:
        """See `Simulator.resend`."""
        callback = self._kept.get(message_id)
        if callback is None:
            raise NotFound(f"no message {message_id} is kept")
        if replay and (posted := self._posted.get(message_id)):
            await self._post(*posted)
            return
        await self._send_once(callback)

    async def _serve(self, conversation: str) -> None:
        queue = self._queues[conversation]
        try:
            while queue:
                for callback_id in await self._run(conversation, queue):
                    self._pending -= 1
                    callback = self._kept.get(callback_id)
                    if callback is not None:
                        await self._send(callback)
        finally:
            self._pending -= len(queue)
            del self._queues[conversation], self._arrived[conversation]

    async def _run(self, conversation: str, queue: deque[str]) -> list[str]:
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

    async def _send(self, callback: Callback) -> None:
        faults = self._sim.faults
        if faults.delay_seconds:
            await self._sim.clock.sleep(faults.delay_seconds)
        await self._send_once(callback)
        for _ in range(faults.duplicate):
            await self._deliver(callback)

    async def _send_once(self, callback: Callback) -> None:
        outcome = await self._deliver(callback)
        # A card's event is sent once; what WebSocket clients get is never acknowledged.
        once = callback.is_event or outcome.via != "http"
        for _ in range(0 if once else self._sim.faults.callback_attempts - 1):
            if outcome.taken:
                break
            outcome = await self._deliver(callback)
        self._sim.transcript.mark(
            callback.id,
            status="delivered" if outcome.taken else "undelivered",
            detail=outcome.detail,
            via=outcome.via,
        )
        if outcome.taken and outcome.answer is not None:
            self._answered(callback, outcome.answer)

    def _answered(self, callback: Callback, answer: Json) -> None:
        """What the HTTP answer says."""
        sim = self._sim
        try:
            if answer.get("response_type") == "update_template_card":
                sim.chat.update_card(callback.entry, read_card(part(answer, "template_card")))
                return
            greeting = callback.is_event
            kinds = ("text", "template_card") if greeting else _REPLIES
            shown = read_answer(answer, kinds=kinds)
            if not shown.stream:
                where = callback.conversation
                sim.chat.add(shown, message_id=callback.id, conversation=where, via="callback")
                return
            stream = sim.chat.stream(shown, callback.id, "callback")
        except Bad as bad:
            sim.transcript.mark(callback.id, detail=f"the answer was refused: {bad}")
            return
        if not stream.finished and not sim.faults.no_polls:
            sim.own(self._poll(callback, shown.stream, stream))

    async def _poll(self, callback: Callback, stream_id: str, stream: Stream) -> None:
        """Ask for the stream until it ends or has been open for too long."""
        sim = self._sim
        asked = {name: value for name, value in callback.body.items() if name in _WHERE}
        while not stream.finished and not sim.faults.no_polls:
            await sim.clock.sleep(sim.faults.poll_seconds)
            if sim.clock.time() - stream.began >= sim.faults.stream_seconds:
                sim.chat.fail(stream, "open for too long")
                return
            question = {**asked, "msgid": new_id("poll"), "msgtype": "stream"}
            question["stream"] = {"id": stream_id}
            outcome = await self._post_body(msgspec.json.encode(question))
            if outcome.answer is None or stream.finished:
                continue
            try:
                shown = read_answer(outcome.answer, kinds=_REPLIES)
                sim.chat.stream(shown, callback.id, "callback")
            except Bad as bad:
                sim.transcript.mark(stream.entry, detail=f"a refresh was refused: {bad}")

    async def _deliver(self, callback: Callback) -> Outcome:
        sim = self._sim
        body = encoded(spoiled(callback.body, sim.faults), sim.faults)
        if sim.socket.connected:
            return await sim.socket.deliver(callback, body)
        if not sim.engine:
            detail = "no WebSocket is subscribed and no engine URL is set"
            return Outcome(taken=False, via="", detail=detail)
        return await self._post_body(body, keep=callback.id)

    async def _post_body(self, body: bytes, *, keep: str = "") -> Outcome:
        sim = self._sim
        timestamp = str(int(sim.clock.time() + sim.faults.clock_skew_seconds))
        token = sim.token + (WRONG if sim.faults.wrong_secret else "")
        query = self.signed(seal(sim.aes_key, body), token, timestamp)
        envelope = msgspec.json.encode({"encrypt": query.pop("encrypt")})
        if keep:
            self._posted[keep] = (query, envelope)
        return await self._post(query, envelope)

    @staticmethod
    def signed(encrypt: str, token: str, timestamp: str) -> dict[str, str]:
        """The query of a callback, and what it signs."""
        nonce = secrets.token_hex(8)
        signature = sign(token, timestamp, nonce, encrypt)
        return {
            "msg_signature": signature,
            "timestamp": timestamp,
            "nonce": nonce,
            "encrypt": encrypt,
        }

    async def _post(self, query: dict[str, str], envelope: bytes) -> Outcome:
        status, answer, error = await self.call("POST", query, envelope)
        if error or status != 200:
            return Outcome(taken=False, via="http", detail=error or f"HTTP {status}")
        if not answer:
            return Outcome(taken=True, via="http", detail="HTTP 200")
        try:
            opened = self.opened(answer)
        except ValueError as wrong:
            detail = f"the answer cannot be read: {wrong}"
            return Outcome(taken=True, via="http", detail=detail)
        return Outcome(taken=True, via="http", detail="HTTP 200", answer=opened)

    def opened(self, answer: bytes) -> Json:
        """The plain answer. Raises ValueError: wrong signature, or no JSON."""
        envelope = read_object(answer) or {}
        encrypt = str(envelope.get("encrypt", ""))
        timestamp, nonce = str(envelope.get("timestamp", "")), str(envelope.get("nonce", ""))
        signature = sign(self._sim.token, timestamp, nonce, encrypt)
        if signature != envelope.get("msgsignature"):
            raise ValueError("its signature is wrong")
        found = read_object(unseal(self._sim.aes_key, encrypt))
        if found is None:
            raise ValueError("no JSON object")
        return found

    async def call(
        self, method: str, query: dict[str, str], body: bytes = b""
    ) -> tuple[int, bytes, str]:
        """(status, body, error) of a call to the robot's address."""
        sim = self._sim
        path = f"/api/message/{sim.channel}"
        began = asyncio.get_running_loop().time()
        status, answer, error = 0, b"", ""
        try:
            async with sim.http.request(
                method,
                sim.engine + path,
                params=query,
                data=body or None,
                headers={"Content-Type": "application/json"},
                timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS),
                allow_redirects=False,
            ) as response:
                status = response.status
                answer = await response.content.read(-1)
        except TimeoutError:
            error = f"no answer within {ANSWER_SECONDS:.0f} s"
        except (aiohttp.ClientError, OSError) as failed:
            error = f"{type(failed).__name__}: {failed}"
        sim.wire.add(
            direction="out",
            at=sim.clock.time(),
            method=method,
            path=path,
            query="&".join(f"{name}={value}" for name, value in query.items()),
            body=body,
            status=status,
            answer=answer,
            milliseconds=(asyncio.get_running_loop().time() - began) * 1000,
            error=error,
        )
        return status, answer, error


_WHERE = ("aibotid", "chatid", "chattype", "from")
_REPLIES = ("stream", "template_card", "stream_with_template_card")
