"""One WebSocket of the stream gateway: frames out, acknowledgements in."""

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import WSMsgType, web

from ai_engine.domain.ids import new_id
from ai_engine.domain.message import Json
from ai_engine.simulators.dingtalk.codec import read_object

if TYPE_CHECKING:
    from ai_engine.simulators.dingtalk.server import DingTalkSimulator

ROBOT_TOPIC = "/v1.0/im/bot/messages/get"
FRAME_BYTES_MAX = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamTimes:
    """Periods of the gateway, in seconds, and its bounds."""

    ping: float = 30.0
    """Between two pings."""
    silent_pings_max: int = 2
    """A client that left so many pings unanswered is dropped."""
    ticket: float = 90.0
    """How long a ticket may be used, once."""
    robot_ack: float = 5.0
    """How long the gateway waits for a robot frame's acknowledgement. It never re-sends one."""
    event_ack: float = 3.0
    """How long it waits for an event's acknowledgement."""
    event_retry: float = 10.0
    """Between two attempts to deliver an event."""
    event_attempts_max: int = 100
    disconnect_grace: float = 10.0
    """From the disconnect frame to the close."""
    connections_max: int = 50


class Connection:
    """A client that came with a good ticket."""

    def __init__(
        self,
        simulator: "DingTalkSimulator",
        request: web.Request,
        socket: web.WebSocketResponse,
        subscriptions: frozenset[tuple[str, str]],
    ) -> None:
        self.id = new_id("conn")
        self.leaving = False
        """A disconnect frame was sent: nothing new goes here."""
        self.silent_pings = 0
        self._sim = simulator
        self._request = request
        self._socket = socket
        self._subscriptions = subscriptions
        self._frames = 0
        self._acks: dict[str, asyncio.Future[Json]] = {}

    def takes(self, kind: str, topic: str) -> bool:
        """Whether it subscribed to the topic."""
        return not self.leaving and bool({(kind, topic), (kind, "*")} & self._subscriptions)

    async def send(
        self, kind: str, topic: str, data: str, *, message_id: str = "", **headers: str
    ) -> str:
        """Send one frame; its message id.

        Raises:
            ConnectionError: the client is gone.
        """
        message_id = message_id or new_id("frame")
        now = self._sim.clock.time()
        frame: Json = {
            "specVersion": "1.0",
            "type": kind,
            "headers": {
                "topic": topic,
                "messageId": message_id,
                "contentType": "application/json",
                "time": str(int(now * 1000)),
                "appId": self._sim.app_id,
                "connectionId": self.id,
                **headers,
            },
            "data": data,
        }
        text = msgspec.json.encode(frame).decode()
        self._log("frame-out", f"{kind} {topic}", text)
        await self._socket.send_str(text)
        self._frames += 1
        faults = self._sim.faults
        if 0 < faults.drop_at_frame <= self._frames:
            faults.drop_at_frame = 0
            self.abort()
        return message_id

    async def ask(
        self, kind: str, topic: str, data: str, timeout_seconds: float, **headers: str
    ) -> Json:
        """Send one frame and return its acknowledgement.

        Raises:
            TimeoutError: none came in time. ConnectionError: the client went away.
        """
        message_id = headers.pop("message_id", "") or new_id("frame")
        ack: asyncio.Future[Json] = asyncio.get_running_loop().create_future()
        self._acks[message_id] = ack
        try:
            async with asyncio.timeout(timeout_seconds):
                await self.send(kind, topic, data, message_id=message_id, **headers)
                return await ack
        finally:
            del self._acks[message_id]

    async def read(self) -> None:
        """Take acknowledgements until the client goes away."""
        try:
            async for message in self._socket:
                if message.type is WSMsgType.TEXT:
                    self._take(message.data)
        finally:
            for ack in self._acks.values():
                if not ack.done():
                    ack.set_exception(ConnectionResetError("the client went away"))

    def _take(self, text: str) -> None:
        frame = read_object(text) or {}
        headers: Any = frame.get("headers")
        message_id = headers.get("messageId", "") if isinstance(headers, dict) else ""  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        self._log("frame-in", f"ack {frame.get('code', '')}", text)
        self.silent_pings = 0
        ack = self._acks.get(str(message_id))  # pyright: ignore[reportUnknownArgumentType]
        if ack is not None and not ack.done():
            ack.set_result(frame)

    def abort(self) -> None:
        """Cut the connection without a close frame."""
        if self._request.transport is not None:
            self._request.transport.abort()

    async def close(self, code: int, reason: str) -> None:
        """Close with a close frame."""
        await self._socket.close(code=code, message=reason.encode())

    def _log(self, direction: str, what: str, text: str) -> None:
        self._sim.wire.add(
            direction=direction,
            at=self._sim.clock.time(),
            method="WS",
            path=what,
            query=self.id,
            body=text,
        )
