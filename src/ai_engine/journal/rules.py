"""The journal's rules, the same for every engine: what each call changes, on a `Book`.

Every function decides first and writes afterwards, so that one that raises has changed nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from ai_engine.domain.ids import derived_id, new_id
from ai_engine.domain.message import InboundMessage, Json, MessageKind
from ai_engine.domain.reply import Reply, card_as_markdown
from ai_engine.journal.base import AuditEntry, Outcome, Receipt, Suspended
from ai_engine.journal.book import Book
from ai_engine.journal.codec import to_builtins
from ai_engine.journal.incarnations import close_session, log_event, open_session
from ai_engine.journal.refusals import full_backlog
from ai_engine.journal.rows import (
    CANCELLED,
    DEAD,
    DELIVERED,
    HANDLED,
    QUEUED,
    RUNNING,
    STOPPED,
    UNDELIVERABLE,
    Committed,
    DeadRow,
    Failed,
    Inbound,
    OutboxRow,
    SessionRow,
    Started,
)

ERROR_PAUSES = (2.0, 10.0, 20.0)
"""Seconds before the second, third, … attempt; the last one repeats."""
ENGINE_CHANNEL = "engine"
CrashReply = Callable[[InboundMessage], Reply]


def step(at: float, name: str, **more: Any) -> Json:
    """One step of a trace."""
    return {"at": round(at, 4), "step": name, **more}


def accept(
    book: Book,
    row: Inbound,
    audit: Sequence[AuditEntry] = (),
    backlog_max: int | None = None,
    *,
    at_once: bool = False,
) -> Receipt:
    """Keep a message, unless it is a duplicate. `backlog_max` None: the caller has counted.
    `at_once`: it is running from now on, when its session has nothing else to do.

    Raises:
        Overloaded: the backlog is full.
    """
    message = row.message
    known = book.known(message.channel, message.message_id)
    if known is not None and book.now - known.at < book.limits.dedup_seconds:
        return Receipt(id=known.id, duplicate=True, session_id=known.session_id, event=known.event)
    if backlog_max is not None and book.backlog() >= backlog_max:
        raise full_backlog(backlog_max)
    session = open_session(book, row.session_key, message)
    session.active_at = row.accepted_at = book.now
    row.counted = row.due <= book.now
    if row.counted:
        session.pending += 1
    row.state = RUNNING if at_once and session.pending == 1 else QUEUED
    if message.kind is MessageKind.TEXT:
        log_event(book, session, "message", _message_body(row))
    book.save_session(session)
    session_id = session.id or ""
    book.add_inbound(row, session_id, session.last_event)
    accepted = step(
        book.now,
        "accepted",
        id=row.id,
        message_id=message.message_id,
        channel=message.channel,
        session=session_id,
        session_key=row.session_key,
        trace_id=message.trace_id,
    )
    started = (_start_step(book, row),) if row.state == RUNNING else ()
    book.add_trace(row.seq, (accepted, *started))
    book.add_audit(row, audit)
    return Receipt(id=row.id, duplicate=False, session_id=session_id, event=session.last_event)


def _message_body(row: Inbound) -> Json:
    sender = row.message.sender
    return {
        "id": row.id,
        "message_id": row.message.message_id,
        "user": sender.user_id,
        "name": sender.name,
        "text": row.message.text,
    }


def start(book: Book, row: Inbound, counted: bool) -> Started:
    """Count the start, and load what the turn needs. `counted`: the row is among the session's
    pending ones already."""
    session = open_session(book, row.session_key, row.message)
    if not counted:
        session.pending += 1
        book.save_session(session)
    book.mark_running(row)
    book.add_trace(row.seq, (_start_step(book, row),))
    return _load(book, row, session)


def accept_and_start(
    book: Book, row: Inbound, audit: Sequence[AuditEntry] = ()
) -> tuple[Receipt, Started | None]:
    """`accept` and `start` in one; None when another message of the session comes first, or this
    is a duplicate."""
    receipt = accept(book, row, audit, at_once=True)
    if receipt.duplicate or row.state != RUNNING:
        return receipt, None
    return receipt, _load(book, row, open_session(book, row.session_key, row.message))


def _start_step(book: Book, row: Inbound) -> Json:
    more = {"crashes": row.crashes} if row.crashes else {}
    return step(book.now, "started", attempt=row.attempts + 1, **more)


def _load(book: Book, row: Inbound, session: SessionRow) -> Started:
    suspended = None
    if row.message.kind is MessageKind.RESUME:
        suspended = book.suspended(row.session_key, str(row.message.payload.get("call", "")))
    history = book.history(session) if session.history_to > session.history_from else ()
    value = session.value(book.limits.session_idle_seconds, book.now, history)
    return Started(session=value, suspended=suspended)


def release(book: Book, row: Inbound) -> None:
    """Uncounted: the session's next again."""
    book.mark_queued(row, row.attempts, row.first_error_at, row.due)
    book.add_trace(row.seq, (step(book.now, "released"),))


def commit(
    book: Book,
    row: Inbound,
    outcome: Outcome,
    resumed: Suspended | None,
    cancelled: Sequence[Inbound],
) -> Committed:
    """The whole outcome of a turn."""
    session = open_session(book, row.session_key, row.message)
    if outcome.end_session:
        log_event(book, session, "cleared", {"in_reply_to": row.message.message_id, "id": row.id})
        close_session(book, session)
    else:
        _remember(book, session, outcome)
    if resumed is not None:
        book.drop_suspended(session.key, resumed.call_id)
    if outcome.suspended is not None:
        suspended = replace(outcome.suspended, inbound_id=outcome.suspended.inbound_id or row.id)
        book.add_suspended(session.key, suspended)
    outbox = [_queue_reply(book, session, row, reply) for reply in outcome.replies]
    if outcome.handled == "stopped":
        log_event(book, session, "stopped", {"in_reply_to": row.message.message_id, "id": row.id})
    outbox += [
        _queue_message(book, row, at, key, message)
        for at, (key, message) in enumerate(outcome.messages)
    ]
    for other in cancelled:
        _cancel(book, session, other, row.id)
    _close(book, session, row, STOPPED if outcome.handled == "stopped" else HANDLED)
    inbound = _accept_due(book, session.key, outcome.due)
    done = step(book.now, "committed", state=outcome.handled, replies=len(outcome.replies))
    book.add_trace(row.seq, (*outcome.trace, done))
    for other_id, noted in outcome.notes:
        if (seq := book.seq_of(other_id)) is not None:
            book.add_trace(seq, (noted,))
    book.add_audit(row, outcome.audit)
    return Committed(last_event=session.last_event, outbox=tuple(outbox), inbound=inbound)


def _remember(book: Book, session: SessionRow, outcome: Outcome) -> None:
    if outcome.context is not None:
        session.context = outcome.context
    if outcome.history:
        book.add_history(session.key, session.history_to + 1, outcome.history)
        session.history_to += len(outcome.history)
        oldest = session.history_to - book.limits.history_entries_max
        if oldest > session.history_from:
            book.cut_history(session.key, oldest)
            session.history_from = oldest


def _queue_reply(book: Book, session: SessionRow, row: Inbound, reply: Reply) -> OutboxRow:
    body: Json = {
        "id": reply.id,
        "in_reply_to": row.message.message_id,
        "text": reply.text,
        "produced_by": reply.produced_by,
        "final": reply.final,
        **({"feedback": reply.feedback} if reply.feedback else {}),
    }
    if reply.card is not None:
        body["card"] = to_builtins(reply.card)
    log_event(book, session, "reply", body)
    message = row.message
    return _queue(book, row, session.key, message.channel, message.target, reply)


def _queue_message(
    book: Book, row: Inbound, at: int, key: str, message: InboundMessage
) -> OutboxRow:
    """A message for another session: through the outbox to the engine's own channel."""
    reply = Reply(id=derived_id("r", row.id, "message", str(at)), produced_by="engine")
    return _queue(book, row, key, ENGINE_CHANNEL, {}, reply, message)


def _queue(
    book: Book,
    row: Inbound,
    key: str,
    channel: str,
    target: Json,
    reply: Reply,
    message: InboundMessage | None = None,
) -> OutboxRow:
    queued = OutboxRow(
        id=reply.id,
        session_key=key,
        inbound_seq=row.seq,
        inbound_id=row.id,
        inbound_message_id=row.message.message_id,
        channel=channel,
        target=target,
        reply=reply,
        trace_id=row.message.trace_id,
        user_id=row.message.sender.user_id,
        committed_at=book.now,
        message=message,
    )
    book.add_outbox(queued)
    return queued


def _cancel(book: Book, session: SessionRow, row: Inbound, by: str) -> None:
    if row.counted:
        session.pending -= 1
    book.close_inbound(row, CANCELLED)
    book.add_trace(row.seq, (step(book.now, "cancelled", state="cancelled", by=by),))


def _close(book: Book, session: SessionRow, row: Inbound, state: int) -> None:
    book.close_inbound(row, state)
    if row.counted:
        session.pending = max(0, session.pending - 1)
    session.active_at = book.now
    book.save_session(session)


def _accept_due(
    book: Book, key: str, due: Sequence[tuple[InboundMessage, float]]
) -> tuple[Inbound, ...]:
    new: list[Inbound] = []
    for message, at in due:
        row = Inbound(id=new_id("m"), message=message, session_key=key, due=at)
        if not accept(book, row).duplicate:
            new.append(row)
    return tuple(new)


def fail(
    book: Book, row: Inbound, error: str, reply: Reply | None, trace: Sequence[Json]
) -> Failed:
    """Another attempt after a pause, or a dead letter and the reply."""
    limits = book.limits
    attempts = row.attempts + 1
    first = row.first_error_at or book.now
    pause = ERROR_PAUSES[min(attempts, len(ERROR_PAUSES)) - 1]
    too_late = book.now + pause > first + limits.error_window_seconds
    failed = step(book.now, "failed", attempt=attempts, error=error)
    book.add_trace(row.seq, (*trace, failed))
    if attempts < limits.error_attempts_max and not too_late:
        book.mark_queued(row, attempts, first, book.now + pause)
        return Failed(
            dead=False, retry_at=book.now + pause, attempts=attempts, first_error_at=first
        )
    outbox = bury(book, row, error, reply, attempts)
    return Failed(dead=True, retry_at=0.0, attempts=attempts, first_error_at=first, outbox=outbox)


def bury(
    book: Book, row: Inbound, error: str, reply: Reply | None, attempts: int
) -> tuple[OutboxRow, ...]:
    """A dead letter for the message, and the honest reply to its sender."""
    session = open_session(book, row.session_key, row.message)
    outbox = () if reply is None else (_queue_reply(book, session, row, reply),)
    _close(book, session, row, DEAD)
    dead = DeadRow(
        id=new_id("d"),
        kind="inbound",
        seq=row.seq,
        at=book.now,
        channel=row.message.channel,
        session_key=row.session_key,
        message_id=row.message.message_id,
        error=error,
        attempts=attempts,
        text=row.message.text,
    )
    book.add_dead(dead)
    book.add_trace(row.seq, (step(book.now, "dead_letter", state="dead", dead_letter=dead.id),))
    return outbox


def recover(
    book: Book, row: Inbound, crash_reply: CrashReply | None
) -> tuple[OutboxRow, ...] | None:
    """A new owner's look at an open row. What ran when the former one ended has crashed once
    more; None when the row stays queued, else it is dead, with the replies queued for it."""
    if row.state != RUNNING:
        return None
    row.crashes += 1
    book.add_trace(row.seq, (step(book.now, "crashed", crashes=row.crashes),))
    if row.crashes < book.limits.crash_attempts_max:
        book.mark_crashed(row)
        return None
    reply = crash_reply(row.message) if crash_reply is not None else None
    error = f"the process ended {row.crashes} times while it handled this message"
    return bury(book, row, error, reply, row.crashes)


def delivered(book: Book, row: OutboxRow, trace: Sequence[Json]) -> None:
    """Sent."""
    book.close_outbox(row, DELIVERED)
    sent = step(book.now, "delivered", reply=row.id, attempt=row.attempt)
    book.add_trace(row.inbound_seq, (*trace, sent))


def retry(book: Book, row: OutboxRow, error: str, not_before: float) -> bool:
    """Again at `not_before`; False when that was the last attempt and it is a dead letter."""
    if row.attempt >= book.limits.delivery_attempts_max:
        undeliverable(book, row, error)
        return False
    book.postpone_outbox(row, row.attempt + 1, not_before)
    failed = step(book.now, "delivery_failed", reply=row.id, attempt=row.attempt, error=error)
    book.add_trace(row.inbound_seq, (failed,))
    return True


def undeliverable(book: Book, row: OutboxRow, error: str) -> None:
    """A dead letter for a reply."""
    book.close_outbox(row, UNDELIVERABLE)
    text = row.reply.text or (card_as_markdown(row.reply.card) if row.reply.card else "")
    dead = DeadRow(
        id=new_id("d"),
        kind="delivery",
        seq=row.seq,
        at=book.now,
        channel=row.channel,
        session_key=row.session_key,
        message_id=row.inbound_message_id,
        error=error,
        attempts=row.attempt,
        text=text or (row.message.text if row.message else ""),
    )
    book.add_dead(dead)
    lost = step(book.now, "undeliverable", reply=row.id, error=error, dead_letter=dead.id)
    book.add_trace(row.inbound_seq, (lost,))


def replay(book: Book, dead_letter_id: str) -> Inbound | OutboxRow | None:
    """A dead letter's row at the end of its queue again; None when there is none."""
    dead = book.dead(dead_letter_id)
    if dead is None:
        return None
    if dead.kind == "inbound":
        row = book.revive_inbound(dead.seq)
        if row is not None:
            session = open_session(book, row.session_key, row.message)
            session.pending += 1
            session.active_at = book.now
            book.save_session(session)
            book.add_trace(row.seq, (step(book.now, "replayed", state="queued"),))
    else:
        row = book.revive_outbox(dead.seq)
        if row is not None:
            book.add_trace(row.inbound_seq, (step(book.now, "replayed", reply=row.id),))
    book.drop_dead(dead_letter_id)
    return row
