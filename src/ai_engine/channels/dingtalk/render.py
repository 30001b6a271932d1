"""Our replies as DingTalk's messages.

Source: DingTalk, "Robot message types": text, markdown and actionCard by a sessionWebhook, message
templates (`msgKey`, `msgParam`) by the proactive API.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import msgspec

from ai_engine.channels.text import plain, sendable, with_card, without_tables
from ai_engine.domain.message import Json
from ai_engine.domain.reply import Button, Reply

TEXT_LIMIT_BYTES: Final = 6000
"""`msgParam` may have 15,000 bytes as JSON, where a line break or quote takes two: this, doubled,
leaves room for title and mention."""
LINKS_MAX: Final = 5
"""Buttons of the largest action card template (`sampleActionCard5`)."""

_TITLE_MAX: Final = 32
_CONTROLS: Final = dict.fromkeys((*range(9), 11, 12, *range(14, 32), 127), "")
_UNMARKED: Final = re.compile(r"[^\\`*_~\[\]!#]*")
"""Text without a sign that markdown gives a meaning to within a line."""


def rendered(reply: Reply, form: str, *, links: bool = True, title: bool = True) -> str:
    """The reply's words in DingTalk's markdown (`form` markdown) or as text for people (`text`).

    `links`, `title`: with the card's link buttons and title; they are left out where they are
    shown apart from the words.
    """
    card = reply.card
    if card is not None and not links:
        card = replace(card, buttons=())
    if card is not None and not title:
        card = replace(card, title="")
    words = sendable(with_card(reply.text, card)).translate(_CONTROLS)
    return plain(words) if form == "text" else without_tables(words)


def link_buttons(reply: Reply) -> tuple[Button, ...]:
    """The card's buttons that open something, as many as an action card takes; () when others
    would be lost."""
    found = tuple(b for b in (reply.card.buttons if reply.card else ()) if b.url)
    return found if len(found) <= LINKS_MAX else ()


def session_body(words: str, form: str, mention: str, buttons: Sequence[Button] = ()) -> Json:
    """For the sessionWebhook. `mention` is the staff id of who is to be notified, or empty.

    In markdown a mention must stand in the text too; in a text DingTalk adds it.
    """
    if buttons:
        shown = {"title": title(words), "text": words, "btnOrientation": "0"}
        links = [{"title": _label(b), "actionURL": b.url} for b in buttons]
        return {"msgtype": "actionCard", "actionCard": {**shown, "btns": links}}
    at: Json = {"atUserIds": [mention] if mention else [], "isAtAll": False}
    if form == "text":
        return {"msgtype": "text", "text": {"content": words}, "at": at}
    shown = f"@{mention}\n\n{words}" if mention else words
    return {"msgtype": "markdown", "markdown": {"title": title(words), "text": shown}, "at": at}


def template_body(words: str, form: str, buttons: Sequence[Button] = ()) -> Json:
    """`msgKey` and `msgParam` for the proactive API."""
    param: dict[str, Any] = {"title": title(words), "text": words}
    if len(buttons) == 1:
        key = "sampleActionCard"
        param |= {"singleTitle": _label(buttons[0]), "singleURL": buttons[0].url}
    elif buttons:
        key = f"sampleActionCard{len(buttons)}"
        for n, button in enumerate(buttons, 1):
            param |= {f"actionTitle{n}": _label(button), f"actionURL{n}": button.url}
    elif form == "text":
        key, param = "sampleText", {"content": words}
    else:
        key = "sampleMarkdown"
    return template(key, param)


def template(key: str, param: Json) -> Json:
    """A message template with its parameters, which DingTalk takes as a JSON text."""
    return {"msgKey": key, "msgParam": msgspec.json.encode(param).decode()}


def title(words: str) -> str:
    """What notifications and the list of conversations show: the first line, shortened."""
    head = words[:1000]
    for line in (head if _UNMARKED.fullmatch(head) else plain(head)).splitlines():
        line = line.strip(" -*>#`|")
        if line:
            return line if len(line) <= _TITLE_MAX else line[: _TITLE_MAX - 1] + "…"
    return "AI"


def _label(button: Button) -> str:
    return sendable(button.label)[:20] or "…"
