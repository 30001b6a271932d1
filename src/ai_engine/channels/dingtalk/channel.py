"""The `dingtalk` channel: robot messages in by HTTP or Stream, answers out as text or cards."""

import hashlib
import logging
from typing import Final

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
from ai_engine.channels.connector import (
    Connector,
    address_parts,
    outgoing_media,
    public_address,
)
from ai_engine.channels.dingtalk import ai_cards, cards, codec, crypto, directory, events, media
from ai_engine.channels.dingtalk.about import ABOUT
from ai_engine.channels.dingtalk.client import DingTalkClient
from ai_engine.channels.dingtalk.link import connect
from ai_engine.channels.dingtalk.render import TEXT_LIMIT_BYTES
from ai_engine.channels.dingtalk.sender import Sender
from ai_engine.channels.host import Host
from ai_engine.channels.http import parse
from ai_engine.channels.keeper import Keeper
from ai_engine.channels.link import SocketLink
from ai_engine.config.schema import ChannelConfig
from ai_engine.domain.errors import Malformed, NotFound, SendRefused
from ai_engine.domain.message import Attachment, Chat, ChatKind, InboundMessage, Json, Media

log = logging.getLogger(__name__)

CARDS_PAUSE_SECONDS: Final = 600.0
"""After a refused card, answers go as messages for so long; then a card is tried again."""


class DingTalkChannel(Connector):
    """Implements `ai_engine.channels.base.Channel`."""

    def __init__(self, name: str, config: ChannelConfig, host: Host) -> None:
        super().__init__(ABOUT, name, config, host)
        self._keeper: Keeper | None = None
        self._accept: Accept | None = None
        self._client = DingTalkClient(config, host.egress, host.clock, self)
        self._sender = Sender(name, config, self._client, host.clock, host.notes)
        self._cards = ai_cards.AiCards(
            name, config, self.mode, self._client, host.media, host.clock
        )
        self._wants_cards = cards.wants_cards(config)
        self._no_cards_until = 0.0
        self._quota_used_up = False
        self.capabilities = Capabilities(
            text_limit=TEXT_LIMIT_BYTES,
            text_unit="bytes",
            markdown=self._wants_cards or self._sender.form == "markdown",
            cards=self._wants_cards or self._sender.form == "markdown",
            streaming=self._wants_cards,
            stream_interval_ms=cards.INTERVAL_MS if self._wants_cards else 0,
            idempotent=self._wants_cards,
            images=True,
            files=True,
            media_bytes_max=media.BYTES_MAX,
            seen=not self._wants_cards,  # a card shows it by itself
        )

    async def close(self) -> None:
        await self._client.close()

    # In.

    async def webhook(self, request: WebhookRequest, accept: Accept) -> WebhookResponse:
        """HTTP mode: verify, decode, accept, acknowledge. `/events` takes the organisation's
        events, `/card` pressed buttons; DingTalk ignores the answer's body of a message."""
        path = request.path.strip("/")
        if path == "" and self.mode == "webhook":
            handler = self._robot_request
        elif path == "events" and self.auth("token") and self.auth("aes_key"):
            handler = self._event_request
        elif path == "card" and self._cards.callbacks == "HTTP":
            handler = self._card_request
        else:
            raise NotFound(
                "nothing answers here",
                hint="for messages over HTTP set the channel's mode to webhook, for events "
                "auth.token and auth.aes_key, for cards callback_url",
            )
        if request.method != "POST":
            return WebhookResponse(status=405, headers={"Allow": "POST"})
        return await handler(request, accept)

    async def _robot_request(self, request: WebhookRequest, accept: Accept) -> WebhookResponse:
        crypto.verify(request.headers, self.auth("app_secret"), self._now_ms())
        await self._accept_body(parse(request.body), accept)
        return WebhookResponse(body=b"{}")

    async def _event_request(self, request: WebhookRequest, accept: Accept) -> WebhookResponse:
        token, aes_key, owner = (self.auth(key) for key in ("token", "aes_key", "app_id"))
        event = events.opened(request, token, aes_key, owner, self._now_ms())
        await self._accept_event(event, accept)
        return events.success(token, aes_key, owner, request.query.get("nonce", ""), self._now_ms())

    async def _card_request(self, request: WebhookRequest, accept: Accept) -> WebhookResponse:
        crypto.verify_card(request.headers, self._cards.api_secret, self._now_ms())
        # The callback has no id of its own: its time of signing and its body make one.
        stamp = request.headers.get("x-ddpaas-signature-timestamp", "").encode()
        key = hashlib.sha256(stamp + b"\x1f" + request.body).hexdigest()
        answer = await self._accept_press(parse(request.body), key, accept)
        return WebhookResponse(body=msgspec.json.encode(answer))

    async def _accept_body(self, body: Json, accept: Accept) -> None:
        """Durable when it returns. Raises Malformed, Overloaded."""
        self.noticed()
        self._quota_used_up = codec.withheld(body)
        message = codec.decode(body, self.name, self.clock.time())
        if message is not None and self._from_here(message):
            await accept(message)

    async def _accept_press(self, body: Json, key: str, accept: Accept) -> Json:
        """Durable when it returns: what the card is told. Raises Malformed, Overloaded."""
        self.noticed()
        number, ref = cards.pressed(body)
        stored = await self.host.media.get(ref)
        if stored is None:
            raise Malformed("the pressed button's values are not kept any more")
        message = cards.press_message(
            body,
            stored.content,
            number,
            channel=self.name,
            key=key,
            received_at=self.clock.time(),
        )
        if self._from_here(message):
            await accept(message)
        return cards.callback_answer()

    async def _accept_event(self, event: Json, accept: Accept) -> None:
        """Durable when it returns. Raises Overloaded."""
        self.noticed()
        message = events.decode(event, self.name, self.clock.time())
        if message is not None and self.config.welcome and self._from_here(message):
            await accept(message)

    def _from_here(self, message: InboundMessage) -> bool:
        """Whether the sender's organisation is one that may write."""
        allowed = self.config.allow_tenants
        if not allowed or message.sender.tenant in allowed:
            return True
        log.warning(
            "channel %s: ignored a message of the organisation %r, which is not in allow_tenants",
            self.name,
            message.sender.tenant,
        )
        return False

    def _now_ms(self) -> int:
        return int(self.clock.time() * 1000)

    async def run(self, accept: Accept) -> None:
        """Stream mode: hold a connection until cancelled. Nothing to hold in HTTP mode."""
        if self.mode != "stream" or not (self.auth("app_id") and self.auth("app_secret")):
            return
        self._accept = accept

        async def open_link() -> SocketLink:
            return await connect(self.name, self._client, self.host.egress, self.clock, self)

        self._keeper = Keeper(self.name, self.clock, open_link)
        await self._keeper.run()

    async def take_message(self, body: Json) -> None:
        """A robot message of the Stream connection. Raises Malformed, Overloaded."""
        await self._accept_body(body, self._accepting())

    async def take_press(self, body: Json, key: str) -> Json:
        """A pressed button of the Stream connection. Raises Malformed, Overloaded."""
        return await self._accept_press(body, key, self._accepting())

    async def take_event(self, event: Json) -> None:
        """An event of the Stream connection. Raises Overloaded."""
        await self._accept_event(event, self._accepting())

    def _accepting(self) -> Accept:
        if self._accept is None:
            raise RuntimeError("the channel is not running")
        return self._accept

    async def fetch(self, attachment: Attachment, target: Json) -> Media:
        code = self._sender.robot_code(target)
        return await media.fetch(self._client, attachment, code, self.capabilities.media_bytes_max)

    # Out.

    async def send(self, outgoing: Outgoing) -> None:
        """A card where cards are wanted or pressed buttons need one, else a message; then pictures
        and files. What must be uploaded is uploaded first."""
        shown = await self._uploaded(outgoing)
        rest = await self._sent_as_card(outgoing) if self._is_card(outgoing) else None
        await self._sender.send(outgoing, shown, rest)

    def _is_card(self, outgoing: Outgoing) -> bool:
        card = outgoing.reply.card
        presses = card is not None and any(not button.url for button in card.buttons)
        presses = presses and bool(self._cards.callbacks) and self.capabilities.cards
        return (self._wants_cards or presses) and self.clock.monotonic() >= self._no_cards_until

    async def _sent_as_card(self, outgoing: Outgoing) -> list[str] | None:
        """What the card did not hold; None: no card can be made, a message must do."""
        try:
            return await self._cards.send(outgoing)
        except SendRefused as error:
            self._pause_cards(error)
            return None

    def _pause_cards(self, error: SendRefused) -> None:
        log.warning("channel %s: no card, a message instead: %s", self.name, error)
        self._no_cards_until = self.clock.monotonic() + CARDS_PAUSE_SECONDS

    async def open_stream(self, target: Json, key: str) -> Json | None:
        """A new AI card, named by the key; None where no card can be."""
        if not self._wants_cards or self.clock.monotonic() < self._no_cards_until:
            return None
        try:
            return await self._cards.open(target, key)
        except SendRefused as error:
            self._pause_cards(error)
            return None

    async def update(self, handle: Json, text: str) -> None:
        await self._cards.update(handle, text)

    async def finish(self, handle: Json, outgoing: Outgoing) -> None:
        """The final text of a card; a message where the card takes no more."""
        shown = await self._uploaded(outgoing)
        rest: list[str] | None = None
        try:
            rest = await self._cards.finish(handle, outgoing)
        except SendRefused as error:
            if not ai_cards.stream_over(error):
                raise
            log.info("channel %s: a card takes no more, a message instead: %s", self.name, error)
            await self._cards.fail(handle)
        await self._sender.send(outgoing, shown, rest)

    async def _uploaded(self, outgoing: Outgoing) -> list[Json]:
        limit = self.capabilities.media_bytes_max
        found = [await outgoing_media(self.host, each, limit) for each in outgoing.reply.media]
        return [await media.uploaded(self._client, each) for each in found]

    async def seen(self, target: Json) -> None:
        """A reaction below the person's message; it costs one call of the monthly quota."""
        await self._sender.react(target)

    def address(self, to: str) -> Address:
        word, found = address_parts(to, {"user": "staff id", "group": "open conversation id"})
        group = word == "group"
        where = {"conversation": found} if group else {"conversation": "", "user": found}
        target = codec.chat_target(**where, group=group)
        kind = ChatKind.GROUP if group else ChatKind.PRIVATE
        return Address(
            chat=Chat(kind=kind, id=found),
            user_id="" if group else found,
            target={"sessionWebhook": "", "expires": 0.0, "robotCode": "", **target},
        )

    async def profile(self, user_id: str) -> Profile | None:
        return await directory.profile(self._client, user_id)

    async def check(self) -> str:
        """A new access token, which DingTalk gives for the right id and secret only."""
        await self._client.fresh_token()
        return f"DingTalk accepts the app {self.auth('app_id')}"

    async def register(self, base_url: str) -> str:
        """Where pressed buttons go in HTTP mode; messages go where the console says.

        Raises:
            SendRefused: `callback_url` names no or another address; cards would go on using it.
        """
        if self._cards.callbacks == "STREAM":
            return await super().register(base_url)
        wanted = public_address(base_url, self.name)
        if not self.config.callback_url:
            raise SendRefused(
                "DingTalk: the address of messages is entered in its console, that of pressed "
                f"buttons is registered once callback_url is set: {self.about.console}",
                hint=f"enter {wanted} there, and set callback_url to {base_url}",
            )
        if public_address(self.config.callback_url, self.name) != wanted:
            raise SendRefused(
                f"callback_url is {self.config.callback_url}, not {base_url}",
                hint="set callback_url to the address that DingTalk shall call",
            )
        return await self._cards.register()

    def connection(self) -> tuple[str, str, float | None]:
        """In Stream mode the age is that of the last frame, pings included."""
        quota = "DingTalk withholds message texts: the monthly quota is used up."
        detail = quota if self._quota_used_up else ""
        if self._keeper is not None:
            lines = (detail, self._keeper.detail)
            return self._keeper.state, " ".join(filter(None, lines)), self._keeper.last_frame
        state = "connecting" if self.mode == "stream" else "ready"
        return state, detail, self._last_event


def build(name: str, config: ChannelConfig, host: Host) -> DingTalkChannel:
    return DingTalkChannel(name, config, host)
