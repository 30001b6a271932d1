"""Our replies as the robot's answers: words, pages that fit, stream bodies, pictures.

Source: WeCom, "Passive replies" (101031) and "Active replies" (101138) of AI robots: the content of
a stream or a markdown message has at most 20,480 bytes of UTF-8; up to 10 pictures (JPG, PNG, 10 MB
each) may stand in the last answer of a stream over HTTP.
"""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from ai_engine.channels.connector import outgoing_media
from ai_engine.channels.host import Host
from ai_engine.channels.text import plain, sendable, size, split, with_card
from ai_engine.channels.wecom_aibot import cards
from ai_engine.channels.wecom_aibot.codec import stream_id
from ai_engine.domain.errors import SendRefused
from ai_engine.domain.message import Attachment, Json
from ai_engine.domain.reply import Reply

CONTENT_BYTES_MAX: Final = 20_480
PICTURES_BYTES_MAX: Final = 10_000_000
"""Of all pictures in one answer: they travel in its body."""
_PICTURES_MAX: Final = 10
_CONTROLS: Final = dict.fromkeys((*range(9), 11, 12, *range(14, 32), 127), "")
_GAP: Final = "\n\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One message's text, and which replies it is made of."""

    text: str
    replies: tuple[str, ...]
    """Ids of the replies that have a part in it, the first of which brings it."""


def words(reply: Reply, form: str) -> str:
    """The reply's words in WeCom's markdown, or as text for people (`form` text)."""
    card = reply.card
    if form == "text":
        said = plain(with_card(reply.text, card))
    elif card is not None and cards.native(card):
        said = with_card(reply.text, cards.beside(card))
    else:
        said = with_card(reply.text, card)
    return sendable(said).translate(_CONTROLS)


def shown(text: str) -> str:
    """A growing text as far as it fits."""
    fitting = split(sendable(text).translate(_CONTROLS), CONTENT_BYTES_MAX, "bytes")
    return fitting[0] if fitting else ""


def pages(replies: Sequence[tuple[str, str]]) -> list[Page]:
    """(reply id, words) joined into as few messages as fit, at least one; the same for the same
    replies, whoever asks."""
    found = [Page(text="", replies=())]
    for reply_id, said in replies:
        for part in split(said, CONTENT_BYTES_MAX, "bytes") or [""]:
            last = found[-1]
            joined = last.text + _GAP + part if last.text and part else last.text + part
            if size(joined, "bytes") > CONTENT_BYTES_MAX:
                found.append(Page(text=part, replies=(reply_id,)))
            else:
                known = last.replies if reply_id in last.replies else (*last.replies, reply_id)
                found[-1] = replace(last, text=joined, replies=known)
    return found


def stream(message_id: str, content: str, *, finish: bool, feedback: bool) -> Json:
    """One state of a message's stream. The feedback id counts in the first one only."""
    name = stream_id(message_id)
    part: Json = {"id": name, "finish": finish, "content": content}
    if feedback:
        part["feedback"] = {"id": name}
    return {"msgtype": "stream", "stream": part}


def markdown(content: str, feedback: str = "") -> Json:
    """For `response_url` and for pushing. `feedback` at most 256 bytes, else it is left out."""
    part: Json = {"content": content}
    if feedback and len(feedback.encode()) <= 256:
        part["feedback"] = {"id": feedback}
    return {"msgtype": "markdown", "markdown": part}


async def pictures(media: Sequence[Attachment], host: Host) -> tuple[list[Json], list[str]]:
    """(`msg_item` of a stream's last answer, a line for each file that cannot be in it)."""
    items: list[Json] = []
    lines: list[str] = []
    total = 0
    for attachment in media:
        try:
            found = await outgoing_media(host, attachment, PICTURES_BYTES_MAX)
        except SendRefused as error:
            lines.append(f"📎 {error.message}")
            continue
        total += len(found.content)
        known = found.content.startswith((b"\x89PNG\r\n", b"\xff\xd8\xff"))
        if not known or total > PICTURES_BYTES_MAX or len(items) == _PICTURES_MAX:
            lines.append(not_sent(found.name))
            total -= len(found.content)
            continue
        md5 = hashlib.md5(found.content, usedforsecurity=False).hexdigest()
        image = {"base64": base64.b64encode(found.content).decode(), "md5": md5}
        items.append({"msgtype": "image", "image": image})
    return items, lines


def not_sent(name: str) -> str:
    """What is said in place of a file that this way cannot carry."""
    return f"📎 {name}(此渠道无法发送该文件 / this channel cannot carry this file)"
