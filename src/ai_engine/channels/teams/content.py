"""What a Teams message holds: words without mentions, the quoted message, attachments.

Source: Microsoft, "Channel and group chat conversations with a bot" (mentions as `<at>` with an
entity each), "Send and receive files using bot" (download info, inline images).
"""

import html
import mimetypes
import re
from typing import Final

from ai_engine.channels.teams.fields import ID_MAX, items, part, text
from ai_engine.domain.message import Attachment, Json, media_kind

FILE: Final = "application/vnd.microsoft.teams.file.download.info"
TEXT_MAX: Final = 200_000
_URL_MAX: Final = 8192
_ATTACHMENTS_MAX: Final = 10
_QUOTE_MAX: Final = 4000
_AT: Final = re.compile(r"<at(?:\s[^<>]{0,200})?>([^<>]{0,500})</at>", re.IGNORECASE)
_QUOTED_MARK: Final = re.compile(r"<quoted\s[^<>]{0,300}/>")
_REPLY: Final = re.compile(
    r"<blockquote[^<>]{0,500}schema\.skype\.com/Reply[^<>]{0,500}>(.{0,20000}?)</blockquote>",
    re.DOTALL,
)
_PREVIEW: Final = re.compile(
    r"<p[^<>]{0,200}itemprop=\"(?:preview|copy)\"[^<>]{0,200}>(.{0,20000}?)</p>", re.DOTALL
)
_TAG: Final = re.compile(r"<[^<>]{0,2000}>")


def mentioned(activity: Json) -> bool:
    """Whether the message @-es the bot."""
    bot = text(part(activity, "recipient"), "id")
    entities = _mentions(activity)
    if any(text(part(entity, "mentioned"), "id") == bot for entity in entities):
        return bool(bot)
    name = text(part(activity, "recipient"), "name")
    said = text(activity, "text", TEXT_MAX)
    return not entities and bool(name) and any(found == name for found in _AT.findall(said))


def words(activity: Json) -> str:
    """The text: the bot's mention goes, others become `@name`."""
    said = text(activity, "text", TEXT_MAX)
    bot = part(activity, "recipient")
    bot_id, name = text(bot, "id"), text(bot, "name")
    named = False
    for entity in _mentions(activity):
        mark = text(entity, "text")
        if mark and bot_id and text(part(entity, "mentioned"), "id") == bot_id:
            said, named = said.replace(mark, " "), True
    if not named and name:
        said = said.replace(f"<at>{name}</at>", " ")
    said = _AT.sub(lambda found: f"@{found[1]}", said)
    said = _QUOTED_MARK.sub(" ", said).replace("&nbsp;", " ").replace("\xa0", " ")
    quoted = quote(activity)
    said = said.strip()
    if quoted and said.startswith(quoted) and said != quoted:
        said = said[len(quoted) :].strip()
    return "\n".join(line.strip() for line in said.split("\n")) if named else said


def _mentions(activity: Json) -> list[Json]:
    return [entity for entity in items(activity, "entities") if entity.get("type") == "mention"]


def quote(activity: Json) -> str:
    """The text of the message that this one answers, as far as Teams shows it."""
    for entity in items(activity, "entities"):
        if entity.get("type") == "quotedReply":
            preview = text(part(entity, "quotedReply"), "preview", TEXT_MAX)
            if preview:
                return preview[:_QUOTE_MAX].strip()
    for attachment in items(activity, "attachments"):
        if attachment.get("contentType") == "text/html":
            found = _REPLY.search(text(attachment, "content", TEXT_MAX))
            if found is not None:
                shown = _PREVIEW.search(found[1])
                inner = shown[1] if shown is not None else found[1]
                return html.unescape(_TAG.sub(" ", inner)).strip()[:_QUOTE_MAX]
    return ""


def attachments(activity: Json) -> tuple[Attachment, ...]:
    """Files and pictures. `ref` is `file:` or `view:` and the address, which is a secret."""
    found = (_attachment(given) for given in items(activity, "attachments", 50))
    return tuple(one for one in found if one is not None)[:_ATTACHMENTS_MAX]


def unreadable(activity: Json) -> str:
    """The content type of an attachment that is neither file, picture nor the text as HTML."""
    for given in items(activity, "attachments", 50):
        kind = text(given, "contentType")
        if kind and kind != "text/html" and _attachment(given) is None:
            return kind[:100]
    return ""


def _attachment(given: Json) -> Attachment | None:
    kind = text(given, "contentType")
    name = text(given, "name", ID_MAX)
    if kind == FILE:
        content = part(given, "content")
        mime = mimetypes.guess_type(name or f"x.{text(content, 'fileType', 20)}")[0] or ""
        url = text(content, "downloadUrl", _URL_MAX)
        return Attachment(
            kind=media_kind(mime), name=name, mime=mime, ref=f"file:{url}" if url else ""
        )
    if media_kind(kind) in ("image", "audio", "video"):
        url = text(given, "contentUrl", _URL_MAX)
        mime = "" if kind.endswith("/*") else kind
        return Attachment(
            kind=media_kind(kind), name=name, mime=mime, ref=f"view:{url}" if url else ""
        )
    return None
