"""The `wecom` channel: callbacks of an app in, application messages out."""

import asyncio
import logging
from collections.abc import Awaitable
from dataclasses import replace
from typing import Final, TypeVar

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
from ai_engine.channels.connector import Connector, address_parts, outgoing_media
from ai_engine.channels.host import Host
from ai_engine.channels.wecom import cards, codec, crypto, parsing
from ai_engine.channels.wecom.about import ABOUT, API_ACCESS, TRUSTED_IP, VISIBLE
from ai_engine.channels.wecom.allowance import INTERVAL_SECONDS, Allowance, Repeats
from ai_engine.channels.wecom.client import WeComClient, WrongCredentials
from ai_engine.channels.wecom.compose import compose, upload_kind
from ai_engine.channels.wecom.directory import Directory
from ai_engine.config.schema import ChannelConfig
from ai_engine.domain.errors import (
    Malformed,
    NotFound,
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

MEDIA_BYTES_MAX: Final = 20 * 1024 * 1024
_MEDIA_BYTES_MIN: Final = 6
"""WeCom takes no file of five bytes or fewer (path/90253)."""
_UPDATES_MAX: Final = 64
_SPARE: Final = 15
"""Of a member's messages a minute, those that are kept for answers."""
_WELCOMED_AGAIN_SECONDS: Final = 24 * 3600.0
"""How old the mark of a greeting gets before a member who is there again renews it."""
_EXPIRED: Final = "按钮已过期 / a button whose value is not kept any more"
_DONE: Final = "✓ 已提交 Done"

T = TypeVar("T")


class WeComChannel(Connector):
    """Implements `ai_engine.channels.base.Channel`."""

    def __init__(self, name: str, config: ChannelConfig, host: Host) -> None:
        super().__init__(ABOUT, name, config, host)
        self._agent = self._agent_id()
        self._form = "text" if config.reply == "text" else "markdown"
        self._client = WeComClient(
            corp_id=self.auth("corp_id"),
            secret=self.auth("secret"),
            base=config.endpoints.api,
            token_seconds_max=config.auth.token_expire,
            egress=host.egress,
            clock=host.clock,
        )
        self._directory = Directory(self._client, host.clock)
        self._allowance = Allowance(host.clock, host.notes)
        self._repeats = Repeats(host.clock)
        self._updates: set[asyncio.Task[None]] = set()
        self.capabilities = Capabilities(
            text_limit=1800,  # in the 2,048 that a message may have, what markup adds finds room
            text_unit="bytes",
            markdown=self._form == "markdown",
            cards=True,
            idempotent=True,
            images=True,
            files=True,
            media_bytes_max=MEDIA_BYTES_MAX,
        )

    def _agent_id(self) -> int:
        agent = self.config.auth.agent_id
        if agent.isascii() and agent.isdigit() and len(agent) <= 18:
            return int(agent)
        if agent:
            self.problems.append("auth.agent_id must be a number, such as 1000002.")
        return 0

    async def close(self) -> None:
        for task in self._updates:
            task.cancel()
        if self._updates:
            await asyncio.wait(self._updates)
        await self._client.close()

    # In.

    async def webhook(self, request: WebhookRequest, accept: Accept) -> WebhookResponse:
        """GET: WeCom's check of the address. POST: a message or an event; an empty answer says
        that it is durable (developer.work.weixin.qq.com/document/path/90930)."""
        if request.path.strip("/"):
            raise NotFound("nothing answers here")
        if request.method == "GET":
            # Base64 has no space: one was a plus sign that somebody did not encode.
            plain = self._opened(request, request.query.get("echostr", "").replace(" ", "+"))
            return WebhookResponse(body=plain, media_type="text/plain")
        if request.method != "POST":
            return WebhookResponse(status=405, headers={"Allow": "GET, POST"})
        if not request.query.get("msg_signature"):
            raise Unauthenticated("the signature is missing or wrong")
        encrypted = parsing.fields(request.body).get("Encrypt", "")
        fields = parsing.fields(self._opened(request, encrypted))
        self.noticed()
        message = codec.decode(fields, self.name, self.clock.time(), welcome=self.config.welcome)
        if message is not None and message.kind is MessageKind.WELCOME:
            await self._greeted(message, accept)
        elif message is not None:
            await self._take(message, accept)
        return WebhookResponse(media_type="text/plain")

    def _opened(self, request: WebhookRequest, encrypted: str) -> bytes:
        """Proof first, then decryption. Raises Unauthenticated, Forbidden."""
        crypto.verify(request.query, encrypted, self.auth("token"), self.clock.time())
        return crypto.opened(self.auth("aes_key"), encrypted, self.auth("corp_id"))

    async def _greeted(self, message: InboundMessage, accept: Accept) -> None:
        """WeCom tells of every opening of the app, and the journal knows a message for a day. So
        the greeting is noted, for seven days after the last opening: who stays away longer is
        greeted again."""
        mark = f"welcomed {message.sender.user_id}"
        noted, now = await self.host.notes.get(mark), self.clock.time()
        if noted is None:
            await accept(message)
        if noted is None or now - float(noted) > _WELCOMED_AGAIN_SECONDS:
            self.host.notes.put(mark, str(now))

    async def _take(self, message: InboundMessage, accept: Accept) -> None:
        """Durable when it returns. A button's key becomes what it stands for."""
        if message.kind is not MessageKind.BUTTON:
            await accept(message)
            return
        told = message.payload
        found = await cards.pressed(str(told["key"]), self.host.media)
        if found is None:
            await accept(replace(message, kind=MessageKind.UNSUPPORTED, text=_EXPIRED, payload={}))
            return
        accepted = await accept(replace(message, payload=found.value))
        if told["response_code"] and not accepted.duplicate:
            self._show_pressed(message.sender.user_id, str(told["response_code"]), found.label)

    def _show_pressed(self, user: str, response_code: str, label: str) -> None:
        """In the background: WeCom waits 5 s for our answer, and its API may take longer."""
        if len(self._updates) >= _UPDATES_MAX:
            log.warning("channel %s: a pressed card is not updated: too many at once", self.name)
            return
        shown = f"✓ {label}" if label else _DONE
        task = asyncio.create_task(self._update(user, response_code, shown), name="WeCom card")
        self._updates.add(task)
        task.add_done_callback(self._updates.discard)

    async def _update(self, user: str, response_code: str, label: str) -> None:
        """Once and best effort: the first attempt uses the code up."""
        try:
            await self._asked(
                self._client.update_card(self._agent, user, response_code, label), TRUSTED_IP
            )
        except SendFailed as error:
            log.warning("channel %s: a pressed card is not updated: %s", self.name, error)

    async def fetch(self, attachment: Attachment, target: Json) -> Media:
        if not attachment.ref:
            raise SendRefused("the attachment has no media id")
        found = await self._asked(
            self._client.download(attachment.ref, attachment.kind, MEDIA_BYTES_MAX), TRUSTED_IP
        )
        return replace(found, name=attachment.name or found.name or attachment.kind)

    # Out.

    async def send(self, outgoing: Outgoing) -> None:
        """Text, the card, images and files, the question for a rating. An attempt that is made
        again sends them all again, and WeCom drops what it has shown already (see `Repeats`)."""
        reply, target = outgoing.reply, outgoing.target
        group = bool(target.get("group"))
        rating = bool(reply.feedback) and self.config.feedback
        # A question for a rating must not take the place of the next answers.
        rating = rating and await self._allowance.left(str(target.get("user", ""))) > _SPARE
        found = await compose(reply, self._form, self.host.media, rating=rating, group=group)
        if not group:
            count = len(found.before) + len(reply.media) + len(found.after)
            await self._allowance.take(str(target.get("user", "")), count)
        for number, body in enumerate(found.before):
            await self._push(outgoing, body, f"{reply.id}.{number}")
        for number, attachment in enumerate(reply.media):
            body = await self._uploaded(attachment)
            await self._push(outgoing, body, f"{reply.id}.media{number}")
        for body in found.after:
            await self._push(outgoing, body, f"{reply.id}.rating")

    async def _uploaded(self, attachment: Attachment) -> Json:
        media = await outgoing_media(self.host, attachment, MEDIA_BYTES_MAX)
        if len(media.content) < _MEDIA_BYTES_MIN:
            raise SendRefused(f"WeCom takes no file as small as {media.name!r}")
        kind = upload_kind(attachment, media.mime, len(media.content))
        media_id = await self._asked(self._client.upload(kind, media), TRUSTED_IP)
        return {"msgtype": kind, kind: {"media_id": media_id}}

    async def _push(self, outgoing: Outgoing, body: Json, message: str) -> None:
        """One message. `message`: the same id when the same message is sent again."""
        target = outgoing.target
        if group := str(target.get("group", "")):
            sending = self._client.send_group({"chatid": group, **body}, self._told(outgoing))
            await self._asked(sending, TRUSTED_IP)
            return
        user = str(target.get("user", ""))
        if not user:
            raise SendRefused("the message's target names nobody")
        full: Json = {"touser": user, "agentid": self._agent, **body}
        if self._repeats.may_compare(user, msgspec.json.encode(body), message):
            full |= {"enable_duplicate_check": 1, "duplicate_check_interval": INTERVAL_SECONDS}
        await self._asked(
            self._client.send(full, self._told(outgoing)), TRUSTED_IP, VISIBLE, API_ACCESS
        )

    def _told(self, outgoing: Outgoing) -> dict[str, str]:
        """For a simulator's page, which shows which part of the engine answered."""
        part = outgoing.reply.produced_by[:100]
        if not self.config.endpoints.api or not part.isascii() or not part.isprintable():
            return {}
        return {"X-AI-Engine-Produced-By": part}

    async def _asked(self, call: Awaitable[T], *permissions: str) -> T:
        """The call's answer; a right that it lacks, or has after all, is remembered."""
        try:
            found = await call
        except PermissionMissing as missing:
            raise self.lacks(missing) from None
        self.granted(*permissions)
        return found

    def address(self, to: str) -> Address:
        """`user:<UserID>`, or `group:<chatid>` of a group chat that this app founded."""
        forms = {"user": "UserID", "group": "chatid"}
        word, id_ = address_parts(to, forms)
        if "|" in id_ or id_.startswith("@"):  # WeCom would take them for many, or for everybody
            raise Malformed(f"{to!r} names more than one receiver", hint="write to one at a time")
        kind = ChatKind.PRIVATE if word == "user" else ChatKind.GROUP
        return Address(
            chat=Chat(kind=kind, id=id_),
            user_id=id_ if word == "user" else "",
            target={word: id_, "conversation": id_},
            tenant=self.auth("corp_id"),
        )

    async def profile(self, user_id: str) -> Profile | None:
        return await self._asked(self._directory.profile(user_id), TRUSTED_IP, VISIBLE, API_ACCESS)

    async def check(self) -> str:
        """The app's own entry: proves corp id, secret and agent id."""
        try:
            found = await self._asked(self._client.agent(str(self._agent)), TRUSTED_IP, API_ACCESS)
        except WrongCredentials as error:
            raise Unauthenticated(error.message, hint=error.hint) from None
        off = " (停用 / disabled)" if found.get("close") else ""
        return f"WeCom app {found.get('name', '')!r}, AgentId {self._agent}{off}"


def build(name: str, config: ChannelConfig, host: Host) -> WeComChannel:
    return WeComChannel(name, config, host)
