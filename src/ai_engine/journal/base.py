"""The `Journal` port. Every engine behind it passes tests/contract/test_journal.py."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ai_engine.domain.message import InboundMessage, Json, Lane
from ai_engine.domain.reply import Reply
from ai_engine.domain.session import Context, HistoryEntry, Session, SessionEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Every bound of the journal in one place; docs/reference/limits.md lists them."""

    backlog_messages_max: int = 10_000
    """`accept` refuses (Overloaded) when this many messages wait or run."""
    outbox_replies_max: int = 100_000
    """`accept` refuses, too, when this many replies wait for their platform."""
    session_idle_seconds: float = 900.0
    dedup_seconds: float = 24 * 3600.0
    handled_seconds: float = 3600.0
    trace_seconds: float = 7 * 24 * 3600.0
    dead_letter_seconds: float = 30 * 24 * 3600.0
    reply_seconds: float = 24 * 3600.0
    """How long a delivered reply can be read again (`stored_replies`)."""
    event_log_max: int = 500
    event_log_seconds: float = 24 * 3600.0
    history_entries_max: int = 200
    error_attempts_max: int = 3
    error_window_seconds: float = 60.0
    crash_attempts_max: int = 8
    crash_alone_from: int = 3
    """From this crash on, the message's turn runs with no other turn beside it."""
    delivery_attempts_max: int = 12
    note_seconds: float = 7 * 24 * 3600.0
    """How long a connector's note can be read (`noted`)."""
    note_bytes_max: int = 4096
    """Key and value of a note in UTF-8; a longer one is not kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """The answer to `accept`: the message is durable."""

    id: str
    """Ours; for a duplicate, the id given the first time."""
    duplicate: bool
    session_id: str
    event: int
    """Number of its entry in the session's event log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspended:
    """A turn that waits for a person: plain data, resumed exactly once by a RESUME message."""

    call_id: str
    state: Json
    expires_at: float
    """Seconds since the Unix epoch. The pipeline accepts an `expired` answer due at this time."""
    inbound_id: str = ""


@dataclass(slots=True, kw_only=True, eq=False)
class Turn:
    """One message at the front of its session, leased to this process."""

    id: str
    """The inbound message's id (ours)."""
    seq: int
    epoch: int
    """The owner's fence: `commit` and `checkpoint` refuse a turn of an older epoch."""
    message: InboundMessage
    session: Session
    """With history. Fresh (a new incarnation) when the former one had expired."""
    lane: Lane = Lane.MAILBOX
    attempt: int = 1
    """Starts so far that ended in an error, plus this one."""
    crashes: int = 0
    """Starts so far that ended with the process."""
    checkpoint: Json | None = None
    suspended: Suspended | None = None
    """What this RESUME message resumes; None when it was resumed or ended already."""
    accepted_at: float = 0.0
    blocked_seconds: float | None = None
    """Time it waited behind its session's earlier turns; None when a restart lies between."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One line for the audit, written inside `accept` or `commit`."""

    action: str
    actor: str
    resource: str
    outcome: str
    detail: Json = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """All that a turn changes, applied by `commit` in one atomic step."""

    replies: Sequence[Reply] = ()
    """Queued for the message's own channel and target, in this order."""
    context: Context | None = None
    """None leaves the session's context as it is."""
    history: Sequence[HistoryEntry] = ()
    """Appended; old entries are trimmed by `Limits.history_entries_max`."""
    end_session: bool = False
    """`/new`: context, history and suspended calls go; the next message opens a new incarnation."""
    cancel_queued_of: tuple[str, str, str] | None = None
    """`/stop`: (tenant, platform, user_id) of its sender, whose messages queued in this session
    before this one are marked as cancelled. With user_id `*`: everybody's."""
    cancel_message: str = ""
    """An edit or a recall: the same sender's message of this platform id and the same channel,
    queued in this session before this one, is marked as cancelled."""
    suspended: Suspended | None = None
    due: Sequence[tuple[InboundMessage, float]] = ()
    """Messages for the same session, accepted with this commit and due at the given time."""
    messages: Sequence[tuple[str, InboundMessage]] = ()
    """(session key, message) for other sessions: through the outbox to the channel `engine`."""
    audit: Sequence[AuditEntry] = ()
    trace: Sequence[Json] = ()
    """Steps for `trace`, each `{"at": unix seconds, "step": name, …}`."""
    notes: Sequence[tuple[str, Json]] = ()
    """(our id of another message, step): added to that message's trace while it is kept."""
    handled: str = "handled"
    """handled | stopped"""


@dataclass(slots=True, kw_only=True, eq=False)
class Delivery:
    """One reply to be sent, at the front of its session's outbox."""

    id: str
    """The reply's id: the idempotency key."""
    seq: int
    epoch: int
    session_key: str
    inbound_id: str
    inbound_message_id: str
    """The platform's id of the message that is answered."""
    channel: str
    target: Json
    reply: Reply
    trace_id: str
    user_id: str
    attempt: int = 1
    committed_at: float = 0.0
    message: InboundMessage | None = None
    """For the channel `engine`: what to accept, under `session_key`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    id: str
    kind: str
    """inbound | delivery"""
    at: float
    channel: str
    session_key: str
    message_id: str
    error: str
    attempts: int
    text: str
    """The message's or the reply's text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailVerdict:
    """What `fail` decided: try again at a time, or a dead letter."""

    dead: bool
    retry_at: float = 0.0
    attempt: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """For metrics and readiness."""

    owner: bool
    """True when this process holds the turns and deliveries."""
    backlog: int
    oldest_seconds: float
    running: int
    outbox: int
    dead_letters: int
    sessions: int
    round_trips: int
    """Calls that went to the engine since start."""
    syncs: int
    """fsyncs (or their like) since start."""


class Journal(Protocol):
    """See docs/architecture.md, "The journal". All times are seconds since the Unix epoch."""

    @property
    def owner(self) -> bool:
        """True while this process has the turns and deliveries; else it accepts and stands by."""
        ...

    def undelivered(self, session_key: str) -> bool:
        """Whether committed replies of this session are not with their platform yet, as far as this
        owner knows: a stream that opened now would be shown before them."""
        ...

    async def accept(
        self,
        message: InboundMessage,
        session_key: str,
        *,
        lane: Lane = Lane.MAILBOX,
        not_before: float | None = None,
        audit: Sequence[AuditEntry] = (),
    ) -> Receipt:
        """Durable when it returns. A duplicate (channel, message_id) is recognised for 24 h.

        Raises:
            Overloaded: the backlog or the outbox is full, the disk refuses, or the journal is
                closing. Nothing was kept.
        """
        ...

    def turns(self, lane: Lane | None = None) -> AsyncIterator[Turn]:
        """Messages in order of acceptance, at most one in flight per session (control lane apart).

        With `lane`, only those of this lane: a reader of its own for the control lane never waits
        behind a full mailbox.

        Each turn must end in exactly one of `commit`, `fail`, `release`. Waits while another
        process owns the journal. Ends after `drain`.
        """
        ...

    async def checkpoint(self, turn: Turn, state: Json) -> None:
        """The turn's progress, durable. Raises LostLease."""
        ...

    async def commit(self, turn: Turn, outcome: Outcome) -> int:
        """Apply the outcome atomically; the number of the session's newest event.

        Raises:
            LostLease: another owner took over, or the turn has ended already.
        """
        ...

    async def fail(
        self, turn: Turn, error: str, *, reply: Reply | None = None, trace: Sequence[Json] = ()
    ) -> FailVerdict:
        """The turn ended in an error: it is repeated after a pause (its session waits for it),
        or, after `Limits.error_attempts_max`, becomes a dead letter and `reply` is queued.
        """
        ...

    async def release(self, turn: Turn) -> None:
        """Give an unfinished turn back uncounted (shutdown); it is the session's next again."""
        ...

    def deliveries(self) -> AsyncIterator[Delivery]:
        """The outbox: in order, at most one in flight per session. Each delivery must end in
        exactly one of `delivered`, `retry`, `undeliverable`. Ends after `drain`, once no turn and
        no delivery is in flight and only replies that are due later are left."""
        ...

    async def delivered(self, delivery: Delivery, *, trace: Sequence[Json] = ()) -> None:
        """Sent. Written within 50 ms, with the next write; a crash before repeats the delivery."""
        ...

    async def retry(self, delivery: Delivery, error: str, not_before: float) -> None:
        """Not taken yet: again at `not_before`; the session's later replies wait for it.

        After `Limits.delivery_attempts_max` it is `undeliverable`.
        """
        ...

    async def undeliverable(self, delivery: Delivery, error: str) -> None:
        """Never will be taken: a dead letter; the session's later replies go on."""
        ...

    # What connectors note of messages.

    def note(self, channel: str, key: str, value: str) -> None:
        """Keep a value under a channel's key for `Limits.note_seconds`; a later one replaces it.

        Never waits: it can be read at once, and is written like `delivered`, within 50 ms. A crash
        before loses it. What is longer than `Limits.note_bytes_max` is not kept, with a warning:
        half a value would say something else.
        """
        ...

    async def noted(self, channel: str, key: str) -> str | None:
        """The value, also of another process or of one before a restart; None when there is none.

        Raises:
            EngineError: the store cannot be read.
        """
        ...

    # The end.

    async def drain(self) -> None:
        """Stop offering turns: `turns` ends, `accept` refuses. Turns in flight may still be ended;
        their replies, and those that wait, are offered by `deliveries` until it ends too."""
        ...

    # Reading. None of these is on the road of a message, except `stored_replies` for a duplicate.

    async def session(self, session_id: str) -> Session | None:
        """By its id; None when it is gone or expired."""
        ...

    async def sessions(self, limit: int = 100) -> list[Session]:
        """Live sessions, most recently active first, without history."""
        ...

    async def session_by_key(self, key: str) -> Session | None: ...

    async def events(self, session_key: str, after: int, limit: int = 500) -> list[SessionEvent]:
        """The session's log after entry `after`, oldest first. Survives the session's expiry."""
        ...

    async def trace(self, message_id: str, channel: str = "") -> Json | None:
        """A message's whole story, by the platform's id or ours; with `channel` only of this one,
        since two channels may have the same id:
        `{"id","message_id","channel","session","state","trace_id","attempts","steps":[…]}`."""
        ...

    async def stored_replies(self, channel: str, message_id: str) -> list[Reply] | None:
        """What was answered to a message; None while it is not handled or when it is unknown."""
        ...

    async def dead_letters(self, limit: int = 100) -> list[DeadLetter]: ...

    async def replay(self, dead_letter_id: str) -> bool:
        """Queue a dead letter again (attempts from zero, at the end of its session's queue).
        False when there is none of that id."""
        ...

    async def stats(self) -> Stats: ...
