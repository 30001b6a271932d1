"""Block Kit as Slack checks it and as people see it.

Source: docs.slack.dev, "Block Kit reference" (limits of each block and element).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

from ai_engine.domain.message import Json

MARKDOWN_MAX: Final = 12_000
BLOCKS_MAX: Final = 50


class BadBlocks(Exception):
    """Answered with this `error`."""

    def __init__(self, why: str, error: str = "invalid_blocks") -> None:
        super().__init__(why)
        self.error = error


@dataclass(slots=True, kw_only=True)
class Shown:
    """What the blocks look like, in the page's neutral form."""

    texts: list[str] = field(default_factory=list[str])
    card: Json = field(default_factory=dict[str, Any])
    buttons: list[Json] = field(default_factory=list[Json])
    """With `action`: what a press sends back."""
    feedback: Json | None = None
    """The feedback element."""


def read_blocks(given: Any) -> Shown:
    """Check the blocks and show them. Raises BadBlocks."""
    if not isinstance(given, list):
        raise BadBlocks("blocks must be a list")
    entries = cast("list[Any]", given)
    if len(entries) > BLOCKS_MAX:
        raise BadBlocks(f"more than {BLOCKS_MAX} blocks")
    shown = Shown()
    for n, entry in enumerate(entries):
        block = _object(entry, f"blocks[{n}]")
        reader = _READERS.get(str(block.get("type")))
        if reader is None:
            raise BadBlocks(f"blocks[{n}]: unsupported type {block.get('type')!r}")
        reader(block, shown)
    if sum(map(len, shown.texts)) > MARKDOWN_MAX:
        raise BadBlocks("too much text", "msg_blocks_too_long")
    ids = [button["action"]["action_id"] for button in shown.buttons]
    if len(set(ids)) < len(ids):
        raise BadBlocks("action_id is used twice")
    return shown


def _object(found: Any, where: str) -> Json:
    if not isinstance(found, dict):
        raise BadBlocks(f"{where} must be an object")
    return cast("Json", found)


def _words(found: Any, longest: int, kinds: Sequence[str]) -> str:
    text = _object(found, "text")
    words = text.get("text")
    if text.get("type") not in kinds or not isinstance(words, str):
        raise BadBlocks(f"a text must be of type {' or '.join(kinds)}")
    if not 0 < len(words) <= longest:
        raise BadBlocks(f"a text must have 1 to {longest} characters, not {len(words)}")
    return words


def _items(block: Json, name: str, most: int) -> list[Json]:
    found = block.get(name)
    if not isinstance(found, list) or not found:
        raise BadBlocks(f"{name} must be a list that is not empty")
    entries = cast("list[Any]", found)
    if len(entries) > most:
        raise BadBlocks(f"{name} may have {most} entries")
    return [_object(entry, name) for entry in entries]


def _header(block: Json, shown: Shown) -> None:
    shown.card["title"] = _words(block.get("text"), 150, ("plain_text",))


def _markdown(block: Json, shown: Shown) -> None:
    words = block.get("text")
    if not isinstance(words, str) or not words:
        raise BadBlocks("a markdown block needs a text")
    if len(words) > MARKDOWN_MAX:
        raise BadBlocks("a markdown block is too long", "msg_blocks_too_long")
    shown.texts.append(words)


def _section(block: Json, shown: Shown) -> None:
    if "text" not in block and "fields" not in block:
        raise BadBlocks("a section needs text or fields")
    if "text" in block:
        words = _words(block["text"], 3000, ("mrkdwn", "plain_text"))
        if block["text"]["type"] == "plain_text":
            shown.texts.append(words)
        else:
            before = shown.card.get("markdown", "")
            shown.card["markdown"] = f"{before}\n{words}" if before else words
    if "fields" in block:
        fields: list[list[str]] = shown.card.setdefault("fields", [])
        for entry in _items(block, "fields", 10):
            name, _, value = _words(entry, 2000, ("mrkdwn", "plain_text")).partition("\n")
            fields.append([name.strip("*"), value])


def _image(block: Json, shown: Shown) -> None:
    url, alt = block.get("image_url"), block.get("alt_text")
    if not isinstance(url, str) or not 0 < len(url) <= 3000 or not isinstance(alt, str) or not alt:
        raise BadBlocks("an image needs image_url and alt_text")
    shown.card["image"] = url


def _divider(block: Json, shown: Shown) -> None:
    """Nothing to check, nothing to show."""


def _context(block: Json, shown: Shown) -> None:
    for entry in _items(block, "elements", 10):
        if entry.get("type") != "image":
            shown.texts.append(_words(entry, 3000, ("mrkdwn", "plain_text")))


def _actions(block: Json, shown: Shown) -> None:
    for element in _items(block, "elements", 25):
        if element.get("type") != "button":
            raise BadBlocks(f"unsupported element {element.get('type')!r}")
        action_id, value = element.get("action_id"), element.get("value", "")
        if not isinstance(action_id, str) or not 0 < len(action_id) <= 255:
            raise BadBlocks("a button needs an action_id")
        if not isinstance(value, str) or len(value) > 2000:
            raise BadBlocks("a button's value may have 2000 characters")
        if element.get("style") not in (None, "primary", "danger"):
            raise BadBlocks("a button's style is primary or danger")
        button: Json = {
            "label": _words(element.get("text"), 75, ("plain_text",)),
            "style": element.get("style", "default"),
            "action": {"type": "button", "action_id": action_id, "text": element["text"]},
        }
        if value:
            button["action"]["value"] = value
        if element.get("url"):
            button["url"] = str(element["url"])
        shown.buttons.append(button)


def _context_actions(block: Json, shown: Shown) -> None:
    for element in _items(block, "elements", 5):
        if element.get("type") != "feedback_buttons":
            raise BadBlocks(f"unsupported element {element.get('type')!r}")
        for name in ("positive_button", "negative_button"):
            button = _object(element.get(name), name)
            _words(button.get("text"), 75, ("plain_text",))
            value = button.get("value")
            if not isinstance(value, str) or not 0 < len(value) <= 2000:
                raise BadBlocks(f"{name} needs a value of at most 2000 characters")
        shown.feedback = element


_READERS: Final[dict[str, Callable[[Json, Shown], None]]] = {
    "header": _header,
    "markdown": _markdown,
    "section": _section,
    "image": _image,
    "divider": _divider,
    "context": _context,
    "actions": _actions,
    "context_actions": _context_actions,
}
