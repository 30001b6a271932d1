"""Telegram's objects: users, chats, messages (Bot API, "Available types")."""

from collections import OrderedDict
from dataclasses import dataclass, field

from ai_engine.domain.message import Json
from ai_engine.simulators.files import SharedFile
from ai_engine.simulators.people import Conversation, Person
from ai_engine.simulators.telegram.markup import entities_of

MESSAGES_MAX = 50_000
NOT_BY_DEFAULT = frozenset({"chat_member", "message_reaction", "message_reaction_count"})
"""Sent only when `allowed_updates` names them (Bot API, setWebhook)."""
WANTED = ("message", "edited_message", "callback_query", "message_reaction", "my_chat_member")
"""What an administrator who registers the engine's address asks for."""


def user_object(number: int, person: Person) -> Json:
    first, _, last = person.name.partition(" ")
    return {
        "id": number,
        "is_bot": False,
        "first_name": first or person.id,
        **({"last_name": last} if last else {}),
        "language_code": "zh-hans" if any(ord(c) > 0x2E80 for c in person.name) else "en",
    }


def bot_object(number: int, name: str, username: str) -> Json:
    return {"id": number, "is_bot": True, "first_name": name, "username": username}


def chat_object(number: int, where: Conversation, person: Person | None) -> Json:
    if where.kind == "group":
        return {"id": number, "type": "supergroup", "title": where.title or where.id}
    name = person.name if person else where.user
    first, _, last = name.partition(" ")
    return {
        "id": number,
        "type": "private",
        "first_name": first,
        **({"last_name": last} if last else {}),
    }


def content_of(text: str, file: SharedFile | None, code: str) -> Json:
    """The fields of a message that hold what was said."""
    words = entities_of(text)
    if file is None:
        return {"text": text, **({"entities": words} if words else {})}
    body = file_content(file, code)
    if text:
        body["caption"] = text
        if words:
            body["caption_entities"] = words
    return body


def file_content(file: SharedFile, code: str) -> Json:
    """A photo has several sizes, the smallest first."""
    base: Json = {
        "file_id": code,
        "file_unique_id": code[-16:],
        "file_size": len(file.content),
    }
    named: Json = {**base, "file_name": file.name, "mime_type": file.mime}
    if file.kind == "picture":
        small = {**base, "file_id": f"{code}-small", "width": 90, "height": 90, "file_size": 100}
        return {"photo": [small, {**base, "width": 1280, "height": 1280}]}
    if file.kind == "audio":
        spoken = file.mime == "audio/ogg"
        body = {**base, "mime_type": file.mime, "duration": 1}
        return {"voice": body} if spoken else {"audio": {**named, "duration": 1}}
    if file.kind == "video":
        return {"video": {**named, "width": 640, "height": 480, "duration": 1}}
    if file.kind == "sticker":
        still = {"width": 512, "height": 512, "is_animated": False, "is_video": False}
        return {"sticker": {**base, **still, "type": "regular", "emoji": "👍"}}
    return {"document": named}


@dataclass(slots=True, kw_only=True)
class Kept:
    """One message of a chat, for edits, replies, buttons and reactions."""

    body: Json
    entry: str
    """The transcript's entry that shows it."""
    conversation: str
    keyboard: list[list[Json]] = field(default_factory=list[list[Json]])
    reactions: dict[str, list[Json]] = field(default_factory=dict[str, list[Json]])
    """By user id."""


class Messages:
    """By (chat id, message id); numbers count from 1 in each chat."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[int, int], Kept] = OrderedDict()
        self._entries: OrderedDict[str, tuple[int, int]] = OrderedDict()
        self._last: dict[int, int] = {}

    def next_number(self, chat_id: int) -> int:
        self._last[chat_id] = self._last.get(chat_id, 0) + 1
        return self._last[chat_id]

    def add(self, kept: Kept) -> None:
        key = (kept.body["chat"]["id"], kept.body["message_id"])
        self._kept[key] = kept
        self._entries[kept.entry] = key
        while len(self._kept) > MESSAGES_MAX:
            self._kept.popitem(last=False)
            self._entries.popitem(last=False)

    def get(self, chat_id: int, message_id: int) -> Kept | None:
        return self._kept.get((chat_id, message_id))

    def of_entry(self, entry: str) -> Kept | None:
        key = self._entries.get(entry)
        return None if key is None else self._kept.get(key)

    def forget(self, chat_id: int, message_id: int) -> None:
        self._kept.pop((chat_id, message_id), None)
