"""Markdown as Slack's mrkdwn, and what people write in Slack as text.

Source: Slack, "Formatting message text": `*bold*`, `_italic_`, `~strike~`, `<url|label>`; `&`, `<`
and `>` are entities. There are no headings and no tables.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from markdown_it import MarkdownIt
from markdown_it.token import Token

from ai_engine.channels.text import without_tables

_MARKDOWN: Final = MarkdownIt("commonmark", {"html": False}).enable("strikethrough")
_MARKS: Final = {"strong": "*", "em": "_", "s": "~"}
_LINKED: Final = ("http://", "https://", "mailto:")
_ANGLED: Final = re.compile(r"<([^<>\s][^<>\n]*)>")
_CALLS_ALL: Final = re.compile(r"<!(?=channel|here|everyone|subteam)")
_OPEN_END: Final = re.compile(r"<(?:![a-z]{0,8})?\Z")


def escape(text: str) -> str:
    """Slack's three control characters as entities."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def unescape(text: str) -> str:
    """The opposite of `escape`."""
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def harmless(markdown: str) -> str:
    """Markdown for Slack's own markdown reader: whatever a model writes calls no whole channel."""
    return _CALLS_ALL.sub("<\u200b!", markdown) if "<!" in markdown else markdown


def settled(markdown: str) -> str:
    """Partial markdown without an end that what follows could turn into another meaning."""
    return _OPEN_END.sub("", markdown)


def mrkdwn(markdown: str) -> str:
    """Markdown as mrkdwn, escaped; tables become lists."""
    return _Writer().blocks(_MARKDOWN.parse(without_tables(markdown))).strip("\n")


class _Writer:
    """Turns markdown-it's tokens into lines; lists and quotes are prefixes of their lines."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._quotes = 0
        self._lists: list[int | None] = []
        """One for each open list: the next number, or None for a list of dots."""
        self._sign = ""
        """The sign of a list's item that has had no line yet."""
        self._heading = False

    def blocks(self, tokens: Iterable[Token]) -> str:
        for token in tokens:
            self._block(token)
        return "\n".join(self._lines)

    def _block(self, token: Token) -> None:
        kind = token.type
        if kind == "inline":
            self._add(_inline(token.children or ()))
        elif kind in ("fence", "code_block"):
            self._add("```\n" + escape(token.content.rstrip("\n")) + "\n```")
        elif kind == "hr":
            self._add("———")
        elif kind.startswith("blockquote"):
            self._quotes += token.nesting
        elif kind.endswith("list_open"):
            first = token.attrGet("start")
            number = int(first) if first is not None else 1
            self._lists.append(number if kind == "ordered_list_open" else None)
        elif kind.endswith("list_close"):
            self._lists.pop()
            self._gap(outside=not self._lists)
        elif kind == "list_item_open":
            self._open_item()
        elif kind == "heading_open":
            self._heading = True
        elif kind in ("paragraph_close", "heading_close"):
            self._gap(outside=not self._lists)

    def _open_item(self) -> None:
        number = self._lists[-1]
        if number is None:
            self._sign = "• "
        else:
            self._sign = f"{number}. "
            self._lists[-1] = number + 1

    def _add(self, text: str) -> None:
        if self._heading and "*" not in text:
            text = f"*{text}*"
        sign, self._sign, self._heading = self._sign, "", False
        indent = "> " * min(self._quotes, 1) + "    " * max(0, len(self._lists) - 1)
        rest = " " * (len(sign) or 2 * bool(self._lists))
        for n, line in enumerate(text.split("\n")):
            self._lines.append(indent + (rest if n else sign or rest) + line)

    def _gap(self, *, outside: bool) -> None:
        if outside and self._lines and self._lines[-1]:
            self._lines.append("")


def _inline(tokens: Sequence[Token]) -> str:
    parts: list[str] = []
    links: list[tuple[int, str]] = []
    for token in tokens:
        kind = token.type
        if kind == "link_open":
            links.append((len(parts), str(token.attrGet("href") or "")))
        elif kind == "link_close":
            start, href = links.pop()
            label = "".join(parts[start:])
            parts[start:] = [_link(href, label)]
        elif kind == "image":
            parts.append(_link(str(token.attrGet("src") or ""), escape(token.content)))
        elif kind in ("softbreak", "hardbreak"):
            parts.append("\n")
        elif kind == "code_inline":
            parts.append(f"`{escape(token.content)}`")
        elif token.nesting:
            parts.append(_MARKS.get(kind.rpartition("_")[0], ""))
        else:
            parts.append(escape(token.content))
    return "".join(parts)


def _link(href: str, label: str) -> str:
    """`<url|label>` for addresses that Slack opens; else the words alone."""
    if not href.lower().startswith(_LINKED):
        return label
    url = escape(href.replace("|", "%7C"))
    words = label.replace("|", "¦").replace("\n", " ")
    return f"<{url}|{words}>" if words and words != url else f"<{url}>"


def as_text(written: str, bots: Iterable[str], name_of: Callable[[str], str]) -> str:
    """A message's `text` for people: mentions of `bots` go, other mentions become `@name`."""
    for bot in bots:
        written = re.sub(rf"[ \t]*<@{re.escape(bot)}(?:\|[^<>]*)?>[:,]?[ \t]*", " ", written)
    return unescape(_ANGLED.sub(lambda found: _said(found[1], name_of), written)).strip()


def mentioned(written: str) -> list[str]:
    """Ids of the people whom a message's `text` mentions."""
    return [found[1].partition("|")[0] for found in re.finditer(r"<@([^<>\s]+)>", written)]


def _said(inside: str, name_of: Callable[[str], str]) -> str:
    """What stands for `<…>`: a mention, a channel, a special word, or a link."""
    target, _, label = inside.partition("|")
    if target.startswith("@"):
        return "@" + (label or name_of(target[1:]))
    if target.startswith("#"):
        return "#" + (label or target[1:])
    if target.startswith("!"):
        return label or "@" + target[1:].partition("^")[0]
    bare = target.removeprefix("mailto:").removeprefix("tel:")
    if not label or label == bare or target.rstrip("/").endswith("//" + label.rstrip("/")):
        return bare
    return f"{label} ({bare})"
