"""The long connection's gateway: endpoints, WebSockets, events out and acknowledgements in."""

import asyncio
import random
import secrets
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import WSMsgType, web

from ai_engine.domain.ids import new_id
from ai_engine.domain.message import Json
from ai_engine.simulators.base import Handler
from ai_engine.simulators.control import answer_json
from ai_engine.simulators.feishu.frames import WireFrame, pack, unpack
from ai_engine.simulators.feishu.gate import read
from ai_engine.simulators.feishu.outbox import Outcome, as_object, decoded

if TYPE_CHECKING:
    from ai_engine.simulators.feishu.server import FeishuSimulator

TICKETS_MAX = 1_000
SERVICE = 7
TOO_MANY = 1000040350


@dataclass(frozen=True, slots=True, kw_only=True)
class WsTimes:
    """Periods of the gateway, in seconds, and its bounds."""

    ping: int = 120
    """What clients are told to ping at."""
    ack: float = 3.0
    reconnect: int = 120
    nonce: int = 30
    connections_max: int = 50


class WsConnection:
    """One client."""

    def __init__(
        self, simulator: "FeishuSimulator", request: web.Request, socket: web.WebSocketResponse
    ) -> None:
        self.id = new_id("conn")
        self.pings = 0
        self._sim = simulator
        self._request = request
        self._socket = socket
        self._frames = 0
        self._acks: dict[str, asyncio.Future[Json]] = {}

    async def read(self, config: Json) -> None:
        """Take frames until the client goes away."""
        try:
            async for message in self._socket:
                if message.type is WSMsgType.BINARY:
                    await self._take(unpack(message.data), config)
        except ValueError as error:
            self._log("frame-in", f"unreadable: {error}", b"")
        finally:
            for ack in self._acks.values():
                if not ack.done():
                    ack.set_exception(ConnectionResetError("the client went away"))

    async def _take(self, frame: WireFrame, config: Json) -> None:
        kind = frame.header("type")
        if frame.method == 0:
            self._log("frame-in", f"control {kind}", frame.payload)
            if kind == "ping":
                self.pings += 1
                headers = [("type", "pong")]
                pong = WireFrame(
                    method=0,
                    service=SERVICE,
                    headers=headers,
                    payload=msgspec.json.encode(config),
                )
                await self._send(pong, "control pong")
            return
        self._log("frame-in", f"ack {frame.header('biz_rt')} ms", frame.payload)
        ack = self._acks.get(frame.header("message_id"))
        if ack is not None and not ack.done():
            ack.set_result(as_object(frame.payload))

    async def ask(self, kind: str, body: bytes, timeout_seconds: float) -> Json:
        """Send an event, in pieces if the knob says so, and return its acknowledgement.

        Raises:
            TimeoutError: none came in time. ConnectionError: the client went away.
        """
        message_id = new_id("frame")
        size = self._sim.faults.fragment_bytes or len(body) or 1
        parts = [body[at : at + size] for at in range(0, len(body), size)] or [b""]
        ack: asyncio.Future[Json] = asyncio.get_running_loop().create_future()
        self._acks[message_id] = ack
        try:
            async with asyncio.timeout(timeout_seconds):
                for number, part in enumerate(parts):
                    await self._send(_event_frame(message_id, number, len(parts), part), kind)
                return await ack
        finally:
            del self._acks[message_id]

    async def _send(self, frame: WireFrame, what: str) -> None:
        self._log("frame-out", what, frame.payload)
        await self._socket.send_bytes(pack(frame))
        if frame.method == 0:
            return
        self._frames += 1
        faults = self._sim.faults
        if 0 < faults.drop_at_frame <= self._frames:
            faults.drop_at_frame = 0
            self.abort()

    def abort(self) -> None:
        """Cut the connection without a close frame."""
        if self._request.transport is not None:
            self._request.transport.abort()

    async def close(self) -> None:
        await self._socket.close(code=1001, message=b"going away")

    def _log(self, direction: str, what: str, body: bytes) -> None:
        self._sim.wire.add(
            direction=direction,
            at=self._sim.clock.time(),
            method="WS",
            path=what,
            query=self.id,
            body=body,
        )


def _event_frame(message_id: str, number: int, total: int, part: bytes) -> WireFrame:
    headers = [
        ("type", "event"),
        ("message_id", message_id),
        ("sum", str(total)),
        ("seq", str(number)),
        ("trace_id", new_id("trace")),
    ]
    return WireFrame(method=1, service=SERVICE, seq_id=1, log_id=1, headers=headers, payload=part)


class WsGateway:
    """Every event goes to one connection, chosen at random."""

    def __init__(self, simulator: "FeishuSimulator", times: WsTimes, chance: random.Random) -> None:
        self._sim = simulator
        self._times = times
        self._chance = chance
        self._tickets: OrderedDict[str, None] = OrderedDict()
        self._connections: dict[str, WsConnection] = {}
        self._changed = asyncio.Event()

    @property
    def connections(self) -> list[WsConnection]:
        return list(self._connections.values())

    def routes(self) -> list[tuple[str, str, Handler]]:
        return [("POST", "/callback/ws/endpoint", self._sim.gate.open(self._endpoint))]

    @property
    def config(self) -> Json:
        """All four keys: without one the vendor's Python SDK fails to reconnect."""
        return {
            "ReconnectCount": -1,
            "ReconnectInterval": self._times.reconnect,
            "ReconnectNonce": self._times.nonce,
            "PingInterval": self._times.ping,
        }

    async def _endpoint(self, request: web.Request) -> web.Response:
        body = await read(request)
        if not self._sim.is_app(body.get("AppID"), body.get("AppSecret")):
            return answer_json({"code": 10014, "msg": "app secret invalid", "data": None})
        ticket = secrets.token_urlsafe(24)
        self._tickets[ticket] = None
        while len(self._tickets) > TICKETS_MAX:
            self._tickets.popitem(last=False)
        base = f"ws{self._sim.url.removeprefix('http')}/ws/v2"
        query = f"fpid=493&aid=552564&device_id=7{len(self._tickets):018d}"
        url = f"{base}?{query}&access_key={ticket}&service_id={SERVICE}&ticket={ticket}"
        return answer_json(
            {"code": 0, "msg": "", "data": {"URL": url, "ClientConfig": self.config}}
        )

    async def connect(self, request: web.Request) -> web.StreamResponse:
        """The WebSocket: good for one client with an unused ticket."""
        if (refusal := self._refusal(request.query.get("ticket", ""))) is not None:
            return refusal
        socket = web.WebSocketResponse(timeout=1.0)
        await socket.prepare(request)
        connection = WsConnection(self._sim, request, socket)
        self._connections[connection.id] = connection
        self._tell()
        try:
            await connection.read(self.config)
        finally:
            del self._connections[connection.id]
            self._tell()
        return socket

    def _refusal(self, ticket: str) -> web.Response | None:
        status, code = self._sim.faults.refuse_connection, 0
        if status == TOO_MANY or len(self._connections) >= self._times.connections_max:
            status, code = 514, TOO_MANY
        elif not status:
            if ticket in self._tickets:
                del self._tickets[ticket]
                return None
            status = 514
        headers = {
            "Handshake-Status": str(status),
            "Handshake-Msg": "refused",
            "Handshake-Autherrcode": str(code),
        }
        return web.Response(status=403, headers=headers)

    def _tell(self) -> None:
        self._changed.set()
        self._sim.tell_state()

    async def wait_connections(self, count: int, timeout_seconds: float = 10.0) -> None:
        """Return when exactly `count` connections are open.

        Raises:
            TimeoutError: after `timeout_seconds`.
        """
        async with asyncio.timeout(timeout_seconds):
            while len(self._connections) != count:
                self._changed.clear()
                await self._changed.wait()

    async def send_event(self, event: Json, body: bytes) -> Outcome:
        """To one connection; the outbox tries again."""
        connection = self._chance.choice(self.connections)
        header: Any = event.get("header", {})
        kind = str(header.get("event_type", "event"))
        try:
            ack = await connection.ask(kind, body, self._times.ack)
        except TimeoutError:
            detail = f"no acknowledgement within {self._times.ack:g} s"
            return Outcome(taken=False, via="stream", detail=detail)
        except ConnectionError as error:
            detail = str(error) or "the connection broke"
            return Outcome(taken=False, via="stream", detail=detail)
        code = ack.get("code")
        return Outcome(
            taken=code == 200,
            via="stream",
            detail=f"code {code}",
            answer=decoded(ack.get("data")),
        )

    async def close(self) -> None:
        """Close every connection: the platform goes away."""
        for connection in self.connections:
            with suppress(ConnectionError):
                await connection.close()
