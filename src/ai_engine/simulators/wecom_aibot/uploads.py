"""Files that the robot sends: init, chunks, finish."""

import base64
import binascii
import hashlib
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ai_engine.domain.ids import new_id
from ai_engine.domain.message import Json
from ai_engine.simulators.files import SharedFile
from ai_engine.simulators.wecom_aibot.codec import Bad, text

if TYPE_CHECKING:
    from ai_engine.simulators.wecom_aibot.server import WecomAibotSimulator

OPEN_MAX = 100
CHUNKS_MAX = 100
CHUNK_BYTES_MAX = 512 * 1024
KINDS = {"image": "picture", "voice": "audio", "video": "video", "file": "file"}


@dataclass(slots=True, kw_only=True)
class Upload:
    kind: str
    name: str
    size: int
    count: int
    md5: str
    chunks: dict[int, bytes] = field(default_factory=dict[int, bytes])


class Uploads:
    """The uploads under way."""

    def __init__(self, simulator: "WecomAibotSimulator") -> None:
        self._sim = simulator
        self._open: OrderedDict[str, Upload] = OrderedDict()

    def step(self, which: str, body: Json) -> Json | None:
        """`init`, `chunk` or `finish`. Raises Bad."""
        if which == "init":
            return self._init(body)
        upload = self._open.get(text(body, "upload_id"))
        if upload is None:
            raise Bad("unknown upload_id")
        if which == "chunk":
            self._chunk(upload, body)
            return None
        if which != "finish":
            raise Bad(f"unknown step {which}")
        del self._open[body["upload_id"]]
        return self._finish(upload)

    def _init(self, body: Json) -> Json:
        kind = text(body, "type")
        size, count = body.get("total_size"), body.get("total_chunks")
        if kind not in KINDS or not isinstance(size, int) or not isinstance(count, int):
            raise Bad("type, total_size or total_chunks is wrong")
        if not 1 <= count <= CHUNKS_MAX:
            raise Bad(f"total_chunks must be 1 to {CHUNKS_MAX}")
        upload_id = new_id("upload")
        self._open[upload_id] = Upload(
            kind=kind,
            name=text(body, "filename"),
            size=size,
            count=count,
            md5=str(body.get("md5") or ""),
        )
        while len(self._open) > OPEN_MAX:
            self._open.popitem(last=False)
        return {"upload_id": upload_id}

    @staticmethod
    def _chunk(upload: Upload, body: Json) -> None:
        """Counted from 0, as the Node SDK does (its comments say from 1)."""
        try:
            data = base64.b64decode(text(body, "base64_data"), validate=True)
        except binascii.Error:
            raise Bad("base64_data is no base64") from None
        index = body.get("chunk_index")
        if not isinstance(index, int) or not 0 <= index <= upload.count:
            raise Bad("chunk_index is out of range")
        if len(data) > CHUNK_BYTES_MAX:
            raise Bad(f"a chunk has more than {CHUNK_BYTES_MAX} bytes")
        upload.chunks[index] = data

    def _finish(self, upload: Upload) -> Json:
        content = b"".join(upload.chunks[index] for index in sorted(upload.chunks))
        md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
        if len(content) != upload.size or (upload.md5 and md5 != upload.md5):
            raise Bad("size or md5 differs")
        kind = KINDS[upload.kind]
        mime = {"picture": "image/png", "audio": "audio/amr", "video": "video/mp4"}.get(kind)
        file = SharedFile(
            kind=kind,
            name=upload.name,
            mime=mime or "application/octet-stream",
            content=content,
        )
        media_id = self._sim.shelf.put(file, "wxmedia")
        at = str(int(self._sim.clock.time()))
        return {"type": upload.kind, "media_id": media_id, "created_at": at}
