"""Following a session: its log without gap or repetition, and the partial text of its turn."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from ai_engine.channels.webchat.frames import PartialFrame, Reset, ServerFrame, event_frame
from ai_engine.domain.session import SessionEvent
from ai_engine.events.base import Events, News, Partial, Progressed, Subscription
from ai_engine.journal.base import Journal

PAGE = 500
"""Log entries read at once; the log keeps no more by default."""

Tell = Callable[[ServerFrame], Awaitable[None]]


class Follower:
    """One device's view of one session.

    It subscribes first, then reads the log, then follows the news; the log alone decides what is
    sent, so news may be lost, late or doubled. Nothing is queued here: a slow device holds `tell`
    up, its mailbox of news overflows, and the log is read again from where it stands.
    """

    def __init__(
        self,
        journal: Journal,
        events: Events,
        session_key: str,
        *,
        after: int,
        look_seconds: float = 30.0,
    ) -> None:
        """`after` is the newest event that the device has; `look_seconds` is how long a lost news
        item can delay an event."""
        self._journal = journal
        self._events = events
        self._session_key = session_key
        self._look_seconds = look_seconds
        self.cursor = after
        """The newest event that was told."""

    async def run(self, welcome: Callable[[int], Awaitable[None]], tell: Tell) -> None:
        """Runs until it is cancelled. `welcome` gets the log's newest number, before all else."""
        with self._events.subscribe(self._session_key) as news:
            entries = await self._read()
            await welcome(entries[-1].n if entries else self.cursor)
            await self._tell(entries, tell)
            await self._catch_up(tell)
            while True:
                match await self._next(news):
                    case Progressed(n=n):
                        if n > self.cursor:
                            await self._tell(await self._read(), tell)
                    case Partial() as partial:
                        await self._partial(partial, tell)
                    case None:
                        await self._catch_up(tell)

    async def _next(self, news: Subscription) -> News | None:
        try:
            async with asyncio.timeout(self._look_seconds):
                return await news.next()
        except TimeoutError:
            return None

    async def _partial(self, partial: Partial, tell: Tell) -> None:
        if partial.done:  # the reply is in the log: its text must not vanish before it is shown
            await self._tell(await self._read(), tell)
        await tell(
            PartialFrame(
                turn=partial.turn, offset=partial.offset, text=partial.text, done=partial.done
            )
        )

    async def _catch_up(self, tell: Tell) -> None:
        """After a gap in the news: the log, then the running turn's whole text so far."""
        await self._tell(await self._read(), tell)
        partial = self._events.partial(self._session_key)
        if partial is not None:
            await tell(PartialFrame(turn=partial.turn, offset=0, text=partial.text))

    async def _tell(self, entries: Sequence[SessionEvent], tell: Tell) -> None:
        """Tell these and whatever the log holds beyond them."""
        while entries:
            if self.cursor and entries[0].n != self.cursor + 1:
                await tell(Reset(n=entries[0].n - 1))
            for entry in entries:
                await tell(event_frame(entry))
                self.cursor = entry.n
            entries = await self._read() if len(entries) >= PAGE - 1 else ()

    async def _read(self) -> list[SessionEvent]:
        """What follows the cursor. The entry at the cursor is read too: when it is missing, either
        it has been pruned or the log began anew, and then all that is there must be told."""
        entries = await self._journal.events(self._session_key, max(self.cursor - 1, 0), PAGE)
        if self.cursor == 0:
            return entries
        if entries:
            return entries[1:] if entries[0].n == self.cursor else entries
        return await self._journal.events(self._session_key, 0, PAGE)
