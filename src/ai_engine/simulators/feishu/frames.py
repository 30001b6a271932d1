"""The frames of the long connection, written down from the schema in the vendor's SDKs."""

from dataclasses import dataclass, field
from io import BytesIO


@dataclass(slots=True, kw_only=True)
class WireFrame:
    method: int
    """0 control, 1 data."""
    service: int = 0
    seq_id: int = 0
    log_id: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    payload: bytes = b""

    def header(self, name: str) -> str:
        """The first header of this name, or empty."""
        return next((value for key, value in self.headers if key == name), "")


def pack(frame: WireFrame) -> bytes:
    """To bytes."""
    out = BytesIO()
    numbers = ((0x08, frame.seq_id), (0x10, frame.log_id), (0x18, frame.service))
    for tag, number in (*numbers, (0x20, frame.method)):
        out.write(bytes([tag]) + _pack_number(number))
    for key, value in frame.headers:
        out.write(b"\x2a" + _pack_blob(_pack_pair(key, value)))
    out.write(b"\x42" + _pack_blob(frame.payload))
    return out.getvalue()


def unpack(data: bytes) -> WireFrame:
    """From bytes. Raises ValueError: it is no frame."""
    frame = WireFrame(method=-1)
    stream = BytesIO(data)
    while tag := stream.read(1):
        match tag[0]:
            case 0x08:
                frame.seq_id = _number(stream)
            case 0x10:
                frame.log_id = _number(stream)
            case 0x18:
                frame.service = _number(stream)
            case 0x20:
                frame.method = _number(stream)
            case 0x2A:
                frame.headers.append(_pair(_blob(stream)))
            case 0x42:
                frame.payload = _blob(stream)
            case 0x32 | 0x3A | 0x4A:
                _blob(stream)
            case other:
                raise ValueError(f"unknown tag {other:#x}")
    if frame.method not in (0, 1):
        raise ValueError("the method is missing or unknown")
    return frame


def _pack_pair(key: str, value: str) -> bytes:
    return b"\x0a" + _pack_blob(key.encode()) + b"\x12" + _pack_blob(value.encode())


def _pack_blob(data: bytes) -> bytes:
    return _pack_number(len(data)) + data


def _pack_number(number: int) -> bytes:
    if number < 0x80:
        return bytes([number])
    return bytes([number & 0x7F | 0x80]) + _pack_number(number >> 7)


def _pair(data: bytes) -> tuple[str, str]:
    stream, found = BytesIO(data), {0x0A: "", 0x12: ""}
    while tag := stream.read(1):
        found[tag[0]] = _blob(stream).decode()
    return found[0x0A], found[0x12]


def _blob(stream: BytesIO) -> bytes:
    size = _number(stream)
    data = stream.read(size)
    if len(data) != size:
        raise ValueError("cut in the middle")
    return data


def _number(stream: BytesIO) -> int:
    number = 0
    for place in range(10):
        byte = stream.read(1)
        if not byte:
            raise ValueError("cut in the middle")
        number |= (byte[0] & 0x7F) << 7 * place
        if byte[0] < 0x80:
            return number
    raise ValueError("a number of more than 64 bits")
