"""The `matrix` channel: a bot account's rooms by long polling, answers as notices."""

import re
from typing import Final

from ai_engine.channels.base import Accept, Address, Capabilities, Outgoing, Profile
from ai_engine.channels.connector import Connector, address_parts
from ai_engine.channels.host import Host
from ai_engine.channels.matrix import codec
from ai_engine.channels.matrix.about import ABOUT
from ai_engine.channels.matrix.client import MatrixClient, TokenRefused
from ai_engine.channels.matrix.fields import items, text
from ai_engine.channels.matrix.inbox import Inbox
from ai_engine.channels.matrix.markup import TEXT_LIMIT_BYTES
from ai_engine.channels.matrix.outbox import Outbox
from ai_engine.channels.matrix.rooms import Rooms
from ai_engine.channels.matrix.sync import Syncer
from ai_engine.config.schema import ChannelConfig
from ai_engine.domain.errors import Malformed, PermissionMissing, SendRefused, Unauthenticated
from ai_engine.domain.message import Attachment, Chat, ChatKind, Json, Media

MEDIA_BYTES_MAX: Final = 20_000_000
STREAM_INTERVAL_MS: Final = 1_000
_ROOM: Final = re.compile(r"![^\s:]{1,254}(?::[^\s/]{1,255})?")
_ALIAS: Final = re.compile(r"#[^\s:]{1,254}:[^\s/]{1,255}")


class MatrixChannel(Connector):
    """Implements `ai_engine.channels.base.Channel`."""

    def __init__(self, name: str, config: ChannelConfig, host: Host) -> None:
        super().__init__(ABOUT, name, config, host)
        base = config.endpoints.api or config.auth.homeserver
        self._user, self._token = self.auth("user").strip(), self.auth("access_token")
        self._check_settings()
        self._form = "text" if config.reply == "text" else "markdown"
        self._client = MatrixClient(base, self._token, host.egress, host.clock)
        self._rooms = Rooms(self._client)
        self._inbox = Inbox(
            name,
            self._client,
            self._rooms,
            host,
            tenants=config.allow_tenants,
            feedback=config.feedback,
            welcome=config.welcome,
        )
        self._outbox = Outbox(
            self._client,
            self._rooms,
            host,
            form=self._form,
            feedback=config.feedback,
            media_bytes_max=MEDIA_BYTES_MAX,
        )
        self._syncer: Syncer | None = None
        self.capabilities = Capabilities(
            text_limit=TEXT_LIMIT_BYTES,
            text_unit="bytes",
            markdown=self._form == "markdown",
            cards=True,
            streaming=True,
            stream_by_key=True,
            stream_interval_ms=STREAM_INTERVAL_MS,
            idempotent=True,
            images=True,
            files=True,
            media_bytes_max=MEDIA_BYTES_MAX,
            seen=config.seen,
            one_owner=True,
        )

    def _check_settings(self) -> None:
        if self._user and not codec.is_user(self._user):
            self.problems.append("auth.user is not a full id, such as @bot:example.org.")

    # In.

    async def run(self, accept: Accept) -> None:
        """Ask until cancelled; nothing is asked while a setting is missing."""
        if self.problems:
            return
        self._syncer = Syncer(
            self.name,
            self._client,
            self._rooms,
            self._inbox,
            self.host,
            accept,
            user=self._user,
        )
        await self._syncer.run()

    async def fetch(self, attachment: Attachment, target: Json) -> Media:
        content = await self._client.download(attachment.ref, MEDIA_BYTES_MAX)
        return Media(
            kind=attachment.kind, content=content, name=attachment.name, mime=attachment.mime
        )

    # Out.

    async def send(self, outgoing: Outgoing) -> None:
        try:
            await self._outbox.send(outgoing)
        except PermissionMissing as error:
            raise self.lacks(error) from error
        self.granted("m.room.message")

    async def open_stream(self, target: Json, key: str) -> Json | None:
        try:
            return await self._outbox.open(target, key)
        except PermissionMissing as error:
            raise self.lacks(error) from error

    async def update(self, handle: Json, text: str) -> None:
        await self._outbox.update(handle, text)

    async def finish(self, handle: Json, outgoing: Outgoing) -> None:
        try:
            await self._outbox.finish(handle, outgoing)
        except PermissionMissing as error:
            raise self.lacks(error) from error
        self.granted("m.room.message")

    async def seen(self, target: Json) -> None:
        await self._outbox.seen(target)

    def address(self, to: str) -> Address:
        """`user:@name:server` (a direct room is found or opened), `group:!id` or `group:#alias`."""
        word, found = address_parts(to, {"user": "@name:server", "group": "!room or #alias:server"})
        target: Json = {"asked": "", "thread": "", "conversation": found}
        if word == "user":
            if not codec.is_user(found):
                raise Malformed(f"{to!r} is no address here", hint="use user:@name:server")
            return Address(
                chat=Chat(kind=ChatKind.PRIVATE, id=found),
                user_id=found,
                target={**target, "kind": "private", "user": found},
                tenant=codec.tenant_of(found),
            )
        if not _ROOM.fullmatch(found) and not _ALIAS.fullmatch(found):
            raise Malformed(
                f"{to!r} is no address here", hint="use group:!id or group:#alias:server"
            )
        key = "room" if found.startswith("!") else "alias"
        return Address(
            chat=Chat(kind=ChatKind.GROUP, id=found),
            user_id="",
            target={**target, "kind": "group", key: found},
        )

    # About people and itself.

    async def profile(self, user_id: str) -> Profile | None:
        """The display name; Matrix knows neither departments nor managers."""
        if not codec.is_user(user_id):
            return None
        name = await self._rooms.display_name(user_id)
        return Profile(user_id=user_id, name=name) if name else None

    async def check(self) -> str:
        """whoami: is the token good, and is it this user's?"""
        try:
            found = await self._client.whoami()
        except TokenRefused as refused:
            raise Unauthenticated(refused.message, hint=refused.hint) from refused
        user, device = text(found, "user_id"), text(found, "device_id")
        if user != self._user:
            raise SendRefused(
                f"the access token is that of {user}, not of {self._user}",
                hint="set auth.user and auth.access_token of the same account",
            )
        versions = await self._client.call("GET", "/_matrix/client/versions")
        newest = [str(each) for each in items(versions, "versions")][-1:]
        return f"The homeserver ({' '.join(newest)}) knows the bot as {user}, device {device}."

    def connection(self) -> tuple[str, str, float | None]:
        """The age is that of the homeserver's last answer to a poll."""
        if self._syncer is not None:
            return self._syncer.state, self._syncer.detail, self._syncer.last_answer
        return "connecting", "", None


def build(name: str, config: ChannelConfig, host: Host) -> MatrixChannel:
    return MatrixChannel(name, config, host)
