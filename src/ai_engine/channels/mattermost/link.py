"""One WebSocket of Mattermost's (`/api/v4/websocket`), and how far it has been read.

The server numbers its events (`seq`). A client that comes back with `connection_id` and the number
that it wants next gets what it missed, out of the last 128 events, and no new `hello`
(`platform.WebConn`, dead queue). The number that we ask for is that of the oldest event which is
not durable yet: nothing is acknowledged before it is.
"""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, Final, Protocol

import aiohttp
import msgspec

from ai_engine.channels.http import parse
from ai_engine.channels.link import LinkTimes, SocketLink
from ai_engine.channels.mattermost import codec
from ai_engine.domain.clock import Clock
from ai_engine.domain.errors import Malformed, SendRetryable
from ai_engine.domain.message import Json

log = logging.getLogger(__name__)

TIMES: Final = LinkTimes(probe=30.0, silence_max=90.0)
FRAME_BYTES_MAX: Final = 8 * 1_048_576
_EARLY_MAX: Final = 1_000
"""Events replayed before the first answer to a ping: the server keeps at most 128 + 256."""
_CHALLENGE: Final = 1
_FIRST_PING: Final = 2


class Position:
    """How far one connection id has been read. Lives on when the connection is resumed."""

    def __init__(self, connection_id: str = "") -> None:
        self.connection_id = connection_id
        self.next = 1 if connection_id else 0
        """The number of the next event; `hello` has 0."""
        self.synced_ms = 0
        """The server's time until which everything is durable; 0: not known."""
        self._open: set[int] = set()

    @property
    def wanted(self) -> int:
        """What to ask for when coming back."""
        return min(self._open, default=self.next)

    def began(self, seq: int) -> bool:
        """An event has come; False when others before it have not."""
        whole = seq <= self.next
        self.next = max(self.next, seq + 1)
        self._open.add(seq)
        return whole

    def done(self, seq: int) -> None:
        """It is durable, or needs not be."""
        self._open.discard(seq)

    def synced(self, server_ms: int) -> None:
        """The server answered a ping then: all that it had sent before has been read."""
        if not self._open:
            self.synced_ms = max(self.synced_ms, server_ms)

    def resumed(self) -> None:
        """The server sends again from `wanted` on."""
        self.next = self.wanted
        self._open.clear()


class Events(Protocol):
    """What is done with an event."""

    def wants(self, event: Json) -> bool: ...

    def take(self, link: "Link", event: Json, seq: int) -> Coroutine[Any, Any, None]:
        """Make it durable; then `link.position.done(seq)`."""
        ...


class Link(SocketLink):
    """One connection; `opened` does the handshake, then a `Keeper` awaits `run`."""

    def __init__(
        self,
        name: str,
        socket: aiohttp.ClientWebSocketResponse,
        clock: Clock,
        position: Position,
        events: Events,
    ) -> None:
        super().__init__(name, socket, clock, times=TIMES)
        self.position = position
        self._events = events
        self._early: list[Json] = []
        self._said = _FIRST_PING

    async def opened(self, token: str) -> str:
        """Authenticate; the new connection id, or empty when the old one was resumed.

        The upgrade's Authorization header has done it already where no proxy took it away; then
        the server ignores the challenge. The answer to the first ping marks the beginning.

        Raises:
            SendRetryable: the server closed the connection or answered nothing of that kind.
        """
        await self._ask(_CHALLENGE, "authentication_challenge", {"token": token})
        await self._ask(_FIRST_PING, "ping", {})
        hello = ""
        while True:
            message = await self.socket.receive()
            if message.type is aiohttp.WSMsgType.PING:
                await self.socket.pong(message.data)
                continue
            if message.type is not aiohttp.WSMsgType.TEXT or len(self._early) > _EARLY_MAX:
                raise SendRetryable("Mattermost closed the connection before it was ready")
            frame = parse(message.data)
            if codec.text(frame, "event") == "hello":
                hello = codec.text(codec.part(frame, "data"), "connection_id")
                self._early.clear()
            elif codec.text(frame, "event"):
                self._early.append(frame)
            elif codec.number(frame, "seq_reply") == _FIRST_PING:
                if codec.text(frame, "status") != "OK":
                    raise SendRetryable("Mattermost did not authenticate the connection")
                self.server_ms = codec.number(codec.part(frame, "data"), "server_time")
                return hello

    async def run(self) -> None:
        """First what was replayed during the handshake, then what comes."""
        for frame in self._early:
            await self._event(frame)
        self._early.clear()
        await super().run()

    async def frame(self, data: str | bytes) -> None:
        try:
            frame = parse(data)
        except Malformed as error:
            log.warning("channel %s: unreadable frame: %s", self.name, error)
            self.start_afresh("a frame could not be read")
            return
        if codec.text(frame, "event"):
            await self._event(frame)
        elif sent_ms := codec.number(codec.part(frame, "data"), "server_time"):
            self.position.synced(sent_ms)

    async def _event(self, event: Json) -> None:
        seq = codec.number(event, "seq")
        if not self.position.began(seq):
            log.warning("channel %s: events before number %d are missing", self.name, seq)
            self.start_afresh("events are missing")
        if self._events.wants(event):
            await self.handle(self._events.take(self, event, seq))
        else:
            self.position.done(seq)

    def start_afresh(self, why: str) -> None:
        """Something is lost: the next connection is a new one, and reads the channels' posts."""
        self.position.connection_id = ""
        self.retire(why)

    async def probe(self) -> None:
        """The client's `ping` action, every 30 s as in the vendor's own client."""
        self._said += 1
        await self._ask(self._said, "ping", {})

    async def _ask(self, seq: int, action: str, data: Json) -> None:
        body = {"seq": seq, "action": action, "data": data}
        await self.send(msgspec.json.encode(body).decode())


async def handshake(link: Link, token: str, seconds_max: float) -> str:
    """`Link.opened`, bounded.

    Raises:
        SendRetryable: it failed, or took more than `seconds_max`.
    """
    try:
        async with asyncio.timeout(seconds_max):
            return await link.opened(token)
    except (TimeoutError, Malformed) as error:
        raise SendRetryable("Mattermost's WebSocket did not become ready") from error
