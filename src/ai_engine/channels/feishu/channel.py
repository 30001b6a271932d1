"""The `feishu` channel: events in by HTTP or a long connection, cards and texts out."""

import logging
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Final

import msgspec

from ai_engine.channels.base import (
    Accept,
    Address,
    Capabilities,
    Outgoing,
    Profile,
    WebhookRequest,
    WebhookResponse,
)
from ai_engine.channels.connector import Connector, address_parts
from ai_engine.channels.feishu import cards, content, directory, streaming
from ai_engine.channels.feishu.about import ABOUT
from ai_engine.channels.feishu.client import (
    CARD_SCOPE,
    CONTACT_SCOPE,
    REACTION_SCOPE,
    READ_SCOPE,
    SEND_SCOPE,
    FeishuClient,
)
from ai_engine.channels.feishu.envelope import URL_VERIFICATION, Keys, opened
from ai_engine.channels.feishu.inbox import Inbox
from ai_engine.channels.feishu.link import connect
from ai_engine.channels.feishu.recent import Messages
from ai_engine.channels.feishu.sending import Sender
from ai_engine.channels.host import Host
from ai_engine.channels.keeper import Keeper
from ai_engine.config.schema import ChannelConfig
from ai_engine.domain.errors import NotFound, PermissionMissing, SendFailed, SendRefused
from ai_engine.domain.message import Attachment, Chat, ChatKind, Json, Media, media_kind

log = logging.getLogger(__name__)

SEEN_EMOJI: Final = "Get"
"""The reaction that says "noticed" (收到); it may stay."""
_NO_STREAM_SECONDS: Final = 600.0
"""After a missing right, streaming is tried again so much later."""
_FORMS: Final = {"user": "open_id (ou_…)", "group": "chat_id (oc_…)"}


class FeishuChannel(Connector):
    """Implements `ai_engine.channels.base.Channel`."""

    def __init__(self, name: str, config: ChannelConfig, host: Host) -> None:
        super().__init__(ABOUT, name, config, host)
        auth = config.auth
        self._keys = Keys(
            encrypt_key=auth.encrypt_key.get_secret_value(),
            token=auth.verification_token.get_secret_value(),
        )
        form = "text" if config.reply == "text" else "markdown"
        limit = cards.TEXT_LIMIT_BYTES if form == "text" else cards.MARKDOWN_LIMIT_BYTES
        self.capabilities = Capabilities(
            text_limit=limit,
            text_unit="bytes",
            markdown=form == "markdown",
            cards=form == "markdown",
            streaming=form == "markdown",
            stream_by_key=False,
            stream_interval_ms=streaming.INTERVAL_MS,
            idempotent=True,
            images=True,
            files=True,
            sends_per_second=5.0,
            seen=True,
        )
        width = config.message_format.card_width
        messages = Messages(host.notes)
        self._client = FeishuClient(config, host.egress, host.clock)
        self._inbox = Inbox(name, config, host, self._client, messages)
        self._sender = Sender(
            self._client,
            host,
            messages,
            form=form,
            width=width,
            feedback=config.feedback,
            bytes_max=self.capabilities.media_bytes_max,
        )
        self._streams = streaming.CardStreams(self._client, host.clock, width)
        self._no_stream_until = 0.0
        self._lacking: dict[str, str] = {}
        """The right that a call needs → the name under which Feishu said that it is missing."""
        self._keeper: Keeper | None = None

    async def close(self) -> None:
        await self._client.close()

    @contextmanager
    def _needing(self, scope: str) -> Generator[None]:
        """A call that needs a right: its lack is shown until such a call works."""
        try:
            yield
        except PermissionMissing as error:
            self._lacking[scope] = error.permission
            raise self.lacks(error) from error
        if scope in self._lacking:
            self.granted(self._lacking.pop(scope))

    # In.

    async def webhook(self, request: WebhookRequest, accept: Accept) -> WebhookResponse:
        """Verify, decrypt, decode, accept, acknowledge."""
        if self.mode != "webhook" or request.path.strip("/"):
            raise NotFound(
                "nothing answers here", hint="for HTTP events set the channel's mode to webhook"
            )
        if request.method != "POST":
            return WebhookResponse(status=405, headers={"Allow": "POST"})
        found = opened(request.headers, request.body, self._keys, self.clock.time())
        self.noticed()
        if found.get("type") == URL_VERIFICATION:
            challenge = str(found.get("challenge", ""))[:1000]
            return _json_response({"challenge": challenge})
        answer = await self._inbox.take(found, accept)
        return _json_response({"msg": "success"} if answer is None else answer)

    async def run(self, accept: Accept) -> None:
        """The long connection, until cancelled. For HTTP events: learn who the bot is, and end."""
        if any(name.startswith("auth.") for name in self.problems):
            return
        if self.mode != "stream":
            try:
                await self._inbox.bot_id()
            except SendFailed as error:
                log.info("channel %s: who the bot is will be asked later: %s", self.name, error)
            return

        async def take(found: Json) -> Json | None:
            return await self._inbox.take(found, accept)

        self._keeper = Keeper(
            self.name,
            self.clock,
            lambda: connect(self.name, self._client, self.host.egress, self.clock, take),
        )
        await self._keeper.run()

    def connection(self) -> tuple[str, str, float | None]:
        """In stream mode the age is that of the last frame, pongs included."""
        if self._keeper is not None:
            return self._keeper.state, self._keeper.detail, self._keeper.last_frame
        return "connecting" if self.mode == "stream" else "ready", "", self._last_event

    async def fetch(self, attachment: Attachment, target: Json) -> Media:
        """A picture, file, voice note or video of a message."""
        found = content.resource(attachment.ref)
        if found is None:
            raise SendRefused("the attachment names no resource of Feishu's")
        message_id, key, kind = found
        with self._needing(READ_SCOPE):
            answer = await self._client.resource(
                message_id, key, kind, self.capabilities.media_bytes_max
            )
        mime = answer.headers.get("content-type", "").partition(";")[0].strip()
        return Media(
            kind=attachment.kind or media_kind(mime),
            content=answer.body,
            name=attachment.name or key,
            mime=mime,
        )

    # Out.

    async def send(self, outgoing: Outgoing) -> None:
        with self._needing(SEND_SCOPE):
            await self._sender.send(outgoing)

    async def open_stream(self, target: Json, key: str) -> Json | None:
        """A card that grows. None for the form text, and while the app lacks the right."""
        if not self.capabilities.streaming or self.clock.monotonic() < self._no_stream_until:
            return None
        try:
            with self._needing(CARD_SCOPE):
                handle = await self._streams.create()
        except PermissionMissing as error:
            self._no_stream_until = self.clock.monotonic() + _NO_STREAM_SECONDS
            log.warning("channel %s: answers are not streamed: %s", self.name, error)
            return None
        # A card is sent once. The key alone would, after a restart, show the first try's card
        # again, while this new one is written.
        body = cards.card_body({"type": "card", "data": {"card_id": handle["card"]}})
        uuid = cards.uuid_of(key, str(handle["card"]))
        handle["message"] = await self._sender.post(body, target, uuid)
        return handle

    async def update(self, handle: Json, text: str) -> None:
        await self._streams.write(handle, text)

    async def finish(self, handle: Json, outgoing: Outgoing) -> None:
        """The final card in the streamed card's place, else as a message of its own."""
        found = await self._sender.shown(outgoing.reply, outgoing.target)
        first = found[0].card if found else cards.answer_card("…", width=600, values={})
        try:
            with self._needing(CARD_SCOPE):
                await self._streams.close(handle, first, outgoing.reply.id)
        except streaming.StreamOver as over:
            log.info("channel %s: the streamed card is over (%s)", self.name, over)
            await self.send(outgoing)
            return
        self._sender.sent(str(handle.get("message", "")), outgoing)
        await self._sender.rest(found[1:], outgoing)

    async def seen(self, target: Json) -> None:
        message_id = str(target.get("message_id", ""))
        if not self.config.seen or not message_id:
            return
        with self._needing(REACTION_SCOPE):
            await self._client.react(message_id, SEEN_EMOJI)

    def address(self, to: str) -> Address:
        """`user:<open_id>` or `group:<chat_id>`."""
        word, name = address_parts(to, _FORMS)
        group = word == "group"
        kind = ChatKind.GROUP if group else ChatKind.PRIVATE
        target: dict[str, Any] = {
            "conversation": name,
            "receive_id": name,
            "receive_id_type": "chat_id" if group else "open_id",
            "chat_type": "group" if group else "p2p",
            "chat": name,
            "message_id": "",
            "thread": "",
        }
        return Address(chat=Chat(kind=kind, id=name), user_id="" if group else name, target=target)

    async def profile(self, user_id: str) -> Profile | None:
        with self._needing(CONTACT_SCOPE):
            return await directory.profile(self._client, user_id)

    async def check(self) -> str:
        """Asks for a token and for the bot's own name."""
        await self._client.new_token()
        bot = await self._client.bot()
        name = str(bot.get("app_name", ""))
        return f"飞书机器人 {name} / Feishu bot {name} ({bot.get('open_id', '')})"


def _json_response(found: Json) -> WebhookResponse:
    return WebhookResponse(body=msgspec.json.encode(found))


def build(name: str, config: ChannelConfig, host: Host) -> FeishuChannel:
    return FeishuChannel(name, config, host)
