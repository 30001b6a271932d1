"""Our replies as a custom robot's messages.

Source: DingTalk, "Custom robots: message types": text, markdown, actionCard; `msgUuid` makes a
repeated message one; a message has at most 20,000 bytes.
"""

from dataclasses import replace
from typing import Final

from ai_engine.channels.text import plain, sendable, with_card, without_tables
from ai_engine.domain.message import Json
from ai_engine.domain.reply import Reply

TEXT_LIMIT_BYTES: Final = 9_000
"""As JSON, where a line break or quote takes two bytes, this stays below 20,000 bytes."""
LINKS_MAX: Final = 8
_TITLE_MAX: Final = 32
_CONTROLS: Final = dict.fromkeys((*range(9), 11, 12, *range(14, 32), 127), "")


def message(reply: Reply, form: str) -> Json:
    """The body to post; {} when there is nothing to say."""
    card = reply.card
    links = [b for b in (card.buttons if card else ()) if b.url]
    buttons = links if form == "markdown" and len(links) <= LINKS_MAX else []
    if card is not None and buttons:
        card = replace(card, buttons=())
    words = sendable(with_card(reply.text, card)).translate(_CONTROLS)
    if not words.strip():
        return {}
    if form == "text":
        return {"msgtype": "text", "text": {"content": plain(words)}}
    words = without_tables(words)
    shown = {"title": title(words), "text": words}
    if not buttons:
        return {"msgtype": "markdown", "markdown": shown}
    found = [{"title": sendable(b.label)[:20] or "…", "actionURL": b.url} for b in buttons]
    return {"msgtype": "actionCard", "actionCard": {**shown, "btnOrientation": "0", "btns": found}}


def title(words: str) -> str:
    """What notifications show: the first line, shortened."""
    for line in plain(words[:1000]).splitlines():
        line = line.strip(" -*>#`|")
        if line:
            return line if len(line) <= _TITLE_MAX else line[: _TITLE_MAX - 1] + "…"
    return "AI"
