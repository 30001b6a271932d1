"""Template cards as WeCom takes them, checked against its documentation (path/90236), and shown."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from ai_engine.domain.message import Json

_TASK_ID = re.compile(r"[0-9A-Za-z_@-]{1,128}")
_STYLES = {1: "primary", 2: "danger", 3: "primary", 4: "default"}
_INTERACTIVE = ("button_interaction", "vote_interaction", "multiple_interaction")


class BadCard(Exception):
    """A card that is refused; its text is the errmsg."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A card as the chat shows it."""

    title: str
    text: str
    card: Json
    buttons: tuple[Json, ...]
    task_id: str
    card_type: str

    @property
    def updatable(self) -> bool:
        """Whether WeCom gives a response code for it."""
        return self.card_type in _INTERACTIVE


def read(card: Any, *, types: tuple[str, ...] = ()) -> Shown:
    """Raises BadCard. `types`: those that may be sent here; () for all."""
    found = _object(card, "template_card")
    kind = found.get("card_type")
    if kind not in _READERS or (types and kind not in types):
        raise BadCard(f"card_type {kind!r} is not one that can be sent here")
    title = _part(found, "main_title")
    body = str(found.get("sub_title_text") or "")
    fields = [
        [_text(row, "keyname"), str(row.get("value") or row.get("url") or "")]
        for row in _rows(found, "horizontal_content_list", 6)
    ]
    for row in _rows(found, "vertical_content_list", 4):
        body += ("\n" if body else "") + _text(row, "title")
    buttons, image = _READERS[str(kind)](found)
    shown: Json = {"title": str(title.get("title") or ""), "markdown": body, "fields": fields}
    if image:
        shown["image"] = image
    return Shown(
        title=shown["title"],
        text="\n".join(filter(None, (shown["title"], body, *(": ".join(f) for f in fields)))),
        card=shown,
        buttons=tuple(buttons),
        task_id=str(found.get("task_id") or ""),
        card_type=str(kind),
    )


def _object(value: Any, name: str) -> Json:
    if not isinstance(value, dict):
        raise BadCard(f"{name} is missing")
    return cast("Json", value)


def _rows(card: Json, name: str, most: int) -> list[Json]:
    value: Any = card.get(name)
    if value is None:
        return []
    rows = cast("list[Any]", value) if isinstance(value, list) else None
    if rows is None or len(rows) > most:
        raise BadCard(f"{name} must be a list of at most {most}")
    return [_object(row, name) for row in rows]


def _part(card: Json, name: str) -> Json:
    """An object that may be left out."""
    value: Any = card.get(name)
    return _object(value, name) if value else {}


def _text(row: Json, name: str, bytes_max: int = 4096) -> str:
    value = row.get(name)
    if not isinstance(value, str) or not value or len(value.encode()) > bytes_max:
        raise BadCard(f"{name} is missing or too long")
    return value


def _url(row: Json, name: str = "url") -> str:
    value = _text(row, name)
    if not value.startswith(("http://", "https://")):
        raise BadCard(f"{name} is no http or https address")
    return value


def _open(card: Json) -> list[Json]:
    action = _object(card.get("card_action"), "card_action")
    if action.get("type") != 1:
        raise BadCard("card_action.type must be 1 here")
    main = {"label": "查看 / Open", "url": _url(action)}
    jumps = _rows(card, "jump_list", 3)
    links = [{"label": _text(j, "title"), "url": _url(j)} for j in jumps]
    return links or [main]


def _text_notice(card: Json) -> tuple[list[Json], str]:
    if not _part(card, "main_title").get("title") and not card.get("sub_title_text"):
        raise BadCard("main_title.title or sub_title_text is needed")
    return _open(card), ""


def _news_notice(card: Json) -> tuple[list[Json], str]:
    _text(_object(card.get("main_title"), "main_title"), "title")
    image, area = _part(card, "card_image"), _part(card, "image_text_area")
    if not image and not area:
        raise BadCard("card_image or image_text_area is needed")
    return _open(card), _url(image) if image else _url(area, "image_url")


def _button_interaction(card: Json) -> tuple[list[Json], str]:
    _text(_object(card.get("main_title"), "main_title"), "title")
    if not _TASK_ID.fullmatch(str(card.get("task_id") or "")):
        raise BadCard("task_id has letters, digits and _-@, at most 128")
    rows = _rows(card, "button_list", 6)
    if not rows:
        raise BadCard("button_list has 1 to 6 buttons")
    buttons: list[Json] = []
    for row in rows:
        style = row.get("style", 1)
        if style not in _STYLES:
            raise BadCard("button_list.style is 1 to 4")
        button: Json = {"label": _text(row, "text"), "style": _STYLES[style]}
        if row.get("type", 0) == 1:
            button["url"] = _url(row)
        else:
            button["key"] = _text(row, "key", 1024)
        buttons.append(button)
    keys = [b["key"] for b in buttons if "key" in b]
    if len(set(keys)) != len(keys):
        raise BadCard("button_list.key is there twice")
    return buttons, ""


_READERS: dict[str, Callable[[Json], tuple[list[Json], str]]] = {
    "text_notice": _text_notice,
    "news_notice": _news_notice,
    "button_interaction": _button_interaction,
}
