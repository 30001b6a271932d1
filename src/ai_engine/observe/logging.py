"""Structured logs: one line a record, with the message's trace, without what people wrote.

`setup` sends the standard library's `logging` through a bounded queue to a thread that writes to
standard error, so that a slow reader never blocks the event loop. `bind` adds fields to every
record inside its block, across awaits and in tasks started there.
"""

import logging
import queue
import sys
import threading
from collections.abc import Iterable, Mapping
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, BinaryIO, Final, cast

from pydantic import BaseModel, SecretStr

from ai_engine.config.schema import LogConfig
from ai_engine.observe.logline import LineFormatter

QUEUE_RECORDS_MAX: Final = 10_000
_BATCH_LINES_MAX: Final = 256
_CLOSE_SECONDS_MAX: Final = 2.0

_bound: ContextVar[Mapping[str, Any]] = ContextVar("ai_engine_log_fields", default={})  # noqa: B039 - never changed in place


class bind:  # noqa: N801 - used as a function: `with bind(trace=…):`
    """Add fields to every log record inside the block; inner blocks add to outer ones."""

    __slots__ = ("_fields", "_token")

    def __init__(self, **fields: Any) -> None:
        self._fields = fields

    def __enter__(self) -> None:
        self._token: Token[Mapping[str, Any]] = _bound.set({**_bound.get(), **self._fields})

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _bound.reset(self._token)


def bound_fields() -> Mapping[str, Any]:
    """What `bind` has set here."""
    return _bound.get()


class _QueueHandler(logging.Handler):
    """Renders in the caller (a few µs), queues, and counts what the full queue did not take."""

    def __init__(self, lines: "queue.Queue[bytes | None]", formatter: LineFormatter) -> None:
        super().__init__()
        self.lines = lines
        self.line_formatter = formatter
        self.dropped = 0

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.line_formatter.line(record, _bound.get())
        except Exception as error:  # noqa: BLE001 - a wrong log call must not end what it reports
            where = f"{record.pathname}:{record.lineno}"
            kind = type(error).__name__
            line = self.line_formatter.note("error", "wrong log call", where=where, error=kind)
        try:
            self.lines.put_nowait(line)
        except queue.Full:
            self.dropped += 1


class Logs:
    """The running log output, made by `setup`. Close it at the end of the process."""

    def __init__(self, config: LogConfig, stream: BinaryIO, secrets: Iterable[str]) -> None:
        self._lines: queue.Queue[bytes | None] = queue.Queue(QUEUE_RECORDS_MAX)
        self._stream = stream
        self._handler = _QueueHandler(self._lines, LineFormatter(config, secrets))
        self._unwritten = 0
        self._told_dropped = 0
        self._thread = threading.Thread(target=self._write, name="log-writer", daemon=True)

    def start(self) -> None:
        root = logging.getLogger()
        self._before = (root.handlers[:], root.level)
        root.handlers[:] = [self._handler]
        self.configure(self._handler.line_formatter.config)
        logging.captureWarnings(True)
        self._thread.start()

    def configure(self, config: LogConfig, secrets: Iterable[str] | None = None) -> None:
        """Take a changed configuration into force; `secrets` None keeps those known."""
        self._handler.line_formatter = self._handler.line_formatter.changed(config, secrets)
        logging.getLogger().setLevel(config.level.upper())

    @property
    def dropped(self) -> int:
        """Records lost since start: the queue was full, or standard error was gone."""
        return self._handler.dropped + self._unwritten

    def close(self) -> None:
        """Write what is queued (at most 2 s) and give the root logger back. May be called twice."""
        root = logging.getLogger()
        if self._handler not in root.handlers:
            return
        logging.captureWarnings(False)
        root.handlers[:], level = self._before
        root.setLevel(level)
        try:
            self._lines.put(None, timeout=_CLOSE_SECONDS_MAX)
        except queue.Full:
            return  # nobody reads standard error; the writer is a daemon thread
        self._thread.join(_CLOSE_SECONDS_MAX)

    def __enter__(self) -> "Logs":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self) -> None:
        """The writer thread: one write for all the lines that wait."""
        ended = False
        while not ended:
            batch = [self._lines.get()]
            while len(batch) < _BATCH_LINES_MAX and not self._lines.empty():
                batch.append(self._lines.get_nowait())
            ended = None in batch
            lines = [line for line in batch if line is not None]
            self._write_batch(lines)

    def _write_batch(self, lines: list[bytes]) -> None:
        dropped = self._handler.dropped
        count = len(lines)
        if dropped > self._told_dropped:
            formatter = self._handler.line_formatter
            lost = dropped - self._told_dropped
            lines.append(formatter.note("warning", "log records were dropped", dropped=lost))
            self._told_dropped = dropped
        try:
            self._stream.write(b"".join(lines))
            self._stream.flush()
        except (OSError, ValueError):
            self._unwritten += count  # standard error is gone: only the metric can tell


def setup(
    config: LogConfig, *, secrets: Iterable[str] = (), stream: BinaryIO | None = None
) -> Logs:
    """Send all logging to standard error as configured.

    Args:
        config: level, format, and whether what people wrote may be logged.
        secrets: values to hide wherever they appear, from the configuration.
        stream: instead of standard error.
    """
    logs = Logs(config, stream or sys.stderr.buffer, secrets)
    logs.start()
    return logs


def secret_values(config: BaseModel) -> list[str]:
    """Every secret of a configuration, for `setup` and `Logs.configure`."""
    found: list[str] = []
    waiting: list[object] = [config]
    while waiting:
        value = waiting.pop()
        if isinstance(value, SecretStr):
            found.append(value.get_secret_value())
        elif isinstance(value, BaseModel):
            waiting.extend(getattr(value, name) for name in type(value).model_fields)
        elif isinstance(value, Mapping):
            waiting.extend(cast("Mapping[object, object]", value).values())
        elif isinstance(value, list | tuple):
            waiting.extend(cast("Iterable[object]", value))
    return [secret for secret in found if secret]
