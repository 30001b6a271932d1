"""What the journal's rules need of a store: one batch of changes on records, read and written."""

from collections.abc import Sequence
from typing import Protocol

from ai_engine.domain.message import Json
from ai_engine.domain.session import HistoryEntry
from ai_engine.journal.base import AuditEntry, Limits, Suspended
from ai_engine.journal.rows import DeadRow, Inbound, Known, OutboxRow, SessionRow


class Book(Protocol):
    """One unit of work. All methods act at once as far as later reads of the same book can see."""

    now: float
    limits: Limits

    def backlog(self) -> int:
        """Messages queued or running."""
        ...

    def known(self, channel: str, message_id: str) -> Known | None: ...

    def seq_of(self, inbound_id: str) -> int | None:
        """The `seq` of a message by our id, while it is known."""
        ...

    def add_inbound(self, row: Inbound, session_id: str, event: int) -> None:
        """Give the row its `seq`, keep it, and remember its deduplication key."""
        ...

    def mark_running(self, row: Inbound) -> None:
        """Unless it was cancelled meanwhile."""
        ...

    def mark_queued(self, row: Inbound, attempts: int, first_error_at: float, due: float) -> None:
        """Back to its place in the queue, not before `due`."""
        ...

    def mark_crashed(self, row: Inbound) -> None:
        """Queued again, with the row's new number of crashes."""
        ...

    def close_inbound(self, row: Inbound, state: int) -> None:
        """Handled, stopped, cancelled or dead."""
        ...

    def save_checkpoint(self, row: Inbound, state: Json) -> None: ...

    def session(self, key: str) -> SessionRow | None: ...

    def new_session(self, key: str) -> SessionRow:
        """A row whose event numbers go on after all that were ever forgotten."""
        ...

    def save_session(self, row: SessionRow) -> None: ...

    def history(self, row: SessionRow) -> tuple[HistoryEntry, ...]: ...

    def add_history(self, key: str, first: int, entries: Sequence[HistoryEntry]) -> None:
        """Entries numbered from `first` on."""
        ...

    def cut_history(self, key: str, upto: int) -> None:
        """Forget the entries numbered `upto` and lower."""
        ...

    def suspended(self, key: str, call_id: str) -> Suspended | None: ...

    def has_suspended(self, key: str) -> bool: ...

    def add_suspended(self, key: str, suspended: Suspended) -> None: ...

    def drop_suspended(self, key: str, call_id: str | None) -> None:
        """One call's, or (None) all of the session's."""
        ...

    def add_event(self, key: str, n: int, kind: str, body: Json) -> None: ...

    def add_outbox(self, row: OutboxRow) -> None:
        """Give the row its `seq` and keep it."""
        ...

    def postpone_outbox(self, row: OutboxRow, attempt: int, due: float) -> None: ...

    def close_outbox(self, row: OutboxRow, state: int) -> None: ...

    def add_trace(self, seq: int, steps: Sequence[Json]) -> None: ...

    def add_audit(self, row: Inbound, entries: Sequence[AuditEntry]) -> None: ...

    def save_note(self, channel: str, key: str, value: str) -> None:
        """Keep the newest value of each channel's key."""
        ...

    def add_dead(self, row: DeadRow) -> None: ...

    def dead(self, id: str) -> DeadRow | None: ...  # noqa: A002 - the field's own name

    def drop_dead(self, id: str) -> None: ...  # noqa: A002

    def revive_inbound(self, seq: int) -> Inbound | None:
        """The dead row, renumbered to the end of the queue, attempts and crashes from zero."""
        ...

    def revive_outbox(self, seq: int) -> OutboxRow | None:
        """The undeliverable row, renumbered to the end of the outbox, attempts from zero."""
        ...
