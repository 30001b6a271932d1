"""What went over the wire, kept as it was: tests assert on it and people read it in the drawer."""

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from ai_engine.domain.message import Json

ROWS_MAX = 5_000
BODY_CHARS_MAX = 65_536
TOTAL_CHARS_MAX = 32_000_000


def as_text(body: bytes | str) -> str:
    """The body for a reader, cut at `BODY_CHARS_MAX`; bytes that are no UTF-8 are replaced."""
    text = body if isinstance(body, str) else body.decode("utf-8", "replace")
    return text if len(text) <= BODY_CHARS_MAX else text[:BODY_CHARS_MAX] + "…"


class WireLog:
    """A ring of rows. Secrets are not masked: everything here is simulated."""

    def __init__(self, *, changed: Callable[[str, Json], None] | None = None) -> None:
        self._rows: deque[Json] = deque()
        self._chars = 0
        self._n = 0
        self._changed = changed

    def add(
        self,
        *,
        direction: str,
        at: float,
        method: str,
        path: str,
        query: str = "",
        headers: Mapping[str, str] | None = None,
        body: bytes | str = b"",
        status: int = 0,
        answer: bytes | str = b"",
        milliseconds: float = 0.0,
        error: str = "",
    ) -> None:
        """Append one row. `direction`: in (a request to the platform), out (a callback to the
        engine), frame-in and frame-out (a long connection)."""
        self._n += 1
        row: Json = {
            "n": self._n,
            "direction": direction,
            "at": at,
            "method": method,
            "path": path,
            "query": query,
            "headers": dict(headers or {}),
            "body": as_text(body),
            "status": status,
            "answer": as_text(answer),
            "milliseconds": round(milliseconds, 2),
            "error": error,
        }
        self._rows.append(row)
        self._chars += _size(row)
        while len(self._rows) > ROWS_MAX or self._chars > TOTAL_CHARS_MAX:
            self._chars -= _size(self._rows.popleft())
        if self._changed is not None:
            self._changed("request", row)

    def rows(self, *, direction: str = "", path: str = "", after: int = 0) -> list[Json]:
        """Rows in order; `path` is a part of the path that they must hold."""
        return [
            row
            for row in self._rows
            if row["n"] > after
            and (not direction or row["direction"] == direction)
            and path in row["path"]
        ]

    def clear(self) -> None:
        """Forget everything; numbers go on."""
        self._rows.clear()
        self._chars = 0


def _size(row: dict[str, Any]) -> int:
    return len(row["body"]) + len(row["answer"])
