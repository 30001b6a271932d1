"""Messages and events on their way to the engine: signed, encrypted, sent again when not taken."""

import asyncio
import secrets
from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp

from ai_engine.domain.errors import NotFound, Overloaded
from ai_engine.simulators.wecom.codec import xml
from ai_engine.simulators.wecom.crypto import Envelope

if TYPE_CHECKING:
    from ai_engine.simulators.wecom.server import WeComSimulator

PENDING_MAX = 10_000
KEPT_MAX = 5_000
REORDER_SECONDS = 1.0
_ANSWER_BYTES_MAX = 65_536

Fields = Mapping[str, str | int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    taken: bool
    detail: str
    again: bool = False
    """WeCom would try again."""


class Callbacks:
    """One queue a member, served in order; members do not wait for each other."""

    def __init__(self, simulator: "WeComSimulator") -> None:
        self._sim = simulator
        self._queues: dict[str, deque[str]] = {}
        self._arrived: dict[str, asyncio.Event] = {}
        self._pending = 0
        self._kept: OrderedDict[str, Fields] = OrderedDict()
        self._signed: dict[str, tuple[dict[str, str], bytes]] = {}

    def check_room(self) -> None:
        """Raises Overloaded when too many messages are under way."""
        if self._pending >= PENDING_MAX:
            raise Overloaded(f"{PENDING_MAX} messages are under way already")

    def put(self, message_id: str, fields: Fields) -> None:
        """Queue a message or event behind the others of its member."""
        user = str(fields["FromUserName"])
        self._kept[message_id] = fields
        while len(self._kept) > KEPT_MAX:
            old, _ = self._kept.popitem(last=False)
            self._signed.pop(old, None)
        self._pending += 1
        if user in self._queues:
            self._queues[user].append(message_id)
            self._arrived[user].set()
            return
        self._queues[user] = deque([message_id])
        self._arrived[user] = asyncio.Event()
        self._sim.own(self._serve(user))

    async def resend(self, message_id: str, *, replay: bool) -> None:
        """See `Simulator.resend`."""
        fields = self._kept.get(message_id)
        if fields is None:
            raise NotFound(f"no message {message_id} is kept")
        if replay and (kept := self._signed.get(message_id)):
            await self._request("POST", *kept, message_id)
            return
        self._settle(message_id, await self._deliver(message_id, fields))

    async def check_url(self) -> bool:
        """What the console does when the address is saved: send a random text, want it back."""
        words = secrets.token_hex(10)
        sealed = self._sim.envelope.seal(words)
        query = self._query(self._sim.envelope, sealed) | {"echostr": sealed}
        outcome, body = await self._request("GET", query, b"")
        return outcome.taken and body == words.encode()

    async def _serve(self, user: str) -> None:
        queue = self._queues[user]
        try:
            while queue:
                for message_id in await self._run(user, queue):
                    self._pending -= 1
                    await self._send(message_id)
        finally:
            self._pending -= len(queue)
            del self._queues[user], self._arrived[user]

    async def _run(self, user: str, queue: deque[str]) -> list[str]:
        """The next messages to send: one, or a reversed run when the knob asks for it."""
        size = self._sim.faults.reorder
        if size < 2:
            return [queue.popleft()]
        try:
            async with asyncio.timeout(REORDER_SECONDS):
                while len(queue) < size:
                    self._arrived[user].clear()
                    await self._arrived[user].wait()
        except TimeoutError:
            pass  # a shorter run then
        return [queue.popleft() for _ in range(min(size, len(queue)))][::-1]

    async def _send(self, message_id: str) -> None:
        fields = self._kept.get(message_id)
        if fields is None:
            self._sim.transcript.mark(message_id, status="undelivered", detail="forgotten")
            return
        faults = self._sim.faults
        if faults.delay_seconds:
            await self._sim.clock.sleep(faults.delay_seconds)
        self._settle(message_id, await self._deliver(message_id, fields))
        for _ in range(faults.duplicate):
            await self._deliver(message_id, fields)

    def _settle(self, message_id: str, outcome: Outcome) -> None:
        status = "delivered" if outcome.taken else "undelivered"
        self._sim.transcript.mark(message_id, status=status, detail=outcome.detail, via="http")

    async def _deliver(self, message_id: str, fields: Fields) -> Outcome:
        sim = self._sim
        if not sim.engine:
            return Outcome(taken=False, detail="no engine URL is set")
        outcome = Outcome(taken=False, detail="not tried")
        for attempt in range(max(1, sim.faults.attempts)):
            if attempt:
                await sim.clock.sleep(sim.faults.retry_seconds)
            query, body = self._sealed(fields)
            self._signed[message_id] = query, body
            outcome, _ = await self._request("POST", query, body, message_id)
            if outcome.taken or not outcome.again:
                break
        return outcome

    def _sealed(self, fields: Fields) -> tuple[dict[str, str], bytes]:
        """Query and body of one attempt, as the fault knobs want them."""
        sim, faults = self._sim, self._sim.faults
        text = xml(_spoiled(fields, sim))
        if faults.malformed_json:
            text = text[: len(text) // 2]
        envelope = sim.envelope
        if faults.wrong_aes_key:
            envelope = Envelope(sim.token, "A" * 42 + "E", "ww-another-organisation")
        sealed = envelope.seal(text)
        signer = (
            Envelope(sim.token + "-wrong", sim.aes_key, "") if faults.wrong_secret else envelope
        )
        outer = {"ToUserName": sim.corp_id, "AgentID": sim.agent_id, "Encrypt": sealed}
        return self._query(signer, sealed), xml(outer).encode()

    def _query(self, signer: Envelope, sealed: str) -> dict[str, str]:
        now = int(self._sim.clock.time() + self._sim.faults.clock_skew_seconds)
        nonce = str(secrets.randbelow(10**10))
        signature = signer.sign(str(now), nonce, sealed)
        return {"msg_signature": signature, "timestamp": str(now), "nonce": nonce}

    async def _request(
        self, method: str, query: dict[str, str], body: bytes, message_id: str = ""
    ) -> tuple[Outcome, bytes]:
        sim = self._sim
        path = f"/api/message/{sim.channel}"
        began = asyncio.get_running_loop().time()
        status, found, error = 0, b"", ""
        try:
            async with sim.http.request(
                method,
                f"{sim.engine}{path}",
                params=query,
                data=body or None,
                headers={"Content-Type": "text/xml; charset=utf-8"},
                timeout=aiohttp.ClientTimeout(total=sim.faults.answer_seconds),
                allow_redirects=False,
            ) as response:
                status = response.status
                found = await response.content.read(_ANSWER_BYTES_MAX)
        except TimeoutError:
            error = f"no answer within {sim.faults.answer_seconds:g} s"
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
            answer=found,
            milliseconds=(asyncio.get_running_loop().time() - began) * 1000,
            error=error,
        )
        taken = status == 200
        if taken and message_id and found:
            sim.take_passive_reply(found, message_id)
        again = bool(error) or (not taken and sim.faults.retry_any_status)
        return Outcome(taken=taken, detail=error or f"HTTP {status}", again=again), found


def _spoiled(fields: Fields, sim: "WeComSimulator") -> Fields:
    faults = sim.faults
    spoiled: dict[str, Any] = dict(fields)
    if faults.unknown_msgtype and fields["MsgType"] != "event":
        spoiled.pop("Content", None)
        spoiled["MsgType"] = "sphfeed"
    if faults.oversized_bytes and fields["MsgType"] != "event":
        spoiled["Content"] = str(spoiled.get("Content", "")) + "x" * faults.oversized_bytes
    return spoiled
