"""Buttons below a message, and what a pressed one stands for.

Source: Bot API, InlineKeyboardButton: `callback_data` has 1 to 64 bytes.
"""

import re
from typing import Final

import msgspec

from ai_engine.channels.host import MediaStore
from ai_engine.channels.http import json_object
from ai_engine.domain.message import Json
from ai_engine.domain.reply import Button

DATA_BYTES_MAX: Final = 64
_KEPT: Final = re.compile(r"[0-9a-f]{64}")
"""A value that did not fit: its hash in the media store, which has just 64 characters."""
_URLS: Final = ("http://", "https://", "tg://")
_WIDE: Final = 14
"""Characters of a label above which a button takes a row of its own."""
_STYLES: Final = {"primary": "primary", "danger": "danger"}
_FEEDBACK: Final = (("👍", "good"), ("👎", "bad"))


def opens(button: Button) -> bool:
    """Whether Telegram takes the button's URL."""
    return button.url.lower().startswith(_URLS)


async def keyboard(buttons: tuple[Button, ...], feedback: str, store: MediaStore) -> Json | None:
    """`reply_markup` of a message; None without buttons. `feedback`: what a rating names.

    Raises:
        TooLarge: a button's value is too large even for the store.
    """
    rows: list[list[Json]] = []
    open_row = False
    for button in buttons:
        if button.url and not opens(button):
            continue
        made = await _button(button, store)
        short = len(button.label) <= _WIDE
        if short and open_row:
            rows[-1].append(made)
        else:
            rows.append([made])
        open_row = short and len(rows[-1]) < 3
    if feedback:
        row = [{"feedback": rating, "of": feedback} for _, rating in _FEEDBACK]
        labels = [label for label, _ in _FEEDBACK]
        values = [await _data(value, store) for value in row]
        rows.append(
            [
                {"text": label, "callback_data": data}
                for label, data in zip(labels, values, strict=True)
            ]
        )
    return {"inline_keyboard": rows} if rows else None


async def _button(button: Button, store: MediaStore) -> Json:
    style: Json = {"style": _STYLES[button.style]} if button.style in _STYLES else {}
    if button.url:
        return {"text": button.label, "url": button.url, **style}
    return {"text": button.label, "callback_data": await _data(button.value, store), **style}


async def _data(value: Json, store: MediaStore) -> str:
    data = msgspec.json.encode(value)
    if len(data) <= DATA_BYTES_MAX:
        return data.decode()
    return (await store.put(data, mime="application/json")).removeprefix("blob:")


async def pressed(data: str, store: MediaStore) -> Json | None:
    """A pressed button's value; None when it is not kept any more, or was none of ours."""
    if not _KEPT.fullmatch(data):
        return json_object(data) or None
    kept = await store.get(f"blob:{data}")
    return None if kept is None else json_object(kept.content) or None
