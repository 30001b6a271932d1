"""Bot Framework activities as our messages.

Source: Microsoft, Bot Framework "Activity" schema and Teams' pages on bots: conversation update,
reactions, message edit and delete events, installation update, universal actions for cards.
"""

import hashlib
from typing import Any, Final, cast

import msgspec

from ai_engine.channels.teams import content
from ai_engine.channels.teams.fields import items, needed, part, text
from ai_engine.domain.errors import Malformed
from ai_engine.domain.message import (
    Chat,
    ChatKind,
    InboundMessage,
    Json,
    MessageKind,
    Sender,
)

PRESSED: Final = "ai_engine"
"""The key of our buttons' data: its value, or `{"ref": blob:…}` under `PRESSED_REF`."""
PRESSED_REF: Final = "ai_engine_ref"
CARD_ACTION: Final = "adaptiveCard/action"
SUBMIT_ACTION: Final = "message/submitAction"
FILE_CONSENT: Final = "fileConsent/invoke"

_NEW_MEMBERS_MAX: Final = 20
_THREAD: Final = ";messageid="
_GOOD: Final = frozenset({"like", "heart", "laugh", "1f44d", "yes-tone0", "fistbump", "clap"})
_BAD: Final = frozenset({"sad", "angry", "1f44e", "no-tone0", "dislike"})
_UNKNOWN: Final = "未知内容 / unknown content"


def message_key(conversation: str, activity: str) -> str:
    """The dedup key: Bot Framework's activity ids are unique within a conversation."""
    return _joined(conversation, activity)


def _joined(conversation: str, activity: str) -> str:
    return f"{conversation}|{activity}"


def tenant_of(activity: Json) -> str:
    """The organisation's id, in lower case."""
    found = text(part(activity, "conversation"), "tenantId") or text(
        part(activity, "channelData", "tenant"), "id"
    )
    return found.lower()


def decode(activity: Json, channel: str, now: float) -> list[InboundMessage]:
    """The messages in one activity; [] for what says nothing to the bot.

    FEEDBACK's `of` is the id of the rated activity. BUTTON's payload is the button's data as it
    came: `{PRESSED: value}` or `{PRESSED_REF: ref}`.

    Raises:
        Malformed: it names the JSON path of what is missing or wrong.
    """
    kind = needed(activity, "type")
    reader = _READERS.get(kind)
    if reader is None or (_from_bot(activity) and kind not in _BOT_MAY):
        return []
    return [_message(activity, channel, now, **found) for found in reader(activity)]


def _from_bot(activity: Json) -> bool:
    sender = part(activity, "from")
    found = text(sender, "id")
    return (
        found.startswith("28:")
        or sender.get("role") == "bot"
        or bool(found and found == text(part(activity, "recipient"), "id"))
    )


def _message(
    activity: Json,
    channel: str,
    now: float,
    *,
    key: str,
    sender: Json | None = None,
    **said: Any,
) -> InboundMessage:
    conversation = needed(part(activity, "conversation"), "id", "$.conversation")
    who = _sender(sender or part(activity, "from"), activity)
    return InboundMessage(
        channel=channel,
        message_id=message_key(conversation, key),
        sender=who,
        chat=_chat(activity, conversation),
        target=_target(activity, conversation, who.user_id),
        received_at=now,
        **said,
    )


def _sender(found: Json, activity: Json) -> Sender:
    """`aadObjectId` is the person's id in the whole organisation; guests of a meeting lack it."""
    return Sender(
        platform="teams",
        user_id=text(found, "aadObjectId") or needed(found, "id", "$.from"),
        tenant=tenant_of(activity),
        name=text(found, "name"),
    )


def is_personal(activity: Json) -> bool:
    """A chat of one person with the bot."""
    conversation = part(activity, "conversation")
    kind = conversation.get("conversationType")
    return kind == "personal" if kind else not conversation.get("isGroup")


def _chat(activity: Json, conversation: str) -> Chat:
    base, _, thread = conversation.partition(_THREAD)
    data = part(activity, "channelData")
    title = (
        text(part(data, "channel"), "name")
        or text(part(data, "team"), "name")
        or text(part(activity, "conversation"), "name")
    )
    kind = ChatKind.PRIVATE if is_personal(activity) else ChatKind.GROUP
    return Chat(kind=kind, id=base, thread=thread, title=title)


def _target(activity: Json, conversation: str, user_id: str) -> Json:
    """A conversation is answered at any time later: nothing in it expires."""
    said = activity.get("type") == "message"
    return {
        "service": text(activity, "serviceUrl", 2048),
        "conversation": conversation,
        "personal": is_personal(activity),
        "activity": text(activity, "id") if said else text(activity, "replyToId"),
        "bot": text(part(activity, "recipient"), "id"),
        "user": user_id,
        "tenant": tenant_of(activity),
    }


# One reader for each type of activity: what is said, as arguments of `_message`.


def _read_message(activity: Json) -> list[Json]:
    pressed = part(activity, "value")
    own = {"key": needed(activity, "id")}
    if PRESSED in pressed or PRESSED_REF in pressed:
        return [{**own, "kind": MessageKind.BUTTON, "payload": pressed}]
    if not is_personal(activity) and not content.mentioned(activity):
        return []  # only with the right to read all messages of a team do such arrive
    said, files = content.words(activity), content.attachments(activity)
    if not said and not files:
        unknown = "卡片提交 / card submission" if pressed else content.unreadable(activity)
        if unknown or is_personal(activity):  # in a group a mention alone is a way to call the bot
            return [{**own, "kind": MessageKind.UNSUPPORTED, "text": unknown or _UNKNOWN}]
    return [
        {
            **own,
            "kind": MessageKind.TEXT,
            "text": said,
            "attachments": files,
            "quote": content.quote(activity),
        }
    ]


def _read_invoke(activity: Json) -> list[Json]:
    own, name = {"key": needed(activity, "id")}, activity.get("name")
    value = part(activity, "value")
    if name == CARD_ACTION:
        data = part(value, "action", "data")
        if PRESSED not in data and PRESSED_REF not in data:
            raise Malformed("$.value.action.data: is no button of ours")
        return [{**own, "kind": MessageKind.BUTTON, "payload": data}]
    if name == SUBMIT_ACTION and value.get("actionName") == "feedback":
        given = part(value, "actionValue")
        rating = {"like": "good", "dislike": "bad"}.get(str(given.get("reaction")), "none")
        payload = _rated(activity, rating, _feedback_text(given.get("feedback")))
        return [{**own, "kind": MessageKind.FEEDBACK, "payload": payload}]
    return []


def _feedback_text(found: object) -> str:
    """The words of the default form: `{"feedbackText": …}`, as an object or as JSON in a text."""
    if isinstance(found, str):
        try:
            found = msgspec.json.decode(found)
        except (ValueError, RecursionError):
            return str(found)[:4000]
    return text(cast("Json", found), "feedbackText", 20_000) if isinstance(found, dict) else ""


def _rated(activity: Json, rating: str, said: str = "") -> Json:
    return {"rating": rating, "of": text(activity, "replyToId"), "text": said}


def _read_reaction(activity: Json) -> list[Json]:
    """A reaction to the bot's message; one that says neither good nor bad is let go."""
    own = {"key": needed(activity, "id"), "kind": MessageKind.FEEDBACK}
    for reaction in items(activity, "reactionsAdded"):
        rating = _rating(reaction)
        if rating:
            return [{**own, "payload": _rated(activity, rating)}]
    if any(_rating(reaction) for reaction in items(activity, "reactionsRemoved")):
        return [{**own, "payload": _rated(activity, "none")}]
    return []


def _rating(reaction: Json) -> str:
    """Newer reactions are named `<code point>_<name>`."""
    name = text(reaction, "type").lower()
    names = {name, name.partition("_")[0]}
    return "good" if names & _GOOD else "bad" if names & _BAD else ""


def _read_update(activity: Json) -> list[Json]:
    if part(activity, "channelData").get("eventType") != "editMessage":
        return []  # an undeleted message has been answered
    if not is_personal(activity) and not content.mentioned(activity):
        return []
    of, said = needed(activity, "id"), content.words(activity)
    digest = hashlib.sha256(said.encode("utf-8", "replace")).hexdigest()[:16]
    version = text(activity, "timestamp") or digest
    return [
        {
            "key": f"{of}|edit|{version}",
            "kind": MessageKind.EDIT,
            "text": said,
            "payload": {"of": _original(activity, of)},
        }
    ]


def _read_delete(activity: Json) -> list[Json]:
    of = needed(activity, "id")
    payload = {"of": _original(activity, of)}
    return [{"key": f"{of}|recall", "kind": MessageKind.RECALL, "payload": payload}]


def _original(activity: Json, of: str) -> str:
    return _joined(text(part(activity, "conversation"), "id"), of)


def _read_members(activity: Json) -> list[Json]:
    """New members but the bot; when only the bot is new, who added it."""
    bot = text(part(activity, "recipient"), "id")
    added = items(activity, "membersAdded", _NEW_MEMBERS_MAX)
    people = [one for one in added if text(one, "id") and text(one, "id") != bot]
    if not people and added and not _from_bot(activity):
        people = [part(activity, "from")]
    return [_welcome(activity, one) for one in people]


def _read_installation(activity: Json) -> list[Json]:
    if not str(activity.get("action", "")).startswith("add") or _from_bot(activity):
        return []
    return [_welcome(activity, part(activity, "from"))]


def _welcome(activity: Json, person: Json) -> Json:
    """Two events tell of one arrival: the same id, so that one greeting follows."""
    who = "" if is_personal(activity) else text(person, "id")
    return {"key": f"welcome|{who}", "kind": MessageKind.WELCOME, "sender": person}


_READERS: Final = {
    "message": _read_message,
    "invoke": _read_invoke,
    "messageReaction": _read_reaction,
    "messageUpdate": _read_update,
    "messageDelete": _read_delete,
    "conversationUpdate": _read_members,
    "installationUpdate": _read_installation,
}
_BOT_MAY: Final = frozenset({"conversationUpdate"})
"""Types whose `from` may be the bot itself."""
