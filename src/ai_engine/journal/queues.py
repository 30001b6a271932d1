"""What the owner knows of its open work: who waits, who is in flight, who is next.

No store and no task in here; `scheduled.py` moves rows between these queues as the store answers.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Sequence

from ai_engine.domain.clock import Clock
from ai_engine.domain.message import Lane, same_person
from ai_engine.journal.base import Limits, Outcome, Turn
from ai_engine.journal.lanes import Lanes
from ai_engine.journal.rows import Inbound, OutboxRow

RESERVED_MAX = 64
"""Turns started before a reader takes them: a crash counts against each of them."""


class Queues:
    """The mailboxes, the control lane, messages due later, and the outbox."""

    def __init__(self, limits: Limits, clock: Clock) -> None:
        self._limits = limits
        self._clock = clock
        self._mailbox: Lanes[Inbound] = Lanes(self._came_first)
        self._control: Lanes[Inbound] = Lanes(self._came_first)
        self._due: list[tuple[float, int, Inbound]] = []
        self._alone: Inbound | None = None
        self._outbox: Lanes[OutboxRow] = Lanes()
        self.running: dict[int, Inbound] = {}
        """Turns from their start on until somebody ends them."""
        self.starting: dict[int, Inbound] = {}
        """Those of `running` whose start is being written."""
        self.offered: deque[tuple[Inbound, Turn]] = deque()
        """Those of `running` that are started and that nobody has taken yet."""
        self.sending: dict[int, OutboxRow] = {}
        self.ending = 0
        """Turns and deliveries whose end is being written: no longer in `running` or `sending`."""
        self.readers = 0
        """Readers of the mailbox that wait for a turn."""
        self.reserved = 0
        """Places taken for messages that are being accepted."""
        self.turn_ready = asyncio.Event()
        self.delivery_ready = asyncio.Event()

    @property
    def backlog(self) -> int:
        """Messages that wait (those due later too), run, or are being accepted to run at once."""
        waiting = len(self._mailbox) + len(self._control) + len(self._due)
        return waiting + len(self.running) + self.reserved

    @property
    def replies(self) -> int:
        """Replies that wait for their platform."""
        return len(self._outbox)

    def clear(self) -> None:
        """Nothing is open here any more."""
        for lanes in (self._mailbox, self._control, self._outbox):
            lanes.clear()
        self._due.clear()
        self.running.clear()
        self.starting.clear()
        self.offered.clear()
        self.sending.clear()
        self.ending = 0
        self.reserved = 0
        self._alone = None

    @property
    def busy(self) -> bool:
        """Whether something is in flight that may add to the outbox or free a part of it."""
        return bool(self.running or self.sending or self.ending)

    def wake(self) -> None:
        """Let all readers look again."""
        self.turn_ready.set()
        self.delivery_ready.set()

    # Messages.

    def add(self, row: Inbound) -> None:
        """The row takes its place: among those due later, or in its session."""
        now = self._clock.time()
        if row.due > now and not row.attempts:
            heapq.heappush(self._due, (row.due, row.seq, row))
            return
        lanes = self._lanes(row)
        first = lanes.push(row.session_key, row)
        if first:
            self._came_first(row)
            if row.due > now:  # it failed before: its session waits for it
                lanes.hold(row.session_key, row.due)
        self.turn_ready.set()

    def _came_first(self, row: Inbound) -> None:
        if row.queued_at is not None and row.blocked_seconds is None:
            row.blocked_seconds = self._clock.monotonic() - row.queued_at

    def _lanes(self, row: Inbound) -> Lanes[Inbound]:
        return self._control if row.lane is Lane.CONTROL else self._mailbox

    def reserve(self, key: str) -> bool:
        """Whether a message of this session may start as it is accepted: a reader waits for it,
        the session is idle, and nothing else is ready. If so, its place is taken until `offer` or
        `free`."""
        ahead = len(self.offered) + self.reserved
        if not self.readers or ahead >= RESERVED_MAX or self._alone is not None:
            return False
        if self._mailbox.peek() is not None or not self._mailbox.reserve(key):
            return False
        self.reserved += 1
        return True

    def free(self, key: str) -> None:
        """Nothing was started in the place that `reserve` took."""
        self.reserved -= 1
        self._mailbox.done(key)
        self.turn_ready.set()

    def offer(self, row: Inbound, turn: Turn) -> None:
        """The row was started as it was accepted, in the place that `reserve` took."""
        self.reserved -= 1
        self.running[row.seq] = row
        self.offered.append((row, turn))
        self.turn_ready.set()

    def offers(self, lane: Lane | None) -> bool:
        """Whether a started turn of this lane (None: of any) waits for a reader."""
        return any(lane in (None, row.lane) for row, _ in self.offered)

    def take_offered(self, lane: Lane | None) -> Turn | None:
        """The first such turn; somebody runs it from now on."""
        for at, (row, turn) in enumerate(self.offered):
            if lane in (None, row.lane):
                del self.offered[at]
                return turn
        return None

    def pick(self, lane: Lane | None = None) -> Inbound | None:
        """The next row of this lane to start, in flight from now on; None: control first. One that
        has crashed too often waits until the others have ended, and they for it."""
        row = self._control.pop() if lane is not Lane.MAILBOX else None
        if row is not None or self._alone is not None or lane is Lane.CONTROL:
            return row
        head = self._mailbox.peek()
        if head is not None and head.crashes >= self._limits.crash_alone_from:
            if self._mailbox.busy:
                return None
            self._alone = head
        return self._mailbox.pop()

    def back(self, row: Inbound, not_before: float) -> None:
        """In front of its session again, not before this time (0: at once)."""
        if self._alone is row:
            self._alone = None
        self._lanes(row).again(row.session_key, row, not_before)
        self.turn_ready.set()

    def leave(self, row: Inbound) -> None:
        """The row is finished; its session's next one may go."""
        self.running.pop(row.seq, None)
        if self._alone is row:
            self._alone = None
        self._lanes(row).done(row.session_key)
        self.turn_ready.set()

    def withdraw(self, row: Inbound, outcome: Outcome) -> tuple[list[Inbound], list[Inbound]]:
        """The rows that `/stop`, an edit or a recall cancels, so that nobody will see them: those
        started that nobody has taken yet, whose lane stays busy until `leave`, and those that
        wait."""
        whose, one = outcome.cancel_queued_of, outcome.cancel_message
        if whose is None and not one:
            return [], []

        def meant(other: Inbound) -> bool:
            if other.seq >= row.seq:
                return False
            # Linked people write to one session through several channels, with ids of each one's.
            said = (other.message.channel, other.message.message_id)
            if one and said == (row.message.channel, one):
                return same_person(other.message.sender, row.message.sender)
            if whose is None:
                return False
            return whose[2] == "*" or same_person(other.message.sender, row.message.sender)

        taken = [other for other, _ in self.offered]
        unseen = [
            other
            for other in (*taken, *self.starting.values())
            if other.session_key == row.session_key and other.lane is Lane.MAILBOX and meant(other)
        ]
        for other in unseen:
            del self.running[other.seq]
            self.starting.pop(other.seq, None)
        self.offered = deque(pair for pair in self.offered if pair[0] not in unseen)
        return unseen, self._mailbox.take(row.session_key, meant)

    # Deliveries.

    def undelivered(self, session_key: str) -> bool:
        """Whether replies of this session wait or are under way."""
        return self._outbox.has(session_key)

    def send(self, rows: Sequence[OutboxRow]) -> None:
        """Replies take their place in their session's outbox."""
        for row in rows:
            first = self._outbox.push(row.session_key, row)
            if first and row.due > self._clock.time():
                self._outbox.hold(row.session_key, row.due)
        if rows:
            self.delivery_ready.set()

    def next_delivery(self) -> OutboxRow | None:
        """The next reply, in flight from now on."""
        row = self._outbox.pop()
        if row is not None:
            self.sending[row.seq] = row
        return row

    def sent(self, row: OutboxRow) -> None:
        """The reply is finished; its session's next one may go."""
        self._outbox.done(row.session_key)
        self.delivery_ready.set()

    def postpone(self, row: OutboxRow, not_before: float) -> None:
        """In front of its session's outbox again, not before this time."""
        self._outbox.again(row.session_key, row, not_before)
        self.delivery_ready.set()

    # Time.

    def next_due(self) -> float | None:
        """When something that waits for a time may go on."""
        times = [self._due[0][0]] if self._due else []
        for lanes in (self._mailbox, self._control, self._outbox):
            at = lanes.next_due()
            if at is not None:
                times.append(at)
        return min(times, default=None)

    def promote(self) -> None:
        """Let go on whatever has reached its time."""
        now = self._clock.time()
        while self._due and self._due[0][0] <= now:
            row = heapq.heappop(self._due)[2]
            row.queued_at = self._clock.monotonic()  # only now it waits behind others
            self.add(row)
        for lanes in (self._mailbox, self._control, self._outbox):
            lanes.promote(now)
        self.wake()
