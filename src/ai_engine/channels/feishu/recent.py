"""What is remembered of messages, for events that name a message and nothing else."""

from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Final, Generic, TypeVar

import msgspec

from ai_engine.channels.base import Notes
from ai_engine.domain.message import Chat, Sender

T = TypeVar("T")

KEPT_MAX: Final = 5_000
QUOTE_CHARS_MAX: Final = 1_200
_NOTE_BYTES_MAX: Final = 4_000
"""Of the 4 KiB that a note and its key may have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One message that came in or went out."""

    text: str
    """Its beginning, for quotes."""
    chat: Chat
    sender: Sender | None = None
    """None: the bot wrote it."""
    feedback: str = ""
    """What a rating of it names."""
    conversation: str = ""


_seen = msgspec.json.Decoder(Seen)


class Messages:
    """The messages of the last 7 days by their id, as the channel's notes: also those from before
    a restart."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes

    def put(self, message_id: str, seen: Seen) -> None:
        """Remember it, and as much of its text as a note holds."""
        seen = replace(seen, text=seen.text[:QUOTE_CHARS_MAX])
        data = msgspec.json.encode(seen)
        while seen.text and len(data) > _NOTE_BYTES_MAX:
            seen = replace(seen, text=seen.text[: len(seen.text) // 2])
            data = msgspec.json.encode(seen)
        self._notes.put(_key(message_id), data.decode())

    async def get(self, message_id: str) -> Seen | None:
        found = await self._notes.get(_key(message_id)) if message_id else None
        try:
            return None if found is None else _seen.decode(found)
        except msgspec.DecodeError:  # another version's, of before an upgrade
            return None


def _key(message_id: str) -> str:
    return f"message {message_id}"


class Recent(Generic[T]):
    """The newest `KEPT_MAX` things by their id; gone with the process."""

    def __init__(self, kept_max: int = KEPT_MAX) -> None:
        self._kept: OrderedDict[str, T] = OrderedDict()
        self._kept_max = kept_max

    def put(self, key: str, thing: T) -> None:
        """Remember; the oldest goes."""
        self._kept[key] = thing
        self._kept.move_to_end(key)
        while len(self._kept) > self._kept_max:
            self._kept.popitem(last=False)

    def get(self, key: str) -> T | None:
        return self._kept.get(key)
