"""One log record as one line: JSON for machines, or text for people."""

import logging
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, cast

import msgspec

from ai_engine.config.schema import LogConfig
from ai_engine.domain.clock import SystemClock
from ai_engine.observe.redact import HIDDEN, Redactor, escaped, is_secret_name, shortened
from ai_engine.observe.tracebacks import told

MESSAGE_CHARS_MAX: Final = 4_000
FIELD_CHARS_MAX: Final = 1_000
TRACEBACK_CHARS_MAX: Final = 8_000
LINE_BYTES_MAX: Final = 32_768
_FIELDS_MAX: Final = 40
_DEPTH_MAX: Final = 4
_INT_MAX: Final = 2**63

TEXT_FIELDS: Final = frozenset(
    {"answer", "content", "markdown", "message_text", "prompt", "reply", "reply_text", "text"}
)
"""Fields that hold what people or the assistant wrote; dropped unless the configuration allows."""

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_OWN = frozenset({"ts", "level", "logger", "msg", "exc"})
_encode = msgspec.json.Encoder().encode


class LineFormatter:
    """Immutable; `changed` gives another one."""

    def __init__(self, config: LogConfig, secrets: Iterable[str] = ()) -> None:
        self.config = config
        self._secrets = tuple(secrets)
        self._redact = Redactor(self._secrets)

    def changed(self, config: LogConfig, secrets: Iterable[str] | None = None) -> "LineFormatter":
        """With another configuration; `secrets` None keeps those known."""
        return LineFormatter(config, self._secrets if secrets is None else secrets)

    def line(self, record: logging.LogRecord, bound: Mapping[str, Any]) -> bytes:
        """The record with the bound fields and its own, ending in a newline."""
        extra = {k: v for k, v in vars(record).items() if k not in _STANDARD}
        message = self._text(record.getMessage(), MESSAGE_CHARS_MAX)
        fields = self._fields({**bound, **extra})
        return self._rendered(
            record.created,
            record.levelname.lower(),
            record.name,
            message,
            fields,
            self._traceback(record),
        )

    def note(self, level: str, message: str, **fields: Any) -> bytes:
        """A line of the logging itself."""
        return self._rendered(
            SystemClock().time(), level, __name__, message, self._fields(fields), ""
        )

    def _rendered(
        self, at: float, level: str, logger: str, message: str, fields: dict[str, Any], exc: str
    ) -> bytes:
        if self.config.format == "text":
            return _for_people(at, level, logger, message, fields, exc)
        head: dict[str, Any] = {"ts": _iso(at), "level": level, "logger": logger, "msg": message}
        tail = {"exc": exc} if exc else {}
        line = _encode({**head, **fields, **tail})
        if len(line) > LINE_BYTES_MAX:
            short = {k: v for k, v in fields.items() if len(str(v)) < 100}
            head |= {"msg": shortened(message, 1000), **dict(list(short.items())[:10])}
            line = _encode({**head, "cut": len(line), "exc": shortened(exc, 2000)})
        return line + b"\n"

    def _fields(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        for name, value in list(raw.items())[:_FIELDS_MAX]:
            shown = f"{name}_" if name in _OWN else name
            if name in TEXT_FIELDS and not self.config.message_text:
                fields[f"{shown}_chars"] = len(str(value))
            else:
                fields[_name(shown)] = self._value(name, value, 0)
        return fields

    def _value(self, name: str, value: Any, depth: int) -> Any:
        if isinstance(value, bool | float) or value is None:
            return value
        if is_secret_name(name):
            return value if isinstance(value, int) else HIDDEN
        if isinstance(value, str):
            return self._text(value, FIELD_CHARS_MAX)
        if isinstance(value, int) and abs(value) < _INT_MAX:
            return value
        if isinstance(value, Mapping) and depth < _DEPTH_MAX:
            return self._mapping(cast("Mapping[Any, Any]", value), depth)
        if isinstance(value, list | tuple | set | frozenset) and depth < _DEPTH_MAX:
            items = list(cast("Iterable[Any]", value))[:_FIELDS_MAX]
            return [self._value(name, item, depth + 1) for item in items]
        return self._text(str(cast("object", value)), FIELD_CHARS_MAX)

    def _mapping(self, value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        allowed = self.config.message_text
        return {
            _name(str(key)): self._value(str(key), item, depth + 1)
            for key, item in list(value.items())[:_FIELDS_MAX]
            if allowed or key not in TEXT_FIELDS
        }

    def _text(self, text: str, chars_max: int) -> str:
        # The cut leaves room beyond the bound first, so that no half of a secret is left standing.
        return shortened(escaped(self._redact(text[: chars_max * 2])), chars_max)

    def _traceback(self, record: logging.LogRecord) -> str:
        parts: list[str] = []
        if record.exc_info and record.exc_info[1] is not None:
            parts += told(record.exc_info[1], with_words=self.config.message_text)
        elif record.exc_text:
            parts.append(record.exc_text)
        if record.stack_info:
            parts.append(record.stack_info)
        whole = self._redact("".join(parts).strip()[-2 * TRACEBACK_CHARS_MAX :])
        if len(whole) > TRACEBACK_CHARS_MAX:  # its end names the error
            whole = "(cut)…" + whole[-TRACEBACK_CHARS_MAX:]
        return escaped(whole, keep_newlines=True)


def _for_people(
    at: float, level: str, logger: str, message: str, fields: dict[str, Any], exc: str
) -> bytes:
    clock = datetime.fromtimestamp(at, UTC).astimezone().strftime("%H:%M:%S.%f")[:-3]
    told = " ".join(
        f"{name}={value if isinstance(value, str) else _encode(value).decode()}"
        for name, value in fields.items()
    )
    line = f"{clock} {level.upper():<7} {logger.removeprefix('ai_engine.')}: {message}"
    lines = [f"{line}  [{told}]" if told else line]
    lines += [f"    | {part}" for part in exc.splitlines()]
    shown = "\n".join(lines).encode("utf-8")
    if len(shown) > LINE_BYTES_MAX:
        shown = shown[:LINE_BYTES_MAX].decode("utf-8", "ignore").encode("utf-8") + b" ...(cut)"
    return shown + b"\n"


def _name(name: str) -> str:
    """A field's name: short, and without characters that forge or hide."""
    return name if name.isidentifier() and len(name) <= 80 else shortened(escaped(name), 80)


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
