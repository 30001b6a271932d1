"""Telegram's updates as our messages. Sources: Bot API, Update and the types it names."""

from dataclasses import replace
from typing import Any, Final, cast

from ai_engine.channels.telegram.content import Me, kind_of, record, text, whole, words
from ai_engine.domain.errors import Malformed
from ai_engine.domain.message import Chat, ChatKind, InboundMessage, Json, MessageKind, Sender

UPDATES: Final = (
    "message",
    "edited_message",
    "callback_query",
    "message_reaction",
    "my_chat_member",
)
"""What setWebhook and getUpdates are asked for. `message_reaction` comes only when it is named."""

_GONE: Final = frozenset({"left", "kicked"})
_THERE: Final = frozenset({"member", "administrator"})
_RATINGS: Final = {"👍": "good", "👎": "bad"}
_QUOTE_MAX: Final = 4096


def message_key(update: Json) -> str:
    """The dedup key: `<chat>:<message id>` of a new message, so that edits, replies and reactions
    can name it; the callback's id of a pressed button; else the update's id. A repeated update
    has the same key."""
    if message := record(update, "message"):
        return of_message(record(message, "chat").get("id"), message.get("message_id"))
    if pressed := text(record(update, "callback_query"), "id"):
        return pressed
    return f"update:{update.get('update_id')}"


def of_message(chat_id: object, message_id: object) -> str:
    """How a message is named, here and in `payload.of`."""
    return f"{chat_id}:{message_id}"


def in_group(update: Json) -> bool:
    """Whether the bot's user name is needed to read it."""
    body = record(update, "message") or record(update, "edited_message")
    return record(body, "chat").get("type") in ("group", "supergroup")


def decode(update: Json, me: Me, channel: str, received_at: float) -> InboundMessage | None:
    """None for what is not for us: channel posts, bots, group talk that does not name the bot.

    A button's payload is `{"data": …}`, its callback data; a part of an album has `target.album`
    and `target.addressed` (which may be False: only one part carries the words).

    Raises:
        Malformed: it is no update.
    """
    if whole(update.get("update_id")) is None:
        raise Malformed("$.update_id: must be a number")
    found: InboundMessage | None = None
    if body := record(update, "message"):
        found = _message(body, me)
    elif body := record(update, "edited_message"):
        found = _edited(body, me)
    elif body := record(update, "callback_query"):
        found = _pressed(body)
    elif body := record(update, "message_reaction"):
        found = _reacted(body)
    elif body := record(update, "my_chat_member"):
        found = _joined(body, me)
    if found is None:
        return None
    key = message_key(update)
    return replace(found, channel=channel, message_id=key, received_at=received_at)


def _message(body: Json, me: Me) -> InboundMessage | None:
    chat, sender = _chat(body), _sender(body, "from")
    if whole(body.get("message_id")) is None:
        raise Malformed("$.….message_id: must be a number")
    if chat is None or sender is None or "sender_chat" in body:
        return None
    said = words(body, me)
    found = kind_of(body, said.text)
    if found is None or said.command == "other":
        return None
    kind, spoken, attachments = found
    album = text(body, "media_group_id")
    addressed = (
        chat.kind is ChatKind.PRIVATE
        or said.mentioned
        or said.command == "mine"
        or _answers(body, me)
    )
    if not addressed and not album:
        return None
    if said.command == "mine" and spoken.split(maxsplit=1)[:1] == ["/start"]:
        kind = MessageKind.WELCOME
    target = _target(body, chat)
    if album:
        target |= {"album": album, "addressed": addressed}
    return InboundMessage(
        channel="",
        message_id="",
        sender=sender,
        chat=chat,
        kind=kind,
        text=spoken,
        quote=_quote(body),
        attachments=attachments,
        target=target,
    )


def _edited(body: Json, me: Me) -> InboundMessage | None:
    """Only words: Telegram also calls a new map position or a link's preview an edit."""
    found = _message({key: body[key] for key in body if key != "media_group_id"}, me)
    if found is None or not found.text or found.kind is MessageKind.UNSUPPORTED:
        return None
    of = of_message(found.chat.id, body.get("message_id"))
    return replace(found, kind=MessageKind.EDIT, payload={"of": of})


def _pressed(body: Json) -> InboundMessage | None:
    """`message` is absent for buttons of inline mode, which we never send."""
    message, sender = record(body, "message"), _sender(body, "from")
    chat = _chat(message) if message else None
    if not text(body, "id"):
        raise Malformed("$.callback_query.id: must be a text")
    if chat is None or sender is None:
        return None
    return InboundMessage(
        channel="",
        message_id="",
        sender=sender,
        chat=chat,
        kind=MessageKind.BUTTON,
        payload={"data": text(body, "data")},
        target=_target(message, chat),
    )


def _reacted(body: Json) -> InboundMessage | None:
    """👍 and 👎 rate; any other reaction says nothing. Anonymous ones have no `user`."""
    chat, sender = _chat(body), _sender(body, "user")
    old, new = _rating(body.get("old_reaction")), _rating(body.get("new_reaction"))
    if chat is None or sender is None or old == new:
        return None
    return InboundMessage(
        channel="",
        message_id="",
        sender=sender,
        chat=chat,
        kind=MessageKind.FEEDBACK,
        payload={"rating": new, "of": "", "text": ""},
        target=_target(body, chat),
    )


def _rating(reactions: object) -> str:
    for each in cast("list[Any]", reactions) if isinstance(reactions, list) else []:
        emoji = text(cast("Json", each), "emoji") if isinstance(each, dict) else ""
        if rating := _RATINGS.get(emoji):
            return rating
    return "none"


def _joined(body: Json, me: Me) -> InboundMessage | None:
    """The bot was added to a group. In private chats this tells of blocking and unblocking only;
    there the first words are `/start`."""
    chat, sender = _chat(body), _sender(body, "from")
    new = record(body, "new_chat_member")
    if chat is None or sender is None or chat.kind is ChatKind.PRIVATE:
        return None
    was = record(body, "old_chat_member").get("status")
    if record(new, "user").get("id") != me.id or was not in _GONE:
        return None
    if new.get("status") not in _THERE:
        return None
    return InboundMessage(
        channel="",
        message_id="",
        sender=sender,
        chat=chat,
        kind=MessageKind.WELCOME,
        target=_target(body, chat),
    )


def _chat(body: Json) -> Chat | None:
    """None for a channel's. Raises Malformed."""
    chat = record(body, "chat")
    number, kind = whole(chat.get("id")), chat.get("type")
    if number is None or not isinstance(kind, str):
        raise Malformed("$.….chat: needs a numeric id and a type")
    if kind not in ("private", "group", "supergroup"):
        return None
    return Chat(
        kind=ChatKind.PRIVATE if kind == "private" else ChatKind.GROUP,
        id=str(number),
        thread=str(_topic(body) or ""),
        title=text(chat, "title"),
    )


def _topic(body: Json) -> int:
    """A forum topic. `message_thread_id` alone may also be a thread of replies, which sending does
    not take (Bot API, Message.is_topic_message)."""
    return (whole(body.get("message_thread_id")) or 0) if body.get("is_topic_message") else 0


def _sender(body: Json, key: str) -> Sender | None:
    """None for bots and for those whom Telegram does not name. Raises Malformed."""
    person = record(body, key)
    if not person or person.get("is_bot"):
        return None
    number = whole(person.get("id"))
    if number is None:
        raise Malformed(f"$.….{key}.id: must be a number")
    name = f"{text(person, 'first_name')} {text(person, 'last_name')}".strip()
    return Sender(platform="telegram", user_id=str(number), name=name or text(person, "username"))


def _target(body: Json, chat: Chat) -> Json:
    """`message_id` is 0 where nothing can be replied to."""
    return {
        "chat_id": int(chat.id),
        "kind": chat.kind.value,
        "message_id": whole(body.get("message_id")) or 0,
        "thread_id": _topic(body),
        "conversation": chat.id,
    }


def _answers(body: Json, me: Me) -> bool:
    """Whether it replies to the bot; each message of a topic "replies" to the topic's beginning."""
    asked = record(body, "reply_to_message")
    return record(asked, "from").get("id") == me.id and "forum_topic_created" not in asked


def _quote(body: Json) -> str:
    """The part that the person marked, else the whole message that is replied to."""
    marked = text(record(body, "quote"), "text", _QUOTE_MAX)
    asked = record(body, "reply_to_message")
    return marked or text(asked, "text", _QUOTE_MAX) or text(asked, "caption", _QUOTE_MAX)
