"""Events, interactions and commands on their way to the engine: Socket Mode, else signed HTTP.

Source: docs.slack.dev, "Events API": an answer within 3 s, else three more attempts (at once, after
a minute, after five), told by `X-Slack-Retry-Num` and `X-Slack-Retry-Reason`.
"""

import asyncio
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import aiohttp

from ai_engine.domain.errors import NotFound, Overloaded
from ai_engine.domain.message import Json
from ai_engine.simulators.slack.codec import http_body
from ai_engine.simulators.slack.crypto import signature

if TYPE_CHECKING:
    from ai_engine.simulators.slack.server import SlackSimulator

PENDING_MAX = 10_000
KEPT_MAX = 5_000
"""Messages kept for `resend`."""
REORDER_SECONDS = 1.0
PATHS = {"events_api": "", "interactive": "/interactive", "slash_commands": "/commands"}


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryTimes:
    """Periods, in seconds."""

    answer: float = 3.0
    """How long an event waits for its answer."""
    retries: tuple[float, ...] = (0.0, 60.0, 300.0)
    """Before each further attempt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """One payload for the engine."""

    id: str
    """Of the transcript's entry that it belongs to; empty: of none."""
    conversation: str
    kind: str
    """events_api | interactive | slash_commands"""
    payload: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    taken: bool
    via: str
    detail: str = ""
    reason: str = ""
    """Slack's word for the failure."""
    final: bool = False
    """The engine asked for no further attempt."""


@dataclass(slots=True)
class _Lane:
    waiting: deque[Parcel] = field(default_factory=deque[Parcel])
    arrived: asyncio.Event = field(default_factory=asyncio.Event)


class Deliveries:
    """One queue a conversation, served in order; conversations do not wait for each other, and a
    failed event's further attempts hold up nobody."""

    def __init__(self, simulator: "SlackSimulator", times: DeliveryTimes) -> None:
        self._sim = simulator
        self._times = times
        self._lanes: dict[str, _Lane] = {}
        self._pending = 0
        self._kept: OrderedDict[str, list[Parcel]] = OrderedDict()
        self._signed: dict[str, tuple[str, dict[str, str], bytes]] = {}

    def check_room(self) -> None:
        """Raises Overloaded when too many messages are under way."""
        if self._pending >= PENDING_MAX:
            raise Overloaded(f"{PENDING_MAX} messages are under way already")

    def put(self, parcel: Parcel) -> None:
        """Queue it behind the others of its conversation."""
        if parcel.id:
            self._kept.setdefault(parcel.id, []).append(parcel)
            while len(self._kept) > KEPT_MAX:
                self._signed.pop(self._kept.popitem(last=False)[0], None)
        self._pending += 1
        lane = self._lanes.get(parcel.conversation)
        if lane is not None:
            lane.waiting.append(parcel)
            lane.arrived.set()
            return
        self._lanes[parcel.conversation] = _Lane(deque([parcel]))
        self._sim.own(self._serve(parcel.conversation))

    async def resend(self, message_id: str, *, replay: bool) -> None:
        """See `Simulator.resend`."""
        parcels = self._kept.get(message_id)
        if not parcels:
            raise NotFound(f"no message {message_id} is kept")
        if replay and message_id in self._signed:
            await self._post(*self._signed[message_id])
            return
        self._settle(parcels[0], await self._deliver(parcels[0], 0, ""))

    async def _serve(self, conversation: str) -> None:
        lane = self._lanes[conversation]
        try:
            while lane.waiting:
                for parcel in await self._run(lane):
                    self._pending -= 1
                    await self._send(parcel)
        finally:
            self._pending -= len(lane.waiting)
            del self._lanes[conversation]

    async def _run(self, lane: _Lane) -> list[Parcel]:
        """The next to send: one, or a reversed run when the knob asks for it."""
        size = self._sim.faults.reorder
        if size < 2:
            return [lane.waiting.popleft()]
        try:
            async with asyncio.timeout(REORDER_SECONDS):
                while len(lane.waiting) < size:
                    lane.arrived.clear()
                    await lane.arrived.wait()
        except TimeoutError:
            pass  # a shorter run then
        return [lane.waiting.popleft() for _ in range(min(size, len(lane.waiting)))][::-1]

    async def _send(self, parcel: Parcel) -> None:
        faults = self._sim.faults
        if faults.delay_seconds:
            await self._sim.clock.sleep(faults.delay_seconds)
        outcome = await self._deliver(parcel, 0, "")
        self._settle(parcel, outcome)
        for n in range(faults.duplicate):
            await self._deliver(parcel, n + 1, "http_timeout")
        if not outcome.taken and not outcome.final and outcome.via and parcel.kind == "events_api":
            self._sim.own(self._again(parcel, outcome.reason))

    async def _again(self, parcel: Parcel, reason: str) -> None:
        for n, delay in enumerate(self._times.retries, start=1):
            await self._sim.clock.sleep(delay)
            outcome = await self._deliver(parcel, n, reason)
            self._settle(parcel, outcome)
            if outcome.taken or outcome.final:
                return
            reason = outcome.reason

    def _settle(self, parcel: Parcel, outcome: Outcome) -> None:
        if parcel.id:
            self._sim.transcript.mark(
                parcel.id,
                status="delivered" if outcome.taken else "undelivered",
                detail=outcome.detail,
                via=outcome.via,
            )

    async def _deliver(self, parcel: Parcel, retry: int, reason: str) -> Outcome:
        sim = self._sim
        if sim.sockets.open:
            return await sim.sockets.send(parcel.kind, parcel.payload, retry, reason)
        if not sim.engine:
            detail = "no Socket Mode connection is open and no engine URL is set"
            return Outcome(taken=False, via="", detail=detail)
        content_type, body = http_body(parcel.kind, parcel.payload, sim.faults)
        timestamp = int(sim.clock.time() + sim.faults.clock_skew_seconds)
        secret = sim.signing_secret + ("-wrong" if sim.faults.wrong_secret else "")
        headers = {
            "Content-Type": content_type,
            "User-Agent": "Slackbot 1.0 (+https://api.slack.com/robots)",
            "X-Slack-Request-Timestamp": str(timestamp),
            "X-Slack-Signature": signature(secret, timestamp, body),
        }
        if retry:
            headers["X-Slack-Retry-Num"] = str(retry)
            headers["X-Slack-Retry-Reason"] = reason
        if parcel.id:
            self._signed[parcel.id] = (PATHS[parcel.kind], headers, body)
        return await self._post(PATHS[parcel.kind], headers, body)

    async def _post(self, path: str, headers: dict[str, str], body: bytes) -> Outcome:
        sim = self._sim
        path = f"/api/message/{sim.channel}{path}"
        began = asyncio.get_running_loop().time()
        status, answer, error, reason, final = 0, b"", "", "http_error", False
        try:
            async with sim.http.post(
                sim.engine + path,
                data=body,
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=self._times.answer),
                allow_redirects=False,
            ) as response:
                status = response.status
                answer = await response.content.read(65_536)
                final = response.headers.get("X-Slack-No-Retry") == "1"
        except TimeoutError:
            error, reason = f"no answer within {self._times.answer:g} s", "http_timeout"
        except (aiohttp.ClientError, OSError) as failed:
            error, reason = f"{type(failed).__name__}: {failed}", "connection_failed"
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
        return Outcome(
            taken=status == 200,
            via="http",
            detail=error or f"HTTP {status}",
            reason=reason,
            final=final,
        )
