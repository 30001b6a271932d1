"""Matrix events to our messages; nothing here calls the homeserver.

Sources: Client-Server API, "Instant messaging", "Rich replies", "Threading", "Event replacements",
"Event annotations and reactions", "User and room mentions". What an event says of its sender was
checked by the homeserver, with which we speak on our own token; what it says of *other* events is
only its sender's claim, so what we noted in our own events is read from those alone: `verify_own`.
"""

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from html import unescape
from typing import Any, Final, cast
from urllib.parse import unquote

from ai_engine.channels.matrix.fields import number, objects, part, text
from ai_engine.domain.errors import Forbidden, Malformed
from ai_engine.domain.message import (
    Attachment,
    Chat,
    ChatKind,
    InboundMessage,
    Json,
    MessageKind,
    Sender,
    media_kind,
)

PLATFORM: Final = "matrix"
MESSAGE: Final = "m.room.message"
ENCRYPTED: Final = "m.room.encrypted"
MEMBER: Final = "m.room.member"
NAME: Final = "m.room.name"
REACTION: Final = "m.reaction"
REDACTION: Final = "m.room.redaction"
STICKER: Final = "m.sticker"
POLLS: Final = ("m.poll.start", "org.matrix.msc3381.poll.start")
TYPES: Final = (MESSAGE, ENCRYPTED, MEMBER, NAME, REACTION, REDACTION, STICKER, *POLLS)
"""Events that we ask for."""

_FILES: Final = {"m.image": "image", "m.file": "file", "m.audio": "audio", "m.video": "video"}
_SILENT: Final = frozenset({"m.notice", "m.key.verification.request"})
_USER_ID: Final = re.compile(r"@[^:\s]{0,254}:[^\s/]{1,255}")
_PILL: Final = re.compile(
    r'<a\s[^>]{0,200}?href="https://matrix\.to/#/(@[^"/?]{1,300}|%40[^"/?]{1,300})[^"]{0,300}"[^>]*>'
    r"([^<]{0,300})</a>",
    re.IGNORECASE,
)
_QUOTE: Final = re.compile(r"\A(?:> ?[^\n]*(?:\n|\Z))+\n?")
_QUOTED_HTML: Final = re.compile(r"<mx-reply>.*?</mx-reply>", re.DOTALL)
_AUTHOR: Final = re.compile(r"\A\* ?<@[^>]{1,300}> ?|\A<@[^>]{1,300}> ?")
_TONES: Final = re.compile("[\U0001f3fb-\U0001f3ff\ufe0f]")
_RATINGS: Final = {"👍": "good", "👎": "bad"}
_PILLS_MAX: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Me:
    """The bot's own account."""

    id: str
    name: str = ""
    """Display name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A room as the bot knows it."""

    id: str
    private: bool
    title: str = ""


def message_key(event: Json) -> str:
    """An event's id is the same however often it is read; an edit, a reaction and a redaction are
    events of their own."""
    return text(event, "event_id")


def check(event: Json) -> Json:
    """The event, when it has what every event has. Raises Malformed."""
    if not text(event, "event_id").startswith("$") or len(text(event, "event_id")) > 255:
        raise Malformed("$.event_id: missing or not an event's id")
    if not is_user(text(event, "sender")):
        raise Malformed("$.sender: missing or not a user's id")
    return event


def is_user(found: str) -> bool:
    return len(found) <= 255 and _USER_ID.fullmatch(found) is not None


def tenant_of(user: str) -> str:
    """The homeserver's name in a user's id."""
    return user.partition(":")[2]


def verify_own(event: Json, me: Me) -> None:
    """Return when the bot itself sent this event. Buttons and rating marks of others are forged.

    Raises:
        Forbidden: somebody else did.
    """
    if not me.id or text(event, "sender") != me.id:
        raise Forbidden("buttons and marks count in the bot's own messages only")


def newest(event: Json) -> Json:
    """The content of an event after its edits, which the homeserver bundles; an edit counts only
    when it is by the same sender."""
    edit = part(part(part(event, "unsigned"), "m.relations"), "m.replace")
    if edit and text(edit, "sender") == text(event, "sender"):
        return part(part(edit, "content"), "m.new_content") or part(event, "content")
    return part(event, "content")


# Relations


def relation(content: Json, rel_type: str) -> str:
    """The event that this one has such a relation to; empty when none."""
    found = part(content, "m.relates_to")
    return text(found, "event_id") if text(found, "rel_type") == rel_type else ""


def thread_of(content: Json) -> str:
    return relation(content, "m.thread")


def answered(content: Json) -> str:
    """The event that this one really replies to: in a thread the field is filled for old clients
    too."""
    found = part(content, "m.relates_to")
    if text(found, "rel_type") == "m.thread" and found.get("is_falling_back") is True:
        return ""
    return text(part(found, "m.in_reply_to"), "event_id")


def reacted(content: Json) -> tuple[str, str]:
    """(event, emoji) of a reaction; ("", "") when it is none."""
    of = relation(content, "m.annotation")
    return (of, text(part(content, "m.relates_to"), "key")) if of else ("", "")


def redacted(event: Json) -> str:
    """The event that was taken back: its place depends on the room's version."""
    return text(part(event, "content"), "redacts") or text(event, "redacts")


def rating_of(key: str) -> str:
    """good, bad, or empty; a skin tone changes nothing."""
    return _RATINGS.get(_TONES.sub("", key), "")


# Words


def words_of(content: Json) -> tuple[str, str]:
    """(text, quote): the body without the lines that quote for old clients."""
    body = text(content, "body")
    if not answered(content) and not thread_of(content):
        return body.strip(), ""
    found = _QUOTE.match(body)
    if found is None:
        return body.strip(), ""
    lines = (line.removeprefix(">").removeprefix(" ") for line in found[0].strip().split("\n"))
    return body[found.end() :].strip(), _AUTHOR.sub("", "\n".join(lines)).strip()


def names(content: Json, me: Me) -> bool:
    """Whether a message in a group is for the bot: it mentions it; older clients, which do not
    say whom they mention, write its id, its pill, or its name."""
    if "m.mentions" in content:
        listed: Any = part(content, "m.mentions").get("user_ids")
        return isinstance(listed, list) and me.id in cast("list[Any]", listed)
    if any(user == me.id for user, _ in _pills(content)):
        return True
    return _mine(me).search(words_of(content)[0]) is not None


def without_mention(words: str, content: Json, me: Me) -> str:
    """The text as it was meant for the bot; other people's mentions become @name."""
    for user, label in _pills(content):
        if user != me.id and label and f"@{label}" not in words:
            words = words.replace(label, f"@{label}", 1)
        elif user == me.id and label:
            words = re.sub(rf"@?{re.escape(label)}(?!\w)[:：,，]?", "", words, count=1)
    words = _mine(me).sub("", words)
    return re.sub(r"[ \t]{2,}", " ", words).strip(" \t\n,，:：")


@lru_cache(maxsize=64)
def _mine(me: Me) -> re.Pattern[str]:
    """The bot's id anywhere; its display name with @ anywhere, or at the beginning."""
    found = [re.escape(me.id) + r"(?![A-Za-z0-9_-]|[.:][A-Za-z0-9])"]
    for name in dict.fromkeys((me.name, me.id[1:].partition(":")[0])):
        if name:
            quoted = re.escape(name)
            found += [rf"(?<![\w@])@{quoted}(?![\w.:-]|:\w)", rf"\A\s*{quoted}(?=[\s:：,，]|\Z)"]
    return re.compile(rf"(?:{'|'.join(found)})[:：,，]?", re.IGNORECASE)


def _pills(content: Json) -> list[tuple[str, str]]:
    """(user id, label) of the mentions in the formatted text, the quoted text left out."""
    formatted = text(content, "formatted_body")
    if "matrix.to" not in formatted or len(formatted) > 65_536:
        return []
    found = _PILL.findall(_QUOTED_HTML.sub("", formatted))[:_PILLS_MAX]
    return [(unquote(unescape(user)), unescape(label).strip().lstrip("@")) for user, label in found]


# Contents


def attachments(content: Json) -> tuple[Attachment, ...]:
    """The file of a message, by its `mxc://` address."""
    kind, ref = _FILES.get(text(content, "msgtype"), ""), text(content, "url")
    if not kind or not ref.startswith("mxc://"):
        return ()
    info = part(content, "info")
    mime = text(info, "mimetype")[:100]
    return (
        Attachment(
            kind=media_kind(mime) if kind == "file" and mime else kind,
            name=(text(content, "filename") or text(content, "body"))[:255],
            mime=mime,
            bytes_size=max(0, number(info, "size")),
            ref=ref,
        ),
    )


def unreadable(kind: str, content: Json) -> str:
    """What a content is called that cannot be read; empty when it can."""
    if kind == STICKER:
        return "贴纸 / sticker"
    if kind in POLLS:
        return "投票 / poll"
    if text(content, "msgtype") == "m.location":
        return "位置 / location"
    if text(content, "msgtype") in _FILES and not attachments(content):
        return "加密文件 / encrypted file"
    return ""


def silent(content: Json) -> bool:
    """Notices are what bots write: answering them would never end."""
    return text(content, "msgtype") in _SILENT


def fill(message: InboundMessage, kind: str, content: Json, me: Me) -> InboundMessage | None:
    """The message with its text and file; None when there is nothing to answer."""
    if kind == MESSAGE and (silent(content) or not text(content, "msgtype")):
        return None
    if named := unreadable(kind, content):
        return replace(message, kind=MessageKind.UNSUPPORTED, text=named)
    words, quote = words_of(content)
    files = attachments(content)
    if files and text(content, "filename") in ("", text(content, "body")):
        words = ""  # the body is the file's name, not a caption
    words = without_mention(words, content, me)
    if not words and not files and message.chat.kind is ChatKind.PRIVATE:
        return None
    return replace(message, text=words, quote=quote, attachments=files)


def base(
    channel: str,
    event: Json,
    place: Place,
    *,
    sender: str = "",
    name: str = "",
    thread: str = "",
    asked: str = "",
    now: float,
) -> InboundMessage:
    """A message without content: who, where, and how to answer.

    A private chat is known by the person's id: so is one that we open ourselves.
    """
    user = sender or text(event, "sender")
    kind = ChatKind.PRIVATE if place.private else ChatKind.GROUP
    return InboundMessage(
        channel=channel,
        message_id=message_key(event),
        sender=Sender(platform=PLATFORM, user_id=user, tenant=tenant_of(user), name=name),
        chat=Chat(
            kind=kind, id=user if place.private else place.id, thread=thread, title=place.title
        ),
        target={
            "room": place.id,
            "conversation": place.id,
            "kind": kind.value,
            "asked": asked,
            "thread": thread,
            "user": user,
        },
        received_at=now,
    )


# A sync's answer


def timelines(answer: Json) -> dict[str, Json]:
    """Joined room → its part of the answer."""
    found = part(part(answer, "rooms"), "join")
    return {room: cast("Json", each) for room, each in found.items() if isinstance(each, dict)}


def invitations(answer: Json, me: Me) -> dict[str, Json]:
    """Room → `{"by": user, "direct": whether it is meant for the two}`."""
    found: dict[str, Json] = {}
    rooms = part(part(answer, "rooms"), "invite")
    for room in rooms:
        for event in objects(part(part(rooms, room), "invite_state"), "events"):
            mine = text(event, "type") == MEMBER and text(event, "state_key") == me.id
            if mine and is_user(text(event, "sender")):
                direct = part(event, "content").get("is_direct") is True
                found[room] = {"by": text(event, "sender"), "direct": direct}
    return found


def membership(event: Json, user: str) -> str:
    """join | invite | leave | … when the event is about this user's membership; else empty."""
    if text(event, "type") != MEMBER or text(event, "state_key") != user:
        return ""
    return text(part(event, "content"), "membership")


def joined_now(event: Json, me: Me) -> bool:
    """The bot came into the room by this event (a changed display name is a `join`, too)."""
    before = part(part(event, "unsigned"), "prev_content")
    return membership(event, me.id) == "join" and text(before, "membership") != "join"


def since_invited(events: list[Json], me: Me) -> list[Json]:
    """In a room that the bot has just joined: from its invitation on, not the history before."""
    joined = [n for n, event in enumerate(events) if joined_now(event, me)]
    if not joined:
        return events
    invited = [n for n in range(joined[-1]) if membership(events[n], me.id) == "invite"]
    return events[invited[-1] if invited else joined[-1] :]
