"""The `mattermost` channel: a bot account by WebSocket, or outgoing webhooks and slash commands."""

import logging
from typing import Final

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
from ai_engine.channels.mattermost import cards, codec, crypto, hooks
from ai_engine.channels.mattermost.about import ABOUT
from ai_engine.channels.mattermost.callbacks import Callbacks
from ai_engine.channels.mattermost.client import MattermostClient, TokenRefused
from ai_engine.channels.mattermost.outbox import Outbox
from ai_engine.channels.mattermost.stream import Stream
from ai_engine.config.schema import ChannelConfig
from ai_engine.domain.errors import (
    NotFound,
    PermissionMissing,
    SendRefused,
    Unauthenticated,
)
from ai_engine.domain.message import Attachment, Chat, ChatKind, Json, Media
from ai_engine.security.egress import origin

log = logging.getLogger(__name__)

STREAM_INTERVAL_MS: Final = 1_000
MEDIA_BYTES_MAX: Final = 20_000_000
_ACTION: Final = "action"


class MattermostChannel(Connector):
    """Implements `ai_engine.channels.base.Channel`."""

    def __init__(self, name: str, config: ChannelConfig, host: Host) -> None:
        super().__init__(ABOUT, name, config, host)
        token = self.auth("token")
        self._base = (config.endpoints.api or config.auth.url).rstrip("/")
        self._check_address()
        self._form = "text" if config.reply == "text" else "markdown"
        self._tokens = crypto.tokens(self.auth("webhook_token"))
        self._buttons = self._made_buttons(token)
        self._stream: Stream | None = None
        self._client: MattermostClient | None = None
        self._outbox: Outbox | None = None
        api = Api(ABOUT.en, host.egress, host.clock)
        trusted = tuple(base for base in (config.auth.url, config.endpoints.api) if _is_url(base))
        self._callbacks = Callbacks(
            api, host, trusted, self._form, self._buttons, rate=config.feedback
        )
        if token and self._base:
            self._client = MattermostClient(api, self._base, token, self.lacks, self.granted)
            self._outbox = Outbox(
                self._client,
                host,
                form=self._form,
                buttons=self._buttons,
                feedback=self._feedback(),
                media_bytes_max=MEDIA_BYTES_MAX,
                tell=bool(config.endpoints.api),
            )
        bot = self._client is not None
        self.capabilities = Capabilities(
            text_limit=codec.TEXT_LIMIT_CHARS,
            markdown=self._form == "markdown",
            cards=self._form == "markdown",
            streaming=bot,
            stream_by_key=False,
            stream_interval_ms=STREAM_INTERVAL_MS,
            idempotent=bot,
            images=bot,
            files=bot,
            media_bytes_max=MEDIA_BYTES_MAX,
            seen=bot and config.seen,
        )

    def _check_address(self) -> None:
        if self.config.callback_url and not _is_url(self.config.callback_url):
            self.problems.append("callback_url is not an http or https URL.")

    def _made_buttons(self, token: str) -> cards.Buttons | None:
        """Buttons need an address of ours that the server can reach, and a secret."""
        base, secret = self.config.callback_url.rstrip("/"), token or self.auth("webhook_token")
        if not secret or not _is_url(base):
            return None
        url = f"{base}/api/message/{self.name}/{_ACTION}"
        return cards.Buttons(url, secret, self.host.media)

    def _feedback(self) -> str:
        """Reactions are only told to those who hold a connection."""
        if not self.config.feedback:
            return ""
        return "reactions" if self.mode == "stream" else "buttons"

    # In.

    async def run(self, accept: Accept) -> None:
        """Stream mode: hold a connection until cancelled. Nothing to hold in webhook mode."""
        if self.mode != "stream" or self._client is None:
            return
        token, welcome = self.auth("token"), self.config.welcome
        self._stream = Stream(self.name, self._client, self.host, accept, token, welcome=welcome)
        await self._stream.run()

    async def webhook(self, request: WebhookRequest, accept: Accept) -> WebhookResponse:
        """Outgoing webhooks and slash commands (webhook mode); buttons (`/action`, both modes).

        Raises:
            Unauthenticated: the token or the button's MAC is missing or wrong. Malformed, NotFound.
        """
        path = request.path.strip("/")
        button = path == _ACTION and self._buttons is not None
        if not button and (path or self.mode != "webhook"):
            raise NotFound(
                "nothing answers here", hint="for outgoing webhooks set the mode to webhook"
            )
        if request.method != "POST":
            return WebhookResponse(status=405, headers={"Allow": "POST"})
        if button and self._buttons is not None:
            press = self._buttons.opened(parse(request.body))
            fields, given, expected = {}, press.mac, (press.expected,)
        else:
            press = None
            fields = hooks.read(request.body, request.headers)
            given, expected = hooks.token(fields, request.headers), self._tokens
        crypto.verify(given, expected)
        self.noticed()
        if press is not None and self._buttons is not None:
            now = self.clock.time()
            await accept(await self._buttons.message(self.name, press, now))
            return WebhookResponse(body=b"{}")
        return await self._hooked(fields, accept)

    async def _hooked(self, fields: Json, accept: Accept) -> WebhookResponse:
        me = None
        if self._client is not None:
            me = await self._client.me()
        message = hooks.decode(self.name, fields, me, self.clock.time())
        if message is None:
            return WebhookResponse(body=b"{}")
        if self._client is None:
            return await self._callbacks.accept_and_wait(message, accept)
        await accept(message)
        return WebhookResponse(body=b"{}")

    async def fetch(self, attachment: Attachment, target: Json) -> Media:
        if self._client is None:
            raise SendRefused("files need the bot's token", hint="set auth.token")
        return await self._client.download(
            attachment.ref, attachment.name, attachment.mime, MEDIA_BYTES_MAX
        )

    # Out.

    async def send(self, outgoing: Outgoing) -> None:
        """By the bot; without its token into the callback, or to the command's response_url."""
        if self._outbox is None:
            await self._callbacks.answer(outgoing)
            return
        try:
            await self._outbox.send(outgoing)
        except PermissionMissing:
            # A command works in channels that the bot is not in.
            if not self._callbacks.reachable(outgoing.target):
                raise
            await self._callbacks.answer(outgoing)

    async def open_stream(self, target: Json, key: str) -> Json | None:
        if self._outbox is None or target.get("hook") == "command":
            return None
        return await self._outbox.open(target, key)

    async def update(self, handle: Json, text: str) -> None:
        if self._outbox is not None:
            await self._outbox.update(handle, text)

    async def finish(self, handle: Json, outgoing: Outgoing) -> None:
        if self._outbox is None:
            await self.send(outgoing)
        else:
            await self._outbox.finish(handle, outgoing)

    async def seen(self, target: Json) -> None:
        if self._client is not None and target.get("channel"):
            await self._client.typing(str(target["channel"]), str(target.get("root", "")))

    def address(self, to: str) -> Address:
        """`user:<id>` (a direct channel is opened) or `group:<channel id>`."""
        word, found = address_parts(to, {"user": "user id", "group": "channel id"})
        private = word == "user"
        target: Json = {
            "kind": "private" if private else "group",
            "conversation": found,
            "root": "",
            ("user" if private else "channel"): found,
        }
        chat = Chat(kind=ChatKind.PRIVATE if private else ChatKind.GROUP, id=found)
        return Address(chat=chat, user_id=found if private else "", target=target)

    # About people and itself.

    async def profile(self, user_id: str) -> Profile | None:
        """Mattermost knows neither departments nor managers."""
        found = await self._client.user(user_id) if self._client is not None else None
        if found is None:
            return None
        name = " ".join(
            filter(None, (codec.text(found, "first_name"), codec.text(found, "last_name")))
        )
        shown = name or codec.text(found, "nickname") or codec.text(found, "username")
        return Profile(user_id=user_id, name=shown, email=codec.text(found, "email"))

    async def check(self) -> str:
        if self._client is None:
            raise SendRefused(
                "without auth.token there is nothing to ask Mattermost",
                hint="set auth.url and auth.token",
            )
        try:
            me = await self._client.me(again=True)
        except TokenRefused as refused:
            raise Unauthenticated(refused.message, hint=refused.hint) from refused
        return f"Mattermost knows the bot as @{me.username} ({me.id})"

    def connection(self) -> tuple[str, str, float | None]:
        """In stream mode the age is that of the last frame, answers to pings included."""
        if self._stream is not None:
            keeper = self._stream.keeper
            return keeper.state, keeper.detail, keeper.last_frame
        state = "connecting" if self.mode == "stream" else "ready"
        return state, "", self._last_event


def _is_url(base: str) -> bool:
    try:
        origin(base)
    except ValueError:
        return False
    return True


def build(name: str, config: ChannelConfig, host: Host) -> MattermostChannel:
    return MattermostChannel(name, config, host)
