"""Pictures and files that people or the robot put into the simulated chats."""

from collections import OrderedDict
from dataclasses import dataclass

from ai_engine.domain.ids import new_id

FILES_MAX = 200
FILE_BYTES_MAX = 20 * 1024 * 1024
SHELF_BYTES_MAX = 200 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedFile:
    """One file with its content."""

    kind: str
    """picture | file | audio | video"""
    name: str
    mime: str
    content: bytes


class Shelf:
    """Files by a code that cannot be guessed; the oldest go when the shelf is full."""

    def __init__(self) -> None:
        self._files: OrderedDict[str, SharedFile] = OrderedDict()
        self._bytes = 0

    def put(self, file: SharedFile, prefix: str) -> str:
        """Keep the file; its new code."""
        code = new_id(prefix)
        self._files[code] = file
        self._bytes += len(file.content)
        while len(self._files) > FILES_MAX or self._bytes > SHELF_BYTES_MAX:
            _, old = self._files.popitem(last=False)
            self._bytes -= len(old.content)
        return code

    def get(self, code: str) -> SharedFile | None:
        return self._files.get(code)
