"""What this process remembers of messages, for events that name a message and nothing else."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from ai_engine.domain.message import Chat, Sender

T = TypeVar("T")

KEPT_MAX: Final = 5_000
QUOTE_CHARS_MAX: Final = 2_000


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
