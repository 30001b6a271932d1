"""Frames of Feishu's long connection: a proto2 message, coded by hand, and fragments put together.

Source: `pbbp2.proto` as compiled into the vendor's SDKs: `Frame{SeqID=1 u64, LogID=2 u64,
service=3 i32, method=4 i32, headers=5 Header{key=1,value=2}, payload_encoding=6, payload_type=7,
payload=8, LogIDNew=9}`; the first four are required.
"""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from ai_engine.domain.clock import Clock
from ai_engine.domain.errors import Malformed

CONTROL: Final = 0
DATA: Final = 1
_VARINT: Final = 0
_FIXED64: Final = 1
_BYTES: Final = 2
_FIXED32: Final = 5
_U64: Final = (1 << 64) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    method: int
    service: int = 0
    seq_id: int = 0
    log_id: int = 0
    headers: dict[str, str] = field(default_factory=dict[str, str])
    payload_encoding: str = ""
    payload_type: str = ""
    payload: bytes = b""
    log_id_new: str = ""


def encode(frame: Frame) -> bytes:
    """The frame's bytes."""
    out = bytearray()
    for number, value in enumerate((frame.seq_id, frame.log_id, frame.service, frame.method), 1):
        out += bytes((number << 3 | _VARINT,)) + _varint(value & _U64)
    for key, value in frame.headers.items():
        out += _field(5, _field(1, key.encode()) + _field(2, value.encode()))
    for number, text in ((6, frame.payload_encoding), (7, frame.payload_type)):
        if text:
            out += _field(number, text.encode())
    if frame.payload:
        out += _field(8, frame.payload)
    if frame.log_id_new:
        out += _field(9, frame.log_id_new.encode())
    return bytes(out)


def decode(data: bytes) -> Frame:
    """The frame in `data`; unknown fields are skipped. Raises Malformed."""
    numbers = dict.fromkeys((1, 2, 3, 4), 0)
    texts: dict[int, bytes] = {}
    headers: dict[str, str] = {}
    seen: set[int] = set()
    for number, value in _fields(data):
        seen.add(number)
        if number in numbers and isinstance(value, int):
            numbers[number] = value
        elif number == 5 and isinstance(value, bytes):
            pair = {n: v for n, v in _fields(value) if isinstance(v, bytes)}
            headers[_text(pair.get(1, b""))] = _text(pair.get(2, b""))
        elif isinstance(value, bytes):
            texts[number] = value
    if not seen.issuperset(numbers):
        raise Malformed("the frame lacks a required field")
    return Frame(
        seq_id=numbers[1],
        log_id=numbers[2],
        service=_signed(numbers[3]),
        method=_signed(numbers[4]),
        headers=headers,
        payload_encoding=_text(texts.get(6, b"")),
        payload_type=_text(texts.get(7, b"")),
        payload=texts.get(8, b""),
        log_id_new=_text(texts.get(9, b"")),
    )


def _field(number: int, value: bytes) -> bytes:
    return bytes((number << 3 | _BYTES,)) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _signed(value: int) -> int:
    low = value & 0xFFFFFFFF
    return low - (1 << 32) if low >> 31 else low


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise Malformed("the frame holds a text that is no UTF-8") from error


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(number, value) of each field of one message."""
    at = 0
    while at < len(data):
        tag, at = _read_varint(data, at)
        kind = tag & 7
        if kind == _VARINT:
            value, at = _read_varint(data, at)
            yield tag >> 3, value
            continue
        if kind == _BYTES:
            size, at = _read_varint(data, at)
        elif kind in (_FIXED32, _FIXED64):
            size = 4 if kind == _FIXED32 else 8
        else:
            raise Malformed("the frame holds a field of an unknown kind")
        if at + size > len(data):
            raise Malformed("the frame is cut")
        if kind == _BYTES:
            yield tag >> 3, data[at : at + size]
        at += size


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & _U64, at
        shift += 7
    raise Malformed("the frame is cut")


PARTS_MAX: Final = 64
PENDING_MAX: Final = 32
EVENT_BYTES_MAX: Final = 1_048_576
LIFE_SECONDS: Final = 10.0
"""How long parts wait for the others (the vendor's SDK: 5 s)."""


class Fragments:
    """Puts an event that came in several frames together. Everything is bounded."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._pending: OrderedDict[str, tuple[float, dict[int, bytes]]] = OrderedDict()

    def add(self, message_id: str, total: int, number: int, part: bytes) -> bytes | None:
        """The whole once its last part is there, else None.

        Raises:
            Malformed: numbers that cannot be, or more than `EVENT_BYTES_MAX` bytes.
        """
        if total <= 1:
            return part
        if total > PARTS_MAX or not 0 <= number < total:
            raise Malformed(f"part {number} of {total} cannot be")
        now = self._clock.monotonic()
        born, parts = self._pending.pop(message_id, (now, {}))
        if now - born > LIFE_SECONDS:
            born, parts = now, {}
        parts[number] = part
        if sum(map(len, parts.values())) > EVENT_BYTES_MAX:
            raise Malformed(f"the event has more than {EVENT_BYTES_MAX} bytes")
        if len(parts) == total:
            return b"".join(parts[n] for n in range(total))
        self._pending[message_id] = (born, parts)
        while len(self._pending) > PENDING_MAX:
            self._pending.popitem(last=False)
        return None
