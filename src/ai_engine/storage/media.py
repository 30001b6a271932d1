"""Images and files by the hash of their content, in a folder, for a limited time."""

import asyncio
import hashlib
import os
import re
import secrets
from pathlib import Path
from typing import Final

import msgspec

from ai_engine.domain.clock import Clock
from ai_engine.domain.errors import TooLarge
from ai_engine.domain.message import Media, media_kind

PREFIX: Final = "blob:"
MEDIA_BYTES_MAX: Final = 100_000_000
"""The largest content that is kept."""
MEDIA_SECONDS_MAX: Final = 30 * 24 * 3600.0
"""How long a content is kept after it was last put."""
_SWEEP_SECONDS: Final = 3600.0
_HASH: Final = re.compile(r"[0-9a-f]{64}")


class MediaFolder:
    """`<folder>/<2 hex>/<hash>`: a line of JSON (name, mime), then the content. Mode 0600.

    The same content twice is one file. Written whole or not at all; safe for several processes.
    """

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock
        self._swept = float("-inf")

    async def put(self, content: bytes, *, name: str = "", mime: str = "") -> str:
        """Keep it; `blob:<hash>`. Raises TooLarge."""
        if len(content) > MEDIA_BYTES_MAX:
            raise TooLarge(f"the content is larger than {MEDIA_BYTES_MAX} bytes")
        head = msgspec.json.encode({"name": name[:255], "mime": mime[:255]}) + b"\n"
        digest = hashlib.sha256(head + content).hexdigest()
        await asyncio.to_thread(self._write, digest, head + content)
        return PREFIX + digest

    async def get(self, ref: str) -> Media | None:
        """By `blob:<hash>`; None when it is gone or no such reference."""
        digest = ref.removeprefix(PREFIX)
        if not ref.startswith(PREFIX) or not _HASH.fullmatch(digest):
            return None
        data = await asyncio.to_thread(self._read, digest)
        if data is None:
            return None
        head, _, content = data.partition(b"\n")
        about = msgspec.json.decode(head, type=dict[str, str])
        name, mime = about["name"], about["mime"]
        return Media(kind=media_kind(mime), content=content, name=name, mime=mime)

    def _path(self, digest: str) -> Path:
        return self._folder / digest[:2] / digest

    def _write(self, digest: str, data: bytes) -> None:
        now = self._clock.time()
        if now - self._swept > _SWEEP_SECONDS:
            self._swept = now
            self._sweep(now)
        path = self._path(digest)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            draft = path.with_name(f".{secrets.token_hex(8)}.tmp")
            fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(draft, path)
        os.utime(path, (now, now))

    def _read(self, digest: str) -> bytes | None:
        try:
            return self._path(digest).read_bytes()
        except FileNotFoundError:
            return None

    def _sweep(self, now: float) -> None:
        for path in self._folder.glob("??/*"):
            try:
                if path.stat().st_mtime < now - MEDIA_SECONDS_MAX:
                    path.unlink()
            except FileNotFoundError:  # another process swept it
                continue
