"""Our cards as Adaptive Cards 1.5, and answers as activities.

Source: Microsoft, "Types of cards" and "Format cards" (Teams takes Adaptive Cards up to 1.5 and
28 KB, shows six actions, and a part of markdown), "Universal Actions for Adaptive Cards".
"""

import re
from dataclasses import replace
from typing import Any, Final

import msgspec

from ai_engine.channels.host import MediaStore
from ai_engine.channels.teams.codec import PRESSED, PRESSED_REF
from ai_engine.channels.text import plain, sendable, split, with_card, without_tables
from ai_engine.domain.message import Json
from ai_engine.domain.reply import Button, Card, Reply

TEXT_LIMIT_BYTES: Final = 20_000
"""Teams refuses messages of about 100 KB in its own markup, older clients' messages of 28 KB; this
leaves room for both and for JSON's escapes."""
CARD_BYTES_MAX: Final = 24_000
VALUE_BYTES_MAX: Final = 1_500
"""A button's value stands twice in a card; what is longer is kept here and its reference sent."""
FULL_WIDTH_FROM: Final = 800
"""Teams has two widths, about 450 pixels and that of the conversation (`Full`), which is some 800
pixels on a desktop: who asks for that much gets the second."""
ADAPTIVE: Final = "application/vnd.microsoft.card.adaptive"

_ACTIONS_MAX: Final = 6
_STYLES: Final = {"primary": "positive", "danger": "destructive"}
_CONTROLS: Final = dict.fromkeys((*range(9), 11, 12, *range(14, 32), 127), "")
_HEADING: Final = re.compile(r"(?m)^ {0,3}#{1,6} +(.+?) *#* *$")
_FENCE: Final = re.compile(r"(?m)^ {0,3}(?:`{3,}|~{3,}).*\n?")
_IMAGE: Final = re.compile(r"!\[([^\]\n]*)\]\(([^)\s]+)\)")


def clean(words: str, form: str) -> str:
    """Words in Teams' markdown (`form` markdown), or as text for people (`text`)."""
    words = sendable(words).translate(_CONTROLS)
    return plain(words) if form == "text" else without_tables(words)


def steady(words: str, form: str) -> str:
    """What of a growing answer will not be rendered otherwise when more of it has come: a stream
    may only grow. A table's lines wait for its end; as plain text only whole lines are shown."""
    lines = words.split("\n")
    if form == "text":
        lines = lines[:-1]
    while lines and "|" in lines[-1]:
        lines.pop()
    return clean("\n".join(lines), form)


def said(words: str, form: str) -> Json:
    """A message activity with these words."""
    shown = "plain" if form == "text" else "markdown"
    return {"type": "message", "text": words, "textFormat": shown}


async def rendered(reply: Reply, form: str, width: int, media: MediaStore) -> list[Json]:
    """The activities of a reply's text and card, at least one when either is there."""
    if reply.card is None:
        return [said(part, form) for part in _parts(reply.text, form)]
    card = reply.card
    if _inline(card.image_url):
        card = replace(card, image_url="")  # goes out as a picture of its own
    made = await _attachment(card, width, media)
    text = reply.text
    if _too_large(made):
        text = with_card(text, replace(card, fields=(), buttons=(), image_url=""))
        made = await _attachment(replace(card, title="", markdown=""), width, media)
    if _too_large(made):
        return [said(part, form) for part in _parts(with_card(reply.text, card), form)]
    activities = [said(part, form) for part in _parts(text, form)] or [{"type": "message"}]
    activities[-1]["attachments"] = [made]
    return activities


def _parts(text: str, form: str) -> list[str]:
    return split(clean(text, form), TEXT_LIMIT_BYTES, "bytes")


def _too_large(attachment: Json) -> bool:
    return len(msgspec.json.encode(attachment)) > CARD_BYTES_MAX


def _inline(url: str) -> bool:
    return url.startswith(("data:", "blob:"))


async def _attachment(card: Card, width: int, media: MediaStore) -> Json:
    body: list[Json] = []
    if card.title:
        body.append({**_block(card.title), "size": "Large", "weight": "Bolder"})
    if card.markdown:
        body.append(_block(_for_card(card.markdown)))
    if card.image_url:
        body.append({"type": "Image", "url": card.image_url, "altText": card.title or "image"})
    if card.fields:
        facts = [{"title": name, "value": _for_card(value)} for name, value in card.fields]
        body.append({"type": "FactSet", "facts": facts})
    actions = [await _action(button, media) for button in card.buttons]
    body.extend(
        {"type": "ActionSet", "actions": actions[start : start + _ACTIONS_MAX]}
        for start in range(0, len(actions), _ACTIONS_MAX)
    )
    content: Json = {
        "type": "AdaptiveCard",
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "version": "1.5",
        "body": body,
    }
    if width >= FULL_WIDTH_FROM:
        content["msteams"] = {"width": "Full"}
    return {"contentType": ADAPTIVE, "content": content}


def _block(words: str) -> Json:
    return {"type": "TextBlock", "text": sendable(words).translate(_CONTROLS), "wrap": True}


def _for_card(words: str) -> str:
    """A text block has emphasis, lists and links only; the rest is shown by these."""
    words = _HEADING.sub(r"**\1**", without_tables(words))
    words = _FENCE.sub("", words).replace("`", "")
    return _IMAGE.sub(lambda found: f"[{found[1] or found[2]}]({found[2]})", words)


async def _action(button: Button, media: MediaStore) -> Json:
    """A click comes back as an invoke, from clients that know only 1.3 as a message."""
    look: Json = {"title": button.label}
    if button.style in _STYLES:
        look["style"] = _STYLES[button.style]
    if button.url:
        return {"type": "Action.OpenUrl", **look, "url": button.url}
    data = await _data(button.value, media)
    submit: Json = {"type": "Action.Submit", **look, "data": data}
    return {
        "type": "Action.Execute",
        **look,
        "verb": "press",
        "data": data,
        "fallback": submit,
    }


async def _data(value: dict[str, Any], media: MediaStore) -> Json:
    encoded = msgspec.json.encode(value)
    if len(encoded) <= VALUE_BYTES_MAX:
        return {PRESSED: value}
    return {PRESSED_REF: await media.put(encoded, mime="application/json")}
