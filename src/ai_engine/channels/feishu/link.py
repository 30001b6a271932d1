"""Feishu's long connection: events as protobuf frames, acknowledged once they are durable.

Source: the vendor's Python SDK 1.7.5 (`ws/client.py`, `ws/pb`): `POST /callback/ws/endpoint` gives
a `wss` URL with `device_id` and `service_id`, and `ClientConfig`; the client pings at once and each
`PingInterval`; an event is answered by its own frame with `{"code":200}` and the header `biz_rt`,
within 3 s, else Feishu sends it again.
"""

import asyncio
import base64
import dataclasses
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final, cast
from urllib.parse import parse_qs, urlsplit

import aiohttp
import msgspec

from ai_engine.channels.feishu import frames
from ai_engine.channels.feishu.client import FeishuClient
from ai_engine.channels.http import parse
from ai_engine.channels.link import LinkTimes, SocketLink, socket_address
from ai_engine.domain.clock import Clock
from ai_engine.domain.errors import (
    EngineError,
    Forbidden,
    Malformed,
    Overloaded,
    Refused,
    SendRefused,
    SendRetryable,
    Unauthenticated,
)
from ai_engine.domain.message import Json
from ai_engine.security.egress import Egress

log = logging.getLogger(__name__)

PING_SECONDS: Final = 120.0
_PING_RANGE: Final = (5.0, 300.0)
_HANDSHAKE_SECONDS: Final = 15.0
# aiohttp declares the fields by `attr.ib(type=…)`, which pyright cannot read.
_CLOSE_TIMEOUT: Final = aiohttp.ClientWSTimeout(ws_close=1.0)  # pyright: ignore[reportCallIssue]
_FRAME_BYTES_MAX: Final = 2_097_152
_VENDOR: Final = ("feishu.cn", "larksuite.com", "larkoffice.com")
_FORBIDDEN: Final = "403"
_AUTH_FAILED: Final = "514"
_TOO_MANY: Final = "1000040350"

Take = Callable[[Json], Awaitable[Json | None]]
"""Makes one event durable; what a card's client is to be answered. Raises Refused."""


def check_endpoint(endpoint: object, base: str) -> str:
    """The WebSocket address, when its host is Feishu's (wss) or that of the configured endpoint.
    Raises SendRefused."""
    return socket_address(
        endpoint,
        platform="Feishu",
        domains=_VENDOR,
        configured=(base,),
        hint="set endpoints.api if it is really a Feishu of yours",
    )


class FeishuLink(SocketLink):
    """One connection; owned by the channel's `Keeper`."""

    def __init__(
        self,
        name: str,
        socket: aiohttp.ClientWebSocketResponse,
        clock: Clock,
        *,
        service: int,
        ping_seconds: float,
        take: Take,
    ) -> None:
        times = LinkTimes(probe=ping_seconds, silence_max=ping_seconds * 2.5)
        super().__init__(name, socket, clock, times=times)
        self._service = service
        self._take = take
        self._fragments = frames.Fragments(clock)

    async def probe(self) -> None:
        """Feishu's own ping. It answers each, possibly with a new interval; that is used from the
        next connection on, whose endpoint tells it too."""
        ping = frames.Frame(method=frames.CONTROL, service=self._service, headers={"type": "ping"})
        await self.send(frames.encode(ping))

    async def frame(self, data: str | bytes) -> None:
        """An event is handled beside the reader; what cannot be read cannot be acknowledged."""
        try:
            found = frames.decode(data if isinstance(data, bytes) else data.encode())
            if found.method != frames.DATA:
                return
            payload = self._fragments.add(
                found.headers.get("message_id", ""),
                _number(found.headers.get("sum", "1")),
                _number(found.headers.get("seq", "0")),
                found.payload,
            )
        except Malformed as error:
            log.warning("channel %s: unreadable frame: %s", self.name, error)
            return
        if payload is not None:
            await self.handle(self._event(found, payload))

    async def _event(self, frame: frames.Frame, payload: bytes) -> None:
        """Durable first, acknowledged second; what is not taken comes again."""
        began = self.clock.monotonic()
        answer: Json = {"code": 500}
        try:
            said = await self._take(parse(payload))
        except Forbidden as error:
            log.warning("channel %s: refused an event: %s", self.name, error)
            answer = {"code": 200}  # it would be refused again
        except Overloaded as error:
            log.warning("channel %s: an event was put off: %s", self.name, error)
        except Refused as error:
            log.warning("channel %s: refused an event: %s", self.name, error)
        else:
            answer = {"code": 200}
            if said is not None:
                answer["data"] = base64.b64encode(msgspec.json.encode(said)).decode()
        took = int((self.clock.monotonic() - began) * 1000)
        ack = dataclasses.replace(
            frame,
            headers={**frame.headers, "biz_rt": str(took)},
            payload=msgspec.json.encode(answer),
        )
        await self.send(frames.encode(ack))


async def connect(
    name: str, client: FeishuClient, egress: Egress, clock: Clock, take: Take
) -> FeishuLink:
    """Open one connection and ping.

    Raises:
        Unauthenticated, SendRefused: only an administrator can change it. SendRetryable.
    """
    given = await client.connection_endpoint()
    endpoint = check_endpoint(given.get("URL"), client.base)
    try:
        socket = await _opened(endpoint, egress)
    except aiohttp.WSServerHandshakeError as error:
        raise _refused_handshake(error) from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        # Not chained: such an error's text may hold the URL, and the URL a ticket.
        said = type(error).__name__
        raise SendRetryable(f"the long connection could not be opened ({said})") from None
    service = parse_qs(urlsplit(endpoint).query).get("service_id", ["0"])[0]
    link = FeishuLink(
        name,
        socket,
        clock,
        service=int(service) if service.isascii() and service.isdigit() else 0,
        ping_seconds=_ping_seconds(given.get("ClientConfig")),
        take=take,
    )
    await link.probe()
    return link


async def _opened(endpoint: str, egress: Egress) -> aiohttp.ClientWebSocketResponse:
    async with asyncio.timeout(_HANDSHAKE_SECONDS):
        return await egress.session.ws_connect(
            endpoint, timeout=_CLOSE_TIMEOUT, autoping=False, max_msg_size=_FRAME_BYTES_MAX
        )


def _refused_handshake(error: aiohttp.WSServerHandshakeError) -> EngineError:
    """The engine's error for a refused handshake, from Feishu's own headers."""
    headers = error.headers or {}
    status = headers.get("Handshake-Status", "")
    said = f"handshake {status or error.status}"
    if status == _AUTH_FAILED and headers.get("Handshake-Autherrcode") == _TOO_MANY:
        return SendRefused(
            "the app has as many long connections as Feishu allows (50)",
            hint="end other programs that use the same app",
        )
    if status in (_FORBIDDEN, _AUTH_FAILED):
        return Unauthenticated(
            f"Feishu refused the long connection ({said})",
            hint="choose the long connection (使用长连接接收) on the app's page Events & Callbacks",
        )
    return SendRetryable(f"Feishu refused the long connection ({said})")


def _ping_seconds(config: object) -> float:
    given: Any = cast("Json", config).get("PingInterval") if isinstance(config, dict) else None
    seconds = float(given) if isinstance(given, int | float) else PING_SECONDS
    return min(max(seconds, _PING_RANGE[0]), _PING_RANGE[1])


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise Malformed("a number of the frame is none")
    return int(text)
