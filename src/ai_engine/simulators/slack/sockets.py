"""Socket Mode: tickets, connections, envelopes and their acknowledgements."""

import asyncio
import random
import secrets
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import msgspec
from aiohttp import WSMsgType, web

from ai_engine.domain.ids import new_id
from ai_engine.domain.message import Json
from ai_engine.simulators.base import Handler
from ai_engine.simulators.control import answer_json, guarded, read_json
from ai_engine.simulators.slack.codec import spoiled
from ai_engine.simulators.slack.delivery import Outcome
from ai_engine.simulators.slack.gate import Call, Refusal

if TYPE_CHECKING:
    from ai_engine.simulators.slack.server import SlackSimulator

TICKETS_MAX = 1_000
CONNECTIONS_MAX = 10
"""Of one app, as Slack allows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketTimes:
    """Periods, in seconds."""

    ping: float = 30.0
    """Between two WebSocket pings."""
    ticket: float = 30.0
    """How long a connection's address may be used, once."""
    ack: float = 3.0
    grace: float = 10.0
    """From the disconnect frame to the close."""


class DisconnectIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    reason: str = "refresh_requested"


class Connection:
    """A client that came with a good ticket."""

    def __init__(
        self, simulator: "SlackSimulator", request: web.Request, socket: web.WebSocketResponse
    ) -> None:
        self.leaving = False
        """A disconnect frame was sent: nothing new goes here."""
        self._sim = simulator
        self._request = request
        self.socket = socket
        self._frames = 0
        self._acks: dict[str, asyncio.Future[Json]] = {}

    async def send(self, frame: Json) -> None:
        """Raises ConnectionError: the client is gone."""
        text = msgspec.json.encode(frame).decode()
        if self._sim.faults.malformed_json and "envelope_id" in frame:
            text = text[: len(text) // 2]
        self._log("frame-out", str(frame.get("type")), text)
        await self.socket.send_str(text)
        self._frames += 1
        if 0 < self._sim.faults.drop_at_frame <= self._frames:
            self._sim.faults.drop_at_frame = 0
            self.abort()

    async def ask(self, frame: Json, seconds: float) -> Json:
        """Send an envelope and return its acknowledgement. Raises TimeoutError, ConnectionError."""
        ack: asyncio.Future[Json] = asyncio.get_running_loop().create_future()
        self._acks[frame["envelope_id"]] = ack
        try:
            async with asyncio.timeout(seconds):
                await self.send(frame)
                return await ack
        finally:
            del self._acks[frame["envelope_id"]]

    async def read(self) -> None:
        """Take acknowledgements until the client goes away."""
        try:
            async for message in self.socket:
                if message.type is WSMsgType.TEXT:
                    self._take(message.data)
        finally:
            for ack in self._acks.values():
                if not ack.done():
                    ack.set_exception(ConnectionResetError("the client went away"))

    def _take(self, text: str) -> None:
        self._log("frame-in", "ack", text)
        with suppress(msgspec.DecodeError):
            found: Any = msgspec.json.decode(text)
            if isinstance(found, dict):
                frame = cast("Json", found)
                ack = self._acks.get(str(frame.get("envelope_id")))
                if ack is not None and not ack.done():
                    ack.set_result(frame)

    def abort(self) -> None:
        """Cut the connection without a close frame."""
        if self._request.transport is not None:
            self._request.transport.abort()

    def _log(self, direction: str, what: str, text: str) -> None:
        self._sim.wire.add(
            direction=direction, at=self._sim.clock.time(), method="WS", path=what, body=text
        )


class Sockets:
    """The app's Socket Mode connections; each envelope goes to one of them."""

    def __init__(
        self, simulator: "SlackSimulator", times: SocketTimes, chance: random.Random
    ) -> None:
        self._sim = simulator
        self._times = times
        self._chance = chance
        self._tickets: OrderedDict[str, float] = OrderedDict()
        self._connections: list[Connection] = []
        self._changed = asyncio.Event()

    @property
    def open(self) -> list[Connection]:
        return [one for one in self._connections if not one.leaving]

    async def wait_connections(self, count: int) -> None:
        """Until exactly so many connections take envelopes."""
        while len(self.open) != count:
            self._changed.clear()
            await self._changed.wait()

    def routes(self) -> list[tuple[str, str, Handler]]:
        opened = self._sim.gate.method(self._open, scope="connections:write", app=True)
        return [("POST", "/api/apps.connections.open", opened)]

    def unlogged_routes(self) -> list[tuple[str, str, Handler]]:
        return [
            ("GET", "/link/", self._connect),
            ("POST", "/sim/disconnect", guarded(self._control_disconnect)),
        ]

    async def _open(self, call: Call) -> Json:
        if len(self._connections) >= CONNECTIONS_MAX:
            raise Refusal("too_many_websockets")
        ticket = secrets.token_urlsafe(24)
        self._tickets[ticket] = self._sim.clock.time() + self._times.ticket
        while len(self._tickets) > TICKETS_MAX:
            self._tickets.popitem(last=False)
        base = self._sim.url.replace("http", "ws", 1)
        return {"url": f"{base}/link/?ticket={ticket}&app_id={self._sim.bot.app_id}"}

    async def _connect(self, request: web.Request) -> web.StreamResponse:
        until = self._tickets.pop(request.query.get("ticket", ""), 0.0)
        if self._sim.clock.time() >= until:
            return web.Response(status=408, text="the ticket is unknown, used or expired")
        socket = web.WebSocketResponse(
            max_msg_size=1_048_576, timeout=1.0, heartbeat=self._times.ping
        )
        await socket.prepare(request)
        connection = Connection(self._sim, request, socket)
        self._connections.append(connection)
        try:
            await connection.send(self._hello())
            self._tell()
            await connection.read()
        finally:
            self._connections.remove(connection)
            self._tell()
        return socket

    def _hello(self) -> Json:
        return {
            "type": "hello",
            "num_connections": len(self._connections),
            "debug_info": {"host": "simulator", "approximate_connection_time": 18060},
            "connection_info": {"app_id": self._sim.bot.app_id},
        }

    def _tell(self) -> None:
        self._changed.set()
        self._sim.tell_state()

    async def send(self, kind: str, payload: Json, retry: int, reason: str) -> Outcome:
        """One envelope to one connection, chosen at random."""
        connection = self._chance.choice(self.open)
        frame: Json = {
            "envelope_id": new_id("env"),
            "type": kind,
            "payload": spoiled(payload, self._sim.faults),
            "accepts_response_payload": kind != "events_api",
        }
        if kind == "events_api":
            frame |= {"retry_attempt": retry, "retry_reason": reason}
        try:
            await connection.ask(frame, self._times.ack)
        except TimeoutError:
            detail = f"no acknowledgement within {self._times.ack:g} s"
            return Outcome(taken=False, via="stream", detail=detail, reason="timeout")
        except ConnectionError as error:
            detail = str(error) or "the connection broke"
            return Outcome(taken=False, via="stream", detail=detail, reason="connection_failed")
        return Outcome(taken=True, via="stream", detail="acknowledged")

    async def disconnect(self, reason: str = "refresh_requested") -> None:
        """Ask every client to leave; close those that have not after the grace period."""
        for connection in tuple(self._connections):
            connection.leaving = True
            frame: Json = {
                "type": "disconnect",
                "reason": reason,
                "debug_info": {"host": "simulator"},
            }
            with suppress(ConnectionError):
                await connection.send(frame)
            self._sim.own(self._close_later(connection))
        self._tell()

    async def _close_later(self, connection: Connection) -> None:
        await self._sim.clock.sleep(self._times.grace)
        await connection.socket.close(code=1000)

    async def close(self) -> None:
        """Close every connection: the platform goes away."""
        async with asyncio.TaskGroup() as group:
            for connection in tuple(self._connections):
                group.create_task(_closed(connection))

    async def _control_disconnect(self, request: web.Request) -> web.Response:
        body: DisconnectIn = await read_json(request, DisconnectIn)
        await self.disconnect(body.reason)
        return answer_json({})


async def _closed(connection: Connection) -> None:
    await connection.socket.close(code=1001)
