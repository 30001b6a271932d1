"""Answers as Feishu's messages: text, or a card of schema 2.0 in Feishu's markdown.

Source: Feishu, "Card JSON 2.0 structure" (properties that it does not have are errors there),
"Markdown component", "Button component" and "Configure card interactions".
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from ai_engine.channels.text import plain, sendable, unsaid, with_card
from ai_engine.domain.message import Json
from ai_engine.domain.reply import Button, Card, Reply

MARKDOWN_LIMIT_BYTES: Final = 7_000
"""A card may have 30 KB. Its JSON is a text within JSON: a quotation mark takes four bytes there,
so four times this, with title and buttons beside it, fits."""
TEXT_LIMIT_BYTES: Final = 30_000
"""A text message may have 150 KB, counted in the same way."""
ANSWER: Final = "answer"
"""`element_id` of the text in a streaming card."""
_TITLE_MAX: Final = 200
_SUMMARY_MAX: Final = 80
_LABEL_MAX: Final = 80
_CONTROLS: Final = dict.fromkeys((*range(9), 11, 12, *range(14, 32), 127), "")
_AT: Final = re.compile(r"<(?=/?(?:at|person)\b)", re.IGNORECASE)
_IMAGE: Final = re.compile(r"!\[([^\]\n]*)\]\((https?://[^)\s]+)\)")
_FENCE: Final = re.compile(r"^ {0,3}(?:```|~~~)", re.MULTILINE)
_THUMBS: Final = (("👍", "good"), ("👎", "bad"))


def uuid_of(*parts: str) -> str:
    """An idempotency key of Feishu's (at most 50 characters) for these parts."""
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:40]


def encoded(found: Json) -> str:
    """JSON as the text that Feishu wants."""
    return msgspec.json.encode(found).decode()


def clean(words: str) -> str:
    """Words that mean in Feishu what they meant to their writer: no mention of people, or of all,
    that a model or a user has spelt; no picture by its address (Feishu shows uploaded ones)."""
    words = _AT.sub("＜", sendable(words).translate(_CONTROLS))
    return words if _FENCE.search(words) else _IMAGE.sub(_as_link, words)


def _as_link(found: re.Match[str]) -> str:
    return f"[{found[1] or '🖼'}]({found[2]})"


def as_text(reply: Reply) -> str:
    """For the form `text`."""
    return plain(clean(with_card(reply.text, reply.card)))


def text_body(words: str) -> Json:
    return {"msg_type": "text", "content": encoded({"text": words})}


def card_body(card: Json) -> Json:
    return {"msg_type": "interactive", "content": encoded(card)}


def width_mode(pixels: int) -> str:
    """Feishu's three widths: compact is 400 px, default at most 600 px, fill the chat's window."""
    if pixels <= 400:
        return "compact"
    return "default" if pixels <= 600 else "fill"


def answer_card(
    words: str,
    card: Card | None = None,
    *,
    width: int,
    values: Mapping[int, Json],
    feedback: Sequence[Json] = (),
    image_key: str = "",
) -> Json:
    """An answer with its card.

    `values`: what the card's button of this number brings back. `feedback`: the same of 👍 and 👎.
    """
    elements: list[Json] = []
    if words.strip():
        elements.append(_markdown(words, ANSWER))
    if card is not None:
        elements += _inside(card, image_key, words)
        elements += _row([_button(b, values.get(n)) for n, b in enumerate(card.buttons)])
    elements += _row([_pressable(sign, v) for (sign, _), v in zip(_THUMBS, feedback, strict=False)])
    found: Json = {
        "schema": "2.0",
        "config": {
            "update_multi": True,
            "width_mode": width_mode(width),
            "summary": {"content": summary(words or (card.title if card else ""))},
        },
        "body": {"elements": elements or [_markdown(" ", ANSWER)]},
    }
    if card is not None and card.title:
        title = {"tag": "plain_text", "content": sendable(card.title)[:_TITLE_MAX]}
        found["header"] = {"title": title, "template": "blue"}
    return found


def streaming_card(width: int) -> Json:
    """An answer that is being written."""
    return {
        "schema": "2.0",
        "config": {
            "streaming_mode": True,
            "update_multi": True,
            "width_mode": width_mode(width),
            "streaming_config": {
                "print_frequency_ms": {"default": 50},
                "print_step": {"default": 2},
                "print_strategy": "fast",
            },
        },
        "body": {"elements": [_markdown("", ANSWER)]},
    }


def ratings(of: str) -> list[Json]:
    """What 👍 and 👎 bring back."""
    return [{"feedback": rating, "of": of} for _, rating in _THUMBS]


def summary(words: str) -> str:
    """What notifications and the list of chats show: the first line, shortened."""
    for line in plain(words[:1000]).splitlines():
        line = line.strip(" -*>#`|")
        if line:
            return line if len(line) <= _SUMMARY_MAX else line[: _SUMMARY_MAX - 1] + "…"
    return "AI"


def _markdown(words: str, element_id: str = "") -> Json:
    found: Json = {"tag": "markdown", "content": words}
    return found | {"element_id": element_id} if element_id else found


def _inside(card: Card, image_key: str, words: str) -> list[Json]:
    found: list[Json] = []
    if card.markdown and card.markdown not in words:
        found.append(_markdown(clean(card.markdown)))
    lines = [f"**{name}**: {value}" for name, value in unsaid(words, card)]
    if lines:
        found.append(_markdown(clean("\n".join(lines))))
    if image_key:
        alt = {"tag": "plain_text", "content": card.title[:_TITLE_MAX]}
        found.append({"tag": "img", "img_key": image_key, "alt": alt})
    elif card.image_url.startswith(("http://", "https://")):
        found.append(_markdown(f"[🖼]({card.image_url})"))
    return found


def _row(buttons: list[Json]) -> list[Json]:
    """Buttons beside each other, wrapped where they do not fit."""
    if not buttons:
        return []
    columns = [{"tag": "column", "width": "auto", "elements": [each]} for each in buttons]
    return [{"tag": "column_set", "flex_mode": "flow", "columns": columns}]


def _button(button: Button, value: Json | None) -> Json:
    if not button.url:
        return _pressable(button.label, value or {}, button.style)
    found = _pressable(button.label, {}, button.style)
    return found | {"behaviors": [{"type": "open_url", "default_url": button.url}]}


def _pressable(label: str, value: Json, style: str = "default") -> Json:
    behaviors: list[dict[str, Any]] = [{"type": "callback", "value": value}]
    return {
        "tag": "button",
        "type": style if style in ("primary", "danger") else "default",
        "text": {"tag": "plain_text", "content": sendable(label)[:_LABEL_MAX] or "…"},
        "behaviors": behaviors,
    }
