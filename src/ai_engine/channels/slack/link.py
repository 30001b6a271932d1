"""One WebSocket of Slack's Socket Mode.

Source: docs.slack.dev, "Using Socket Mode": `hello`, `disconnect` (warning, refresh_requested: a
new connection is wanted; link_disabled: Socket Mode was switched off), and envelopes that are
acknowledged by their `envelope_id`. What is not acknowledged within 3 s comes again.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, cast

import aiohttp
import msgspec

from ai_engine.channels.http import parse
from ai_engine.channels.link import LinkTimes, SocketLink, accept_when_possible, socket_address
from ai_engine.channels.slack.client import SlackClient
from ai_engine.channels.slack.codec import optional
from ai_engine.domain.clock import Clock
from ai_engine.domain.errors import Malformed, Overloaded, SendRetryable
from ai_engine.domain.message import Json
from ai_engine.security.egress import Egress

log = logging.getLogger(__name__)

_SLACK: Final = "slack.com"
_HANDSHAKE_SECONDS: Final = 15.0
# aiohttp declares the fields by `attr.ib(type=…)`, which pyright cannot read.
_TIMEOUT: Final = aiohttp.ClientWSTimeout(ws_close=1.0)  # pyright: ignore[reportCallIssue]
_FRAME_BYTES_MAX: Final = 4 * 1_048_576

Take = Callable[[str, Json], Awaitable[None]]
"""(envelope type, payload): durable when it returns. Raises Malformed, Overloaded."""


class SlackLink(SocketLink):
    """See `SocketLink`. Slack pings too; our ping finds a connection that is dead."""

    def __init__(
        self,
        name: str,
        socket: aiohttp.ClientWebSocketResponse,
        clock: Clock,
        take: Take,
        *,
        times: LinkTimes | None = None,
    ) -> None:
        super().__init__(name, socket, clock, times=times)
        self._take = take

    async def frame(self, data: str | bytes) -> None:
        """What cannot be read has no id to acknowledge; it is logged."""
        try:
            frame = parse(data)
        except Malformed as error:
            log.warning("channel %s: unreadable frame: %s", self.name, error)
            return
        kind = optional(frame, "type")
        if kind == "disconnect":
            self.retire(f"Slack asked for it ({optional(frame, 'reason')})")
        elif optional(frame, "envelope_id"):
            await self.handle(self._envelope(kind, frame))
        elif kind != "hello":
            log.debug("channel %s: a frame of type %r was passed over", self.name, kind)

    async def _envelope(self, kind: str, frame: Json) -> None:
        """Durable first, acknowledged second; without room Slack sends it again."""
        found: Any = frame.get("payload")
        try:
            if not isinstance(found, dict):
                raise Malformed("$.payload: must be an object")
            payload = cast("Json", found)
            await accept_when_possible(lambda: self._take(kind, payload), self.clock)
        except Malformed as error:
            log.warning("channel %s: refused a message: %s", self.name, error.message)
        except Overloaded as error:
            log.warning("channel %s: no room for a message yet: %s", self.name, error)
            return
        ack = {"envelope_id": frame["envelope_id"]}
        await self.send(msgspec.json.encode(ack).decode())

    async def probe(self) -> None:
        await self.ping()


async def connect(
    name: str,
    client: SlackClient,
    app_token: str,
    egress: Egress,
    clock: Clock,
    take: Take,
    times: LinkTimes | None = None,
) -> SlackLink:
    """Open one connection. Raises SendRetryable, SendRefused, PermissionMissing."""
    found = await client.call("apps.connections.open", {}, token=app_token)
    url = check_address(found.get("url"), client.configured)
    try:
        async with asyncio.timeout(_HANDSHAKE_SECONDS):
            socket = await egress.session.ws_connect(
                url, timeout=_TIMEOUT, autoping=False, max_msg_size=_FRAME_BYTES_MAX
            )
    except (aiohttp.ClientError, OSError, ValueError) as error:
        # Not chained: such an error's text may hold the URL, and the URL is a ticket.
        failed = type(error).__name__
        raise SendRetryable(f"the Socket Mode connection could not be opened ({failed})") from None
    return SlackLink(name, socket, clock, take, times=times)


def check_address(url: object, configured: Iterable[str]) -> str:
    """The WebSocket's address, when its host is Slack's (wss) or a configured endpoint's. Raises
    SendRefused."""
    return socket_address(
        url,
        platform="Slack",
        domains=(_SLACK,),
        configured=configured,
        hint="set endpoints.api if it is really Slack's",
    )
