"""Replies as Slack's blocks.

Source: docs.slack.dev, "Block Kit reference": at most 50 blocks, header 150 characters, section
3,000, ten fields of 2,000, button labels 75, values 2,000; all markdown blocks together 12,000.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from ai_engine.channels.slack.markup import escape, harmless, mrkdwn
from ai_engine.channels.text import plain, sendable, split
from ai_engine.domain.message import Json
from ai_engine.domain.reply import Button, Card, Reply

MARKDOWN_LIMIT: Final = 11_000
"""Of the 12,000 characters of markdown that a message may have; the rest is for a card."""
TEXT_LIMIT: Final = 2_900
"""Of the 3,000 characters that a section of plain text may have."""
BLOCKS_MAX: Final = 50
VALUE_MAX: Final = 2_000
FEEDBACK_ACTION: Final = "ai_engine_feedback"

_HEADER_MAX: Final = 150
_SECTION_MAX: Final = 3_000
_SECTIONS_MAX: Final = 10
_FIELD_MAX: Final = 2_000
_FIELDS_EACH: Final = 10
_FIELDS_MAX: Final = 50
_BUTTONS_EACH: Final = 25
_BUTTONS_MAX: Final = 50
_LABEL_MAX: Final = 75
_URL_MAX: Final = 3_000
_NOTICE_MAX: Final = 500
_CONTROLS: Final = dict.fromkeys((*range(9), 11, 12, *range(14, 32), 127), "")
_STYLES: Final = ("primary", "danger")


def clean(text: str) -> str:
    """Without control characters and lone surrogates."""
    return sendable(text).translate(_CONTROLS)


def notice(reply: Reply) -> str:
    """What notifications show: the beginning of the answer, as text."""
    words = clean(reply.text) or (
        clean(reply.card.title or reply.card.markdown) if reply.card else ""
    )
    head = plain(words[: 2 * _NOTICE_MAX]).strip()
    return escape(_cut(head, _NOTICE_MAX))


def text_blocks(text: str) -> list[Json]:
    """An answer's markdown in Slack's own markdown block."""
    words = harmless(clean(text))
    return [{"type": "markdown", "text": words}] if words.strip() else []


def plain_blocks(words: str) -> list[Json]:
    """Words in which no sign means anything."""
    return [
        {"type": "section", "text": {"type": "plain_text", "text": part, "emoji": False}}
        for part in split(words, _SECTION_MAX)[:BLOCKS_MAX]
    ]


def card_blocks(card: Card | None, values: Sequence[str]) -> list[Json]:
    """`values`: one for each button, as `button_value` gives it, empty for links."""
    if card is None:
        return []
    blocks: list[Json] = []
    if title := plain(clean(card.title)).strip():
        text = {"type": "plain_text", "text": _cut(title, _HEADER_MAX)}
        blocks.append({"type": "header", "text": text})
    if card.markdown:
        words = mrkdwn(harmless(clean(card.markdown)))
        blocks += [_section(text) for text in split(words, _SECTION_MAX)[:_SECTIONS_MAX]]
    blocks += _fields(card.fields)
    if card.image_url.startswith(("https://", "http://")) and len(card.image_url) <= _URL_MAX:
        alt = _cut(clean(card.title), _LABEL_MAX) or "image"
        blocks.append({"type": "image", "image_url": card.image_url, "alt_text": alt})
    buttons = [
        _button(button, value, n)
        for n, (button, value) in enumerate(zip(card.buttons, values, strict=True))
    ][:_BUTTONS_MAX]
    for start in range(0, len(buttons), _BUTTONS_EACH):
        blocks.append({"type": "actions", "elements": buttons[start : start + _BUTTONS_EACH]})
    return blocks[: BLOCKS_MAX - 2]


def _section(words: str) -> Json:
    return {"type": "section", "text": {"type": "mrkdwn", "text": words}}


def _fields(fields: Sequence[tuple[str, str]]) -> list[Json]:
    shown = [
        {
            "type": "mrkdwn",
            "text": _cut(f"*{escape(clean(name))}*\n{escape(clean(value))}", _FIELD_MAX),
        }
        for name, value in fields[:_FIELDS_MAX]
    ]
    return [
        {"type": "section", "fields": shown[start : start + _FIELDS_EACH]}
        for start in range(0, len(shown), _FIELDS_EACH)
    ]


def _button(button: Button, value: str, n: int) -> Json:
    label = _cut(clean(button.label), _LABEL_MAX) or "…"
    shown: dict[str, Any] = {
        "type": "button",
        "action_id": f"button_{n}",
        "text": {"type": "plain_text", "text": label},
    }
    if button.url:
        shown["url"] = button.url[:_URL_MAX]
    else:
        shown["value"] = value
    if button.style in _STYLES:
        shown["style"] = button.style
    return shown


def button_value(value: Mapping[str, Any]) -> str | None:
    """The value as JSON; None when it is longer than Slack allows."""
    text = encoded(value).decode()
    return text if len(text) <= VALUE_MAX else None


def feedback_blocks(of: str) -> list[Json]:
    """Slack's own 👍 and 👎 for the answer that `of` names; [] for none, or too long a name."""
    good, bad = (button_value({"feedback": rating, "of": of}) for rating in ("good", "bad"))
    if not of or good is None or bad is None:
        return []
    element = {
        "type": "feedback_buttons",
        "action_id": FEEDBACK_ACTION,
        "positive_button": {"text": {"type": "plain_text", "text": "👍"}, "value": good},
        "negative_button": {"text": {"type": "plain_text", "text": "👎"}, "value": bad},
    }
    return [{"type": "context_actions", "elements": [element]}]


def encoded(value: Mapping[str, Any]) -> bytes:
    """A value as JSON."""
    return msgspec.json.encode(dict(value))


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"
