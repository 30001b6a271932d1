"""Stream mode: tickets, long connections, and which message goes to which of them."""

import asyncio
import random
import secrets
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import msgspec
from aiohttp import web

from ai_engine.domain.errors import Overloaded
from ai_engine.domain.ids import new_id
from ai_engine.domain.message import Json
from ai_engine.simulators.base import Handler
from ai_engine.simulators.control import answer_json, guarded, read_json
from ai_engine.simulators.dingtalk.callbacks import Outcome
from ai_engine.simulators.dingtalk.codec import CORP_ID, read_object
from ai_engine.simulators.dingtalk.connection import (
    FRAME_BYTES_MAX,
    ROBOT_TOPIC,
    Connection,
    StreamTimes,
)
from ai_engine.simulators.dingtalk.gate import api_error

if TYPE_CHECKING:
    from ai_engine.simulators.dingtalk.server import DingTalkSimulator

__all__ = ["Gateway", "StreamTimes"]

TICKETS_MAX = 1_000
EVENTS_MAX = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    subscriptions: frozenset[tuple[str, str]]
    expires_at: float


class EventIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    type: str
    data: dict[str, Any] = {}


class DisconnectIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    reason: str = "upgrade"


class Gateway:
    """The stream gateway of the simulated platform."""

    def __init__(
        self, simulator: "DingTalkSimulator", times: StreamTimes, chance: random.Random
    ) -> None:
        self._sim = simulator
        self._times = times
        self._chance = chance
        self._tickets: OrderedDict[str, Ticket] = OrderedDict()
        self._connections: dict[str, Connection] = {}
        self._events_open = 0
        self._changed = asyncio.Event()

    def routes(self) -> list[tuple[str, str, Handler]]:
        return [("POST", "/v1.0/gateway/connections/open", self._sim.gate.open(self._open))]

    def control_routes(self) -> list[tuple[str, str, Handler]]:
        """DingTalk's own part of the control API."""
        return [
            ("POST", "/sim/stream/event", guarded(self._control_event)),
            ("POST", "/sim/stream/disconnect", guarded(self._control_disconnect)),
        ]

    @property
    def robot_connections(self) -> list[Connection]:
        """Connections that robot messages may go to."""
        return [c for c in self._connections.values() if c.takes("CALLBACK", ROBOT_TOPIC)]

    async def wait_connections(self, count: int, timeout_seconds: float = 10.0) -> None:
        """Return when exactly `count` connections take robot messages.

        Raises:
            TimeoutError: after `timeout_seconds`.
        """
        async with asyncio.timeout(timeout_seconds):
            while len(self.robot_connections) != count:
                self._changed.clear()
                await self._changed.wait()

    async def _open(self, request: web.Request) -> web.Response:
        body = read_object(await request.read())
        if body is None:
            return api_error(400, "InvalidParameter", "the body is no JSON object")
        if not self._sim.is_app(body.get("clientId"), body.get("clientSecret")):
            return api_error(401, "authFailed", "鉴权失败: clientId or clientSecret is wrong")
        subscriptions = _subscriptions(body.get("subscriptions"))
        if subscriptions is None:
            return api_error(400, "InvalidParameter", "subscriptions must list type and topic")
        if len(self._connections) >= self._times.connections_max:
            return api_error(403, "Forbidden.ConnectionsLimit", "too many connections of this app")
        ticket = secrets.token_urlsafe(24)
        self._tickets[ticket] = Ticket(
            subscriptions=subscriptions, expires_at=self._sim.clock.time() + self._times.ticket
        )
        while len(self._tickets) > TICKETS_MAX:
            self._tickets.popitem(last=False)
        endpoint = f"ws{self._sim.url.removeprefix('http')}/connect"
        if "application/json" in request.headers.get("Accept", ""):
            return answer_json({"endpoint": endpoint, "ticket": ticket})
        return web.Response(
            text=f"<response><endpoint>{endpoint}</endpoint><ticket>{ticket}</ticket></response>",
            content_type="application/xml",
        )

    async def connect(self, request: web.Request) -> web.StreamResponse:
        """The WebSocket: good for one client with an unused ticket."""
        ticket = self._tickets.pop(request.query.get("ticket", ""), None)
        if ticket is None or self._sim.clock.time() >= ticket.expires_at:
            return api_error(401, "invalidTicket", "the ticket is unknown, used or expired")
        socket = web.WebSocketResponse(max_msg_size=FRAME_BYTES_MAX, timeout=1.0)
        await socket.prepare(request)
        connection = Connection(self._sim, request, socket, ticket.subscriptions)
        self._connections[connection.id] = connection
        pings = self._sim.own(self._ping(connection))
        self._tell()
        try:
            await connection.read()
        finally:
            pings.cancel()
            del self._connections[connection.id]
            self._tell()
        return socket

    def _tell(self) -> None:
        self._changed.set()
        self._sim.tell_state()

    async def _ping(self, connection: Connection) -> None:
        """Ping until the client goes away or has been silent for too long."""
        with suppress(ConnectionError):
            while True:
                await self._sim.clock.sleep(self._times.ping)
                if connection.silent_pings >= self._times.silent_pings_max:
                    connection.abort()
                    return
                connection.silent_pings += 1
                opaque = msgspec.json.encode({"opaque": new_id("ping")}).decode()
                await connection.send("SYSTEM", "ping", opaque)

    async def send_robot_message(self, data: str) -> Outcome:
        """Send to one connection, chosen at random; never again if it fails."""
        connection = self._chance.choice(self.robot_connections)
        try:
            ack = await connection.ask("CALLBACK", ROBOT_TOPIC, data, self._times.robot_ack)
        except TimeoutError:
            detail = f"no acknowledgement within {self._times.robot_ack:g} s"
            return Outcome(taken=False, via="stream", detail=detail)
        except ConnectionError as error:
            return Outcome(taken=False, via="stream", detail=str(error) or "the connection broke")
        code = ack.get("code")
        return Outcome(taken=code == 200, via="stream", detail=f"code {code}")

    async def ask_card(
        self, topic: str, data: str, timeout_seconds: float
    ) -> tuple[str, Json | None]:
        """A card callback, to one connection that takes them: its id and acknowledgement."""
        callback_id = new_id("frame")
        takers = [c for c in self._connections.values() if c.takes("CALLBACK", topic)]
        if not takers:
            return callback_id, None
        asked = self._chance.choice(takers).ask(
            "CALLBACK", topic, data, timeout_seconds, message_id=callback_id
        )
        try:
            return callback_id, await asked
        except (TimeoutError, ConnectionError):
            return callback_id, None

    @property
    def takes_events(self) -> bool:
        """Whether a connection subscribed to events."""
        return any(c.takes("EVENT", "*") for c in self._connections.values())

    def send_event(self, event_type: str, data: Json) -> str:
        """Push an organisation event; its id. Re-sent until acknowledged.

        Raises:
            Overloaded: too many events wait for an acknowledgement.
        """
        if self._events_open >= EVENTS_MAX:
            raise Overloaded(f"{EVENTS_MAX} events wait for an acknowledgement already")
        event_id = new_id("event")
        self._sim.own(self._deliver_event(event_id, event_type, data))
        return event_id

    async def _deliver_event(self, event_id: str, event_type: str, data: Json) -> None:
        self._events_open += 1
        try:
            for _ in range(self._times.event_attempts_max):
                if await self._event_taken(event_id, event_type, data):
                    return
                await self._sim.clock.sleep(self._times.event_retry)
        finally:
            self._events_open -= 1

    async def _event_taken(self, event_id: str, event_type: str, data: Json) -> bool:
        takers = [c for c in self._connections.values() if c.takes("EVENT", "*")]
        if not takers:
            return False
        try:
            ack = await self._chance.choice(takers).ask(
                "EVENT",
                "*",
                msgspec.json.encode(data).decode(),
                self._times.event_ack,
                eventType=event_type,
                eventId=event_id,
                eventCorpId=CORP_ID,
                eventBornTime=str(int(self._sim.clock.time() * 1000)),
                eventUnifiedAppId=self._sim.app_id,
            )
        except (TimeoutError, ConnectionError):
            return False
        answer = read_object(str(ack.get("data", ""))) or {}
        return ack.get("code") == 200 and answer.get("status") != "LATER"

    async def disconnect(self, reason: str = "upgrade") -> None:
        """Ask every client to leave; close those that have not after the grace period."""
        for connection in tuple(self._connections.values()):
            connection.leaving = True
            data = msgspec.json.encode({"reason": reason}).decode()
            with suppress(ConnectionError):
                await connection.send("SYSTEM", "disconnect", data)
            self._sim.own(self._close_later(connection, reason))
        self._tell()

    async def _close_later(self, connection: Connection, reason: str) -> None:
        await self._sim.clock.sleep(self._times.disconnect_grace)
        if connection.id in self._connections:
            await connection.close(1001, reason)

    async def close(self) -> None:
        """Close every connection: the platform goes away."""
        async with asyncio.TaskGroup() as group:
            for connection in tuple(self._connections.values()):
                group.create_task(connection.close(1001, "going away"))

    async def _control_event(self, request: web.Request) -> web.Response:
        body: EventIn = await read_json(request, EventIn)
        return answer_json({"event_id": self._sim.push_event(body.type, body.data)})

    async def _control_disconnect(self, request: web.Request) -> web.Response:
        body: DisconnectIn = await read_json(request, DisconnectIn)
        await self.disconnect(body.reason)
        return answer_json({})


def _subscriptions(given: Any) -> frozenset[tuple[str, str]] | None:
    if not isinstance(given, list) or not given:
        return None
    found: set[tuple[str, str]] = set()
    for item in cast("list[Any]", given):
        if not isinstance(item, dict):
            return None
        entry = cast("Json", item)
        kind, topic = entry.get("type"), entry.get("topic")
        if not isinstance(kind, str) or not isinstance(topic, str):
            return None
        found.add((kind, topic))
    return frozenset(found)
