"""Texts as Telegram reads them: HTML marks to entities, entities of what people write.

Written from the Bot API's "HTML style". Offsets and lengths are UTF-16 code units.
"""

import re
from html import unescape

from ai_engine.domain.message import Json

TEXT_MAX = 4096
CAPTION_MAX = 1024
_TAG = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9-]*)((?:\s[^<>]*)?)>")
_HREF = re.compile(r"""\shref\s*=\s*(?:"([^"]*)"|'([^']*)')""")
_LANGUAGE = re.compile(r"""\sclass\s*=\s*"language-([^"]+)\"""")
_KINDS = {
    "b": "bold",
    "strong": "bold",
    "i": "italic",
    "em": "italic",
    "u": "underline",
    "ins": "underline",
    "s": "strikethrough",
    "strike": "strikethrough",
    "del": "strikethrough",
    "tg-spoiler": "spoiler",
    "code": "code",
    "pre": "pre",
    "a": "text_link",
    "blockquote": "blockquote",
}
_SIGNS = {
    "bold": ("**", "**"),
    "italic": ("*", "*"),
    "strikethrough": ("~~", "~~"),
    "code": ("`", "`"),
    "pre": ("```\n", "\n```"),
    "blockquote": ("> ", ""),
}
_SAID = re.compile(r"(?<!\w)@[A-Za-z]\w{3,31}|(?<![\w/])/[A-Za-z]\w{0,31}(?:@\w+)?")


class BadMarks(Exception):
    """A text whose marks cannot be read; its words are Telegram's."""


def units(text: str) -> int:
    """Length in UTF-16 code units."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def read_html(source: str) -> tuple[str, list[Json], str]:
    """(text, entities, the same as markdown for the chat page). Raises BadMarks."""
    text, shown = "", ""
    entities: list[Json] = []
    open_tags: list[tuple[str, Json]] = []
    at = 0
    for tag in _TAG.finditer(source):
        piece = _words(source[at : tag.start()], at)
        text, shown, at = text + piece, shown + piece, tag.end()
        closing, name, attributes = tag[1], tag[2].lower(), tag[3]
        if name not in _KINDS:
            raise BadMarks(f'Unsupported start tag "{name}" at byte offset {tag.start()}')
        if not closing:
            entity = _begun(name, attributes, units(text))
            if name == "code" and open_tags and open_tags[-1][0] == "pre":
                open_tags[-1][1].update(_language(attributes))
                entity["type"] = ""
            open_tags.append((name, entity))
            shown += _sign(entity, 0)
            continue
        if not open_tags or open_tags[-1][0] != name:
            raise BadMarks(f"Unmatched end tag at byte offset {tag.start()}")
        _, entity = open_tags.pop()
        entity["length"] = units(text) - entity["offset"]
        shown += _sign(entity, 1)
        if entity["length"] and entity["type"]:
            entities.append(entity)
    piece = _words(source[at:], at)
    if open_tags:
        raise BadMarks(f'Can\'t find end tag corresponding to start tag "{open_tags[-1][0]}"')
    return text + piece, sorted(entities, key=lambda e: e["offset"]), shown + piece


def _words(piece: str, at: int) -> str:
    if "<" in piece:
        raise BadMarks(f"Unexpected character after < at byte offset {at + piece.index('<')}")
    return unescape(piece)


def _begun(name: str, attributes: str, offset: int) -> Json:
    entity: Json = {"type": _KINDS[name], "offset": offset, "length": 0}
    if name == "a":
        found = _HREF.search(attributes)
        entity["url"] = unescape(found[1] or found[2] or "") if found else ""
        entity["type"] = "text_link" if entity["url"] else ""
    return entity


def _language(attributes: str) -> Json:
    found = _LANGUAGE.search(attributes)
    return {"language": found[1]} if found else {}


def _sign(entity: Json, side: int) -> str:
    if entity["type"] == "text_link":
        return "[" if side == 0 else f"]({entity['url']})"
    return _SIGNS.get(entity["type"], ("", ""))[side]


def entities_of(text: str) -> list[Json]:
    """Mentions and commands in what a person wrote."""
    found: list[Json] = []
    for match in _SAID.finditer(text):
        kind = "mention" if match[0].startswith("@") else "bot_command"
        offset = units(text[: match.start()])
        found.append({"type": kind, "offset": offset, "length": units(match[0])})
    return found
