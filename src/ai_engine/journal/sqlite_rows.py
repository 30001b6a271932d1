"""Rows of the SQLite journal as the rules' records."""

from typing import Any, Final

from ai_engine.domain.message import Lane
from ai_engine.domain.session import Context
from ai_engine.journal import codec
from ai_engine.journal.rows import DeadRow, Inbound, OutboxRow, SessionRow

Row = tuple[Any, ...]
_NO_CONTEXT: Final = Context()
INBOUND_COLUMNS: Final = (
    "seq, id, session_key, control, state, due, counted, accepted_at, attempts, crashes,"
    " first_error_at, message, checkpoint"
)
OUTBOX_COLUMNS: Final = (
    "seq, id, session_key, inbound_seq, inbound_id, channel, state, attempt, due, committed_at,"
    " body"
)
SESSION_COLUMNS: Final = (
    "key, id, channel, user_id, context, created_at, active_at, last_event, history_from,"
    " history_to, pending"
)
DEAD_COLUMNS: Final = "id, kind, seq, at, channel, session_key, message_id, error, attempts, text"


def inbound_of(row: Row) -> Inbound:
    """From INBOUND_COLUMNS. Raises EngineError: damaged, or of a newer format."""
    (
        seq,
        id_,
        key,
        control,
        state,
        due,
        counted,
        accepted_at,
        attempts,
        crashes,
        first_error_at,
        message,
        checkpoint,
    ) = row
    return Inbound(
        id=id_,
        message=codec.decode_message(message),
        session_key=key,
        lane=Lane.CONTROL if control else Lane.MAILBOX,
        due=due,
        seq=seq,
        accepted_at=accepted_at,
        attempts=attempts,
        crashes=crashes,
        first_error_at=first_error_at,
        checkpoint=None if checkpoint is None else codec.decode_json(checkpoint),
        counted=bool(counted),
        state=state,
    )


def outbox_of(row: Row) -> OutboxRow:
    """From OUTBOX_COLUMNS. Raises EngineError: damaged, or of a newer format."""
    seq, id_, key, inbound_seq, inbound_id, channel, state, attempt, due, committed_at, data = row
    body = codec.decode_outbox(data)
    return OutboxRow(
        id=id_,
        session_key=key,
        inbound_seq=inbound_seq,
        inbound_id=inbound_id,
        inbound_message_id=body.inbound_message_id,
        channel=channel,
        target=body.target,
        reply=body.reply,
        trace_id=body.trace_id,
        user_id=body.user_id,
        committed_at=committed_at,
        message=body.message,
        seq=seq,
        attempt=attempt,
        due=due,
        state=state,
    )


def session_of(row: Row) -> SessionRow:
    """From SESSION_COLUMNS."""
    (
        key,
        id_,
        channel,
        user_id,
        context,
        created_at,
        active_at,
        last_event,
        history_from,
        history_to,
        pending,
    ) = row
    return SessionRow(
        key=key,
        id=id_,
        channel=channel,
        user_id=user_id,
        context=Context() if context is None else codec.decode_context(context),
        created_at=created_at,
        active_at=active_at,
        last_event=last_event,
        history_from=history_from,
        history_to=history_to,
        pending=pending,
        stored_id=id_,
    )


def session_row(row: SessionRow) -> Row:
    """In the order of SESSION_COLUMNS."""
    context = None if row.context == _NO_CONTEXT else codec.encode(row.context)
    return (
        row.key,
        row.id,
        row.channel,
        row.user_id,
        context,
        row.created_at,
        row.active_at,
        row.last_event,
        row.history_from,
        row.history_to,
        row.pending,
    )


def dead_of(row: Row) -> DeadRow:
    """From DEAD_COLUMNS."""
    id_, kind, seq, at, channel, key, message_id, error, attempts, text = row
    return DeadRow(
        id=id_,
        kind=kind,
        seq=seq,
        at=at,
        channel=channel,
        session_key=key,
        message_id=message_id,
        error=error,
        attempts=attempts,
        text=text,
    )
