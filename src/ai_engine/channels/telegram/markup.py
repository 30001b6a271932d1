"""Markdown as the HTML that Telegram takes, and the same words without marks.

Source: Bot API, "Formatting options", HTML style. There are no headings, lists, tables or rules:
they become bold lines, signs and text.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from markdown_it import MarkdownIt
from markdown_it.token import Token

from ai_engine.channels.text import plain, size, split, without_tables

LIMIT: Final = 4096
"""UTF-16 code units of one message, after the marks are read (Bot API, sendMessage)."""
TEXT_LIMIT: Final = 3900
"""Of markdown: what is rendered may be a little longer than its source."""
_LINKS: Final = ("http://", "https://", "tg://", "mailto:")
_TAGS: Final = {"strong": "b", "em": "i", "s": "s", "blockquote": "blockquote"}

_parser: Final = MarkdownIt("commonmark", {"html": False}).enable("strikethrough")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One message's text."""

    html: str
    """Empty: send `plain` without a parse mode."""
    plain: str


def pages(markdown: str, form: str) -> list[Page]:
    """The text in messages that fit. `form`: markdown | text."""
    if form == "text":
        return [Page(html="", plain=part) for part in split(plain(markdown), TEXT_LIMIT, "utf16")]
    found: list[Page] = []
    for part in split(without_tables(markdown), TEXT_LIMIT, "utf16"):
        found += _fitting(part)
    return found


def head(markdown: str, form: str) -> Page | None:
    """The first message of a growing text; None while there is nothing to show."""
    return next(iter(pages(markdown, form)), None)


def _fitting(part: str) -> list[Page]:
    page = _rendered(part)
    if size(page.plain, "utf16") <= LIMIT:
        return [page] if page.plain else []
    half = [_rendered(piece) for piece in split(part, TEXT_LIMIT // 2, "utf16")]
    if all(size(each.plain, "utf16") <= LIMIT for each in half):
        return [each for each in half if each.plain]
    return [Page(html="", plain=piece) for piece in split(part, LIMIT, "utf16")]


def _rendered(markdown: str) -> Page:
    writer = _Writer()
    writer.block(_parser.parse(markdown))
    return writer.page()


class _Writer:
    """Writes both forms at once. Blocks are set apart by blank lines, except in tight lists."""

    def __init__(self) -> None:
        self._html: list[str] = []
        self._plain: list[str] = []
        self._lists: list[int] = []
        """The next number of each open list; 0 for one without numbers."""
        self._links: list[bool] = []
        self._quotes = 0
        self._fresh = True
        """At the beginning, or behind a list's sign: no line break is due."""

    def page(self) -> Page:
        words = "".join(self._plain).strip()
        return Page(html="".join(self._html).strip() if words else "", plain=words)

    def _text(self, text: str) -> None:
        self._html.append(escape(text, quote=False))
        self._plain.append(text)

    def _tag(self, tag: str) -> None:
        self._html.append(tag)

    def _apart(self, *, tight: bool = False) -> None:
        if not self._fresh:
            self._text("\n" if tight else "\n\n")
        self._fresh = True

    def block(self, tokens: Sequence[Token]) -> None:
        for token in tokens:
            if (write := _BLOCKS.get(token.type)) is not None:
                write(self, token)

    def _inline(self, token: Token) -> None:
        for child in token.children or ():
            self._span(child)
        self._fresh = False

    def _span(self, token: Token) -> None:
        match token.type:
            case "text" | "text_special":
                self._text(token.content)
            case "softbreak" | "hardbreak":
                self._text("\n")
            case "code_inline":
                self._marked("code", token.content)
            case "link_open":
                self._open_link(str(token.attrs.get("href", "")))
            case "link_close":
                if self._links.pop():
                    self._tag("</a>")
            case "image":
                self._image(token)
            case _ if token.tag in _TAGS:
                self._tag(f"<{'/' if token.nesting < 0 else ''}{_TAGS[token.tag]}>")
            case _:
                self._text(token.content)

    def _marked(self, tag: str, content: str) -> None:
        self._tag(f"<{tag}>")
        self._text(content)
        self._tag(f"</{tag}>")

    def _open_link(self, href: str) -> None:
        usable = href.lower().startswith(_LINKS)
        self._links.append(usable)
        if usable:
            self._tag(f'<a href="{escape(href)}">')

    def _image(self, token: Token) -> None:
        source = str(token.attrs.get("src", ""))
        self._open_link(source)
        self._text(token.content or source)
        if self._links.pop():
            self._tag("</a>")

    # Blocks.

    def paragraph(self, _: Token) -> None:
        self._apart(tight=bool(self._lists))

    def heading(self, token: Token) -> None:
        if token.nesting > 0:
            self._apart()
            self._tag("<b>")
        else:
            self._tag("</b>")

    def inline(self, token: Token) -> None:
        self._inline(token)

    def code(self, token: Token) -> None:
        self._apart(tight=bool(self._lists))
        language = "".join(c for c in token.info.split(" ")[0] if c.isalnum() or c in "+-#_.")
        named = f'<code class="language-{language}">' if language else ""
        self._tag(f"<pre>{named}")
        self._text(token.content.rstrip("\n"))
        self._tag(f"{'</code>' if named else ''}</pre>")
        self._fresh = False

    def quote(self, token: Token) -> None:
        """Telegram does not nest quotes."""
        if token.nesting > 0:
            if not self._quotes:
                self._apart()
                self._tag("<blockquote>")
            self._quotes += 1
        else:
            self._quotes -= 1
            if not self._quotes:
                self._tag("</blockquote>")
                self._fresh = False

    def rule(self, _: Token) -> None:
        self._apart()
        self._text("———")
        self._fresh = False

    def list_open(self, token: Token) -> None:
        if not self._lists:
            self._apart()
        first = token.attrs.get("start", 1) if token.type.startswith("ordered") else 0
        self._lists.append(int(first))

    def list_close(self, _: Token) -> None:
        self._lists.pop()

    def item(self, _: Token) -> None:
        self._apart(tight=True)
        number = self._lists[-1]
        self._text("  " * (len(self._lists) - 1) + (f"{number}. " if number else "• "))
        if number:
            self._lists[-1] += 1
        self._fresh = True


_BLOCKS: Final[dict[str, Callable[[_Writer, Token], None]]] = {
    "paragraph_open": _Writer.paragraph,
    "heading_open": _Writer.heading,
    "heading_close": _Writer.heading,
    "inline": _Writer.inline,
    "fence": _Writer.code,
    "code_block": _Writer.code,
    "blockquote_open": _Writer.quote,
    "blockquote_close": _Writer.quote,
    "hr": _Writer.rule,
    "bullet_list_open": _Writer.list_open,
    "ordered_list_open": _Writer.list_open,
    "bullet_list_close": _Writer.list_close,
    "ordered_list_close": _Writer.list_close,
    "list_item_open": _Writer.item,
}
