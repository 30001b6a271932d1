"""A reply as WeCom's messages: `msgtype` and its part, without receiver."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from ai_engine.channels.host import MediaStore
from ai_engine.channels.text import split, with_card
from ai_engine.channels.wecom import cards, markup
from ai_engine.domain.message import Attachment, Json
from ai_engine.domain.reply import Card, Reply

_MB: Final = 1024 * 1024
_UPLOADS: Final = {
    "image": ("image", 10 * _MB, frozenset({"image/png", "image/jpeg"})),
    "audio": ("voice", 2 * _MB, frozenset({"audio/amr"})),
    "video": ("video", 10 * _MB, frozenset({"video/mp4"})),
}
"""Our kind → WeCom's, its most bytes and its formats (path/90253); the rest goes as a file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Composed:
    """What is sent before the reply's images and files, and what after them."""

    before: Sequence[Json]
    after: Sequence[Json]


async def compose(
    reply: Reply, form: str, media: MediaStore, *, rating: bool, group: bool
) -> Composed:
    """`form`: markdown | text. `group`: a group chat, which takes no template cards. `rating`:
    👍 and 👎 are offered, among the card's own buttons or by a card of their own."""
    if group:
        return Composed(before=_texts(with_card(reply.text, reply.card), form), after=())
    card, asked = reply.card, rating
    if asked and card is not None and cards.has_room_for_rating(card):
        card = replace(card, buttons=(*card.buttons, *cards.rating_buttons(reply.feedback)))
        asked = False
    text = reply.text
    native: list[Json] = []
    if card is not None:
        rendered = await cards.render(card, reply.id, media)
        if rendered.cards:
            text = "\n\n".join(filter(None, (text, rendered.lead)))
        else:
            text = with_card(text, card)
        native = [_card_message(found) for found in rendered.cards]
    after = [await _rating(reply, media)] if asked else []
    return Composed(before=[*_texts(text, form), *native], after=after)


async def _rating(reply: Reply, media: MediaStore) -> Json:
    card: Card = cards.rating_card(reply.feedback)
    rendered = await cards.render(card, f"{reply.id}-rate", media)
    return _card_message(rendered.cards[0])


def _texts(text: str, form: str) -> list[Json]:
    parts = split(markup.words(text, form), markup.LIMIT_BYTES, "bytes")
    return [{"msgtype": form, form: {"content": part}} for part in parts]


def _card_message(card: Json) -> Json:
    return {"msgtype": "template_card", "template_card": card}


def upload_kind(attachment: Attachment, mime: str, bytes_size: int) -> str:
    """image | voice | video | file: as what WeCom takes this content."""
    kind, bytes_max, formats = _UPLOADS.get(attachment.kind, ("file", 0, frozenset[str]()))
    return kind if mime in formats and bytes_size <= bytes_max else "file"
