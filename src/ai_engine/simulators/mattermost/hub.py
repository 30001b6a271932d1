"""The server's WebSockets: numbered events, connections that come back for what they missed.

As `platform.WebConn`: the upgrade's session decides whether `connection_id` is looked at; a fresh
connection gets `hello`, one that is resumed gets what it missed and none. The challenge is ignored
where the upgrade was authenticated.
"""

import asyncio
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import WSMsgType, web

from ai_engine.domain.message import Json
from ai_engine.simulators.mattermost.store import new_wire_id

if TYPE_CHECKING:
    from ai_engine.simulators.mattermost.server import MattermostSimulator

KEPT_MAX = 128
CONNECTIONS_MAX = 100
FRAME_BYTES_MAX = 64 * 1024
AUTH_SECONDS = 5.0
VERSION = "11.11.0"


@dataclass(slots=True)
class Session:
    """One connection id, with or without a socket."""

    id: str
    seq: int = 0
    """The number of the next event."""
    kept: deque[tuple[int, str]] = field(default_factory=lambda: deque(maxlen=KEPT_MAX))
    socket: web.WebSocketResponse | None = None
    request: web.Request | None = None
    frames: int = 0
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while events are written, so that none overtakes a replay."""


class Hub:
    """All connections of the bot."""

    def __init__(self, simulator: "MattermostSimulator") -> None:
        self._sim = simulator
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._changed = asyncio.Event()
        self.deaf = False
        """Connections stay open, but nothing that clients say is answered."""

    @property
    def connections(self) -> list[Session]:
        """Those that are open and authenticated."""
        return [s for s in self._sessions.values() if s.socket is not None]

    async def wait_connections(self, count: int, timeout_seconds: float = 10.0) -> None:
        """Return when exactly `count` are open. Raises TimeoutError."""
        async with asyncio.timeout(timeout_seconds):
            while len(self.connections) != count:
                self._changed.clear()
                await self._changed.wait()

    async def connect(self, request: web.Request) -> web.StreamResponse:
        """`GET /api/v4/websocket`."""
        header = request.headers.get("Authorization", "")
        trusted = self._sim.gate.token_is_right(header) and not self._sim.faults.strip_authorization
        socket = web.WebSocketResponse(max_msg_size=FRAME_BYTES_MAX, timeout=1.0, heartbeat=60.0)
        await socket.prepare(request)
        session: Session | None = None
        try:
            if trusted:
                session = await self._registered(request, socket)
            else:
                session = await self._challenged(request, socket)
            if session is not None:
                await self._read(session, socket)
        except ConnectionError:
            pass  # the client went away, which is how connections end
        finally:
            if session is not None and session.socket is socket:
                session.socket = session.request = None
            self._tell()
        return socket

    async def _challenged(
        self, request: web.Request, socket: web.WebSocketResponse
    ) -> Session | None:
        """Wait for the challenge; None when it does not come or is wrong."""
        try:
            async with asyncio.timeout(AUTH_SECONDS):
                message = await socket.receive()
        except TimeoutError:
            return None
        frame = _object(message.data) if message.type is WSMsgType.TEXT else {}
        self._log("frame-in", frame)
        data: Any = frame.get("data") or {}
        known = self._sim.gate.token_is_right(f"Bearer {data.get('token', '')}")
        if frame.get("action") != "authentication_challenge" or not known:
            return None
        session = await self._fresh(request, socket, {})
        await self._answer(socket, frame.get("seq"), {})
        return session

    async def _registered(self, request: web.Request, socket: web.WebSocketResponse) -> Session:
        known = self._sessions.get(request.query.get("connection_id", ""))
        if known is None or known.socket is not None or self._sim.faults.forget_connections:
            return await self._fresh(request, socket, {})
        wanted = int(request.query.get("sequence_number") or 0)
        kept = [text for seq, text in known.kept if seq >= wanted]
        if len(kept) != known.seq - wanted:
            del self._sessions[known.id]
            return await self._fresh(request, socket, {})
        async with known.turn:
            known.socket, known.request, known.frames = socket, request, 0
            self._tell()
            for text in kept:
                await self._write(known, text)
        return known

    async def _fresh(
        self, request: web.Request, socket: web.WebSocketResponse, extra: Json
    ) -> Session:
        session = Session(id=new_wire_id(), socket=socket, request=request)
        self._sessions[session.id] = session
        while len(self._sessions) > CONNECTIONS_MAX:
            self._sessions.popitem(last=False)
        hello = {"connection_id": session.id, "server_version": VERSION, **extra}
        await self._event(session, "hello", hello, {"user_id": self._sim.store.bot["id"]})
        self._tell()
        return session

    async def _read(self, session: Session, socket: web.WebSocketResponse) -> None:
        async for message in socket:
            if message.type is not WSMsgType.TEXT or self.deaf:
                continue
            frame = _object(message.data)
            self._log("frame-in", frame)
            match frame.get("action"):
                case "authentication_challenge":
                    continue  # the session has one already
                case "ping":
                    now = self._sim.store.now_ms()
                    data = {"text": "pong", "version": VERSION, "server_time": now, "node_id": ""}
                    await self._answer(socket, frame.get("seq"), data)
                case "user_typing":
                    await self._answer(socket, frame.get("seq"), {})
                case _:
                    error = {"id": "api.web_socket_router.bad_action.app_error"}
                    body = {"status": "FAIL", "error": error, "seq_reply": frame.get("seq")}
                    await self._send(socket, body)

    async def _answer(self, socket: web.WebSocketResponse, seq: Any, data: Json) -> None:
        body: Json = {"status": "OK", "seq_reply": seq}
        if data:
            body["data"] = data
        await self._send(socket, body)

    async def _send(self, socket: web.WebSocketResponse, body: Json) -> None:
        self._log("frame-out", body)
        await socket.send_str(msgspec.json.encode(body).decode())

    async def publish(self, event: str, data: Json, broadcast: Json, *, cut: bool = False) -> bool:
        """To every connection of the bot, also to those that may come back; whether one is open."""
        reached = False
        for session in tuple(self._sessions.values()):
            reached |= await self._event(session, event, data, broadcast, cut=cut)
        return reached

    async def _event(
        self, session: Session, event: str, data: Json, broadcast: Json, *, cut: bool = False
    ) -> bool:
        whole: Json = {
            "event": event,
            "data": data,
            "broadcast": {
                "omit_users": None,
                "user_id": "",
                "channel_id": "",
                "team_id": "",
                "connection_id": "",
                "omit_connection_id": "",
                **broadcast,
            },
        }
        async with session.turn:
            whole["seq"] = session.seq
            text = msgspec.json.encode(whole).decode()
            session.kept.append((session.seq, text))
            session.seq += 1
            skipped = event != "hello" and self._sim.faults.take("skip_events")
            if session.socket is None or skipped:
                return False
            return await self._write(session, text[: len(text) // 2] if cut else text)

    async def _write(self, session: Session, text: str) -> bool:
        """False when the client is gone; the frame stays to be asked for."""
        if session.socket is None:
            return False
        self._sim.wire.add(
            direction="frame-out",
            at=self._sim.clock.time(),
            method="WS",
            path="event",
            query=session.id,
            body=text,
        )
        try:
            await session.socket.send_str(text)
        except ConnectionError:
            return False
        session.frames += 1
        faults = self._sim.faults
        if 0 < faults.drop_at_frame <= session.frames:
            faults.drop_at_frame = 0
            self.abort(session)
        return True

    def abort(self, session: Session) -> None:
        """Cut a connection without a close frame."""
        if session.request is not None and session.request.transport is not None:
            session.request.transport.abort()
        session.socket = session.request = None
        self._tell()

    async def close(self) -> None:
        """The server goes away."""
        for session in self.connections:
            if session.socket is not None:
                await session.socket.close(code=1001, message=b"going away")

    def _tell(self) -> None:
        self._changed.set()
        self._sim.tell_state()

    def _log(self, direction: str, frame: Json) -> None:
        self._sim.wire.add(
            direction=direction,
            at=self._sim.clock.time(),
            method="WS",
            path=str(frame.get("action") or frame.get("event") or "reply"),
            body=msgspec.json.encode(frame),
        )


def _object(text: str) -> Json:
    try:
        found: Any = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return {}
    return found if isinstance(found, dict) else {}  # pyright: ignore[reportUnknownVariableType]
