"""Files for WeCom, in pieces over the WebSocket.

Source: WeCom, "Long connection" of AI robots (101463) and the official Node SDK: init, chunks of at
most 512 KB counted from 0, finish; at most 100 chunks. Kinds: image, voice (AMR), video, file.
"""

import base64
import hashlib
from typing import Any, Final, cast

from ai_engine.channels.wecom_aibot.client import settled
from ai_engine.channels.wecom_aibot.link import AibotLink
from ai_engine.domain.errors import SendRefused
from ai_engine.domain.message import Json, Media

_CHUNK_BYTES: Final = 512 * 1024
_IMAGE_BYTES_MAX: Final = 2_000_000
_IMAGES: Final = (b"\x89PNG\r\n", b"\xff\xd8\xff", b"GIF8")
_AMR: Final = b"#!AMR"


async def upload(link: AibotLink, media: Media) -> tuple[str, str]:
    """(kind as WeCom has it, media id, good for three days).

    Raises:
        SendRefused: WeCom does not take it. SendRetryable.
    """
    kind, content = _kind(media), media.content
    pieces = [content[at : at + _CHUNK_BYTES] for at in range(0, len(content), _CHUNK_BYTES)]
    if not pieces:
        raise SendRefused(f"the {media.kind} {media.name!r} is empty")
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    begun = await _asked(
        link,
        "aibot_upload_media_init",
        {
            "type": kind,
            "filename": media.name,
            "total_size": len(content),
            "total_chunks": len(pieces),
            "md5": md5,
        },
    )
    upload_id = str(begun.get("upload_id", ""))
    for n, piece in enumerate(pieces):
        data = base64.b64encode(piece).decode()
        part = {"upload_id": upload_id, "chunk_index": n, "base64_data": data}
        await _asked(link, "aibot_upload_media_chunk", part)
    ended = await _asked(link, "aibot_upload_media_finish", {"upload_id": upload_id})
    return kind, str(ended.get("media_id", ""))


def _kind(media: Media) -> str:
    """What WeCom cannot show as such is sent as a file."""
    content = media.content
    if media.kind == "image":
        fits = content.startswith(_IMAGES) and len(content) <= _IMAGE_BYTES_MAX
        return "image" if fits else "file"
    if media.kind == "audio":
        return "voice" if content.startswith(_AMR) else "file"
    mp4 = media.kind == "video" and content[4:8] == b"ftyp" and len(content) <= 10_000_000
    return "video" if mp4 else "file"


async def _asked(link: AibotLink, command: str, body: Json) -> Json:
    answer = await link.request(command, body=body)
    code = settled(answer)
    if code:
        raise SendRefused(f"WeCom did not take a file (errcode {code})")
    found: Any = answer.get("body")
    return cast("Json", found) if isinstance(found, dict) else {}
