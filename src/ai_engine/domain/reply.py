"""What leaves: neutral replies that each channel renders in its own way."""

from dataclasses import dataclass, field
from typing import Any

from ai_engine.domain.message import Attachment, Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Button:
    label: str
    value: Json = field(default_factory=dict[str, Any])
    url: str = ""
    style: str = "default"
    """default | primary | danger"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """Title, markdown, fields, buttons, image; a channel without cards shows them as text."""

    title: str = ""
    markdown: str = ""
    fields: tuple[tuple[str, str], ...] = ()
    buttons: tuple[Button, ...] = ()
    image_url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One outgoing message. Its id is the idempotency key towards the platform."""

    id: str
    text: str = ""
    """Markdown."""
    card: Card | None = None
    final: bool = True
    """False for a part of a longer answer that is followed by another part."""
    stream: Json | None = None
    """The stream handle to finish, when the answer was streamed; plain data."""
    media: tuple[Attachment, ...] = ()
    """Images and files to send after the text; `url` is `blob:<hash>` or a `data:` URL."""
    feedback: str = ""
    """Not empty: the answer may be rated; a rating names this value as `of`. Channels with buttons
    offer 👍 and 👎 whose value is `{"feedback": "good|bad", "of": <this>}`."""
    produced_by: str = ""
    """Which part answered: `rule:<skill>`, `model:<name>`, `command`, `engine`."""
    version: int = 1


def card_as_markdown(card: Card) -> str:
    """The card as markdown, for channels and readers without cards."""
    lines: list[str] = []
    if card.title:
        lines.append(f"**{card.title}**")
    if card.markdown:
        lines.append(card.markdown)
    lines.extend(f"- {name}: {value}" for name, value in card.fields)
    if card.image_url:
        lines.append(f"![]({card.image_url})")
    lines.extend(f"[{b.label}]({b.url})" if b.url else f"[{b.label}]" for b in card.buttons)
    return "\n\n".join(lines)
