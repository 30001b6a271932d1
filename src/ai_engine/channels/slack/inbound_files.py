"""Files that people send: what Slack's `files` list says of them.

Source: docs.slack.dev, "File object".
"""

from typing import Any, Final, cast

from ai_engine.domain.message import Attachment, Json, media_kind

FILES_MAX: Final = 20
BY_ID: Final = "id:"
"""A `ref` that names the file, where the event does not tell its address."""
_GONE: Final = frozenset(("tombstone", "hidden_by_limit", "external"))


def attachments(event: Json) -> tuple[Attachment, ...]:
    """The files of a message that can be read; `ref` is the private address or `id:<file>`."""
    return tuple(_attachment(file) for file in _files(event) if file.get("mode") not in _GONE)


def transcript(event: Json) -> str:
    """What was said in a voice clip, where Slack has finished writing it down."""
    for file in _files(event):
        told: Any = file.get("transcription")
        preview: Any = cast("Json", told).get("preview") if isinstance(told, dict) else None
        words: Any = cast("Json", preview).get("content") if isinstance(preview, dict) else None
        if isinstance(words, str) and words.strip():
            return words.strip()[:100_000]
    return ""


def _files(event: Json) -> list[Json]:
    found: Any = event.get("files")
    entries = cast("list[Any]", found) if isinstance(found, list) else []
    return [cast("Json", entry) for entry in entries[:FILES_MAX] if isinstance(entry, dict)]


def _attachment(file: Json) -> Attachment:
    def text(key: str, longest: int = 512) -> str:
        found: Any = file.get(key)
        return found if isinstance(found, str) and len(found) <= longest else ""

    size: Any = file.get("size")
    address = text("url_private_download", 4096) or text("url_private", 4096)
    voice = text("subtype") == "slack_audio"
    mime = text("mimetype")
    return Attachment(
        kind="audio" if voice else media_kind(mime),
        name=text("name") or text("title"),
        mime=mime,
        bytes_size=size if isinstance(size, int) and size >= 0 else 0,
        ref=address or BY_ID + text("id"),
    )
