"""What arrives: one neutral message, whatever the platform."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

Json = dict[str, Any]
"""A JSON object as Python values: str, int, float, bool, None, list and dict only."""


class MessageKind(StrEnum):
    """Everything that happens to a session is a message of one of these kinds."""

    TEXT = "text"
    BUTTON = "button"
    """A pressed card button; `payload` holds the button's value."""
    RESUME = "resume"
    """The answer to a suspended call: payload `{"call": id, "answer": "approve|deny|expired"}`."""
    NOTICE = "notice"
    """From the engine itself or from another session: a due reminder, a scheduled message."""
    UNSUPPORTED = "unsupported"
    """A platform content type that cannot be read yet; `text` names it."""
    FEEDBACK = "feedback"
    """A rating of an answer: payload `{"rating": "good|bad|none", "of": id, "text": words}`. `of`
    is a reply's `feedback` value, or empty for the newest answer of the session; `none` takes a
    rating back."""
    EDIT = "edit"
    """The sender changed an earlier message: payload `{"of": its message_id}`, `text` is the new
    text."""
    RECALL = "recall"
    """The sender took an earlier message back: payload `{"of": its message_id}`."""
    WELCOME = "welcome"
    """A person opened the chat for the first time, or added the bot: greeted once."""


class ChatKind(StrEnum):
    PRIVATE = "private"
    GROUP = "group"


class Lane(StrEnum):
    """Which queue of its session a message takes."""

    MAILBOX = "mailbox"
    """In order, one in flight per session."""
    CONTROL = "control"
    """Overtakes the mailbox: `/stop`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Who wrote, as the platform proved it. A person is (tenant, platform, user_id)."""

    platform: str
    user_id: str
    tenant: str = ""
    name: str = ""
    person: str = ""
    """Set by ingress: the person of the configuration's `people` who has this identity."""


def same_person(one: Sender, other: Sender) -> bool:
    """The same identity, or two that an administrator has linked; whatever they call themselves."""
    if one.person and one.person == other.person:
        return True
    mine = (one.tenant, one.platform, one.user_id)
    return mine == (other.tenant, other.platform, other.user_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chat:
    """Where it was written."""

    kind: ChatKind
    id: str
    thread: str = ""
    title: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """An image, a file or a voice note. `url` may be a `data:` URL, one that the channel made, or
    `blob:<hash>`: kept in the engine's own store (`storage.media`)."""

    kind: str
    """image | audio | video | file"""
    url: str = ""
    name: str = ""
    mime: str = ""
    bytes_size: int = 0
    ref: str = ""
    """The platform's own reference, where fetching needs the platform's API."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """The content of an image or a file."""

    kind: str
    """image | audio | video | file"""
    content: bytes
    name: str = ""
    mime: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class InboundMessage:
    """One accepted thing, with all that a later reader needs; nothing is looked up again."""

    channel: str
    """The configured channel's name."""
    message_id: str
    """The platform's own id; (channel, message_id) is the idempotency key for 24 h."""
    sender: Sender
    chat: Chat
    kind: MessageKind = MessageKind.TEXT
    text: str = ""
    quote: str = ""
    """Text of the message that this one answers, where the platform says."""
    attachments: tuple[Attachment, ...] = ()
    payload: Json = field(default_factory=dict[str, Any])
    target: Json = field(default_factory=dict[str, Any])
    """The reply's address in the channel's own terms, plain data, bound now."""
    received_at: float = 0.0
    """Seconds since the Unix epoch when the engine had read it."""
    trace_id: str = ""
    version: int = 1
    """Format of this record; a reader accepts the previous one too."""


def media_kind(mime: str) -> str:
    """image | audio | video | file, from a MIME type."""
    kind = mime.partition("/")[0].lower()
    return kind if kind in ("image", "audio", "video") else "file"
