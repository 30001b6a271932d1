"""Our cards as WeCom's template cards, and what happens to one whose button was pressed.

Source: WeCom, "Template cards" of AI robots. Template cards have no markdown. `button_interaction`
has up to 6 buttons whose key (at most 1024 bytes) comes back; `text_notice` and `news_notice` must
lead somewhere (`card_action`). A card that neither asks nor leads anywhere is shown as markdown.
"""

import hashlib
from dataclasses import replace
from typing import Any, Final, cast

import msgspec

from ai_engine.channels.host import MediaStore
from ai_engine.channels.text import plain
from ai_engine.domain.message import Json
from ai_engine.domain.reply import Button, Card

_BUTTONS_MAX: Final = 6
_FIELDS_MAX: Final = 6
_JUMPS_MAX: Final = 3
_KEY_BYTES_MAX: Final = 1024
_TITLE_MAX: Final = 64
_WORDS_MAX: Final = 500
_LABEL_MAX: Final = 20
_STYLES: Final = {"primary": 1, "default": 2, "danger": 3}
_BLOB: Final = "blob:"
DONE: Final = "-"
"""The key of the button that shows what was chosen."""


def native(card: Card | None) -> bool:
    """Whether WeCom has a template for this card."""
    return card is not None and bool(card.buttons)


def with_words(card: Card, words: str) -> Card:
    """The card where nothing can stand beside it: its text area holds these words."""
    return replace(card, markdown=words)


def beside(card: Card) -> Card | None:
    """What the template cannot hold and the text must say; None when it holds everything."""
    keys = [button for button in card.buttons if not button.url]
    links = [button for button in card.buttons if button.url]
    fields = _FIELDS_MAX - (len(links) if keys else 0)
    too_long = len(plain(card.markdown)) > _WORDS_MAX
    image = card.image_url if keys else ""
    jumps = () if keys else tuple(links[_JUMPS_MAX:])
    rest = Card(
        markdown=card.markdown if too_long else "",
        fields=card.fields[max(0, fields) :],
        buttons=jumps,
        image_url=image,
    )
    return rest if rest != Card() else None


async def template(card: Card, reply_id: str, media: MediaStore) -> Json:
    """The template card. What a press must know later is kept in `media`; its hash and the
    reply's make the task id, which must differ from card to card. Raises TooLarge."""
    keys = [button for button in card.buttons if not button.url][:_BUTTONS_MAX]
    found: Json = {"main_title": {"title": (card.title or "AI")[:_TITLE_MAX]}}
    if words := plain(card.markdown):
        found["sub_title_text"] = words if len(words) <= _WORDS_MAX else words[:_WORDS_MAX] + "…"
    fields: list[Json] = [
        {"keyname": name[:_LABEL_MAX], "value": value[:_TITLE_MAX]} for name, value in card.fields
    ]
    links = [button for button in card.buttons if button.url]
    if keys:
        found["card_type"] = "button_interaction"
        found["button_list"] = [await _button(button, media) for button in keys]
        linked = [_as_field(button) for button in links]
        fields = [*fields[: max(0, _FIELDS_MAX - len(linked))], *linked]
    else:
        found["card_type"] = "news_notice" if card.image_url else "text_notice"
        found["card_action"] = {"type": 1, "url": links[0].url}
        found["jump_list"] = [
            {"type": 1, "title": button.label[:_LABEL_MAX], "url": button.url}
            for button in links[:_JUMPS_MAX]
        ]
        if card.image_url:
            found["card_image"] = {"url": card.image_url}
    if fields:
        found["horizontal_content_list"] = fields[:_FIELDS_MAX]
    kept = await media.put(msgspec.json.encode(found), mime="application/json")
    digest = hashlib.sha256(reply_id.encode()).hexdigest()[:24]
    return {**found, "task_id": f"{kept.removeprefix(_BLOB)}@{digest}"}


def _as_field(button: Button) -> Json:
    return {"type": 1, "keyname": "🔗", "value": button.label[:_TITLE_MAX], "url": button.url}


async def _button(button: Button, media: MediaStore) -> Json:
    """The value is its key when it fits, else a reference to it."""
    value = msgspec.json.encode(button.value)
    key = value.decode()
    if len(value) > _KEY_BYTES_MAX:
        key = await media.put(value, mime="application/json")
    return {
        "text": button.label[:_LABEL_MAX],
        "style": _STYLES.get(button.style, 2),
        "key": key,
    }


async def value_of(key: str, media: MediaStore) -> Json | None:
    """The value behind a pressed button's key; None when it is not kept any more."""
    data: bytes | str = key
    if key.startswith(_BLOB):
        kept = await media.get(key)
        if kept is None:
            return None
        data = kept.content
    return _object(data)


async def pressed(task_id: str, key: str, user: str, media: MediaStore) -> Json | None:
    """The answer that shows `user` what was chosen; None when the card is not kept any more.

    Source: WeCom, "Update template cards": the task id must be the card's.
    """
    kept = await media.get(_BLOB + task_id.partition("@")[0])
    card = _object(kept.content) if kept is not None else None
    if card is None:
        return None
    buttons = cast("list[Json]", card.get("button_list") or [])
    label = next(
        (str(button.get("text", "")) for button in buttons if button.get("key") == key), ""
    )
    if not label:
        return None
    chosen = {"text": f"✓ {label}", "style": 2, "key": DONE}
    return {
        "response_type": "update_template_card",
        "userids": [user],
        "template_card": {**card, "button_list": [chosen], "task_id": task_id},
    }


def _object(data: bytes | str) -> Json | None:
    try:
        found: Any = msgspec.json.decode(data)
    except (ValueError, RecursionError):
        return None
    return cast("Json", found) if isinstance(found, dict) else None
