"""Markdown as the HTML that Matrix allows, in messages that fit into an event.

Source: Client-Server API, "m.room.message msgtypes" (`org.matrix.custom.html`: the list of tags
and attributes) and "Size limits" (65,536 bytes of an event, its envelope included).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

import msgspec
from markdown_it import MarkdownIt
from markdown_it.token import Token

from ai_engine.channels.text import plain, split

TEXT_LIMIT_BYTES: Final = 12_000
"""UTF-8 bytes of markdown in one message. An edit holds everything twice, as text and as HTML."""
CONTENT_BYTES_MAX: Final = 52_000
"""Of the texts of an edit, as JSON; what is left is for buttons and the event's envelope."""
_LINKS: Final = ("https://", "http://", "mailto:", "ftp://", "magnet:")

_parser: Final = MarkdownIt("commonmark", {"html": False, "breaks": True}).enable(
    ["strikethrough", "table"]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One message's text."""

    body: str
    html: str = ""
    """Empty: the text has no marks."""

    @property
    def bytes_size(self) -> int:
        """Of an edit that holds it."""
        return 2 * len(msgspec.json.encode((self.body, self.html)))


def pages(markdown: str, form: str) -> list[Page]:
    """The text in messages that fit. `form`: markdown | text."""
    if form == "text":
        markdown = plain(markdown)
    found: list[Page] = []
    for piece in split(markdown, TEXT_LIMIT_BYTES, "bytes"):
        found += _fitting(piece, form, TEXT_LIMIT_BYTES)
    return found


def head(markdown: str, form: str) -> Page | None:
    """The first message of a growing text; None while there is nothing to show."""
    return next(iter(pages(markdown, form)), None)


def _fitting(markdown: str, form: str, limit: int) -> list[Page]:
    """In smaller pieces while marks, or characters that JSON writes longer, take the room."""
    page = _page(markdown, form)
    if page.bytes_size <= CONTENT_BYTES_MAX:
        return [page] if page.body else []
    if limit <= TEXT_LIMIT_BYTES // 8:
        return [Page(body=markdown)]
    pieces = split(markdown, limit // 2, "bytes")
    return [page for piece in pieces for page in _fitting(piece, form, limit // 2)]


def _page(markdown: str, form: str) -> Page:
    if form == "text":
        return Page(body=markdown.strip())
    body, html = plain(markdown).strip(), rendered(markdown)
    return Page(body=body or markdown.strip(), html="" if html == escape(body) else html)


def rendered(markdown: str) -> str:
    """As HTML; a single paragraph without its tag."""
    tokens = _parser.parse(markdown)
    for token in tokens:
        if token.children:
            token.children = list(_allowed(token.children))
        if token.type in ("th_open", "td_open"):
            token.attrs.clear()  # its style is none of the attributes that Matrix allows
    html = str(_parser.renderer.render(tokens, _parser.options, {})).strip()
    inner = html.removeprefix("<p>").removesuffix("</p>")
    single = len(inner) == len(html) - 7 and "<p>" not in inner
    return inner if single else html


def _allowed(tokens: Sequence[Token]) -> Iterator[Token]:
    """Links of other kinds become their words; pictures become links, since Matrix shows only
    those that were uploaded."""
    open_links: list[bool] = []
    for token in tokens:
        if token.type == "link_open":
            open_links.append(str(token.attrs.get("href", "")).lower().startswith(_LINKS))
            if not open_links[-1]:
                continue
        elif token.type == "link_close":
            if not open_links.pop():
                continue
        elif token.type == "image":
            yield from _picture(token, linked=any(open_links))
            continue
        yield token


def _picture(token: Token, *, linked: bool) -> Iterator[Token]:
    source = str(token.attrs.get("src", ""))
    words = Token("text", "", 0, content=token.content or source)
    if linked or not source.lower().startswith(_LINKS):
        yield words
        return
    yield Token("link_open", "a", 1, attrs={"href": source})
    yield words
    yield Token("link_close", "a", -1)
