"""Mattermost's JSON to our messages: posts, reactions, opened chats.

Sources: the server's public model (`model.Post`, `model.Reaction`, WebSocket events `posted`,
`post_edited`, `post_deleted`, `reaction_added`, `reaction_removed`, `direct_added`). Nothing here
calls the platform.
"""

import hashlib
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final, cast

import msgspec

from ai_engine.domain.errors import Malformed
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

PLATFORM: Final = "mattermost"
TEXT_LIMIT_CHARS: Final = 16_383
"""Code points of one post (`model.PostMessageMaxRunesV2`)."""
PROPS: Final = "ai_engine"
"""Our entry in a post's props: `{"reply": key, "of": feedback value, "stream": true while it
grows}`."""

POSTED: Final = "posted"
EDITED: Final = "post_edited"
DELETED: Final = "post_deleted"
REACTED: Final = "reaction_added"
UNREACTED: Final = "reaction_removed"
OPENED: Final = "direct_added"

_FILES_MAX: Final = 20
_EVERYBODY: Final = re.compile(r"(?<![\w@])@(?:all|channel|here)(?![\w-])", re.IGNORECASE)
_RATINGS: Final = {"+1": "good", "thumbsup": "good", "-1": "bad", "thumbsdown": "bad"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Me:
    """The bot's own account."""

    id: str
    username: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """A channel. `type`: D (two people), G (a few people), O (public), P (private)."""

    id: str
    type: str
    title: str = ""

    @property
    def private(self) -> bool:
        return self.type == "D"


def message_key(event: str, post_id: str, version: str) -> str:
    """What makes a repeated event the same one: the post's id; for what happens to a post also
    the event and which of its kind it is."""
    return post_id if event == POSTED else ":".join((event, post_id, version))


def short(opaque: str) -> str:
    """A long identifier, such as a signed `trigger_id`, as 32 hexadecimal digits."""
    return hashlib.sha256(opaque.encode("utf-8", "replace")).hexdigest()[:32]


def part(of: Json, name: str) -> Json:
    """An object within an object; {} when there is none."""
    found: Any = of.get(name)
    return cast("Json", found) if isinstance(found, dict) else {}


def text(of: Json, name: str) -> str:
    """A text within an object; empty when there is none."""
    found: Any = of.get(name)
    return found if isinstance(found, str) else ""


def number(of: Json, name: str) -> int:
    """A whole number within an object; 0 when there is none."""
    found: Any = of.get(name)
    return found if isinstance(found, int) and not isinstance(found, bool) else 0


def items(of: Json, name: str) -> list[Any]:
    """A list within an object; [] when there is none."""
    found: Any = of.get(name)
    return cast("list[Any]", found) if isinstance(found, list) else []


@lru_cache(maxsize=64)
def _mention(username: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w@.-])@{re.escape(username)}(?![\w-]|\.\w)", re.IGNORECASE)


def mentioned(words: str, me: Me, mentions: Collection[str] = ()) -> bool:
    """Whether a text in a channel is for the bot: it names it, or the server says so and the
    reason is not @channel, @all or @here."""
    if _mention(me.username).search(words):
        return True
    return me.id in mentions and not _EVERYBODY.search(words)


def without_mention(words: str, me: Me) -> str:
    """The text as it was meant for the bot; other people's @names stay."""
    bare, found = _mention(me.username).subn("", words)
    return bare.strip() if found else words.strip()


def mention_list(data: Json) -> frozenset[str]:
    """The `mentions` of a `posted` event: a JSON list of user ids, as text."""
    try:
        found: Any = msgspec.json.decode(text(data, "mentions") or "[]")
    except ValueError:
        return frozenset()
    return frozenset(map(str, cast("list[Any]", found))) if isinstance(found, list) else frozenset()


def from_program(post: Json, me: Me) -> bool:
    """The bot's own, another program's, or the server's: never answered."""
    props = part(post, "props")
    return (
        text(post, "user_id") == me.id
        or bool(props.get("from_bot") or props.get("from_webhook"))
        or text(post, "type").startswith("system_")
    )


def marks(post: Json) -> Json:
    """What we noted in a post of ours."""
    return part(part(post, "props"), PROPS)


def decode_post(
    channel: str,
    post: Json,
    where: Where,
    me: Me,
    now: float,
    *,
    event: str = POSTED,
    mentions: Collection[str] = (),
    name: str = "",
) -> InboundMessage | None:
    """A new, edited or deleted post; None when it is not for the bot. `now`: Unix seconds.

    Raises:
        Malformed: it is no post.
    """
    post_id, user, words = text(post, "id"), text(post, "user_id"), text(post, "message")
    if not post_id or not user or not where.id:
        raise Malformed("$.post: id, user_id and channel_id are needed")
    if from_program(post, me) or not (where.private or mentioned(words, me, mentions)):
        return None
    edited = number(post, "edit_at")
    if event == EDITED and not edited:
        return None  # its pin, reactions or previews changed, not what was written
    found = build(
        channel,
        (event, post_id, str(edited) if event == EDITED else ""),
        Sender(platform=PLATFORM, user_id=user, name=name.removeprefix("@")),
        where,
        root=text(post, "root_id") or ("" if where.private else post_id),
        now=now,
    )
    words = without_mention(words, me)
    if event == DELETED:
        return replace(found, kind=MessageKind.RECALL, payload={"of": post_id})
    if event == EDITED:
        return replace(found, kind=MessageKind.EDIT, payload={"of": post_id}, text=words)
    files, kind = attachments(post), text(post, "type")
    if kind and not words and not files:
        said = f"{kind} (插件消息 / plugin post)"
        return replace(found, kind=MessageKind.UNSUPPORTED, text=said)
    return replace(found, text=words, attachments=files, quote=quoted(post))


def decode_reaction(
    channel: str,
    reaction: Json,
    answer: Json,
    where: Where,
    now: float,
    *,
    event: str,
    version: str,
) -> InboundMessage | None:
    """👍 or 👎 put under, or taken from, the bot's post `answer`; None for any other emoji, and
    where the answer cannot be rated. `version` tells two reactions of the same kind apart."""
    user, rating, of = text(reaction, "user_id"), rating_of(reaction), text(marks(answer), "of")
    if not user or not rating or not of:
        return None
    key = (event, text(answer, "id"), f"{user}:{version}")
    sender = Sender(platform=PLATFORM, user_id=user)
    found = build(channel, key, sender, where, root=text(answer, "root_id"), now=now)
    payload = {"rating": rating if event == REACTED else "none", "of": of, "text": ""}
    return replace(found, kind=MessageKind.FEEDBACK, payload=payload)


def decode_opened(channel: str, user: str, where: Where, now: float) -> InboundMessage:
    """A person opened the direct channel with the bot."""
    sender = Sender(platform=PLATFORM, user_id=user)
    found = build(channel, (OPENED, where.id, ""), sender, where, root="", now=now)
    return replace(found, kind=MessageKind.WELCOME)


def build(
    channel: str,
    key: tuple[str, str, str],
    sender: Sender,
    where: Where,
    *,
    root: str,
    now: float,
) -> InboundMessage:
    """A message without content: who, where, and how to answer. `key`: see `message_key`.

    A direct channel is known by the person's id: so is one that we open ourselves.
    """
    kind = ChatKind.PRIVATE if where.private else ChatKind.GROUP
    chat_id = sender.user_id if where.private else where.id
    return InboundMessage(
        channel=channel,
        message_id=message_key(*key),
        sender=sender,
        chat=Chat(kind=kind, id=chat_id, thread=root, title=where.title),
        target={
            "channel": where.id,
            "conversation": where.id,
            "root": root,
            "kind": kind.value,
            "user": sender.user_id,
            "at": now,
        },
        received_at=now,
    )


def rating_of(reaction: Json) -> str:
    """good, bad, or empty: skin tones are part of an emoji's name."""
    return _RATINGS.get(text(reaction, "emoji_name").partition("_")[0], "")


def attachments(post: Json) -> tuple[Attachment, ...]:
    """The post's files: with what the server tells of them, else by their ids alone."""
    infos = items(part(post, "metadata"), "files")
    told = [_attachment(cast("Json", info)) for info in infos if isinstance(info, dict)]
    known = {found.ref for found in told}
    return (
        *(found for found in told if found.ref),
        *(_attachment({"id": ref}) for ref in items(post, "file_ids") if ref not in known),
    )[:_FILES_MAX]


def file_refs(ids: Iterable[str]) -> tuple[Attachment, ...]:
    """Files of which only the ids are known."""
    return tuple(_attachment({"id": ref}) for ref in ids if ref)[:_FILES_MAX]


def _attachment(info: Json) -> Attachment:
    mime = text(info, "mime_type")
    return Attachment(
        kind=media_kind(mime),
        name=text(info, "name"),
        mime=mime,
        bytes_size=max(0, number(info, "size")),
        ref=text(info, "id"),
    )


def quoted(post: Json) -> str:
    """The text of a post that this one links to (the server shows such a link as a quote)."""
    for embed in items(part(post, "metadata"), "embeds"):
        if isinstance(embed, dict):
            found = cast("Json", embed)
            if text(found, "type") == "permalink":
                return text(part(part(found, "data"), "post"), "message")
    return ""
