"""Feishu's events (schema 2.0) as our messages.

Source: Feishu's event pages of `im.message.receive_v1`, `im.message.recalled_v1`,
`im.message.reaction.created_v1` and `deleted_v1`,
`im.chat.access_event.bot_p2p_chat_entered_v1`, `im.chat.member.bot.added_v1`,
`card.action.trigger`.
"""

from dataclasses import dataclass
from typing import Any, Final, cast

from ai_engine.channels.feishu import content
from ai_engine.domain.errors import Malformed
from ai_engine.domain.message import (
    Chat,
    ChatKind,
    InboundMessage,
    Json,
    Sender,
)

MESSAGE: Final = "im.message.receive_v1"
RECALLED: Final = "im.message.recalled_v1"
REACTED: Final = "im.message.reaction.created_v1"
UNREACTED: Final = "im.message.reaction.deleted_v1"
ENTERED: Final = "im.chat.access_event.bot_p2p_chat_entered_v1"
ADDED: Final = "im.chat.member.bot.added_v1"
PRESSED: Final = "card.action.trigger"

THUMBS: Final = {"THUMBSUP": "good", "ThumbsDown": "bad"}
"""`emoji_type` → rating."""
ALL: Final = "@_all"
"""The key of a mention of everybody."""
CONTENT_MAX: Final = 1_000_000
_ID_MAX: Final = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """The envelope of schema 2.0."""

    type: str
    key: str
    """What it is recognised by when it comes again."""
    tenant: str
    body: Json


def event_of(found: Json) -> Event:
    """Raises Malformed: schema 1.0, or no event at all."""
    header: Any = found.get("header")
    if found.get("schema") != "2.0" or not isinstance(header, dict):
        raise Malformed(
            "$.schema: must be 2.0",
            hint="subscribe to version 2.0 of the events, and to the new card callback "
            "(card.action.trigger), on the app's page Events & Callbacks",
        )
    head = cast("Json", header)
    body = object_at(found, "event", "$")
    return Event(
        type=needed_at(head, "event_type", "$.header"),
        key=message_key(head, body),
        tenant=text_at(head, "tenant_key"),
        body=body,
    )


def message_key(header: Json, body: Json) -> str:
    """What Feishu repeats unchanged: a message's own id, else the event's. Raises Malformed.

    Feishu asks to recognise repeated messages by `message_id`; all else has only `event_id`.
    """
    if header.get("event_type") == MESSAGE:
        return needed_at(object_at(body, "message", "$.event"), "message_id", "$.event.message")
    return needed_at(header, "event_id", "$.header")


def sender_of(ids: Json, tenant: str) -> Sender:
    """By the open_id, which every app gets; the user_id needs a right of its own."""
    return Sender(platform="feishu", user_id=needed_at(ids, "open_id", "$.event"), tenant=tenant)


def chat_of(kind: str, chat_id: str, user_id: str, thread: str = "") -> Chat:
    """A private chat is named by the person: a bot has one with each, and events about it, and
    messages that begin it, do not all know its chat_id."""
    if kind == "group":
        return Chat(kind=ChatKind.GROUP, id=chat_id, thread=thread)
    if kind == "p2p":
        return Chat(kind=ChatKind.PRIVATE, id=user_id, thread=thread)
    raise Malformed("$.event.message.chat_type: must be p2p or group")


def target_of(chat: Chat, chat_id: str, message_id: str = "") -> Json:
    """Where an answer goes: as a reply to `message_id` while it exists, else to the chat."""
    kind = "group" if chat.kind is ChatKind.GROUP else "p2p"
    return {
        "conversation": chat_id,
        "receive_id": chat_id,
        "receive_id_type": "chat_id",
        "chat_type": kind,
        "chat": chat.id,
        "message_id": message_id,
        "thread": chat.thread,
    }


def mentions_bot(event: Event, bot: str) -> bool:
    """Whether a message is for the bot: private, @-ed, or @all. Without knowing the bot's own id
    every message with an @ counts; Feishu by default delivers no others of groups. Raises
    Malformed."""
    message = object_at(event.body, "message", "$.event")
    if message.get("chat_type") == "p2p":
        return True
    mentions = _mentions(message)
    if any(key == ALL or not bot or who == bot for key, _, who in mentions):
        return True
    return content.calls_all(
        text_at(message, "message_type"), text_at(message, "content", CONTENT_MAX)
    )


def has_mentions(event: Event) -> bool:
    """Whether it depends on who the bot is what a message says, and whether it is for it."""
    return bool(_mentions(object_at(event.body, "message", "$.event")))


def decode_message(event: Event, channel: str, bot: str, received_at: float) -> InboundMessage:
    """A person's message.

    Raises:
        Malformed: it names the JSON path of what is missing or wrong.
    """
    message = object_at(event.body, "message", "$.event")
    ids = object_at(object_at(event.body, "sender", "$.event"), "sender_id", "$.event.sender")
    sender = sender_of(ids, tenant_of(event, "sender"))
    message_id = needed_at(message, "message_id", "$.event.message")
    chat_id = needed_at(message, "chat_id", "$.event.message")
    kind, text, attachments = content.read(
        needed_at(message, "message_type", "$.event.message"),
        text_at(message, "content", CONTENT_MAX),
        message_id,
    )
    chat = chat_of(
        text_at(message, "chat_type"), chat_id, sender.user_id, text_at(message, "thread_id")
    )
    return InboundMessage(
        channel=channel,
        message_id=event.key,
        sender=sender,
        chat=chat,
        kind=kind,
        text=_addressed(text, message, bot).strip(),
        attachments=attachments,
        target=target_of(chat, chat_id, message_id),
        received_at=received_at,
    )


def from_bot(event: Event) -> bool:
    """Whether a bot wrote the message, this one or another."""
    sender = object_at(event.body, "sender", "$.event")
    return sender.get("sender_type", "user") != "user"


def parent_of(event: Event) -> str:
    """The id of the message that this one answers; empty when it answers none."""
    return text_at(object_at(event.body, "message", "$.event"), "parent_id")


def tenant_of(event: Event, role: str) -> str:
    """The organisation of the person in that role (sender, operator): in a group that is shared
    with another organisation it is theirs, else the app's."""
    person: Any = event.body.get(role)
    own = text_at(cast("Json", person), "tenant_key") if isinstance(person, dict) else ""
    return own or event.tenant


def tenants_of(event: Event) -> set[str]:
    """The organisations that an event comes from: the app's, and the person's where it differs."""
    return {event.tenant, *(tenant_of(event, role) for role in ("sender", "operator"))}


def _mentions(message: Json) -> list[tuple[str, str, str]]:
    """(key in the text, shown name, open_id) of each."""
    given: Any = message.get("mentions")
    found: list[tuple[str, str, str]] = []
    for each in cast("list[Any]", given) if isinstance(given, list) else []:
        if not isinstance(each, dict):
            continue
        mention = cast("Json", each)
        ids: Any = mention.get("id")
        who = text_at(cast("Json", ids), "open_id") if isinstance(ids, dict) else ""
        found.append((text_at(mention, "key"), text_at(mention, "name"), who))
    return found


def _addressed(text: str, message: Json, bot: str) -> str:
    """The words without the @ that called the bot; other mentions as @name."""
    # The longest first: @_user_1 is the beginning of @_user_10.
    for key, name, who in sorted(_mentions(message), reverse=True):
        if key and key != ALL:
            text = text.replace(key, "" if bot and who == bot else f"@{name or who}")
    return content.without_all(text) if message.get("message_type") == "text" else text


def object_at(body: Json, key: str, path: str) -> Json:
    """Raises Malformed."""
    found = body.get(key)
    if not isinstance(found, dict):
        raise Malformed(f"{path}.{key}: must be an object")
    return cast("Json", found)


def needed_at(body: Json, key: str, path: str) -> str:
    """Raises Malformed."""
    found = body.get(key)
    if not isinstance(found, str) or not 0 < len(found) <= _ID_MAX:
        raise Malformed(f"{path}.{key}: must be a text of 1 to {_ID_MAX} characters")
    return found


def text_at(body: Json, key: str, longest: int = _ID_MAX) -> str:
    """Empty when it is missing, no text or too long."""
    found = body.get(key)
    return found if isinstance(found, str) and len(found) <= longest else ""
