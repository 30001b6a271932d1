"""Cards as formatted text, and buttons as numbered options.

Matrix has no cards and no buttons. Addresses become links; every other button gets a number that
the person answers with: as a reaction (1️⃣ … 9️⃣) on the message, or as a reply to it. What the
numbers mean is in the event itself, so that they work after a restart.
"""

import re
from dataclasses import replace
from typing import Any, Final, cast

import msgspec

from ai_engine.channels.base import MediaStore
from ai_engine.channels.matrix.fields import objects, part, text
from ai_engine.channels.text import with_card
from ai_engine.domain.message import Attachment, Json
from ai_engine.domain.reply import Button, Card, Reply

BUTTONS: Final = "org.ai-engine.buttons"
"""Our field in an event's content: `[{"label", "value" | "ref"}]`, in the order of the numbers."""
MARKS: Final = "org.ai-engine.reply"
"""Our field in an event's content: `{"feedback": the reply's}`."""
INLINE_BYTES_MAX: Final = 4_000
"""Of all values of one card; larger ones are kept by the engine for 30 days."""
OPTIONS_MAX: Final = 20
_KEYCAP: Final = "\ufe0f\u20e3"
_HOW: Final = (
    "用数字表情回应本消息，或回复数字来选择 · React with the number's emoji, or reply the number"
)
_NUMBER: Final = re.compile(r"[1-9][0-9]?")


def shown(reply: Reply) -> tuple[str, tuple[Button, ...], tuple[Attachment, ...]]:
    """(markdown with the card, the buttons that have numbers, the files to send)."""
    card, media = reply.card, reply.media
    if card is None:
        return reply.text, (), media
    options = tuple(button for button in card.buttons if not button.url)[:OPTIONS_MAX]
    if card.image_url and not card.image_url.startswith(("http://", "https://")):
        media = (Attachment(kind="image", url=card.image_url), *media)
        card = replace(card, image_url="")
    words = [with_card(reply.text, _without_options(card))]
    if options:
        words += ["\n".join(f"{_sign(n)} {each.label}" for n, each in enumerate(options, 1)), _HOW]
    return "\n\n".join(filter(None, words)), options, media


def _without_options(card: Card) -> Card:
    return replace(card, buttons=tuple(button for button in card.buttons if button.url))


def _sign(n: int) -> str:
    return f"{n}{_KEYCAP}" if n < 10 else f"**{n}**"


async def marks(
    reply: Reply, options: tuple[Button, ...], media: MediaStore, *, rate: bool
) -> Json:
    """What we note in the event's content: the buttons' values, and how to rate the answer."""
    found: Json = {}
    if rate and reply.feedback:
        found[MARKS] = {"feedback": reply.feedback}
    if not options:
        return found
    values = [msgspec.json.encode(each.value) for each in options]
    inline = sum(map(len, values)) <= INLINE_BYTES_MAX
    rows: list[Json] = []
    for each, data in zip(options, values, strict=True):
        kept: Json = {"value": each.value}
        if not inline:
            kept = {"ref": await media.put(data, mime="application/json")}
        rows.append({"label": each.label[:100], **kept})
    return {**found, BUTTONS: rows}


def chosen(words: str) -> int:
    """The number that a reaction or a reply names; 0 when it is none."""
    bare = words.strip().replace("\ufe0f", "").removesuffix("\u20e3").strip()
    return int(bare) if _NUMBER.fullmatch(bare) else 0


async def value_of(content: Json, number: int, media: MediaStore) -> Json | None:
    """What a number stands for in an event of ours; None when there is no such option."""
    rows = objects(content, BUTTONS)
    if not 0 < number <= len(rows):
        return None
    row = rows[number - 1]
    if not text(row, "ref"):
        return part(row, "value")
    kept = await media.get(text(row, "ref"))
    if kept is None:
        return {}
    try:
        found: Any = msgspec.json.decode(kept.content)
    except ValueError:
        return {}
    return cast("Json", found) if isinstance(found, dict) else {}


def feedback_of(content: Json) -> str:
    """The `Reply.feedback` of an answer; empty when it cannot be rated."""
    return text(part(content, MARKS), "feedback")
