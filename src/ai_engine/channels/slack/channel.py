"""The `slack` channel: events by HTTP or Socket Mode in, answers by the Web API out."""

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
from ai_engine.channels.http import Api
from ai_engine.channels.keeper import Keeper
from ai_engine.channels.link import LinkTimes
from ai_engine.channels.slack import cards, codec, crypto
from ai_engine.channels.slack.about import ABOUT
from ai_engine.channels.slack.client import (
    SlackClient,
    SlackRefused,
    TokenRefused,
    missing_scope,
)
from ai_engine.channels.slack.files import Files
from ai_engine.channels.slack.inbox import Inbox, http_payload
from ai_engine.channels.slack.link import SlackLink, connect
from ai_engine.channels.slack.outbox import UNSHOWABLE, Outbox
from ai_engine.channels.slack.people import People
from ai_engine.channels.slack.stream import Streams
from ai_engine.config.schema import ChannelConfig
from ai_engine.domain.errors import NotFound, Unauthenticated
from ai_engine.domain.message import Attachment, Chat, ChatKind, Json, Media

MEDIA_BYTES_MAX: Final = 20_000_000
THINKING: Final = "正在思考… / is thinking…"
_PATHS: Final = ("", "interactive", "commands")
_FORMS: Final = {"user": "Slack user id", "group": "channel id", "channel": "channel id"}


class SlackChannel(Connector):
    """Implements `ai_engine.channels.base.Channel`."""

    def __init__(
        self,
        name: str,
        config: ChannelConfig,
        host: Host,
        *,
        times: LinkTimes | None = None,
    ) -> None:
        super().__init__(ABOUT, name, config, host)
        api = Api("Slack", host.egress, host.clock)
        self._client = SlackClient(
            api,
            config.endpoints.api,
            self.auth("bot_token"),
            lacks=self.lacks,
            granted=self.granted,
        )
        self._people = People(self._client, host.clock)
        self._inbox = Inbox(name, config, host, self._client, self._people)
        self._outbox = Outbox(config, host, self._client, self._people, MEDIA_BYTES_MAX)
        self._files = Files(self._client)
        plain = self._outbox.plain
        self._streams = Streams(self._client, host.clock, as_text=plain)
        self._keeper: Keeper | None = None
        self._times = times
        self.capabilities = Capabilities(
            text_limit=cards.TEXT_LIMIT if plain else cards.MARKDOWN_LIMIT,
            markdown=not plain,
            cards=not plain,
            streaming=True,
            stream_by_key=False,
            stream_interval_ms=700,
            images=True,
            files=True,
            media_bytes_max=MEDIA_BYTES_MAX,
            sends_per_second=1.0,
            seen=True,
        )

    # In.

    async def webhook(self, request: WebhookRequest, accept: Accept) -> WebhookResponse:
        """Verify, decode, accept, acknowledge; Slack wants that within 3 s."""
        if self.mode != "webhook" or request.path.strip("/") not in _PATHS:
            raise NotFound(
                "nothing answers here", hint="for the Events API set the channel's mode to webhook"
            )
        if request.method != "POST":
            return WebhookResponse(status=405, headers={"Allow": "POST"})
        secret = self.auth("signing_secret")
        crypto.verify(request.headers, request.body, secret, self.clock.time())
        self.noticed()
        kind, payload = http_payload(request.headers, request.body)
        if payload.get("type") == "url_verification":
            challenge = {"challenge": codec.needed(payload, "challenge")}
            return WebhookResponse(body=msgspec.json.encode(challenge))
        await self._inbox.take(kind, payload, accept)
        return WebhookResponse()

    async def run(self, accept: Accept) -> None:
        """Socket Mode: hold a connection until cancelled. Nothing to hold for the Events API."""
        if self.mode != "stream" or not (self.auth("app_token") and self.auth("bot_token")):
            return

        async def take(kind: str, payload: Json) -> None:
            await self._inbox.take(kind, payload, accept)

        async def open_link() -> SlackLink:
            return await connect(
                self.name,
                self._client,
                self.auth("app_token"),
                self.host.egress,
                self.clock,
                take,
                self._times,
            )

        self._keeper = Keeper(self.name, self.clock, open_link)
        await self._keeper.run()

    async def fetch(self, attachment: Attachment, target: Json) -> Media:
        return await self._files.fetch(attachment, MEDIA_BYTES_MAX)

    # Out.

    async def send(self, outgoing: Outgoing) -> None:
        await self._outbox.send(outgoing)

    async def open_stream(self, target: Json, key: str) -> Json | None:
        channel = await self._outbox.channel_of(target)
        return await self._streams.open(target, key, channel)

    async def update(self, handle: Json, text: str) -> None:
        await self._streams.update(handle, text)

    async def finish(self, handle: Json, outgoing: Outgoing) -> None:
        reply, outbox = outgoing.reply, self._outbox
        card, feedback = outbox.together(reply)
        whole = await outbox.body(reply.text, card, feedback)
        below = await outbox.below(card, feedback)
        try:
            ended = await self._streams.finish(handle, reply.text, whole, below)
        except SlackRefused as refused:
            if refused.error not in UNSHOWABLE:
                raise
            shown = outbox.fallback(reply.text, card)
            ended = await self._streams.finish(handle, reply.text, shown, [])
        await (outbox.send_rest if ended else outbox.send)(outgoing)

    async def seen(self, target: Json) -> None:
        """In a thread of a private chat Slack shows that the bot is thinking; elsewhere 👀."""
        channel, thread = target.get("channel", ""), target.get("thread_ts", "")
        if not self.config.seen or not channel or not target.get("ts"):
            return
        if target.get("private") and thread:
            where = {"channel_id": channel, "thread_ts": thread, "status": THINKING}
            try:
                await self._client.call("assistant.threads.setStatus", where)
            except SlackRefused:
                pass  # a thread, but none of an assistant's
            else:
                return
        body = {"channel": channel, "timestamp": target["ts"], "name": "eyes"}
        try:
            await self._client.call("reactions.add", body)
        except SlackRefused as refused:
            if refused.error != "already_reacted":
                raise

    def address(self, to: str) -> Address:
        """`user:<id>`, `group:<channel id>` or `channel:<channel id>`."""
        word, found = address_parts(to, _FORMS)
        private = word == "user"
        user, channel = (found, "") if private else ("", found)
        where = codec.target(channel, "", "", user, "", private=private)
        return Address(
            chat=Chat(kind=ChatKind.PRIVATE if private else ChatKind.GROUP, id=found),
            user_id=user,
            target={**where, "conversation": found},
        )

    async def profile(self, user_id: str) -> Profile | None:
        return await self._people.profile(user_id)

    async def check(self) -> str:
        """`auth.test`; for Socket Mode the app-level token too."""
        try:
            found = await self._client.identity(fresh=True)
            if self.mode == "stream":
                token = self.auth("app_token")
                await self._client.call("apps.connections.open", {}, token=token)
        except TokenRefused as refused:
            raise Unauthenticated(refused.message, hint=refused.hint) from refused
        for permission in ABOUT.permissions:
            if permission.needed == "always" and found.scopes:
                if permission.name not in found.scopes:
                    raise self.lacks(missing_scope(permission.name, "auth.test"))
                self.granted(permission.name)
        return f"Slack workspace {found.team} ({found.team_id}), bot @{found.user}"

    def connection(self) -> tuple[str, str, float | None]:
        """In Socket Mode the age is that of the last frame."""
        if self._keeper is not None:
            return self._keeper.state, self._keeper.detail, self._keeper.last_frame
        return ("connecting" if self.mode == "stream" else "ready"), "", self._last_event


def build(name: str, config: ChannelConfig, host: Host) -> SlackChannel:
    return SlackChannel(name, config, host)
