"""One authenticated connection of the web chat: reads frames, follows the session, ends cleanly."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

from starlette.websockets import WebSocket, WebSocketDisconnect

from ai_engine.api.chat_errors import CloseCode, Closing, Gone, error_frame
from ai_engine.channels.base import Accept
from ai_engine.channels.webchat.channel import SESSION
from ai_engine.channels.webchat.follow import Follower
from ai_engine.channels.webchat.frames import (
    VERSION,
    Ack,
    ClientFrame,
    Hello,
    Send,
    ServerFrame,
    Stop,
    Welcome,
    decode,
    encode,
    message_id,
)
from ai_engine.domain.clock import Clock
from ai_engine.domain.errors import Malformed, Overloaded, Refused
from ai_engine.domain.ids import new_id
from ai_engine.domain.message import Chat, ChatKind, InboundMessage, Sender
from ai_engine.events.base import Events
from ai_engine.journal.base import Journal
from ai_engine.security.access import Identity

CHANNEL = "webchat"
STOP_COMMAND = "/stop"
"""What the pipeline's control lane listens to, in every chat."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatLimits:
    """Every bound of the web chat's connections; docs/reference/websocket.md lists them."""

    frame_bytes_max: int = 65_536
    text_chars_max: int = 10_000
    hello_seconds: float = 10.0
    """From the open connection to a proven identity."""
    idle_seconds: float = 3600.0
    """Without any frame from the client."""
    send_seconds: float = 20.0
    """How long one frame may wait for a client that does not read."""
    recheck_seconds: float = 60.0
    """How often an open connection's browser session is verified again."""
    look_seconds: float = 30.0
    """How long lost news can delay an event."""
    connections_max: int = 4000
    connections_per_user_max: int = 64


class Wire:
    """The socket as frames: one writer at a time, bounded waits, nothing queued."""

    def __init__(self, socket: WebSocket, limits: ChatLimits) -> None:
        self._socket = socket
        self._limits = limits

    async def receive(self) -> ClientFrame:
        """The next frame. Raises Gone, Closing."""
        message = await self._socket.receive()
        if message["type"] == "websocket.disconnect":
            raise Gone
        text = message.get("text")
        if text is None:
            raise _not_understood("binary frames have no meaning here")
        limit = self._limits.frame_bytes_max
        if len(text) > limit or len(text.encode("utf-8", "replace")) > limit:
            error = error_frame("frame_too_large", limit=limit)
            raise Closing(CloseCode.TOO_BIG, "frame too large", error)
        try:
            return decode(text)
        except Malformed as error:
            raise _not_understood(error.message) from error

    async def send(self, frame: ServerFrame) -> None:
        """Returns when the transport has taken it. Raises Gone, Closing for a slow client."""
        try:
            async with asyncio.timeout(self._limits.send_seconds):
                await self._socket.send_text(encode(frame))
        except TimeoutError as error:
            raise Closing(CloseCode.TOO_SLOW, "the client does not read") from error
        except WebSocketDisconnect as error:
            raise Gone from error


def _not_understood(detail: str) -> Closing:
    error = error_frame("malformed", detail=detail)
    return Closing(CloseCode.NOT_THE_PROTOCOL, "not the protocol", error)


@dataclass(frozen=True, slots=True, kw_only=True)
class Road:
    """What a connection needs of the engine."""

    journal: Journal
    events: Events
    accept: Accept
    session_key: Callable[[InboundMessage], str]
    clock: Clock


class Connection:
    """Runs from `hello` to the end; every task belongs to its one group."""

    def __init__(
        self,
        wire: Wire,
        road: Road,
        identity: Identity,
        limits: ChatLimits,
        still_valid: Callable[[], bool],
    ) -> None:
        self._wire = wire
        self._road = road
        self._identity = identity
        self._limits = limits
        self._still_valid = still_valid
        self._speaking = asyncio.Lock()
        """Held from a message's acceptance to its ack, so that its event comes after the ack."""
        self._session_key = road.session_key(self._message("", ""))

    async def run(self, hello: Hello) -> None:
        """Raises an ExceptionGroup of Gone or Closing at the end, or of what went wrong."""
        known = hello.session in ("", self._session_key)
        follower = Follower(
            self._road.journal,
            self._road.events,
            self._session_key,
            after=hello.last_event if known else 0,
            look_seconds=self._limits.look_seconds,
        )
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._read())
            tasks.create_task(follower.run(self._welcome, self._tell))
            tasks.create_task(self._recheck())

    async def _welcome(self, newest: int) -> None:
        await self._tell(
            Welcome(
                v=VERSION,
                session=self._session_key,
                n=newest,
                user=self._identity.user_id,
                text_chars_max=self._limits.text_chars_max,
                idle_seconds=self._limits.idle_seconds,
            )
        )

    async def _tell(self, frame: ServerFrame) -> None:
        async with self._speaking:
            await self._wire.send(frame)

    async def _recheck(self) -> None:
        while True:
            await self._road.clock.sleep(self._limits.recheck_seconds)
            if not self._still_valid():
                error = error_frame("unauthenticated")
                raise Closing(CloseCode.UNAUTHENTICATED, "session ended", error)

    async def _read(self) -> None:
        """One frame at a time: messages keep their order, and one at most waits for the journal.
        A client that sends faster is held up by the transport."""
        while True:
            try:
                async with asyncio.timeout(self._limits.idle_seconds):
                    frame = await self._wire.receive()
            except TimeoutError as error:
                raise Closing(CloseCode.IDLE, "idle", error_frame("idle")) from error
            match frame:
                case Send(client_id=client_id, text=text):
                    await self._take(client_id, text.strip())
                case Stop(client_id=client_id):
                    await self._take(client_id or new_id("stop"), STOP_COMMAND)
                case Hello():
                    raise _not_understood("hello comes once, at the beginning")

    async def _take(self, client_id: str, text: str) -> None:
        limit = self._limits.text_chars_max
        if not text:
            await self._tell(error_frame("text_empty", client_id=client_id))
        elif len(text) > limit:
            await self._tell(error_frame("text_too_long", client_id=client_id, limit=limit))
        else:
            async with self._speaking:
                await self._wire.send(await self._accept(client_id, text))

    async def _accept(self, client_id: str, text: str) -> ServerFrame:
        try:
            accepted = await self._road.accept(self._message(client_id, text))
        except Overloaded as error:
            return error_frame(
                "overloaded",
                client_id=client_id,
                retry_after_seconds=error.retry_after_seconds,
            )
        except Refused as error:
            return error_frame("refused", client_id=client_id, detail=error.message)
        return Ack(client_id=client_id, id=accepted.id, duplicate=accepted.duplicate)

    def _message(self, client_id: str, text: str) -> InboundMessage:
        user = self._identity.user_id
        message = InboundMessage(
            channel=CHANNEL,
            message_id=message_id(user, client_id),
            sender=Sender(platform=CHANNEL, user_id=user),
            chat=Chat(kind=ChatKind.PRIVATE, id=user),
            text=text,
            received_at=self._road.clock.time(),
        )
        return replace(message, target={SESSION: self._road.session_key(message)})
