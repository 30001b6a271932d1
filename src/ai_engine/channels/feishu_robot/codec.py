"""Replies as a custom bot's messages: text, or a card of schema 2.0.

Source: Feishu, "Use bots in groups" (content and card are objects here, not texts of JSON; a
request has at most 20 KB) and "Card JSON 2.0 structure".
"""

import re
from typing import Final

from ai_engine.channels.text import plain, sendable, with_card
from ai_engine.domain.message import Json
from ai_engine.domain.reply import Button, Card, Reply

TEXT_LIMIT_BYTES: Final = 8_000
"""Twice this, as JSON, with title and buttons, is below 20 KB."""
_CONTROLS: Final = dict.fromkeys((*range(9), 11, 12, *range(14, 32), 127), "")
_AT: Final = re.compile(r"<(?=/?(?:at|person)\b)", re.IGNORECASE)
_IMAGE: Final = re.compile(r"!\[([^\]\n]*)\]\((https?://[^)\s]+)\)")
_TITLE_MAX: Final = 200


def message(reply: Reply, form: str) -> Json | None:
    """The body without its signature; None when the reply has no words."""
    shown = with_card(reply.text, _unpressed(reply.card))
    words = _AT.sub("＜", sendable(shown).translate(_CONTROLS))
    if not words.strip():
        return None
    if form == "text":
        return {"msg_type": "text", "content": {"text": plain(words)}}
    elements: list[Json] = [{"tag": "markdown", "content": _IMAGE.sub(r"[🖼 \1](\2)", words)}]
    elements += [_link(button) for button in _links(reply.card)]
    card: Json = {"schema": "2.0", "body": {"elements": elements}}
    if reply.card is not None and reply.card.title:
        title = {"tag": "plain_text", "content": sendable(reply.card.title)[:_TITLE_MAX]}
        card["header"] = {"title": title, "template": "blue"}
    return {"msg_type": "interactive", "card": card}


def _links(card: Card | None) -> list[Button]:
    return [button for button in card.buttons if button.url] if card else []


def _unpressed(card: Card | None) -> Card | None:
    """Without title and buttons: the card shows both itself, and nobody hears a press here."""
    if card is None:
        return None
    return Card(markdown=card.markdown, fields=card.fields, image_url=card.image_url)


def _link(button: Button) -> Json:
    return {
        "tag": "button",
        "type": button.style if button.style in ("primary", "danger") else "default",
        "text": {"tag": "plain_text", "content": sendable(button.label) or "…"},
        "behaviors": [{"type": "open_url", "default_url": button.url}],
    }
