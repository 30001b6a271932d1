"""Slack's events as our messages.

Source: docs.slack.dev, "Events API" (envelope `event_callback`) and the pages of the events
`message`, `app_mention`, `app_home_opened`. The same payload comes by HTTP and by Socket Mode.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, cast

from ai_engine.channels.slack.inbound_files import attachments, transcript
from ai_engine.channels.slack.markup import as_text, mentioned, unescape
from ai_engine.domain.errors import Malformed
from ai_engine.domain.message import (
    Attachment,
    Chat,
    ChatKind,
    InboundMessage,
    Json,
    MessageKind,
    Sender,
)

ID_MAX: Final = 256
_TAKEN: Final = frozenset(("", "file_share", "me_message", "thread_broadcast"))
"""Subtypes of `message` that are a person's own words; the others tell of joins, topics, pins."""
_UNREADABLE: Final = "没有文字的消息 / a message without words"
_NAMES: Final = {"audio": "语音 / voice message", "video": "视频 / video"}


def same(user_id: str) -> str:
    """The name of somebody whose name is not known."""
    return user_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a payload's reader must know besides the payload."""

    channel: str
    """The configured channel's name."""
    received_at: float
    bots: frozenset[str] = frozenset()
    """User ids of the bot."""
    name_of: Callable[[str], str] = same


def message_key(envelope: Json) -> str:
    """The dedup key of an event: for a post channel and time stamp, which a mention's `app_mention`
    and `message` share and every retry repeats; for all else the event's id. Raises Malformed."""
    event = part(envelope, "event")
    posted = event.get("type") == "app_mention" or (
        event.get("type") == "message" and optional(event, "subtype") in _TAKEN
    )
    if posted:
        return post_id(needed(event, "channel", "$.event"), needed(event, "ts", "$.event"))
    return needed(envelope, "event_id")


def post_id(channel: str, ts: str) -> str:
    """The message id of a post."""
    return f"{channel}:{ts}"


def bots_of(envelope: Json) -> frozenset[str]:
    """The bot's user ids as the envelope tells them."""
    found: Any = envelope.get("authorizations")
    entries = cast("list[Any]", found) if isinstance(found, list) else []
    return frozenset(
        optional(cast("Json", entry), "user_id")
        for entry in entries[:10]
        if isinstance(entry, dict) and cast("Json", entry).get("is_bot") is True
    ) - {""}


def people_in(envelope: Json) -> list[str]:
    """Whose names a reader of this envelope wants to know."""
    event = _maybe(envelope, "event")
    post = _maybe(event, "message") or _maybe(event, "previous_message") or event
    if optional(event, "type") not in ("message", "app_mention", "app_home_opened"):
        return []
    ids = [optional(post, "user"), *mentioned(optional(post, "text", 100_000))]
    return list(dict.fromkeys(filter(None, ids)))[:6]


def tenant_of(envelope: Json) -> str:
    """The sender's workspace; in a channel shared with another organisation it is theirs."""
    event = part(envelope, "event")
    return optional(event, "user_team") or optional(envelope, "team_id")


def decode(envelope: Json, context: Context) -> InboundMessage | None:
    """The message of an `event_callback`, or None for what is not said to the bot by a person.

    Raises:
        Malformed: it names the JSON path of what is missing or wrong.
    """
    event = part(envelope, "event")
    kind, subtype = optional(event, "type"), optional(event, "subtype")
    if kind == "app_home_opened":
        return _welcome(envelope, event, context)
    if kind not in ("message", "app_mention"):
        return None
    if subtype == "message_changed":
        return _changed(envelope, event, context)
    if subtype == "message_deleted":
        return _deleted(envelope, event, context)
    if subtype not in _TAKEN or _is_own(event, context):
        return None
    private = _is_private(event)
    words = optional(event, "text", 1_000_000)
    if not private and kind != "app_mention" and not _calls(words, context):
        return None
    return _post(envelope, event, context, private=private)


def _post(envelope: Json, event: Json, context: Context, *, private: bool) -> InboundMessage:
    words = optional(event, "text", 1_000_000)
    text = as_text(words, context.bots, context.name_of) or transcript(event)
    files = attachments(event)
    kind, text = _kind(words or text, text, files)
    return _message(
        envelope,
        event,
        context,
        private=private,
        kind=kind,
        text=text,
        quote=_quote(event),
        files=files,
    )


def _kind(words: str, text: str, files: tuple[Attachment, ...]) -> tuple[MessageKind, str]:
    """What cannot be read is named, not guessed; a mention alone is a text without words."""
    if words or any(file.kind in ("image", "file") for file in files):
        return MessageKind.TEXT, text
    return MessageKind.UNSUPPORTED, _NAMES[files[0].kind] if files else _UNREADABLE


def _message(
    envelope: Json,
    event: Json,
    context: Context,
    *,
    private: bool,
    kind: MessageKind,
    text: str = "",
    quote: str = "",
    files: tuple[Attachment, ...] = (),
    payload: Json | None = None,
) -> InboundMessage:
    """`event` has the sender and the place; of an edit or a recall it is the changed post."""
    user = needed(event, "user", "$.event")
    channel = needed(event, "channel", "$.event")
    ts, thread = optional(event, "ts"), optional(event, "thread_ts")
    if not private:
        thread = thread or ts
    return InboundMessage(
        channel=context.channel,
        message_id=message_key(envelope),
        sender=sender(user, tenant_of(envelope), context),
        chat=Chat(kind=ChatKind.PRIVATE if private else ChatKind.GROUP, id=channel, thread=thread),
        kind=kind,
        text=text,
        quote=quote,
        attachments=files,
        payload=payload or {},
        target=target(channel, thread, ts, user, optional(envelope, "team_id"), private=private),
        received_at=context.received_at,
    )


def sender(user: str, tenant: str, context: Context) -> Sender:
    """A person; the name where it is known."""
    name = context.name_of(user)
    return Sender(platform="slack", user_id=user, tenant=tenant, name=name if name != user else "")


def target(channel: str, thread: str, ts: str, user: str, team: str, *, private: bool) -> Json:
    """Where an answer goes: in channels always into a thread, in private chats only into one that
    the person is in."""
    return {
        "conversation": channel,
        "channel": channel,
        "thread_ts": thread,
        "ts": ts,
        "user": user,
        "team": team,
        "private": private,
    }


def _changed(envelope: Json, event: Json, context: Context) -> InboundMessage | None:
    """Also sent when Slack adds a preview of a link: then the words are the same."""
    new, old = part(event, "message", "$.event"), _maybe(event, "previous_message")
    if optional(new, "subtype") == "tombstone":
        return _deleted(envelope, {**event, "deleted_ts": new.get("ts")}, context)
    words, before = (optional(post, "text", 1_000_000) for post in (new, old))
    if _is_own(new, context) or words == before or optional(new, "subtype") not in _TAKEN:
        return None
    private = _is_private(event)
    if not private and not (_calls(words, context) or _calls(before, context)):
        return None
    channel = needed(event, "channel", "$.event")
    of = post_id(channel, needed(new, "ts", "$.event.message"))
    return _message(
        envelope,
        {**new, "channel": channel},
        context,
        private=private,
        kind=MessageKind.EDIT,
        text=as_text(words, context.bots, context.name_of),
        payload={"of": of},
    )


def _deleted(envelope: Json, event: Json, context: Context) -> InboundMessage | None:
    old = _maybe(event, "previous_message")
    if not optional(old, "user") or _is_own(old, context):
        return None  # nobody's, or the bot's own
    private = _is_private(event)
    if not private and not _calls(optional(old, "text", 1_000_000), context):
        return None
    channel = needed(event, "channel", "$.event")
    of = post_id(channel, needed(event, "deleted_ts", "$.event"))
    return _message(
        envelope,
        {**old, "channel": channel},
        context,
        private=private,
        kind=MessageKind.RECALL,
        payload={"of": of},
    )


def _welcome(envelope: Json, event: Json, context: Context) -> InboundMessage | None:
    if optional(event, "tab") not in ("", "messages"):
        return None
    user, channel = needed(event, "user", "$.event"), needed(event, "channel", "$.event")
    return _message(
        envelope,
        {"user": user, "channel": channel},
        context,
        private=True,
        kind=MessageKind.WELCOME,
    )


def _is_private(event: Json) -> bool:
    kind = optional(event, "channel_type")
    return kind == "im" or (not kind and optional(event, "channel").startswith("D"))


def _is_own(post: Json, context: Context) -> bool:
    """Written by this or another bot."""
    return bool(
        post.get("bot_id")
        or post.get("bot_profile")
        or optional(post, "subtype") == "bot_message"
        or optional(post, "user") in context.bots
    )


def _calls(words: str, context: Context) -> bool:
    return any(f"<@{bot}" in words for bot in context.bots)


def _quote(event: Json) -> str:
    """A message that was shared along with the words comes as an attachment."""
    found: Any = event.get("attachments")
    for entry in cast("list[Any]", found)[:10] if isinstance(found, list) else []:
        if isinstance(entry, dict):
            shared = cast("Json", entry)
            if shared.get("is_share") is True or shared.get("is_msg_unfurl") is True:
                return unescape(optional(shared, "text", 100_000))
    return ""


def _maybe(body: Json, key: str) -> Json:
    found: Any = body.get(key)
    return cast("Json", found) if isinstance(found, dict) else {}


def part(body: Json, key: str, path: str = "$") -> Json:
    """An object in `body`. Raises Malformed."""
    found: Any = body.get(key)
    if not isinstance(found, dict):
        raise Malformed(f"{path}.{key}: must be an object")
    return cast("Json", found)


def needed(body: Json, key: str, path: str = "$") -> str:
    """An id in `body`. Raises Malformed."""
    found: Any = body.get(key)
    if not isinstance(found, str) or not 0 < len(found) <= ID_MAX:
        raise Malformed(f"{path}.{key}: must have 1 to {ID_MAX} characters")
    return found


def optional(body: Json, key: str, longest: int = ID_MAX) -> str:
    """A text in `body`; empty when it is none or too long."""
    found: Any = body.get(key)
    return found if isinstance(found, str) and len(found) <= longest else ""
