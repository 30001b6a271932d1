"""The journal's records as JSON bytes and back: one place, one format version."""

from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from ai_engine.domain.errors import EngineError
from ai_engine.domain.message import InboundMessage, Json
from ai_engine.domain.reply import Reply
from ai_engine.domain.session import Context

FORMAT = 1
"""What this program writes. It reads FORMAT and FORMAT - 1, and refuses what is newer."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxBody:
    """The part of an outbox row that nothing is searched by."""

    inbound_message_id: str
    target: Json
    reply: Reply
    trace_id: str
    user_id: str
    message: InboundMessage | None = None
    version: int = FORMAT


_encoder = msgspec.json.Encoder()
encode = _encoder.encode
"""Any domain dataclass or plain data as JSON bytes."""

to_builtins = msgspec.to_builtins
"""A domain dataclass as plain data."""

_message = msgspec.json.Decoder(InboundMessage)
_outbox = msgspec.json.Decoder(OutboxBody)
_context = msgspec.json.Decoder(Context)
_json = msgspec.json.Decoder(dict[str, Any])
_steps = msgspec.json.Decoder(list[dict[str, Any]])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Version:
    version: int = field(default=FORMAT)


_version = msgspec.json.Decoder(_Version)


def _decode(decoder: "msgspec.json.Decoder[T]", data: bytes, what: str) -> T:
    try:
        return decoder.decode(data)
    except msgspec.DecodeError as error:
        raise EngineError(
            f"a stored {what} cannot be read: {error}",
            hint="the journal file is damaged; restore it from a backup",
        ) from error


def _decode_record(decoder: "msgspec.json.Decoder[T]", data: bytes, what: str) -> T:
    """A record of ours, which carries its format's version."""
    version = _decode(_version, data, what).version
    if not FORMAT - 1 <= version <= FORMAT:
        raise EngineError(
            f"a stored {what} has format {version}; the newest that can be read is {FORMAT}",
            hint="start the version of ai-engine that wrote it, or a newer one",
        )
    return _decode(decoder, data, what)


def decode_message(data: bytes) -> InboundMessage:
    """Unknown fields are ignored. Raises EngineError: damaged, or of a newer format."""
    return _decode_record(_message, data, "message")


def decode_outbox(data: bytes) -> OutboxBody:
    """Unknown fields are ignored. Raises EngineError: damaged, or of a newer format."""
    return _decode_record(_outbox, data, "reply")


def decode_context(data: bytes) -> Context:
    """The session's context. Raises EngineError: damaged."""
    return _decode(_context, data, "context")


def decode_json(data: bytes) -> Json:
    """A JSON object. Raises EngineError: damaged."""
    return _decode(_json, data, "object")


def decode_steps(data: bytes) -> list[Json]:
    """Steps of a trace. Raises EngineError: damaged."""
    return _decode(_steps, data, "trace")
