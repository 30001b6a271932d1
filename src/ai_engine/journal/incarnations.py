"""A session key's incarnations: when one begins, when it has expired, what its end destroys."""

from ai_engine.domain.ids import new_id
from ai_engine.domain.message import InboundMessage, Json
from ai_engine.domain.session import Context
from ai_engine.journal.book import Book
from ai_engine.journal.rows import SessionRow


def open_session(book: Book, key: str, message: InboundMessage) -> SessionRow:
    """The key's session; a new incarnation when there is none or the former one has expired."""
    row = book.session(key)
    if row is None:
        row = book.new_session(key)
    elif row.id is not None and not is_expired(book, row):
        return row
    else:
        close_session(book, row)
    row.id = new_id("s")
    row.channel = message.channel
    row.user_id = message.sender.user_id
    row.created_at = row.active_at = book.now
    book.save_session(row)
    return row


def is_expired(book: Book, row: SessionRow) -> bool:
    """Idle too long, with nothing queued, running or suspended."""
    idle = book.now - row.active_at >= book.limits.session_idle_seconds
    return idle and row.pending == 0 and not book.has_suspended(row.key)


def close_session(book: Book, row: SessionRow) -> None:
    """The end of an incarnation: context, history and suspended calls go."""
    row.id = None
    row.context = Context()
    if row.history_to > row.history_from:
        book.cut_history(row.key, row.history_to)
    row.history_from = row.history_to
    book.drop_suspended(row.key, None)
    book.save_session(row)


def log_event(book: Book, row: SessionRow, kind: str, body: Json) -> None:
    """The next entry of the session's event log."""
    row.last_event += 1
    book.add_event(row.key, row.last_event, kind, body)
