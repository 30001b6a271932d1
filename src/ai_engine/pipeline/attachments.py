"""What came with a message: fetched through its channel, kept, and shown to the model."""

import asyncio
import base64
import logging
from dataclasses import replace
from typing import Final

from ai_engine.domain.errors import SendFailed, TooLarge
from ai_engine.domain.message import Attachment, InboundMessage, Media
from ai_engine.pipeline.work import Work

log = logging.getLogger(__name__)

ATTACHMENTS_MAX: Final = 8
FETCH_SECONDS_MAX: Final = 30.0
IMAGE_BYTES_MAX: Final = 5_000_000
"""A larger image is kept and not shown to the model."""
TEXT_BYTES_MAX: Final = 65_536
"""So much of a text file is shown to the model."""
_TEXT_TYPES: Final = ("application/json", "application/xml", "application/yaml", "application/csv")
_TEXT_NAMES: Final = (
    *(".txt", ".md", ".csv", ".tsv", ".json", ".xml", ".yaml", ".yml", ".log", ".ini", ".toml"),
    *(".py", ".js", ".ts", ".java", ".go", ".c", ".h", ".cpp", ".sql", ".sh", ".html", ".css"),
)


async def with_contents(work: Work, message: InboundMessage) -> InboundMessage:
    """The message with what it quotes and what was attached to it, as far as it can be read.

    Images become `data:` URLs, text files part of the text; of all else the name is left.
    """
    text = f"[quoted message]\n{message.quote}\n\n{message.text}" if message.quote else message.text
    if not message.attachments:
        return message if text is message.text else replace(message, text=text)
    found: list[Attachment] = []
    opened = 0
    try:
        async with asyncio.timeout(FETCH_SECONDS_MAX):
            for attachment in message.attachments[:ATTACHMENTS_MAX]:
                shown, words = await _opened(work, attachment)
                text = f"{text}\n\n{words}".strip() if words else text
                found += [shown] if shown else []
                opened += 1
    except TimeoutError:
        work.step("attachments", result="timeout")
    return replace(message, text=text, attachments=(*found, *message.attachments[opened:]))


async def _opened(work: Work, attachment: Attachment) -> tuple[Attachment | None, str]:
    """(what is left to be shown as an attachment, what goes into the text)."""
    media = await _fetched(work, attachment)
    if media is None:
        return attachment, ""
    if attachment.kind == "image" and len(media.content) <= IMAGE_BYTES_MAX:
        mime = media.mime or attachment.mime or "image/png"
        data = base64.b64encode(media.content).decode()
        return replace(attachment, url=f"data:{mime};base64,{data}", mime=mime), ""
    name = attachment.name or media.name
    if _is_text(name, media.mime or attachment.mime):
        words = media.content[:TEXT_BYTES_MAX].decode("utf-8", "replace")
        cut = "\n[cut here]" if len(media.content) > TEXT_BYTES_MAX else ""
        return None, f"[file {name!r}]\n{words}{cut}"
    return replace(attachment, name=name, bytes_size=len(media.content)), ""


async def _fetched(work: Work, attachment: Attachment) -> Media | None:
    """The content, from our store or from the platform, which then is kept. None: not to be had;
    the answer goes on without, and the model is told that it cannot see it."""
    if attachment.url.startswith("blob:"):
        return await work.plan.media.get(attachment.url)
    channel = work.plan.channels.get(work.message.channel)
    if not attachment.ref or attachment.url or channel is None:
        return None
    try:
        with work.watch.outside("attachment"):
            media = await channel.fetch(attachment, work.message.target)
        kept = await work.plan.media.put(media.content, name=media.name, mime=media.mime)
    except (SendFailed, TooLarge) as error:
        log.info("an attachment was not fetched: %s", error)
        work.step("attachment", kind=attachment.kind, result=error.code)
        return None
    work.step("attachment", kind=attachment.kind, result="ok", bytes=len(media.content), kept=kept)
    return media


def _is_text(name: str, mime: str) -> bool:
    plain = mime.partition(";")[0].strip().lower()
    return plain.startswith("text/") or plain in _TEXT_TYPES or name.lower().endswith(_TEXT_NAMES)
