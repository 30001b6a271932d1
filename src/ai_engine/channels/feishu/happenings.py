"""Events about messages and chats: pressed buttons, reactions, recalls, first contacts."""

from typing import Any, cast

from ai_engine.channels.feishu.codec import (
    ADDED,
    REACTED,
    THUMBS,
    Event,
    chat_of,
    needed_at,
    object_at,
    sender_of,
    target_of,
    tenant_of,
    text_at,
)
from ai_engine.channels.feishu.recent import Seen
from ai_engine.domain.message import InboundMessage, Json, MessageKind


def welcome(event: Event, channel: str, received_at: float) -> InboundMessage | None:
    """A person's first look into the chat, or the bot's arrival in a group.

    None when the chat has messages already (`last_message_id`). Raises Malformed.
    """
    group = event.type == ADDED
    if not group and text_at(event.body, "last_message_id"):
        return None
    sender = sender_of(object_at(event.body, "operator_id", "$.event"), event.tenant)
    chat_id = needed_at(event.body, "chat_id", "$.event")
    chat = chat_of("group" if group else "p2p", chat_id, sender.user_id)
    return InboundMessage(
        channel=channel,
        message_id=event.key,
        sender=sender,
        chat=chat,
        kind=MessageKind.WELCOME,
        target=target_of(chat, chat_id),
        received_at=received_at,
    )


def message_of(event: Event) -> str:
    """The id of the message that a recall or a reaction names. Raises Malformed."""
    return needed_at(event.body, "message_id", "$.event")


def recall(
    event: Event, channel: str, seen: Seen | None, received_at: float
) -> InboundMessage | None:
    """A message taken back. The event does not say whose it was: None when it is not remembered.
    Raises Malformed."""
    if seen is None or seen.sender is None:
        return None
    return InboundMessage(
        channel=channel,
        message_id=event.key,
        sender=seen.sender,
        chat=seen.chat,
        kind=MessageKind.RECALL,
        payload={"of": message_of(event)},
        target=target_of(seen.chat, seen.conversation),
        received_at=received_at,
    )


def is_thumb(event: Event) -> bool:
    """Whether a person puts or takes back 👍 or 👎. Raises Malformed."""
    return _emoji(event) in THUMBS and event.body.get("operator_type") == "user"


def _emoji(event: Event) -> str:
    return text_at(object_at(event.body, "reaction_type", "$.event"), "emoji_type")


def reaction(
    event: Event, channel: str, seen: Seen | None, received_at: float
) -> InboundMessage | None:
    """👍 or 👎 (see `is_thumb`) under an answer of the bot's. None when the message is none of the
    bot's, or is not remembered: the event names no chat. Raises Malformed."""
    if seen is None or seen.sender is not None:
        return None
    rating = THUMBS[_emoji(event)] if event.type == REACTED else "none"
    return InboundMessage(
        channel=channel,
        message_id=event.key,
        sender=sender_of(object_at(event.body, "user_id", "$.event"), event.tenant),
        chat=seen.chat,
        kind=MessageKind.FEEDBACK,
        payload={"rating": rating, "of": seen.feedback, "text": ""},
        target=target_of(seen.chat, seen.conversation),
        received_at=received_at,
    )


def pressed(event: Event) -> Json:
    """The value that our card gave the pressed button: `{"v"|"ref", "chat", "thread"}`."""
    value: Any = object_at(event.body, "action", "$.event").get("value")
    return cast("Json", value) if isinstance(value, dict) else {}


def button(
    event: Event, channel: str, given: Json, payload: Json, received_at: float
) -> InboundMessage:
    """A pressed button whose value is `payload`. Raises Malformed."""
    sender = sender_of(object_at(event.body, "operator", "$.event"), tenant_of(event, "operator"))
    context = object_at(event.body, "context", "$.event")
    chat_id = needed_at(context, "open_chat_id", "$.event.context")
    kind = "group" if given.get("chat") == "group" else "p2p"
    chat = chat_of(kind, chat_id, sender.user_id, text_at(given, "thread"))
    return InboundMessage(
        channel=channel,
        message_id=event.key,
        sender=sender,
        chat=chat,
        kind=MessageKind.BUTTON,
        payload=payload,
        target=target_of(chat, chat_id, text_at(context, "open_message_id")),
        received_at=received_at,
    )
