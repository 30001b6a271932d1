"""What the journal keeps, as rows: the working form of every engine's records."""

from dataclasses import dataclass, field
from typing import Final

from ai_engine.domain.message import InboundMessage, Json, Lane
from ai_engine.domain.reply import Reply
from ai_engine.domain.session import Context, HistoryEntry, Session
from ai_engine.journal.base import Delivery, Suspended, Turn

# States of an inbound row. Plain integers: they are bound to SQL on the hot path.
QUEUED: Final = 0
RUNNING: Final = 1
HANDLED: Final = 2
STOPPED: Final = 3
CANCELLED: Final = 4
DEAD: Final = 5
STATES: Final = ("queued", "running", "handled", "stopped", "cancelled", "dead")

# States of an outbox row.
WAITING: Final = 0
DELIVERED: Final = 1
UNDELIVERABLE: Final = 2


@dataclass(slots=True, kw_only=True, eq=False)
class Inbound:
    """One accepted message on its way to a turn."""

    id: str
    message: InboundMessage
    session_key: str
    lane: Lane = Lane.MAILBOX
    due: float = 0.0
    """Not before this time; 0: at once."""
    seq: int = 0
    """Order of acceptance; given by the store."""
    accepted_at: float = 0.0
    attempts: int = 0
    """Starts that ended in an error."""
    crashes: int = 0
    """Starts that ended with the process."""
    first_error_at: float = 0.0
    checkpoint: Json | None = None
    counted: bool = True
    """Part of its session's pending messages; not while it waits for its due time."""
    state: int = QUEUED
    done_at: float = 0.0
    queued_at: float | None = None
    """Monotonic time since when it waits behind its session; None: a restart lies between."""
    blocked_seconds: float | None = None

    def turn(self, start: "Started", epoch: int) -> Turn:
        return Turn(
            id=self.id,
            seq=self.seq,
            epoch=epoch,
            message=self.message,
            session=start.session,
            lane=self.lane,
            attempt=self.attempts + 1,
            crashes=self.crashes,
            checkpoint=self.checkpoint,
            suspended=start.suspended,
            accepted_at=self.accepted_at,
            blocked_seconds=self.blocked_seconds,
        )


@dataclass(slots=True, kw_only=True, eq=False)
class OutboxRow:
    """One reply on its way to a channel."""

    id: str
    session_key: str
    inbound_seq: int
    inbound_id: str
    inbound_message_id: str
    channel: str
    target: Json
    reply: Reply
    trace_id: str
    user_id: str
    committed_at: float
    message: InboundMessage | None = None
    seq: int = 0
    attempt: int = 1
    due: float = 0.0
    state: int = WAITING
    done_at: float = 0.0

    def delivery(self, epoch: int) -> Delivery:
        return Delivery(
            id=self.id,
            seq=self.seq,
            epoch=epoch,
            session_key=self.session_key,
            inbound_id=self.inbound_id,
            inbound_message_id=self.inbound_message_id,
            channel=self.channel,
            target=self.target,
            reply=self.reply,
            trace_id=self.trace_id,
            user_id=self.user_id,
            attempt=self.attempt,
            committed_at=self.committed_at,
            message=self.message,
        )


@dataclass(slots=True, kw_only=True, eq=False)
class SessionRow:
    """A session key's row; it outlives its incarnations, so that event numbers go on."""

    key: str
    id: str | None = None
    """None: no incarnation is open."""
    channel: str = ""
    user_id: str = ""
    context: Context = field(default_factory=Context)
    created_at: float = 0.0
    active_at: float = 0.0
    """The last accept or commit."""
    last_event: int = 0
    history_from: int = 0
    """History entries are numbered `history_from + 1` to `history_to`."""
    history_to: int = 0
    pending: int = 0
    """Messages queued or running."""
    stored_id: str | None = None
    """`id` as the store has it, so that an unchanged one is not written again."""

    def value(
        self, idle_seconds: float, now: float, history: tuple[HistoryEntry, ...] = ()
    ) -> Session:
        """What the outside sees; a session with pending turns ends no earlier than now + idle."""
        active = now if self.pending else self.active_at
        return Session(
            id=self.id or "",
            key=self.key,
            channel=self.channel,
            user_id=self.user_id,
            context=self.context,
            expire_at=active + idle_seconds,
            created_at=self.created_at,
            last_event=self.last_event,
            history=history,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A deduplication key: what was answered to the first accept."""

    id: str
    seq: int
    at: float
    session_id: str
    event: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadRow:
    """A dead letter; `seq` names its inbound or outbox row, which is kept as long.

    The fields are in the order of the store's columns.
    """

    id: str
    kind: str
    seq: int
    at: float
    channel: str
    session_key: str
    message_id: str
    error: str
    attempts: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """What a turn needs beside its message."""

    session: Session
    suspended: Suspended | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """What follows from an end of a turn."""

    last_event: int = 0
    outbox: tuple[OutboxRow, ...] = ()
    inbound: tuple[Inbound, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """`fail`'s decision and, for a dead letter, the queued reply."""

    dead: bool
    retry_at: float
    attempts: int
    first_error_at: float
    outbox: tuple[OutboxRow, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """All open work, in order, as a new owner finds it."""

    inbound: tuple[Inbound, ...]
    outbox: tuple[OutboxRow, ...]
    epoch: int
