"""The `Channel` port: what every platform connector offers and what it may rely on."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ai_engine.domain.message import Attachment, Chat, InboundMessage, Json, Media
from ai_engine.domain.reply import Reply


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What the platform can do; the pipeline degrades what it cannot."""

    text_limit: int
    """The longest text of one message, in `text_unit`."""
    text_unit: str = "chars"
    """bytes (UTF-8) | chars (code points) | utf16 (code units)"""
    markdown: bool = False
    cards: bool = False
    streaming: bool = False
    stream_by_key: bool = True
    """`open_stream` finds the same stream again by its key alone: no need to keep its handle."""
    stream_interval_ms: int = 0
    """The least time between two updates of one stream."""
    idempotent: bool = False
    """The platform takes an idempotency key: a repeated send shows once."""
    images: bool = False
    files: bool = False
    """Files can be sent, as `Reply.media`."""
    media_bytes_max: int = 20_000_000
    """The largest image or file, in either direction."""
    sends_per_second: float = 0.0
    """Pace per conversation (`target["conversation"]`, else the session); 0 is no limit of the
    platform's."""
    seen: bool = False
    """`seen` shows the person that the bot is at work (typing, a reaction)."""
    one_owner: bool = False
    """Only one process may hold the long connection: `run` waits until this one owns the journal.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookRequest:
    """One HTTP request as it came. `body` is raw: signatures cover bytes."""

    method: str
    path: str
    """What follows `/api/message/<channel>`, usually empty."""
    headers: Mapping[str, str]
    """Names in lower case."""
    query: Mapping[str, str]
    body: bytes
    remote: str = ""
    """The peer's address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookResponse:
    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    media_type: str = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """What a channel learns of a message that it handed in: it is durable."""

    id: str
    duplicate: bool


Accept = Callable[[InboundMessage], Awaitable[Accepted]]
"""Ingress. Durable when it returns; only then may the platform be told "ok".
Raises Overloaded (answer 503 with Retry-After) or Refused."""

StoredReplies = Callable[[str], Awaitable[Sequence[Reply] | None]]
"""What was answered to a message, by the platform's message id; None when not handled yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """One reply on its way out, with what a channel may need to address it."""

    reply: Reply
    target: Json
    """`InboundMessage.target` of the answered message."""
    in_reply_to: str
    """The platform's id of the answered message."""
    inbound_id: str
    """Our id of the answered message."""
    session_key: str
    user_id: str
    attempt: int = 1


class MediaStore(Protocol):
    """Contents by their hash, for a limited time. Implemented by `storage.media`."""

    async def put(self, content: bytes, *, name: str = "", mime: str = "") -> str:
        """Keep it; `blob:<hash>`. Raises TooLarge."""
        ...

    async def get(self, ref: str) -> Media | None:
        """By `blob:<hash>`; None when it is gone."""
        ...


class Notes(Protocol):
    """What a connector must know of a message again, after a restart too: by a key of its own, for
    7 days (`journal.base.Limits`). Implemented by `journal.notes`."""

    def put(self, key: str, value: str) -> None:
        """Keep the value, at once and without waiting; on the disk within 50 ms. A crash in that
        moment loses it. Key and value of more than 4 KiB together are not kept."""
        ...

    async def get(self, key: str) -> str | None:
        """The newest value; None when there is none, it is too old, or the journal cannot be read
        (which is logged)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A person as the platform's directory knows them."""

    user_id: str
    name: str = ""
    email: str = ""
    departments: tuple[str, ...] = ()
    manager: str = ""
    """The user id of who leads them, where the directory says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a message that answers nothing goes."""

    chat: Chat
    user_id: str
    """Whose session it belongs to; empty for a group's."""
    target: Json
    tenant: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What `channels list`, `/readyz` and the metrics show of a channel."""

    state: str
    """ready | connecting | connected | failing | off | plugin_missing"""
    detail: str = ""
    last_event_age_seconds: float | None = None
    connected: bool = True


class Channel(Protocol):
    """One configured connection to a platform.

    Built by `channels.build`; owned by the engine, which calls `start`, runs `run` under
    supervision (a crash is restarted with backoff), and calls `close` at the end.
    """

    name: str
    type: str
    capabilities: Capabilities

    async def start(self) -> None:
        """Open sessions and caches. Must not call the platform."""
        ...

    async def webhook(self, request: WebhookRequest, accept: Accept) -> WebhookResponse:
        """Verify, decode, accept, acknowledge.

        Raises:
            Refused: with the status to answer. Unauthenticated/Forbidden are audited.
        """
        ...

    async def run(self, accept: Accept) -> None:
        """The long connection; returns at once when the channel has none."""
        ...

    async def send(self, outgoing: Outgoing) -> None:
        """One reply, already within `capabilities.text_limit`.

        Raises:
            SendRetryable: try later. SendRefused: never.
        """
        ...

    async def open_stream(self, target: Json, key: str) -> Json | None:
        """Begin a streamed reply and return its handle (plain data), or None when this target
        cannot stream. The same key gives the same stream."""
        ...

    async def update(self, handle: Json, text: str) -> None:
        """The full text so far. Best effort: a lost update is mended by the next."""
        ...

    async def finish(self, handle: Json, outgoing: Outgoing) -> None:
        """The final text of a stream. Works from any process, after a restart, and twice.

        Raises:
            SendRetryable, SendRefused.
        """
        ...

    async def seen(self, target: Json) -> None:
        """Show that the message was noticed. Best effort, once a turn; may raise SendFailed."""
        ...

    async def fetch(self, attachment: Attachment, target: Json) -> Media:
        """The content of an inbound attachment that has a `ref`.

        Raises:
            SendRetryable, SendRefused (too large, gone, not allowed).
        """
        ...

    def address(self, to: str) -> Address:
        """Where a proactive message goes: `user:<id>`, `group:<id>`, or what else the platform has.

        Raises:
            Malformed: not a form that this channel knows.
        """
        ...

    async def profile(self, user_id: str) -> Profile | None:
        """From the platform's directory; None when it has none or does not know the person.

        Raises:
            SendRetryable, SendRefused, PermissionMissing.
        """
        ...

    async def check(self) -> str:
        """Call the platform once with the credentials: what it says of the app, in a line.

        Raises:
            SendRetryable, SendRefused, PermissionMissing, Unauthenticated.
        """
        ...

    async def register(self, base_url: str) -> str:
        """Tell the platform this channel's address below the engine's public `base_url`, where it
        takes that by a call; the address that it took.

        Raises:
            SendRefused: it is entered in the platform's console, or nothing calls this channel.
            SendRetryable, PermissionMissing, Unauthenticated.
        """
        ...

    def status(self) -> Status: ...

    async def close(self) -> None: ...
