"""Server-sent events, as far as streamed model answers use them: the `data` fields.

Format: WHATWG HTML, section "Server-sent events". Comments and other fields are skipped.
"""


class SseParser:
    """Cuts a byte stream into the payloads of its events. Pure: bytes in, payloads out."""

    __slots__ = ("_data", "_event_bytes_max", "_rest", "_size")

    def __init__(self, *, event_bytes_max: int = 1_048_576) -> None:
        self._event_bytes_max = event_bytes_max
        self._rest = b""
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, piece: bytes) -> list[bytes]:
        """The payloads that are complete with this piece.

        Raises:
            ValueError: one line or event is longer than `event_bytes_max`.
        """
        data = self._rest + piece if self._rest else piece
        events: list[bytes] = []
        if not self._data:
            *blocks, data = data.split(b"\n\n")
            for block in blocks:
                if block.startswith(b"data:") and b"\n" not in block:  # nearly every event
                    self._check(len(block) - 5)
                    events.append(block[5:].strip())
                else:
                    self._lines(block.split(b"\n"), events)
                    self._line(b"", events)
        *lines, self._rest = data.split(b"\n")
        self._lines(lines, events)
        self._check(len(self._rest))
        return events

    def finish(self) -> list[bytes]:
        """What is left when the stream ends without the last empty line."""
        events: list[bytes] = []
        self._line(self._rest, events)
        self._rest = b""
        self._line(b"", events)
        return events

    def _check(self, size: int) -> None:
        if size > self._event_bytes_max:
            raise ValueError(f"one event is longer than {self._event_bytes_max} bytes")

    def _lines(self, lines: list[bytes], events: list[bytes]) -> None:
        for line in lines:
            self._line(line, events)

    def _line(self, line: bytes, events: list[bytes]) -> None:
        if line.startswith(b"data:"):
            value = line[5:].strip()
            self._size += len(value)
            self._check(self._size)
            self._data.append(value)
        elif self._data and (not line or line == b"\r"):
            events.append(self._data[0] if len(self._data) == 1 else b"\n".join(self._data))
            self._data.clear()
            self._size = 0
