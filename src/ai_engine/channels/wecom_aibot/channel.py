"""The `wecom_aibot` channel: a WeCom AI robot by encrypted callbacks or by its WebSocket."""

import logging
from typing import Final

from ai_engine.channels.base import (
    Accept,
    Address,
    Capabilities,
    Outgoing,
    WebhookRequest,
    WebhookResponse,
)
from ai_engine.channels.callback_crypto import key_of
from ai_engine.channels.connector import Connector, address_parts
from ai_engine.channels.host import Host
from ai_engine.channels.http import Api
from ai_engine.channels.keeper import Keeper
from ai_engine.channels.link import accept_when_possible
from ai_engine.channels.wecom_aibot import cards, codec, crypto, events, render
from ai_engine.channels.wecom_aibot.about import ABOUT
from ai_engine.channels.wecom_aibot.client import AibotClient, encoded, origins, settled
from ai_engine.channels.wecom_aibot.link import WS, AibotLink, subscribed
from ai_engine.channels.wecom_aibot.pull import Pull
from ai_engine.channels.wecom_aibot.push import MEDIA_BYTES_MAX, Push
from ai_engine.channels.wecom_aibot.stream import Road, stream_over
from ai_engine.config.schema import ChannelConfig
from ai_engine.domain.errors import (
    Malformed,
    NotFound,
    Overloaded,
    SendRefused,
    SendRetryable,
    Unauthenticated,
)
from ai_engine.domain.message import (
    Attachment,
    Chat,
    ChatKind,
    InboundMessage,
    Json,
    Media,
    MessageKind,
)

log = logging.getLogger(__name__)

_PUSH_INTERVAL_MS: Final = 2_500
"""24 frames a minute: of the 30 that one chat has, some are left for the answers."""
_PULL_INTERVAL_MS: Final = 300
"""In memory only; WeCom fetches about once a second."""
_TEXT_LIMIT: Final = 20_000
_FORMS: Final = {"user": "userid", "group": "chatid"}
_TAKEN_OVER: Final = (
    "another connection of this robot has taken over: WeCom allows one. Stop the other program "
    "that uses this robot; it is tried again once a minute."
)


class WecomAibotChannel(Connector):
    """Implements `ai_engine.channels.base.Channel`."""

    def __init__(self, name: str, config: ChannelConfig, host: Host) -> None:
        super().__init__(ABOUT, name, config, host)
        self._aes_key = self.auth("aes_key")
        self._check_key()
        trusted = origins(config.endpoints.api, config.endpoints.ws)
        self._client = AibotClient(Api("WeCom", host.egress, host.clock), trusted)
        self._keeper: Keeper | None = None
        self._link: AibotLink | None = None
        self._accept: Accept | None = None
        self._pull = Pull(config, host, self._client)
        self._push = Push(config, host, self._connected)
        streams = self.mode == "stream"
        self._road: Road = self._push if streams else self._pull
        self.capabilities = Capabilities(
            text_limit=_TEXT_LIMIT,
            text_unit="bytes",
            markdown=config.reply != "text",
            cards=config.reply != "text",
            streaming=True,
            stream_interval_ms=_PUSH_INTERVAL_MS if streams else _PULL_INTERVAL_MS,
            images=True,
            files=streams,
            media_bytes_max=MEDIA_BYTES_MAX if streams else render.PICTURES_BYTES_MAX,
            sends_per_second=0.5 if streams else 0.0,
            seen=streams,
            one_owner=streams,
        )

    def _check_key(self) -> None:
        if self.mode != "webhook" or not self._aes_key:
            return
        try:
            key_of(self._aes_key)
        except ValueError as error:
            self.problems.append(f"auth.aes_key is no EncodingAESKey: {error}.")

    # In, over HTTP.

    async def webhook(self, request: WebhookRequest, accept: Accept) -> WebhookResponse:
        """Verify, decrypt, decode, accept; the answer is the state of the message's stream."""
        if self.mode != "webhook" or request.path.strip("/"):
            raise NotFound(
                "nothing answers here", hint="for callbacks set the channel's mode to webhook"
            )
        if request.method not in ("GET", "POST"):
            return WebhookResponse(status=405, headers={"Allow": "GET, POST"})
        if request.method == "GET":
            plain = await self._proved(request, request.query.get("echostr", ""))
            return WebhookResponse(body=plain, media_type="text/plain")
        envelope = codec.parse(request.body).get("encrypt")
        plain = await self._proved(request, envelope if isinstance(envelope, str) else "")
        self.noticed()
        answer = await self._answered(codec.parse(plain), accept)
        if answer is None:
            return WebhookResponse()
        token, now = self.auth("token"), self.clock.time()
        return WebhookResponse(
            body=encoded(await crypto.sealed(self._aes_key, token, encoded(answer), now))
        )

    async def _proved(self, request: WebhookRequest, encrypted: str) -> bytes:
        """The plain text. Raises Unauthenticated, Forbidden."""
        crypto.verify(request.query, encrypted, self.auth("token"), self.clock.time())
        return await crypto.opened(self._aes_key, encrypted)

    async def _answered(self, body: Json, accept: Accept) -> Json | None:
        """What WeCom is told; None for an empty answer."""
        asked = codec.polled(body)
        if asked is not None:
            return await self._pull.state(asked)
        decoded, message = await self._decoded(body)
        if message is not None:
            await accept(message)
        if decoded is None or decoded.kind is MessageKind.FEEDBACK:
            return None
        if decoded.kind is MessageKind.BUTTON:
            return await self._chosen(decoded)
        if decoded.kind is MessageKind.WELCOME:
            return None if message is None else await self._pull.greeting(message.message_id)
        return await self._pull.state(decoded.message_id)

    async def _decoded(
        self, body: Json, req_id: str = ""
    ) -> tuple[InboundMessage | None, InboundMessage | None]:
        """(as WeCom says it, as the engine takes it). Raises Malformed."""
        found = codec.decode(body, self.name, self.clock.time(), req_id)
        if found is None or (found.kind is MessageKind.WELCOME and not self.config.welcome):
            return found, None
        return found, await events.completed(found, self.host)

    async def _chosen(self, pressed: InboundMessage) -> Json | None:
        task, key = str(pressed.payload.get("task", "")), str(pressed.payload.get("key", ""))
        return await cards.pressed(task, key, pressed.sender.user_id, self.host.media)

    # In, over the WebSocket.

    async def run(self, accept: Accept) -> None:
        """Stream mode: hold the robot's one connection until cancelled."""
        if self.mode != "stream" or not (self.auth("bot_id") and self.auth("secret")):
            return
        self._accept = accept
        self._keeper = Keeper(self.name, self.clock, self._connect, exclusive=True)
        await self._keeper.run()

    async def _connect(self) -> AibotLink:
        """Raises Unauthenticated, SendRefused, SendRetryable."""
        if self._link is not None and self._link.taken_over:
            self._link = None
            raise SendRefused(_TAKEN_OVER)
        url = self.config.endpoints.ws or WS
        bot_id, secret = self.auth("bot_id"), self.auth("secret")
        socket = await subscribed(self.host.egress, url, bot_id, secret)
        self._link = AibotLink(self.name, socket, self.clock, self._take)
        return self._link

    async def _take(self, body: Json, req_id: str) -> None:
        """One callback. WeCom sends it once and expects no acknowledgement: room is waited for."""
        accept = self._accept
        assert accept is not None
        self.noticed()
        try:
            decoded, message = await self._decoded(body, req_id)
            if message is not None:
                await accept_when_possible(lambda: accept(message), self.clock)
            if decoded is not None and decoded.kind is MessageKind.BUTTON:
                await self._show_chosen(decoded, req_id)
        except Malformed as error:
            log.warning("channel %s: refused a message: %s", self.name, error)
        except Overloaded as error:
            log.error("channel %s: a message was lost: %s", self.name, error)

    async def _show_chosen(self, pressed: InboundMessage, req_id: str) -> None:
        answer = await self._chosen(pressed)
        if answer is None:
            return
        try:
            link = self._connected()
            code = settled(await link.request("aibot_respond_update_msg", req_id, answer))
        except SendRetryable as error:
            log.info("channel %s: a card was not updated: %s", self.name, error)
        else:
            if code:
                log.info("channel %s: a card was not updated (errcode %d)", self.name, code)

    def _connected(self) -> AibotLink:
        link = self._link
        if link is None or link.over.is_set() or link.socket.closed:
            raise SendRetryable("the robot is not connected to WeCom")
        return link

    # Out.

    async def send(self, outgoing: Outgoing) -> None:
        """In the message's stream while that lives, else as a message of its own."""
        if stream_over(await self._road.finish(outgoing)):
            await self._road.plain(outgoing)
        await self._road.extras(outgoing)

    async def open_stream(self, target: Json, key: str) -> Json | None:
        """A message has one stream, named after it: the same for every key."""
        return await self._road.open(target)

    async def update(self, handle: Json, text: str) -> None:
        await self._road.update(handle, text)

    async def finish(self, handle: Json, outgoing: Outgoing) -> None:
        await self.send(outgoing)

    async def seen(self, target: Json) -> None:
        """Over HTTP WeCom shows it by itself: the first answer opens the stream."""
        if self.mode == "stream" and self.config.seen:
            await self._push.seen(target)

    async def fetch(self, attachment: Attachment, target: Json) -> Media:
        if not attachment.ref:
            raise SendRefused(f"WeCom gave no address of the {attachment.kind}")
        bytes_max = self.capabilities.media_bytes_max
        return await self._client.fetch(attachment, self._aes_key, bytes_max)

    def address(self, to: str) -> Address:
        """`user:<userid>` or `group:<chatid>`, in stream mode only."""
        if self.mode != "stream":
            raise Malformed(
                "over HTTP a WeCom AI bot can only answer", hint="set the channel's mode to stream"
            )
        word, found = address_parts(to, _FORMS)
        group = word == "group"
        return Address(
            chat=Chat(kind=ChatKind.GROUP if group else ChatKind.PRIVATE, id=found),
            user_id="" if group else found,
            target={"conversation": found, "chat_type": 2 if group else 1},
        )

    # What people see of it.

    async def check(self) -> str:
        """Stream mode: a ping over the open connection, else a connection that is closed again."""
        if self.mode != "stream":
            raise SendRefused(
                "a WeCom AI bot in webhook mode has nothing that can be called",
                hint="WeCom checks token and aes_key itself when you save the callback address",
            )
        bot_id = self.auth("bot_id")
        if self._keeper is not None:  # a second connection would end the first
            await self._connected().request("ping")
            return f"connected as robot {bot_id}"
        if not (bot_id and self.auth("secret")):
            raise Unauthenticated("auth.bot_id or auth.secret is empty")
        url = self.config.endpoints.ws or WS
        socket = await subscribed(self.host.egress, url, bot_id, self.auth("secret"))
        await socket.close()
        return f"WeCom accepts robot {bot_id}"

    def connection(self) -> tuple[str, str, float | None]:
        if self.mode != "stream":
            return "ready", "", self._last_event
        if self._keeper is None:
            return "connecting", "", None
        return self._keeper.state, self._keeper.detail, self._keeper.last_frame


def build(name: str, config: ChannelConfig, host: Host) -> WecomAibotChannel:
    return WecomAibotChannel(name, config, host)
