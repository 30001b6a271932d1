"""The `teams` channel: Bot Framework activities in, answers out by the connector API."""

import logging
from dataclasses import replace
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
from ai_engine.channels.connector import Connector, address_parts
from ai_engine.channels.host import Host
from ai_engine.channels.http import Api, parse
from ai_engine.channels.progress import Progress
from ai_engine.channels.teams import cards, codec, crypto
from ai_engine.channels.teams.about import ABOUT
from ai_engine.channels.teams.client import TeamsClient
from ai_engine.channels.teams.fields import part, text
from ai_engine.channels.teams.files import Files
from ai_engine.channels.teams.keys import Keys
from ai_engine.channels.teams.people import People
from ai_engine.channels.teams.stream import Streams
from ai_engine.channels.teams.urls import Trust
from ai_engine.config.schema import ChannelConfig
from ai_engine.domain.errors import Forbidden, Malformed, NotFound, SendRefused
from ai_engine.domain.message import (
    Attachment,
    Chat,
    ChatKind,
    InboundMessage,
    Json,
    Media,
    MessageKind,
)
from ai_engine.domain.reply import Reply

log = logging.getLogger(__name__)

CHANNEL_ID: Final = "msteams"
STREAM_INTERVAL_MS: Final = 1500
"""Microsoft advises to gather words for 1.5 to 2 s between two updates."""
SENDS_PER_SECOND: Final = 2.0
"""Source: Microsoft, "Optimize your bot with rate limiting": 60 messages in 30 s a conversation."""
_AI: Final[Json] = {
    "type": "https://schema.org/Message",
    "@type": "Message",
    "@context": "https://schema.org",
    "additionalType": ["AIGeneratedContent"],
}
_RECEIVED: Final = "已收到 / Received"
_GONE: Final = "该按钮已失效 / This button has expired"


class TeamsChannel(Connector):
    """Implements `ai_engine.channels.base.Channel`."""

    def __init__(self, name: str, config: ChannelConfig, host: Host) -> None:
        super().__init__(ABOUT, name, config, host)
        self._form = "text" if config.reply == "text" else "markdown"
        self._app_id = self.auth("app_id")
        tenant = self.auth("tenant").lower()
        self._tenants = frozenset(
            t.lower() for t in config.allow_tenants or ((tenant,) if tenant else ())
        )
        self._trust = trust = Trust(config.endpoints.api)
        self._api = Api("Teams", host.egress, host.clock)
        self._keys = Keys(config.endpoints.openid, trust, self._api, host.clock)
        self._client = TeamsClient(
            app_id=self._app_id,
            app_secret=self.auth("app_secret"),
            authority=tenant or "botframework.com",
            login=config.endpoints.login,
            token_life_max=config.auth.token_expire,
            trust=trust,
            api=self._api,
            clock=host.clock,
            lacks=self.lacks,
            granted=self.granted,
        )
        self.capabilities = Capabilities(
            text_limit=cards.TEXT_LIMIT_BYTES,
            text_unit="bytes",
            markdown=self._form == "markdown",
            cards=True,
            streaming=True,
            stream_by_key=False,
            stream_interval_ms=STREAM_INTERVAL_MS,
            images=True,
            files=True,
            sends_per_second=SENDS_PER_SECOND,
            seen=config.seen,
        )
        home = tenant or (next(iter(self._tenants)) if len(self._tenants) == 1 else "")
        self._people = People(self._client, self._app_id, home, trust, host)
        self._streams = Streams(self._client, host.clock)
        self._files = Files(host, self._api, self._client, trust, self.capabilities.media_bytes_max)
        self._sent = Progress(host.notes)

    async def start(self) -> None:
        await super().start()
        await self._people.recall()

    async def close(self) -> None:
        await self._keys.close()
        await self._client.close()

    # In.

    async def webhook(self, request: WebhookRequest, accept: Accept) -> WebhookResponse:
        """Prove, read, accept, acknowledge: 202, to an invoke 200 with a body."""
        if request.path.strip("/"):
            raise NotFound("nothing answers here")
        if request.method != "POST":
            return WebhookResponse(status=405, headers={"Allow": "POST"})
        token, kid = crypto.read(request.headers.get("authorization", ""))
        key = await self._keys.get(kid)
        crypto.verify(token, key, request.body, self._app_id, self.clock.time())
        activity = parse(request.body)
        service = self._allowed(activity)
        self.noticed()
        if activity.get("type") == "invoke":
            return await self._invoked(activity, service, accept)
        for message in codec.decode(activity, self.name, self.clock.time()):
            await self._take(message, accept)
        return WebhookResponse(status=202, body=b"{}")

    def _allowed(self, activity: Json) -> str:
        """The service URL, when it, the tenant and the Bot Framework channel are allowed. In other
        channels of the same bot, such as Direct Line, whoever holds a page's key says who they are.

        Raises:
            Forbidden.
        """
        if activity.get("channelId") != CHANNEL_ID:
            raise Forbidden(
                "the activity is of another Bot Framework channel than Microsoft Teams",
                hint="remove the other channels from the Azure Bot",
            )
        tenant = codec.tenant_of(activity)
        if self._tenants and tenant not in self._tenants:
            raise Forbidden(
                f"the tenant {tenant!r} is not allowed",
                hint="add it to allow_tenants if it is really one of yours",
            )
        try:
            return self._trust.service(text(activity, "serviceUrl", 2048))
        except SendRefused as error:
            raise Forbidden(error.message, hint=error.hint) from error

    async def _take(self, message: InboundMessage, accept: Accept) -> None:
        """Durable when it returns. Raises Overloaded, Malformed."""
        if message.kind is MessageKind.WELCOME and not self.config.welcome:
            return
        self._people.noticed(message.target)
        if message.kind is MessageKind.FEEDBACK:
            if not self.config.feedback:
                return
            rated = _rated(text(message.target, "conversation"), str(message.payload["of"]))
            of = await self.host.notes.get(rated)
            message = replace(message, payload={**message.payload, "of": of or ""})
        elif message.kind is MessageKind.BUTTON:
            message = replace(message, payload=await self._pressed(message.payload))
        await accept(message)

    async def _pressed(self, data: Json) -> Json:
        """The button's value. Raises Malformed: it is not kept any more."""
        ref = data.get(codec.PRESSED_REF)
        if ref is None:
            return part(data, codec.PRESSED)
        kept = await self.host.media.get(ref) if isinstance(ref, str) else None
        if kept is None:
            raise Malformed(_GONE)
        return parse(kept.content)

    async def _invoked(self, activity: Json, service: str, accept: Accept) -> WebhookResponse:
        """An invoke waits for its answer, which the person sees."""
        name = activity.get("name")
        if name == codec.FILE_CONSENT:
            await self._files.consented(activity, service)
            return WebhookResponse(status=200, body=b"{}")
        if name not in (codec.CARD_ACTION, codec.SUBMIT_ACTION):
            return WebhookResponse(status=501, body=b"{}")
        said = _RECEIVED
        for message in codec.decode(activity, self.name, self.clock.time()):
            try:
                await self._take(message, accept)
            except Malformed as error:
                said = error.message
        if name == codec.SUBMIT_ACTION:
            return WebhookResponse(status=200, body=b"{}")
        body: Json = {
            "statusCode": 200,
            "type": "application/vnd.microsoft.activity.message",
            "value": said,
        }
        return WebhookResponse(status=200, body=msgspec.json.encode(body))

    async def fetch(self, attachment: Attachment, target: Json) -> Media:
        return await self._files.fetch(attachment)

    # Out.

    async def send(self, outgoing: Outgoing) -> None:
        """Text with its card, then pictures and files. What was sent before a failure or a restart
        is not sent again by the next attempt."""
        service, conversation = await self._people.place(outgoing.target)
        activities = await self._activities(outgoing.reply)
        await self._send_all(outgoing, service, conversation, activities)

    async def _activities(self, reply: Reply) -> list[Json]:
        width = self.config.message_format.card_width
        found = await cards.rendered(reply, self._form, width, self.host.media)
        if found and reply.produced_by.startswith("model:"):
            found[-1]["entities"] = [_AI]
        if found and reply.feedback and self.config.feedback:
            found[-1]["channelData"] = {"feedbackLoop": {"type": "default"}}
        return found

    async def _send_all(
        self,
        outgoing: Outgoing,
        service: str,
        conversation: str,
        activities: list[Json],
        sent: int | None = None,
    ) -> None:
        """`sent`: how many of its parts are there already, when that is known."""
        reply, target = outgoing.reply, outgoing.target
        path = ("conversations", conversation, "activities")
        media = _media(reply)
        total = len(activities) + len(media)
        sent = await self._sent_of(reply, activities) if sent is None else sent
        for n in range(sent, total):
            if n < len(activities):
                activity = activities[n]
            else:
                personal = bool(target.get("personal"))
                activity = await self._files.message(media[n - len(activities)], personal=personal)
            to = text(target, "activity")
            found = await self._post(service, path, to, activity, reply.produced_by)
            if total > 1:
                self._sent.put(reply.id, n + 1)
            self._remember_rating(reply, activity, conversation, text(found, "id"))

    async def _sent_of(self, reply: Reply, activities: list[Json]) -> int:
        """An answer of one part needs no memory: it is sent, or it is not."""
        several = len(activities) + len(_media(reply)) > 1
        return await self._sent.of(reply.id) if several else 0

    async def _post(
        self, service: str, path: tuple[str, ...], to: str, activity: Json, produced_by: str
    ) -> Json:
        """As an answer to the activity `to`; beside it when that one is deleted."""
        answer = None
        if to:
            body = {**activity, "replyToId": to}
            answer = await self._client.ask(
                "POST", service, (*path, to), body, produced_by=produced_by
            )
        if answer is None or answer.status == 404:
            answer = await self._client.ask(
                "POST", service, path, activity, produced_by=produced_by
            )
        self._client.refuse(answer, "an answer")
        return answer.json

    def _remember_rating(self, reply: Reply, activity: Json, conversation: str, id_: str) -> None:
        if reply.feedback and id_ and "channelData" in activity:
            self.host.notes.put(_rated(conversation, id_), reply.feedback)

    async def open_stream(self, target: Json, key: str) -> Json | None:
        """In private chats only; the platform chooses the id, so a key cannot find it again."""
        if not target.get("personal"):
            return None
        service, conversation = await self._people.place(target)
        return await self._streams.open(service, conversation)

    async def update(self, handle: Json, text: str) -> None:
        words = cards.steady(text, self._form).encode()[: cards.TEXT_LIMIT_BYTES]
        await self._streams.update(handle, words.decode("utf-8", "ignore").rstrip())

    async def finish(self, handle: Json, outgoing: Outgoing) -> None:
        """The final message ends the stream; what does not fit into it follows."""
        reply = outgoing.reply
        activities = await self._activities(reply)
        sent = await self._sent_of(reply, activities)
        if not sent:
            if not activities:
                await self._streams.discard(handle)
            else:
                shown = await self._streams.finish(handle, activities[0], reply.produced_by)
                if shown:
                    sent = 1
                    if len(activities) + len(_media(reply)) > 1:
                        self._sent.put(reply.id, sent)
                    self._remember_rating(reply, activities[0], handle["conversation"], shown)
        await self._send_all(outgoing, handle["service"], handle["conversation"], activities, sent)

    async def seen(self, target: Json) -> None:
        """The bot is shown as typing."""
        service, conversation = await self._people.place(target)
        path = ("conversations", conversation, "activities")
        await self._client.call("POST", service, path, {"type": "typing"})

    def address(self, to: str) -> Address:
        """`user:<Entra object id or 29:…>`, `group:<conversation id>` (`19:…@thread.…`)."""
        word, id_ = address_parts(to, {"user": "Entra object id", "group": "conversation id"})
        personal = word == "user"
        conversation = self._people.chat(id_) if personal else id_
        base, _, thread = (conversation or to).partition(";messageid=")
        tenant = self._people.tenant
        return Address(
            chat=Chat(
                kind=ChatKind.PRIVATE if personal else ChatKind.GROUP, id=base, thread=thread
            ),
            user_id=id_ if personal else "",
            target={
                "service": "",
                "conversation": conversation,
                "personal": personal,
                "activity": "",
                "user": id_ if personal else "",
                "tenant": tenant,
            },
            tenant=tenant,
        )

    async def profile(self, user_id: str) -> Profile | None:
        return await self._people.profile(user_id)

    async def check(self) -> str:
        await self._client.token()
        return f"Microsoft gives access tokens to the app {self._app_id}"


def _card_picture(reply: Reply) -> tuple[Attachment, ...]:
    """A card's picture that is no web address goes out by itself."""
    url = reply.card.image_url if reply.card is not None else ""
    if not url.startswith(("data:", "blob:")):
        return ()
    return (Attachment(kind="image", url=url),)


def _media(reply: Reply) -> list[Attachment]:
    return [*reply.media, *_card_picture(reply)]


def _rated(conversation: str, activity: str) -> str:
    """The note of which answer an activity holds; a thread's activities are its channel's."""
    return f"rated {conversation.partition(';')[0]} {activity}"


def build(name: str, config: ChannelConfig, host: Host) -> TeamsChannel:
    return TeamsChannel(name, config, host)
