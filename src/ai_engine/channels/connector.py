"""What connectors share: settings, problems, status, and "not on this platform" for the rest."""

import base64
import logging
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote_to_bytes

from ai_engine.channels.about import About, credential, mode_of, needs_address, problems
from ai_engine.channels.base import (
    Accept,
    Address,
    Capabilities,
    Outgoing,
    Profile,
    Status,
    WebhookRequest,
    WebhookResponse,
)
from ai_engine.channels.host import Host
from ai_engine.config.schema import ChannelConfig
from ai_engine.domain.errors import Malformed, NotFound, PermissionMissing, SendRefused
from ai_engine.domain.message import Attachment, Json, Media

log = logging.getLogger(__name__)

_NAME_MAX: Final = 120
"""Characters of a file's name; in UTF-8 even Chinese ones then fit where 400 bytes are allowed."""
_ENDING_MAX: Final = 10
_MIME: Final = re.compile(r"[A-Za-z0-9.+_-]{1,100}/[A-Za-z0-9.+_-]{1,100}(?:;[ -~]{0,200})?")


class Connector:
    """Implements `ai_engine.channels.base.Channel`; a connector overrides what its platform has."""

    capabilities: Capabilities

    def __init__(self, about: About, name: str, config: ChannelConfig, host: Host) -> None:
        self.about = about
        self.type = about.type
        self.name = name
        self.config = config
        self.host = host
        self.clock = host.clock
        self.mode = mode_of(about, config)
        self.problems = problems(about, config)
        self._last_event: float | None = None
        self._missing: dict[str, str] = {}

    def auth(self, name: str) -> str:
        """A credential by its own name, or by the general one that stands in for it."""
        return credential(self.about, self.config, name)

    # Starting and ending.

    async def start(self) -> None:
        """Must not call the platform."""
        for problem in self.problems:
            log.warning("channel %s: %s", self.name, problem)

    async def run(self, accept: Accept) -> None:
        """No long connection."""

    async def close(self) -> None:
        """Nothing to close."""

    # In.

    async def webhook(self, request: WebhookRequest, accept: Accept) -> WebhookResponse:
        raise NotFound("nothing answers here", hint=f"{self.about.en} does not call this address")

    def noticed(self) -> None:
        """The platform gave a sign of life."""
        self._last_event = self.clock.monotonic()

    async def fetch(self, attachment: Attachment, target: Json) -> Media:
        raise SendRefused(f"{self.about.en} gives no content of attachments")

    # Out.

    async def send(self, outgoing: Outgoing) -> None:
        raise SendRefused(f"{self.about.en} cannot be written to")

    async def open_stream(self, target: Json, key: str) -> Json | None:
        return None

    async def update(self, handle: Json, text: str) -> None:
        """Never called where no stream is ever opened."""

    async def finish(self, handle: Json, outgoing: Outgoing) -> None:
        await self.send(outgoing)

    async def seen(self, target: Json) -> None:
        """No such sign on this platform."""

    def address(self, to: str) -> Address:
        raise Malformed(f"{self.about.en} cannot be written to by address")

    async def profile(self, user_id: str) -> Profile | None:
        return None

    async def check(self) -> str:
        raise SendRefused(f"{self.about.en} has nothing that tells whether credentials are right")

    async def register(self, base_url: str) -> str:
        """Overridden where the platform is told our address by a call."""
        if not needs_address(self.about, self.mode):
            raise SendRefused(f"{self.about.en} does not call this channel: nothing to register")
        console = self.about.console
        raise SendRefused(
            f"{self.about.en}: this platform's address is entered in its console"
            f"{f': {console}' if console else ''}",
            hint=f"enter {public_address(base_url, self.name)} there",
        )

    # What people see of it.

    def lacks(self, error: PermissionMissing) -> PermissionMissing:
        """Remember a right that the platform says is missing; to be raised by the caller."""
        self._missing[error.permission] = error.hint
        return error

    def granted(self, *permissions: str) -> None:
        """A call that needs these rights has worked."""
        for permission in permissions:
            self._missing.pop(permission, None)

    def connection(self) -> tuple[str, str, float | None]:
        """(state, detail, last event on the monotonic clock); of the long connection, if any."""
        return "ready", "", self._last_event

    def status(self) -> Status:
        state, detail, last = self.connection()
        lines = [*self.problems, *([detail] if detail else [])]
        lines += [f"permission {name} is missing: {hint}" for name, hint in self._missing.items()]
        if self.problems and state != "connected":
            state = "failing"
        return Status(
            state=state,
            detail=" ".join(lines),
            last_event_age_seconds=None if last is None else self.clock.monotonic() - last,
            connected=state in ("ready", "connected"),
        )


def public_address(base: str, name: str) -> str:
    """Where the platform reaches this channel: below the engine's own public base address. The
    whole address of the channel is taken, too."""
    base = base.rstrip("/")
    return base if "/api/message/" in base else f"{base}/api/message/{name}"


def address_parts(to: str, forms: Mapping[str, str]) -> tuple[str, str]:
    """`user:<id>` as ("user", id). `forms`: the known words and what each means.

    Raises:
        Malformed: another word, or no id.
    """
    word, _, found = to.partition(":")
    if word not in forms or not found.strip():
        known = ", ".join(f"{form}:<{what}>" for form, what in forms.items())
        raise Malformed(f"{to!r} is no address here", hint=f"use {known}")
    return word, found.strip()


async def outgoing_media(host: Host, attachment: Attachment, bytes_max: int) -> Media:
    """The content of a `Reply.media` entry whose `url` is `blob:<hash>` or a `data:` URL; its name
    and MIME type such that they may stand in a header.

    Raises:
        SendRefused: gone, unreadable, too large, or behind another kind of URL.
    """
    if attachment.url.startswith("data:"):
        found = _from_data_url(attachment.url)
    else:
        found = await host.media.get(attachment.url)
    if found is None:
        raise SendRefused(f"the {attachment.kind} {attachment.name!r} is not kept any more")
    if len(found.content) > bytes_max:
        raise SendRefused(
            f"the {attachment.kind} {attachment.name!r} has more than {bytes_max} bytes"
        )
    mime = attachment.mime or found.mime
    return Media(
        kind=attachment.kind,
        content=found.content,
        name=_file_name(attachment.name or found.name) or attachment.kind,
        mime=mime if _MIME.fullmatch(mime) else "application/octet-stream",
    )


def _file_name(name: str) -> str:
    """Without folders, and without what no header can hold: a platform's form would be refused for
    it again and again."""
    last = name.replace("\\", "/").rpartition("/")[2]
    shown = "".join(char for char in last if char.isprintable()).strip()
    if len(shown) <= _NAME_MAX:
        return shown
    stem, dot, ending = shown.rpartition(".")
    keeps = bool(stem) and len(ending) <= _ENDING_MAX
    return f"{stem[: _NAME_MAX - len(ending) - 1]}{dot}{ending}" if keeps else shown[:_NAME_MAX]


def _from_data_url(url: str) -> Media | None:
    head, comma, body = url.removeprefix("data:").partition(",")
    if not comma:
        return None
    mime, _, coding = head.partition(";")
    try:
        coded = coding.endswith("base64")
        content = base64.b64decode(body, validate=True) if coded else unquote_to_bytes(body)
    except ValueError:
        return None
    return Media(kind="file", content=content, mime=mime)
