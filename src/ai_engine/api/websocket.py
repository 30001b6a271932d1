"""`/api/ws`: who may connect to the web chat, and how a connection ends.

The protocol is written down in docs/reference/websocket.md.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Collection, Generator, Mapping
from contextlib import contextmanager

from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from ai_engine.api.chat_connection import ChatLimits, Connection, Road, Wire
from ai_engine.api.chat_errors import CloseCode, Closing, Gone, error_frame
from ai_engine.api.origin import from_our_page
from ai_engine.channels.base import Accept
from ai_engine.channels.webchat.frames import VERSION, Hello
from ai_engine.domain.clock import Clock
from ai_engine.domain.errors import Throttled
from ai_engine.domain.message import InboundMessage
from ai_engine.events.base import Events
from ai_engine.journal.base import Journal
from ai_engine.security.access import Access, Identity

log = logging.getLogger(__name__)

_CLOSE_SECONDS = 2.0
"""How long the last words may wait for a client that does not read."""


class ChatSocket:
    """The endpoint, an ASGI application. It owns no task beyond the connections that are open."""

    def __init__(
        self,
        journal: Journal,
        events: Events,
        accept: Accept,
        access: Access,
        clock: Clock,
        session_key: Callable[[InboundMessage], str],
        *,
        limits: ChatLimits | None = None,
        origins: Collection[str] = (),
    ) -> None:
        """`accept` and `session_key` are the ingress's; `origins` are further pages that may
        connect (scheme://host:port), besides those that this server serves."""
        self._road = Road(
            journal=journal, events=events, accept=accept, session_key=session_key, clock=clock
        )
        self._access = access
        self._limits = limits or ChatLimits()
        self._origins = frozenset(origins)
        self._open: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application behind `WebSocketRoute("/api/ws", socket)`."""
        await self.serve(WebSocket(scope, receive, send))

    @property
    def connections(self) -> int:
        """Open and authenticated, for metrics."""
        return self._open.total()

    async def serve(self, socket: WebSocket) -> None:
        """One connection, from handshake to close."""
        headers = dict(socket.headers)
        ours = from_our_page(headers, self._origins)
        if ours is False:
            await socket.close()  # before the handshake: HTTP 403
            return
        if ours is None:  # no browser, so a cookie proves nothing
            headers.pop("cookie", None)
        await socket.accept()
        wire = Wire(socket, self._limits)
        closing = await self._run(wire, headers, socket.client.host if socket.client else "")
        if closing is not None:
            await _close(socket, wire, closing)

    async def _run(self, wire: Wire, headers: Mapping[str, str], remote: str) -> Closing | None:
        """Why the connection is to be closed; None when the client has closed it."""
        closing: Closing | None = None
        try:
            hello, identity = await self._hello(wire, headers, remote)
            with self._counted(identity):
                connection = Connection(
                    wire,
                    self._road,
                    identity,
                    self._limits,
                    lambda: bool(hello.token) or self._still_valid(headers),
                )
                await connection.run(hello)
        except* Gone:
            pass
        except* Closing as group:
            closing = _first(group)
        except* Exception:
            # The edge of one connection: what went wrong is logged, this client reconnects, and
            # the other connections go on.
            log.exception("a web chat connection failed")
            closing = Closing(CloseCode.INTERNAL, "internal error", error_frame("internal"))
        return closing

    async def _hello(
        self, wire: Wire, headers: Mapping[str, str], remote: str
    ) -> tuple[Hello, Identity]:
        try:
            async with asyncio.timeout(self._limits.hello_seconds):
                hello = await wire.receive()
        except TimeoutError as error:
            raise Closing(CloseCode.NO_HELLO, "no hello", error_frame("no_hello")) from error
        if not isinstance(hello, Hello):
            error = error_frame("malformed", detail="the first frame must be hello")
            raise Closing(CloseCode.NOT_THE_PROTOCOL, "hello first", error)
        if hello.v != VERSION:
            raise Closing(CloseCode.VERSION, f"version {VERSION} here", error_frame("version"))
        return hello, self._identify(hello, headers, remote)

    def _identify(self, hello: Hello, headers: Mapping[str, str], remote: str) -> Identity:
        try:
            if hello.token:
                identity = self._access.bearer(hello.token, remote)
            else:
                identity = self._access.authenticate(headers, remote)
        except Throttled as error:
            seconds = error.retry_after_seconds
            frame = error_frame("throttled", seconds=seconds, retry_after_seconds=seconds)
            raise Closing(CloseCode.THROTTLED, "throttled", frame) from error
        if identity is None:
            error = error_frame("unauthenticated")
            raise Closing(CloseCode.UNAUTHENTICATED, "who are you?", error)
        return identity

    def _still_valid(self, headers: Mapping[str, str]) -> bool:
        return "authorization" in headers or self._access.browser(headers) is not None

    @contextmanager
    def _counted(self, identity: Identity) -> Generator[None]:
        full = (
            self._open.total() >= self._limits.connections_max
            or self._open[identity.user_id] >= self._limits.connections_per_user_max
        )
        if full:
            error = error_frame("too_many_connections")
            raise Closing(CloseCode.TRY_LATER, "too many connections", error)
        self._open[identity.user_id] += 1
        try:
            yield
        finally:
            self._open[identity.user_id] -= 1
            if not self._open[identity.user_id]:
                del self._open[identity.user_id]


def _first(group: BaseExceptionGroup[Closing]) -> Closing:
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    assert isinstance(found, Closing)
    return found


async def _close(socket: WebSocket, wire: Wire, closing: Closing) -> None:
    """Say why, then close; a client that does not read is left to the server's keep-alive."""
    try:
        async with asyncio.timeout(_CLOSE_SECONDS):
            if closing.error is not None:
                await wire.send(closing.error)
            await socket.close(int(closing.code), closing.reason)
    except (TimeoutError, Gone, Closing, WebSocketDisconnect, RuntimeError):
        log.debug("the client was gone before it could be told %s", closing.reason)
