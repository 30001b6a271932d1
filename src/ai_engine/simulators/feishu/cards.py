"""Cards as Feishu takes them: schema 2.0 checked key by key, and what a reader sees of them."""

import re
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec

from ai_engine.domain.message import Json
from ai_engine.simulators.feishu.gate import No

CARD_BYTES_MAX = 30 * 1024
_TOP = {"schema", "config", "card_link", "header", "body"}
_CONFIG = {
    *("streaming_mode", "streaming_config", "summary", "locales", "enable_forward"),
    *("update_multi", "width_mode", "use_custom_translation", "enable_forward_interaction"),
    "style",
}
_HEADER = {
    *("title", "subtitle", "text_tag_list", "i18n_text_tag_list", "template", "icon", "padding"),
}
_COMMON = {"tag", "element_id", "margin"}
_KEYS = {
    "markdown": {"content", "text_align", "text_size", "icon", "i18n_content"},
    "div": {"text", "icon", "width"},
    "hr": set[str](),
    "img": {
        *("img_key", "alt", "title", "corner_radius", "scale_type", "size", "transparent"),
        "preview",
    },
    "button": {
        *("type", "size", "width", "text", "icon", "hover_tips", "disabled", "disabled_tips"),
        *("confirm", "behaviors", "name", "required", "form_action_type"),
    },
    "column_set": {
        *("columns", "flex_mode", "horizontal_spacing", "horizontal_align", "background_style"),
        "action",
    },
    "column": {
        *("elements", "width", "weight", "vertical_align", "vertical_spacing", "direction"),
        *("horizontal_spacing", "horizontal_align", "padding", "background_style", "action"),
    },
}
_BEHAVIORS = {
    "callback": {"type", "value"},
    "open_url": {"type", "default_url", "pc_url", "ios_url", "android_url"},
}
_ID = re.compile(r"[A-Za-z]\w{0,19}", re.ASCII)


def invalid(why: str) -> No:
    """The refusal of a card."""
    return No(230099, f"Failed to create card content, ext=ErrCode: 200621; ErrMsg: {why}")


@dataclass(slots=True, kw_only=True)
class Seen:
    """What a reader sees."""

    title: str = ""
    texts: dict[str, str] = field(default_factory=dict[str, str])
    """element id (or its number) → markdown, in order."""
    image: str = ""
    buttons: list[Json] = field(default_factory=list[Json])
    streaming: bool = False

    @property
    def text(self) -> str:
        return "\n\n".join(text for text in self.texts.values() if text)


def read_card(data: object) -> Seen:
    """A card from its JSON text. Raises No."""
    if not isinstance(data, str):
        raise invalid("the card is no JSON text")
    if len(data.encode()) > CARD_BYTES_MAX:
        raise No(230025, "The length of the message content reaches its limit.")
    try:
        found: Any = msgspec.json.decode(data)
    except msgspec.DecodeError as error:
        raise invalid("the card is no JSON") from error
    if not isinstance(found, dict):
        raise invalid("the card is no JSON object")
    card = cast("Json", found)
    seen = Seen()
    if card.get("schema") != "2.0":
        return _old_card(card, seen)
    _known(card, _TOP, "$")
    config = _part(card, "config")
    _known(config, _CONFIG, "config")
    if config.get("update_multi") is False:
        raise invalid("update_multi must be true")
    if config.get("width_mode", "default") not in ("default", "compact", "fill"):
        raise invalid("width_mode")
    seen.streaming = config.get("streaming_mode") is True
    header = _part(card, "header")
    _known(header, _HEADER, "header")
    seen.title = str(_part(header, "title").get("content", ""))
    _elements(_part(card, "body").get("elements"), seen, set())
    return seen


def _elements(found: Any, seen: Seen, ids: set[str]) -> None:
    if not isinstance(found, list):
        raise invalid("elements must be a list")
    for each in cast("list[Any]", found):
        element = cast("Json", each) if isinstance(each, dict) else {}
        tag = str(element.get("tag", ""))
        if tag not in _KEYS:
            raise invalid(f"unsupported tag {tag!r}")
        _known(element, _COMMON | _KEYS[tag], tag)
        element_id = element.get("element_id")
        if element_id is not None:
            if not isinstance(element_id, str) or not _ID.fullmatch(element_id):
                raise invalid("element_id")
            if element_id in ids:
                raise No(300301, "Duplicate element_id in card component")
            ids.add(element_id)
        _one(tag, element, seen, ids)


def _one(tag: str, element: Json, seen: Seen, ids: set[str]) -> None:
    if tag == "markdown":
        content = element.get("content")
        if not isinstance(content, str):
            raise invalid("markdown.content")
        if re.search(r"!\[[^\]]*\]\(https?://", content):
            raise invalid("image keys only: an address is no img_key")
        seen.texts[str(element.get("element_id") or f"#{len(seen.texts)}")] = content
    elif tag == "div":
        seen.texts[f"#{len(seen.texts)}"] = str(_part(element, "text").get("content", ""))
    elif tag == "img":
        seen.image = str(element.get("img_key", ""))
    elif tag == "button":
        seen.buttons.append(_button(element))
    elif tag == "column_set":
        _elements(element.get("columns"), seen, ids)
    elif tag == "column":
        _elements(element.get("elements"), seen, ids)


def _button(element: Json) -> Json:
    label = str(_part(element, "text").get("content", ""))
    if not label:
        raise invalid("a button without text")
    found: Json = {"label": label, "style": element.get("type", "default")}
    for each in cast("list[Any]", element.get("behaviors") or []):
        behavior = cast("Json", each) if isinstance(each, dict) else {}
        kind = str(behavior.get("type", ""))
        if kind not in _BEHAVIORS:
            raise invalid("behaviors.type")
        _known(behavior, _BEHAVIORS[kind], "behaviors")
        if kind == "open_url":
            found["url"] = str(behavior.get("default_url", ""))
        else:
            found["value"] = behavior.get("value", {})
    return found


def _old_card(card: Json, seen: Seen) -> Seen:
    """Schema 1.0 ignores what it does not know."""
    seen.title = str(_part(_part(card, "header"), "title").get("content", ""))
    for each in cast("list[Any]", card.get("elements") or []):
        element = cast("Json", each) if isinstance(each, dict) else {}
        content = element.get("content") or _part(element, "text").get("content")
        if isinstance(content, str):
            seen.texts[f"#{len(seen.texts)}"] = content
        for one in cast("list[Any]", element.get("actions") or []):
            action = cast("Json", one) if isinstance(one, dict) else {}
            label = str(_part(action, "text").get("content", ""))
            seen.buttons.append({"label": label, "value": action.get("value", {})})
    return seen


def _known(found: Json, keys: set[str], where: str) -> None:
    unknown = set(found) - keys
    if unknown:
        raise invalid(f"{where}: unknown property {sorted(unknown)[0]}")


def _part(found: Json, name: str) -> Json:
    part: Any = found.get(name)
    return cast("Json", part) if isinstance(part, dict) else {}
