"""What people in the simulated chats see: every message and reply, in order, bounded."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from ai_engine.domain.message import Json

T = TypeVar("T")

ENTRIES_MAX = 50_000
BOT = "bot"
"""The sender of everything that the engine says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One bubble. After it was added change its status, text, card, state, and what people did."""

    n: int
    """Number in this transcript, from 1; a page or a test asks for what came after one."""
    id: str
    """The platform's message id."""
    conversation: str
    chat: str
    """private | group"""
    sender: str
    """The person's user id, or `bot`."""
    text: str
    kind: str
    """text | markdown | picture | file | audio | video | link | actionCard | feedCard | image"""
    at: float
    """Seconds since the Unix epoch."""
    reply_to: str | None = None
    """Which message was answered. None where the platform's API does not say: proactive sends."""
    name: str = ""
    title: str = ""
    status: str = "delivered"
    """Person's: queued | delivered | undelivered | unseen (a group message without an @).
    The bot's: delivered."""
    detail: str = ""
    """Why it was not delivered, or by which road it came."""
    via: str = ""
    """http | stream for a person's, sessionWebhook | oToMessages | … for the bot's."""
    produced_by: str = ""
    """Which part of the engine answered, where the reply's request said so."""
    url: str = ""
    """Where the picture or file can be looked at."""
    card: Json | None = None
    """A card as the platform shows it, in the page's neutral form: `{"title","markdown","fields":
    [[name, value]],"image"}`, every key optional."""
    buttons: tuple[Json, ...] = ()
    """`{"label","url"?,"style"?}` each, plus what the simulator needs to press it."""
    state: str = ""
    """Of a bot's streamed or editable message: streaming | finished | failed; empty: final."""
    edits: int = 0
    """How often its text was replaced."""
    recalled: bool = False
    """Its sender has taken it back (`POST /sim/recall`)."""
    rating: str = ""
    """good | bad: the last 👍 or 👎 (`POST /sim/rate`); empty: none."""


def entry_json(entry: Entry) -> Json:
    """The entry as the control API gives it."""
    fields: dict[str, Any] = {
        name: getattr(entry, name) for name in Entry.__slots__ if name != "sender"
    }
    return {"from": entry.sender, **fields}


class Transcript:
    """Entries in order of appearance; the oldest are forgotten above `entries_max`."""

    def __init__(
        self,
        *,
        entries_max: int = ENTRIES_MAX,
        changed: Callable[[str, Json], None] | None = None,
    ) -> None:
        self._entries: OrderedDict[int, Entry] = OrderedDict()
        self._by_id: dict[str, int] = {}
        self._replies: dict[str, list[int]] = {}
        self._conversations: dict[str, deque[int]] = {}
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}
        self._entries_max = entries_max
        self._changed = changed
        self._n = 0

    @property
    def last(self) -> int:
        """Number of the newest entry (0: none)."""
        return self._n

    def add(self, **fields: Any) -> Entry:
        """Append an entry with these fields; its number is given here."""
        self._n += 1
        entry = Entry(n=self._n, **fields)
        self._entries[entry.n] = entry
        self._by_id[entry.id] = entry.n
        self._conversations.setdefault(entry.conversation, deque()).append(entry.n)
        if entry.reply_to:
            self._replies.setdefault(entry.reply_to, []).append(entry.n)
        while len(self._entries) > self._entries_max:
            self._forget()
        self._tell("entry", entry)
        return entry

    def _forget(self) -> None:
        _, old = self._entries.popitem(last=False)
        if self._by_id.get(old.id) == old.n:
            del self._by_id[old.id]
        numbers = self._conversations[old.conversation]
        numbers.popleft()
        if not numbers:
            del self._conversations[old.conversation]
        self._replies.pop(old.id, None)
        if old.reply_to and (replies := self._replies.get(old.reply_to)):
            replies.remove(old.n)
            if not replies:
                del self._replies[old.reply_to]

    def mark(self, message_id: str, **changes: Any) -> None:
        """Change status, detail or via of an entry; one that is forgotten is left alone."""
        n = self._by_id.get(message_id)
        if n is None:
            return
        self._entries[n] = replace(self._entries[n], **changes)
        self._tell("status", self._entries[n])

    def _tell(self, kind: str, entry: Entry) -> None:
        for key in ("", entry.id, entry.conversation, entry.reply_to):
            if key is None:
                continue
            for waiter in self._waiting.get(key, ()):
                if not waiter.done():
                    waiter.set_result(None)
        if self._changed is not None:
            self._changed(kind, entry_json(entry))

    def get(self, message_id: str) -> Entry | None:
        """The entry with this message id."""
        n = self._by_id.get(message_id)
        return None if n is None else self._entries[n]

    def replies_to(self, message_id: str) -> list[Entry]:
        """Everything that names this message as the one it answers, in order."""
        numbers = self._replies.get(message_id, ())
        return [self._entries[n] for n in numbers if n in self._entries]

    def list(self, *, conversation: str = "", after: int = 0, limit: int = 0) -> list[Entry]:
        """Entries after number `after`, of one conversation or of all."""
        numbers: Iterable[int] = reversed(
            self._conversations.get(conversation, deque()) if conversation else self._entries
        )
        found: list[Entry] = []
        for n in numbers:
            if n <= after:
                break
            found.append(self._entries[n])
        found.reverse()
        return found[:limit] if limit else found

    async def wait(self, key: str, look: Callable[[], T | None], timeout_seconds: float) -> T:
        """What `look` finds, looking again at each change of `key`: a message id, a conversation,
        or `""` for everything.

        Raises:
            TimeoutError: nothing was found within `timeout_seconds`.
        """
        async with asyncio.timeout(timeout_seconds):
            while (found := look()) is None:
                waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                waiters = self._waiting.setdefault(key, set())
                waiters.add(waiter)
                try:
                    await waiter
                finally:
                    waiters.discard(waiter)
                    if not waiters and self._waiting.get(key) is waiters:
                        del self._waiting[key]
        return found
