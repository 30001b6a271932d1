"""What a Telegram message holds: its words without mentions, its files, its kind."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, cast

from ai_engine.channels.telegram.fields import ENVELOPE, SERVICE
from ai_engine.domain.message import Attachment, Json, MessageKind

BYTES_MAX: Final = 20_000_000
"""What a bot may download (Bot API, getFile: 20 MB)."""

_KINDS: Final = {
    "document": ("file", "文件 / file"),
    "audio": ("audio", "音频 / audio"),
    "video": ("video", "视频 / video"),
    "animation": ("video", "动图 / animation"),
    "voice": ("audio", "语音 / voice message"),
    "video_note": ("video", "视频消息 / video message"),
    "sticker": ("image", "贴纸 / sticker"),
}
_UNREADABLE: Final = frozenset({"audio", "video"})
_NAMED: Final = {
    "venue": "地点 / venue",
    "location": "位置 / location",
    "contact": "名片 / contact",
    "poll": "投票 / poll",
    "dice": "骰子 / dice",
    "game": "游戏 / game",
    "story": "动态 / story",
    "invoice": "账单 / invoice",
    "checklist": "清单 / checklist",
    "paid_media": "付费内容 / paid media",
    "live_photo": "实况照片 / live photo",
    "giveaway": "抽奖 / giveaway",
    "giveaway_winners": "抽奖结果 / giveaway winners",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Me:
    """The bot itself."""

    id: int
    username: str
    """Without the @; empty while it is not known and not needed (private chats)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """A message's text for the engine."""

    text: str
    mentioned: bool
    """The bot is named in it."""
    command: str
    """`mine`: begins with a command for this bot; `other`: for another; empty: with none."""


@dataclass(frozen=True, slots=True)
class _Entity:
    start: int
    end: int
    kind: str
    user: Json


def words(message: Json, me: Me) -> Words:
    """Text or caption: this bot's mentions go, people without a user name become `@name`.

    Entity offsets are UTF-16 code units (Bot API, MessageEntity).
    """
    key = "text" if isinstance(message.get("text"), str) else "caption"
    text = message.get(key)
    if not isinstance(text, str):
        return Words(text="", mentioned=False, command="")
    found = message.get("entities" if key == "text" else "caption_entities")
    if not isinstance(found, list) or not found:
        return Words(text=text.strip(), mentioned=False, command="")
    return _without_mentions(text, cast("list[Any]", found), me)


def _without_mentions(text: str, found: list[Any], me: Me) -> Words:
    units = text.encode("utf-16-le", "surrogatepass")
    bot = f"@{me.username}".casefold() if me.username else ""
    pieces: list[bytes] = []
    at, mentioned, command = 0, False, ""
    for entity in _entities(found, len(units) // 2):
        if entity.start < at:
            continue
        marked = units[2 * entity.start : 2 * entity.end].decode("utf-16-le", "replace")
        instead: str | None = None
        by_name = entity.kind == "mention" and bool(bot) and marked.casefold() == bot
        if by_name or (entity.kind == "text_mention" and entity.user.get("id") == me.id):
            instead, mentioned = "", True
        elif entity.kind == "text_mention":
            instead = f"@{marked.removeprefix('@')}"
        elif entity.kind == "bot_command":
            name, _, whom = marked.partition("@")
            if not units[: 2 * entity.start].decode("utf-16-le", "replace").strip():
                command = "mine" if not whom or f"@{whom}".casefold() == bot else "other"
            instead = name if command == "mine" else None
        if instead is None:
            continue
        pieces += (units[2 * at : 2 * entity.start], instead.encode("utf-16-le", "replace"))
        at = entity.end
        if not instead and units[2 * at : 2 * at + 2] == b" \x00":
            at += 1
    pieces.append(units[2 * at :])
    # An entity may cut a pair of surrogates apart; half of one could be neither stored nor sent.
    said = b"".join(pieces).decode("utf-16-le", "replace")
    return Words(text=said.strip(), mentioned=mentioned, command=command)


def _entities(found: list[Any], units: int) -> Iterator[_Entity]:
    """Those that can be read, in order."""
    usable: list[_Entity] = []
    for each in found:
        if not isinstance(each, dict):
            continue
        entity = cast("Json", each)
        start, length = whole(entity.get("offset")), whole(entity.get("length"))
        if start is None or length is None or start < 0 or length < 1 or start + length > units:
            continue
        kind = str(entity.get("type", ""))
        usable.append(_Entity(start, start + length, kind, record(entity, "user")))
    return iter(sorted(usable, key=lambda entity: entity.start))


def kind_of(message: Json, said: str) -> tuple[MessageKind, str, tuple[Attachment, ...]] | None:
    """(kind, text, attachments); None for service messages. What cannot be read is named."""
    photo = _photo(message)
    if photo is not None:
        return MessageKind.TEXT, said, (photo,)
    for key, (kind, name) in _KINDS.items():
        if not (file := record(message, key)):
            continue
        attachment = _attachment(file, kind)
        if key == "sticker":
            return _sticker(file, attachment, name)
        if kind in _UNREADABLE and not said:
            return MessageKind.UNSUPPORTED, f"{name} {attachment.name}".strip(), (attachment,)
        return MessageKind.TEXT, said, (attachment,)
    if isinstance(message.get("text"), str):
        return (MessageKind.TEXT, said, ()) if said else None
    for key, name in _NAMED.items():
        if key in message:
            return MessageKind.UNSUPPORTED, name, ()
    unknown = sorted(set(message) - ENVELOPE - SERVICE)
    if unknown and not SERVICE & set(message):
        return MessageKind.UNSUPPORTED, unknown[0][:64], ()
    return None


def _sticker(
    file: Json, attachment: Attachment, name: str
) -> tuple[MessageKind, str, tuple[Attachment, ...]]:
    """A still sticker is a picture; a moving one is as good as the emoji that it stands for."""
    emoji = text(file, "emoji")
    if file.get("is_animated") or file.get("is_video"):
        kind = MessageKind.TEXT if emoji else MessageKind.UNSUPPORTED
        return kind, emoji or name, ()
    return MessageKind.TEXT, emoji, (attachment,)


def _photo(message: Json) -> Attachment | None:
    """The largest size that a bot may download; sizes come in ascending order."""
    sizes = message.get("photo")
    best: Json = {}
    for size in cast("list[Any]", sizes) if isinstance(sizes, list) else []:
        if isinstance(size, dict):
            candidate = cast("Json", size)
            if text(candidate, "file_id") and (_size(candidate) <= BYTES_MAX or not best):
                best = candidate
    if not best:
        return None
    ref = text(best, "file_id")
    return Attachment(kind="image", mime="image/jpeg", bytes_size=_size(best), ref=ref)


def _attachment(file: Json, kind: str) -> Attachment:
    """`ref` is the file_id; getFile turns it into a path that lives for an hour at least."""
    mime = text(file, "mime_type") or ("image/webp" if kind == "image" else "")
    picture = kind == "file" and mime.startswith("image/")
    return Attachment(
        kind="image" if picture else kind,
        name=text(file, "file_name"),
        mime=mime,
        bytes_size=_size(file),
        ref=text(file, "file_id"),
    )


def _size(file: Json) -> int:
    return max(0, whole(file.get("file_size")) or 0)


def whole(value: object) -> int | None:
    """An integer of 64 bits; None for all else, booleans included."""
    if isinstance(value, bool) or not isinstance(value, int) or not -(2**63) <= value < 2**63:
        return None
    return value


def text(body: Json, key: str, longest: int = 512) -> str:
    """A text of that key; empty when it is none, or too long."""
    found = body.get(key)
    return found if isinstance(found, str) and len(found) <= longest else ""


def record(body: Json, key: str) -> Json:
    """An object of that key; {} when it is none."""
    found = body.get(key)
    return cast("Json", found) if isinstance(found, dict) else {}
