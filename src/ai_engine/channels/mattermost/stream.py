"""Stream mode: events in over a WebSocket that is resumed, and a catch-up where it cannot be.

Nothing is lost: an event counts as read when its message is durable. After a loss of the connection
the server replays from the first that is not; when it cannot (restart, too long away, another node)
its `hello` has a new connection id, and the posts since the last time of which all is known are
read from the channels. The journal recognises what comes twice. Reactions are not caught up.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final

import aiohttp

from ai_engine.channels.base import Accept
from ai_engine.channels.host import Host
from ai_engine.channels.http import parse
from ai_engine.channels.keeper import Keeper
from ai_engine.channels.link import accept_when_possible
from ai_engine.channels.mattermost import codec
from ai_engine.channels.mattermost.client import Declined, MattermostClient, TokenRefused, place
from ai_engine.channels.mattermost.link import FRAME_BYTES_MAX, Link, Position, handshake
from ai_engine.domain.errors import (
    Malformed,
    Overloaded,
    PermissionMissing,
    SendRefused,
    SendRetryable,
)
from ai_engine.domain.message import InboundMessage, Json, MessageKind

log = logging.getLogger(__name__)

START_WINDOW_SECONDS: Final = 3600.0
"""A process that starts looks back so far: its predecessor may have missed something."""
MARGIN_MS: Final = 5_000
CHANNELS_MAX: Final = 200
"""Channels with news that are read when catching up, the most recent first."""
HANDSHAKE_SECONDS: Final = 15.0
# aiohttp declares the fields by `attr.ib(type=…)`, which pyright cannot read.
_CLOSE_TIMEOUT: Final = aiohttp.ClientWSTimeout(ws_close=1.0)  # pyright: ignore[reportCallIssue]
_POSTS: Final = frozenset({codec.POSTED, codec.EDITED, codec.DELETED})
_REACTIONS: Final = frozenset({codec.REACTED, codec.UNREACTED})


class Stream:
    """Owned by the channel; `run` ends only by cancellation."""

    def __init__(
        self,
        name: str,
        client: MattermostClient,
        host: Host,
        accept: Accept,
        token: str,
        *,
        welcome: bool,
    ) -> None:
        self._name = name
        self._client = client
        self._host = host
        self._accept = accept
        self._token = token
        self._welcome = welcome
        self._position = Position()
        self._turns: dict[str, tuple[asyncio.Lock, int]] = {}
        self.keeper = Keeper(name, host.clock, self._connect, exclusive=True)

    async def run(self) -> None:
        """Connect, resume and reconnect for ever."""
        await self.keeper.run()

    # Connecting.

    async def _connect(self) -> Link:
        """Raises SendRefused (a token that is not accepted), SendRetryable."""
        await self._client.me()
        position = self._position
        link = Link(self._name, await self._socket(position), self._host.clock, position, self)
        ready = False
        try:
            await self._opened_link(link)
            ready = True
        finally:
            if not ready:
                await link.close()
        return link

    async def _opened_link(self, link: Link) -> None:
        position = self._position
        try:
            hello = await handshake(link, self._token, HANDSHAKE_SECONDS)
        except SendRetryable:
            await self._client.me(again=True)  # says so when the token is the reason
            raise
        if hello and hello != position.connection_id:
            await self._begin(link, hello)
        else:
            position.resumed()

    async def _begin(self, link: Link, connection_id: str) -> None:
        """A connection that knows nothing of the one before."""
        before = self._position.synced_ms
        fresh = Position(connection_id)
        if not before:
            before = int((self._host.clock.time() - START_WINDOW_SECONDS) * 1000)
        try:
            await self._catch_up(before - MARGIN_MS)
        except Overloaded as error:
            raise SendRetryable(
                "the engine is too full to catch up",
                retry_after_seconds=error.retry_after_seconds,
            ) from error
        fresh.synced(link.server_ms)
        link.position = self._position = fresh

    async def _socket(self, position: Position) -> aiohttp.ClientWebSocketResponse:
        url = f"ws{self._client.base.removeprefix('http')}/api/v4/websocket"
        params = {}
        if position.connection_id:
            params = {
                "connection_id": position.connection_id,
                "sequence_number": str(position.wanted),
            }
        try:
            async with asyncio.timeout(HANDSHAKE_SECONDS):
                return await self._host.egress.session.ws_connect(
                    url,
                    params=params,
                    headers=self._client.headers,
                    timeout=_CLOSE_TIMEOUT,
                    autoping=False,
                    max_msg_size=FRAME_BYTES_MAX,
                )
        except (aiohttp.ClientError, OSError, ValueError) as error:
            name = type(error).__name__
            raise SendRetryable(f"Mattermost's WebSocket could not be opened ({name})") from None

    async def _catch_up(self, since_ms: int) -> None:
        """Posts made, edited or deleted since then, in the channels that had news."""
        channels = await self._client.my_channels()
        news = [c for c in channels if codec.number(c, "last_post_at") >= since_ms]
        news.sort(key=lambda channel: -codec.number(channel, "last_post_at"))
        if len(news) > CHANNELS_MAX:
            log.warning("channel %s: only %d channels are caught up", self._name, CHANNELS_MAX)
        for channel in news[:CHANNELS_MAX]:
            where = self._client.learn(place(channel))
            try:
                posts = await self._client.posts(where.id, {"since": str(since_ms)})
            except SendRefused as error:
                if isinstance(error, TokenRefused):
                    raise
                log.warning("channel %s: not caught up: %s", self._name, error.message)
                continue
            for post in posts:
                await self._caught_up(post, where, since_ms)

    async def _caught_up(self, post: Json, where: codec.Where, since_ms: int) -> None:
        new = codec.number(post, "create_at") >= since_ms
        event = codec.POSTED
        if codec.number(post, "delete_at"):
            event = codec.DELETED
        elif not new:
            event = codec.EDITED
        if new and event == codec.DELETED:
            return  # it came and went
        me = await self._client.me()
        now = self._host.clock.time()
        try:
            found = codec.decode_post(self._name, post, where, me, now, event=event)
        except Malformed as error:
            log.warning("channel %s: unreadable post: %s", self._name, error)
            return
        if found is not None:
            name = await self._client.username(found.sender.user_id)
            await self._accept(replace(found, sender=replace(found.sender, name=name)))

    # Events.

    def wants(self, event: Json) -> bool:
        """Most events are about what people do in their clients."""
        name = codec.text(event, "event")
        return name in _POSTS or name in _REACTIONS or (name == codec.OPENED and self._welcome)

    async def take(self, link: Link, event: Json, seq: int) -> None:
        """One event, after those of its channel that came before; durable when it returns."""
        position = link.position
        version = f"{position.connection_id}.{seq}"
        try:
            async with self._turn(codec.text(codec.part(event, "broadcast"), "channel_id")):
                found = await self._message(event, version)
                if found is not None:
                    await accept_when_possible(lambda: self._accept(found), self._host.clock)
        except Malformed as error:
            log.warning("channel %s: unreadable event: %s", self._name, error)
        except (Declined, PermissionMissing) as error:
            log.warning("channel %s: an event was left out: %s", self._name, error.message)
        except (Overloaded, SendRetryable, SendRefused) as error:
            # Not done: it is asked for again.
            log.error("channel %s: an event waits to be replayed: %s", self._name, error.message)
            link.retire("an event could not be accepted")
            return
        position.done(seq)

    @asynccontextmanager
    async def _turn(self, channel_id: str) -> AsyncGenerator[None]:
        """In order of arrival, for each channel; entries go with their last user."""
        lock, users = self._turns.get(channel_id, (asyncio.Lock(), 0))
        self._turns[channel_id] = lock, users + 1
        try:
            async with lock:
                yield
        finally:
            lock, users = self._turns[channel_id]
            if users == 1:
                del self._turns[channel_id]
            else:
                self._turns[channel_id] = lock, users - 1

    async def _message(self, event: Json, version: str) -> InboundMessage | None:
        """Raises Malformed, SendRetryable, SendRefused."""
        name, data = codec.text(event, "event"), codec.part(event, "data")
        if name in _POSTS:
            return await self._post(name, data)
        if name in _REACTIONS:
            return await self._reaction(name, data, version)
        return await self._opened(event, data)

    async def _post(self, event: str, data: Json) -> InboundMessage | None:
        post = parse(codec.text(data, "post"))
        me = await self._client.me()
        if codec.from_program(post, me):
            return None
        channel_id, kind = codec.text(post, "channel_id"), codec.text(data, "channel_type")
        if kind:
            title = codec.text(data, "channel_display_name")
            where = self._client.learn(codec.Where(id=channel_id, type=kind, title=title))
        else:
            where = await self._client.where(channel_id)
        found = codec.decode_post(
            self._name,
            post,
            where,
            me,
            self._host.clock.time(),
            event=event,
            mentions=codec.mention_list(data),
            name=codec.text(data, "sender_name"),
        )
        if found is None or found.kind is not MessageKind.TEXT or found.quote:
            return found
        return replace(found, quote=await self._root_text(post, me))

    async def _root_text(self, post: Json, me: codec.Me) -> str:
        """What somebody else began the thread with; a question does without when it is gone."""
        root_id = codec.text(post, "root_id")
        if not root_id:
            return ""
        try:
            root = await self._client.post(root_id)
        except (Declined, PermissionMissing) as error:
            log.info("channel %s: the thread's beginning is not readable: %s", self._name, error)
            return ""
        known = (me.id, codec.text(post, "user_id"))
        return "" if codec.text(root, "user_id") in known else codec.text(root, "message")

    async def _reaction(self, event: str, data: Json, version: str) -> InboundMessage | None:
        reaction = parse(codec.text(data, "reaction"))
        me = await self._client.me()
        if not codec.rating_of(reaction) or codec.text(reaction, "user_id") == me.id:
            return None
        answer = await self._client.post(codec.text(reaction, "post_id"))
        if codec.text(answer, "user_id") != me.id:
            return None
        where = await self._client.where(codec.text(answer, "channel_id"))
        now = self._host.clock.time()
        return codec.decode_reaction(
            self._name, reaction, answer, where, now, event=event, version=version
        )

    async def _opened(self, event: Json, data: Json) -> InboundMessage | None:
        me = await self._client.me()
        user = codec.text(data, "creator_id")
        channel_id = codec.text(codec.part(event, "broadcast"), "channel_id")
        if not user or user == me.id or not channel_id:
            return None
        where = self._client.learn(codec.Where(id=channel_id, type="D"))
        return codec.decode_opened(self._name, user, where, self._host.clock.time())
