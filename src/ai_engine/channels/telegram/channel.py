"""The `telegram` channel: a bot's updates in by webhook or long polling, answers out."""

import asyncio
import logging
from dataclasses import replace
from typing import Final, cast

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
from ai_engine.channels.connector import Connector, address_parts, public_address
from ai_engine.channels.host import Host
from ai_engine.channels.http import parse
from ai_engine.channels.telegram import codec, crypto, keyboard, markup
from ai_engine.channels.telegram.about import ABOUT
from ai_engine.channels.telegram.albums import Albums
from ai_engine.channels.telegram.client import TelegramClient, raise_for
from ai_engine.channels.telegram.content import BYTES_MAX, Me, text, whole
from ai_engine.channels.telegram.outbound import Outbound
from ai_engine.channels.telegram.poll import Poller
from ai_engine.channels.telegram.stream import INTERVAL_MS, Streams
from ai_engine.config.schema import ChannelConfig
from ai_engine.domain.errors import (
    Malformed,
    NotFound,
    Overloaded,
    PermissionMissing,
    SendFailed,
    SendRefused,
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

_ME_SECONDS: Final = 3600.0
"""How long the bot's own name is kept: @BotFather can change it."""
_ME_AGAIN_SECONDS: Final = 60.0
"""After a failed look at it: what is known is used, and updates do not wait for another failure."""
_SENDING: Final = ("can_send_messages", "can_send_photos", "can_send_documents")
_GONE: Final = "这个按钮已失效 · This button is no longer valid"
_THANKS: Final = {"good": "👍 谢谢 · Thank you", "bad": "👎 谢谢反馈 · Thank you for telling us"}


class TelegramChannel(Connector):
    """Implements `ai_engine.channels.base.Channel`."""

    def __init__(self, name: str, config: ChannelConfig, host: Host) -> None:
        super().__init__(ABOUT, name, config, host)
        form = "text" if config.reply == "text" else "markdown"
        self._client = TelegramClient(
            self.auth("token"), config.endpoints.api, host.egress, host.clock
        )
        self._outbound = Outbound(self._client, host, form, feedback=config.feedback)
        self._streams = Streams(self._client, self._outbound, host.clock, form)
        self._albums = Albums(host.clock)
        self._poller: Poller | None = None
        self._me: Me | None = None
        self._me_until = 0.0
        self._asking = asyncio.Lock()
        self.capabilities = Capabilities(
            text_limit=markup.TEXT_LIMIT,
            text_unit="utf16",
            markdown=form == "markdown",
            cards=True,
            streaming=True,
            stream_by_key=False,
            stream_interval_ms=INTERVAL_MS,
            images=True,
            files=True,
            media_bytes_max=BYTES_MAX,
            sends_per_second=1.0,
            seen=True,
            one_owner=self.mode == "poll",
        )

    async def close(self) -> None:
        await self._albums.close()

    # In.

    async def webhook(self, request: WebhookRequest, accept: Accept) -> WebhookResponse:
        """Verify, decode, accept, acknowledge. The answer to a pressed button is in the response
        (Bot API, "Making requests when getting updates")."""
        if self.mode != "webhook" or request.path.strip("/"):
            raise NotFound("nothing answers here", hint="set the channel's mode to webhook")
        if request.method != "POST":
            return WebhookResponse(status=405, headers={"Allow": "POST"})
        crypto.verify(request.headers, self.auth("secret_token"))
        said = await self._take(parse(request.body), accept)
        if said is None:
            return WebhookResponse(body=b"{}")
        body = msgspec.json.encode({"method": "answerCallbackQuery", **said})
        return WebhookResponse(body=body)

    async def run(self, accept: Accept) -> None:
        """Poll mode: ask until cancelled."""
        if self.mode != "poll" or not self.auth("token"):
            return

        async def take(update: Json) -> None:
            said = await self._take(update, accept)
            if said is not None:
                await self._tell(said)

        self._poller = Poller(self.name, self._client, self.clock, take)
        await self._poller.run()

    async def _tell(self, said: Json) -> None:
        """The button stops spinning. Best effort: the press itself is durable already."""
        try:
            await self._client.call("answerCallbackQuery", said)
        except SendFailed as error:
            log.info("channel %s: a pressed button was not answered: %s", self.name, error)

    async def _take(self, update: Json, accept: Accept) -> Json | None:
        """Durable when it returns; what to tell who pressed a button.

        Raises:
            Malformed, Overloaded.
        """
        self.noticed()
        me = Me(id=self._client.bot_id, username="")
        if codec.in_group(update):
            me = await self._who_am_i()
        message = codec.decode(update, me, self.name, self.clock.time())
        if message is None:
            return None
        if message.kind is MessageKind.BUTTON:
            return await self._pressed(message, accept)
        if message.kind is MessageKind.FEEDBACK:
            await self._rated(message, accept)
        elif "album" in message.target:
            await self._albums.take(message, accept)
        else:
            await accept(message)
        return None

    async def _who_am_i(self) -> Me:
        """The bot's name, without which a group's mention cannot be told.

        Raises:
            Overloaded: Telegram does not say now; the update will be sent again.
        """
        async with self._asking:
            if self._me is not None and self.clock.monotonic() < self._me_until:
                return self._me
            try:
                found = await self._client.get_me()
            except (SendFailed, Unauthenticated) as error:
                if self._me is not None:  # it hardly ever changes
                    self._me_until = self.clock.monotonic() + _ME_AGAIN_SECONDS
                    return self._me
                raise Overloaded(f"the bot's own name is not known: {error}") from error
            number = whole(found.get("id")) or self._client.bot_id
            self._me = Me(id=number, username=text(found, "username"))
            self._me_until = self.clock.monotonic() + _ME_SECONDS
            return self._me

    async def _pressed(self, message: InboundMessage, accept: Accept) -> Json:
        told: Json = {"callback_query_id": message.message_id}
        value = await keyboard.pressed(message.payload["data"], self.host.media)
        if value is None:
            return {**told, "text": _GONE, "show_alert": True}
        await accept(replace(message, payload=value))
        thanks = _THANKS.get(str(value.get("feedback", "")))
        return {**told, "text": thanks} if thanks else told

    async def _rated(self, message: InboundMessage, accept: Accept) -> None:
        """Telegram does not say whose message it is. In a private chat an unknown one counts as
        the newest answer; in a group it may be anybody's."""
        target = message.target
        of = await self._outbound.answer_of(target["chat_id"], target["message_id"])
        if not self.config.feedback or (not of and message.chat.kind is ChatKind.GROUP):
            return
        await accept(replace(message, payload={**message.payload, "of": of}))

    async def fetch(self, attachment: Attachment, target: Json) -> Media:
        if not attachment.ref:
            raise SendRefused("Telegram gave no reference of this attachment")
        content = await self._client.download(attachment.ref, BYTES_MAX)
        return Media(
            kind=attachment.kind, content=content, name=attachment.name, mime=attachment.mime
        )

    # Out.

    async def send(self, outgoing: Outgoing) -> None:
        try:
            await self._outbound.send(outgoing)
        except PermissionMissing as error:
            raise self.lacks(error) from error
        self._allowed(outgoing.target)

    async def open_stream(self, target: Json, key: str) -> Json | None:
        try:
            return await self._streams.open(target, key)
        except PermissionMissing as error:
            raise self.lacks(error) from error

    async def update(self, handle: Json, text: str) -> None:
        await self._streams.update(handle, text)

    async def finish(self, handle: Json, outgoing: Outgoing) -> None:
        try:
            await self._streams.finish(handle, outgoing)
        except PermissionMissing as error:
            raise self.lacks(error) from error
        self._allowed(outgoing.target)

    def _allowed(self, target: Json) -> None:
        if target.get("kind") == "group":
            self.granted(*_SENDING)

    async def seen(self, target: Json) -> None:
        """ "typing…", for five seconds or until the answer comes (Bot API, sendChatAction)."""
        params: Json = {"chat_id": target["chat_id"], "action": "typing"}
        if target.get("thread_id"):
            params["message_thread_id"] = target["thread_id"]
        await self._client.call("sendChatAction", params)

    def address(self, to: str) -> Address:
        """`user:<id>` is somebody who has pressed Start; `group:<id>` is negative."""
        forms = {"user": "numeric user id", "group": "numeric chat id, negative"}
        word, found = address_parts(to, forms)
        number = found.removeprefix("-")
        wrong = not (number.isascii() and number.isdigit() and len(number) < 19)
        if wrong or (word == "group") != found.startswith("-"):
            raise Malformed(f"{to!r} is no address here", hint=f"{word}:<{forms[word]}>")
        kind = ChatKind.GROUP if word == "group" else ChatKind.PRIVATE
        target = {
            "chat_id": int(found),
            "kind": kind.value,
            "message_id": 0,
            "thread_id": 0,
            "conversation": found,
        }
        user = found if word == "user" else ""
        return Address(chat=Chat(kind=kind, id=found), user_id=user, target=target)

    async def profile(self, user_id: str) -> Profile | None:
        """By getChat: the name only; Telegram knows no departments."""
        if not (user_id.isascii() and user_id.isdigit() and len(user_id) < 19):
            return None
        said = await self._client.ask("getChat", {"chat_id": int(user_id)})
        if said.status in (400, 403):
            return None
        if not said.ok:
            raise_for(said, "getChat")
        names = (text(said.result, "first_name"), text(said.result, "last_name"))
        name = " ".join(filter(None, names)) or text(said.result, "username")
        return Profile(user_id=user_id, name=name)

    # What people see of it.

    async def check(self) -> str:
        """getMe, and getWebhookInfo: does the webhook lead to this channel?"""
        me = await self._client.get_me()
        reads = (
            "all group messages"
            if me.get("can_read_all_group_messages")
            else ("group messages that name it")
        )
        said = f"@{text(me, 'username')} ({me.get('id')}) reads {reads}."
        info = (await self._client.call("getWebhookInfo")).result
        return f"{said} {self._hook(info)}"

    def _hook(self, info: Json) -> str:
        url = text(info, "url", 2048)
        if self.mode == "poll":
            return "A webhook is set; polling will remove it." if url else "No webhook is set."
        expected = f"/api/message/{self.name}"
        if not url:
            return (
                f"No webhook is set: ai-engine channels register {self.name} --url "
                "https://<your host>"
            )
        if not url.partition("?")[0].endswith(expected):
            return f"The webhook is {url}, not https://<your host>{expected}."
        lines = [f"The webhook is {url}, {info.get('pending_update_count', 0)} updates wait."]
        if failed := text(info, "last_error_message"):
            lines.append(f"Last failure: {failed}.")
        found = info.get("allowed_updates")
        allowed = cast("list[object]", found) if isinstance(found, list) else []
        if not all(kind in allowed for kind in codec.UPDATES):
            lines.append(f"Set its allowed_updates to {', '.join(codec.UPDATES)}.")
        return " ".join(lines)

    async def register(self, base_url: str) -> str:
        """setWebhook to this channel's address below `base_url`; returns the address.

        Raises:
            SendRetryable, SendRefused: what Telegram says against it.
        """
        if self.mode != "webhook":
            return await super().register(base_url)
        url = public_address(base_url, self.name)
        await self._client.call(
            "setWebhook",
            {
                "url": url,
                "secret_token": self.auth("secret_token"),
                "allowed_updates": list(codec.UPDATES),
            },
        )
        return url

    def connection(self) -> tuple[str, str, float | None]:
        """In poll mode the age is that of Telegram's last answer."""
        if self._poller is not None:
            return self._poller.state, self._poller.detail, self._poller.last_answer
        return "connecting" if self.mode == "poll" else "ready", "", self._last_event


def build(name: str, config: ChannelConfig, host: Host) -> TelegramChannel:
    return TelegramChannel(name, config, host)
