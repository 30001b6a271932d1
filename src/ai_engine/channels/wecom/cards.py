"""Cards as WeCom's template cards, and what a pressed button stands for.

Source: WeCom, "Send application messages", template cards (developer.work.weixin.qq.com/document/
path/90236#模板卡片消息): a text_notice and a news_notice need an address to open, a
button_interaction needs a task id that is unique in the app and has 1 to 6 buttons, whose key has
at most 1,024 bytes. Texts in cards are plain; the lengths below are WeCom's advice.
"""

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, cast

import msgspec

from ai_engine.channels.host import MediaStore
from ai_engine.channels.http import json_object
from ai_engine.channels.text import plain, sendable
from ai_engine.domain.message import Json
from ai_engine.domain.reply import Button, Card

BUTTONS_MAX: Final = 6
JUMPS_MAX: Final = 3
FIELDS_MAX: Final = 6
KEY_BYTES_MAX: Final = 1024
_TITLE_MAX: Final = 36
_BODY_MAX: Final = 160
_FIELD_NAME_MAX: Final = 5
_FIELD_VALUE_MAX: Final = 30
_STYLES: Final = {"default": 4, "primary": 1, "danger": 2}
_TASK_ID: Final = re.compile(r"[A-Za-z0-9_@-]{1,100}")
_KEPT: Final = "blob:"
_RATE: Final = "这个回答有帮助吗？ Was this helpful?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pressed:
    """What a button stood for."""

    value: Json
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """A card in WeCom's terms: what is written before it, and the cards, in order."""

    lead: str
    """Markdown; what has no place in a template card. May be empty."""
    cards: Sequence[Json]


def rating_buttons(of: str) -> tuple[Button, ...]:
    """👍 and 👎 for the answer `of`."""
    return (
        Button(label="👍", value={"feedback": "good", "of": of}),
        Button(label="👎", value={"feedback": "bad", "of": of}),
    )


def rating_card(of: str) -> Card:
    """Asked after an answer that came without buttons."""
    return Card(title=_RATE, buttons=rating_buttons(of))


def has_room_for_rating(card: Card | None) -> bool:
    """Whether 👍 and 👎 fit among the card's own buttons."""
    return (
        card is not None
        and any(not button.url for button in card.buttons)
        and len(card.buttons) + 2 <= BUTTONS_MAX
    )


async def render(card: Card, reply_id: str, media: MediaStore) -> Rendered:
    """The card natively as far as template cards go; the rest is written before it. No cards for
    one that has nothing to press and nothing to open: WeCom has no such card."""
    links = tuple(b for b in card.buttons if b.url)
    if not card.buttons and not _is_web(card.image_url):
        return Rendered(lead="", cards=())
    lead, short = _overflow(card)
    if all(b.url for b in card.buttons):
        jumps = links[:JUMPS_MAX]
        more = "\n".join(f"[{b.label}]({b.url})" for b in links[JUMPS_MAX:])
        lead = "\n\n".join(filter(None, (lead, more)))
        return Rendered(lead=lead, cards=(_notice(short, jumps),))
    if _is_web(card.image_url):
        lead = "\n\n".join(filter(None, (lead, f"![]({card.image_url})")))
    cards: list[Json] = []
    for start in range(0, len(card.buttons), BUTTONS_MAX):
        part = card.buttons[start : start + BUTTONS_MAX]
        body = short if start == 0 else Card(title=short.title or "…")
        cards.append(
            {
                "card_type": "button_interaction",
                **_head(body),
                "task_id": _task_id(reply_id, start),
                "button_list": [await _button(button, media) for button in part],
            }
        )
    return Rendered(lead=lead, cards=cards)


def _overflow(card: Card) -> tuple[str, Card]:
    """(what has to be written before the card, the card as far as it holds)."""
    lead: list[str] = []
    title = plain(card.title)
    if _width(title) > _TITLE_MAX:
        lead.append(f"**{card.title}**")
    body = plain(card.markdown).strip()
    if _width(body) > _BODY_MAX or "\n" in body:
        lead.append(card.markdown)
        body = ""
    fitting = [(name, value) for name, value in card.fields if _field_fits(name, value)]
    fitting = fitting[:FIELDS_MAX]
    rest = [f"- {name}: {value}" for name, value in card.fields if (name, value) not in fitting]
    if rest:
        lead.append("\n".join(rest))
    return "\n\n".join(lead), replace(
        card, title=_cut(title, _TITLE_MAX), markdown=body, fields=tuple(fitting)
    )


def _field_fits(name: str, value: str) -> bool:
    return _width(name) <= _FIELD_NAME_MAX and _width(value) <= _FIELD_VALUE_MAX


def _head(card: Card) -> Json:
    head: Json = {"main_title": {"title": sendable(card.title) or "…"}}
    if card.markdown:
        head["sub_title_text"] = sendable(card.markdown)
    if card.fields:
        head["horizontal_content_list"] = [
            {"keyname": sendable(name), "value": sendable(value)} for name, value in card.fields
        ]
    return head


def _notice(card: Card, jumps: Sequence[Button]) -> Json:
    """A card to read and to open."""
    found: Json = {"card_type": "text_notice", **_head(card)}
    found["card_action"] = {"type": 1, "url": jumps[0].url if jumps else card.image_url}
    if jumps:
        found["jump_list"] = [{"type": 1, "title": sendable(b.label), "url": b.url} for b in jumps]
    if _is_web(card.image_url):
        found["card_type"] = "news_notice"
        found["card_image"] = {"url": card.image_url}
        if body := found.pop("sub_title_text", ""):  # a news_notice has none
            found["vertical_content_list"] = [{"title": body}]
    return found


async def _button(button: Button, media: MediaStore) -> Json:
    shown: Json = {"text": sendable(button.label), "style": _STYLES.get(button.style, 4)}
    if button.url:
        return {**shown, "type": 1, "url": button.url}
    data = msgspec.json.encode({"v": button.value, "l": button.label})
    key = data.decode()
    if len(data) > KEY_BYTES_MAX:
        key = await media.put(data, mime="application/json")
    return {**shown, "type": 0, "key": key}


async def pressed(key: str, media: MediaStore) -> Pressed | None:
    """What the button with this key stood for; None when its value is not kept any more. A key that
    is not ours (a card of another program of this app) stands for itself."""
    data: bytes | str = key
    if key.startswith(_KEPT):
        found = await media.get(key)
        if found is None:
            return None
        data = found.content
    told = json_object(data)
    value, label = told.get("v"), told.get("l")
    if isinstance(value, dict) and isinstance(label, str):
        return Pressed(value=cast("Json", value), label=label)
    return Pressed(value={"key": key}, label="")


def _task_id(reply_id: str, number: int) -> str:
    """Unique in the app, and the same for the same reply."""
    if not _TASK_ID.fullmatch(reply_id):
        reply_id = hashlib.sha256(reply_id.encode("utf-8", "replace")).hexdigest()
    return f"{reply_id}-{number}"


def _is_web(url: str) -> bool:
    return url.startswith(("https://", "http://"))


def _width(text: str) -> float:
    """In Chinese characters: a narrow one counts half."""
    return sum(1.0 if unicodedata.east_asian_width(c) in "WF" else 0.5 for c in text)


def _cut(text: str, longest: float) -> str:
    if _width(text) <= longest:
        return text
    end = 0
    room = longest - 1
    while room > 0 and end < len(text):
        room -= _width(text[end])
        end += 1
    return text[:end].rstrip() + "…"
