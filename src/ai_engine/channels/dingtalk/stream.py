"""DingTalk's Stream mode: keep one live connection, open the next before the old one goes.

Source: DingTalk's Stream protocol. `POST {api}/v1.0/gateway/connections/open` gives an endpoint
and a ticket (90 s, one use); the WebSocket is `endpoint?ticket=…`.
"""

import asyncio
import logging
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

import aiohttp

from ai_engine.channels.backoff import Backoff
from ai_engine.channels.dingtalk.client import DingTalkClient
from ai_engine.channels.dingtalk.link import BOT_TOPIC, Link, Take
from ai_engine.domain.clock import Clock
from ai_engine.domain.errors import SendFailed, SendRefused, SendRetryable, Unauthenticated
from ai_engine.security.egress import Egress

log = logging.getLogger(__name__)

SLOW_RETRY_SECONDS: Final = 60.0
"""After an answer that only an administrator can change, such as a wrong secret."""
_STEADY_SECONDS: Final = 60.0
"""A connection that lived so long, or carried a message, was good: the next delay is short."""
_HASTE_MAX: Final = 3
"""So many connections in a row may be replaced at once; then replacing waits too."""
_HANDSHAKE_SECONDS: Final = 15.0
# aiohttp declares the fields by `attr.ib(type=…)`, which pyright cannot read.
_CLOSE_TIMEOUT: Final = aiohttp.ClientWSTimeout(ws_close=1.0)  # pyright: ignore[reportCallIssue]
_FRAME_BYTES_MAX: Final = 1_048_576
_DINGTALK: Final = "dingtalk.com"


def check_endpoint(endpoint: object, configured: Iterable[str]) -> str:
    """The WebSocket address, when its host is DingTalk's (wss) or a configured endpoint's.

    Raises:
        SendRefused: it is not; the message names no part of it but the host.
    """
    parts = urlsplit(endpoint) if isinstance(endpoint, str) else urlsplit("")
    host = (parts.hostname or "").lower()
    if parts.scheme not in ("ws", "wss") or not host or "@" in parts.netloc:
        raise SendRefused("DingTalk's answer holds no WebSocket address")
    ours = host == _DINGTALK or host.endswith(f".{_DINGTALK}")
    if ours and parts.scheme == "wss":
        return parts.geturl()
    for base in map(urlsplit, configured):
        if base.hostname == host and (parts.scheme == "wss" or base.scheme == "http"):
            return parts.geturl()
    raise SendRefused(
        f"refused to open a {parts.scheme} connection to {host!r}",
        hint="add its base URL to the channel's endpoints if it is really DingTalk's",
    )


class Stream:
    """Owned by the channel; `run` ends only by cancellation."""

    def __init__(
        self,
        name: str,
        client: DingTalkClient,
        egress: Egress,
        clock: Clock,
        take: Take,
        backoff: Backoff | None = None,
    ) -> None:
        self._name = name
        self._client = client
        self._egress = egress
        self._clock = clock
        self._take = take
        self._backoff = backoff or Backoff()
        self._link: Link | None = None
        self._haste = 0
        self.state = "connecting"
        """connecting | connected | failing"""
        self.detail = ""

    @property
    def last_frame(self) -> float | None:
        """When DingTalk last sent anything, on the monotonic clock."""
        return None if self._link is None else self._link.last_frame

    async def run(self) -> None:
        """Connect, replace and reconnect for ever."""
        async with asyncio.TaskGroup() as group:
            while True:
                link = await self._connected()
                self._link = link
                group.create_task(link.run(), name=f"DingTalk connection of {self._name}")
                await link.over.wait()
                await self._pause(link)

    async def _pause(self, link: Link) -> None:
        """Before the next connection: none when replacing, else exponential with jitter."""
        lived = self._clock.monotonic() - link.opened_at
        if link.useful or lived >= _STEADY_SECONDS:
            self._backoff.reset()
            self._haste = 0
        if link.retiring and self._haste < _HASTE_MAX:
            self._haste += 1
            return
        if not link.retiring:
            self._failed("connecting", "the connection was lost")
        await self._clock.sleep(self._backoff.next())

    async def _connected(self) -> Link:
        """A new connection, however long it takes."""
        while True:
            try:
                link = await self._connect()
            except (Unauthenticated, SendRefused) as error:
                self._failed("failing", str(error))
                await self._clock.sleep(SLOW_RETRY_SECONDS)
            except SendFailed as error:
                self._failed("failing", str(error))
                await self._clock.sleep(self._backoff.next())
            else:
                if self.detail:
                    log.info("channel %s: connected again", self._name)
                self.state, self.detail = "connected", ""
                return link

    async def _connect(self) -> Link:
        """Raises Unauthenticated, SendRefused, SendRetryable."""
        answer = await self._client.open_connection(
            {"subscriptions": [{"type": "CALLBACK", "topic": BOT_TOPIC}], "ua": "ai-engine"}
        )
        endpoint = check_endpoint(answer.get("endpoint"), self._client.allowed)
        try:
            async with asyncio.timeout(_HANDSHAKE_SECONDS):
                socket = await self._egress.session.ws_connect(
                    endpoint,
                    params={"ticket": str(answer.get("ticket", ""))},
                    timeout=_CLOSE_TIMEOUT,
                    autoping=False,
                    max_msg_size=_FRAME_BYTES_MAX,
                )
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # Not chained: such an error's text may hold the URL, and the URL the ticket.
            name = type(error).__name__
            raise SendRetryable(f"the Stream connection could not be opened ({name})") from None
        return Link(self._name, socket, self._clock, self._take)

    def _failed(self, state: str, detail: str) -> None:
        """Note it; an outage is logged once, not at every attempt."""
        if detail != self.detail:
            log.warning("channel %s: %s", self._name, detail)
        self.state, self.detail = state, detail
