"""Markdown as the HTML that mail programs show: no scripts, no foreign pictures, own styles."""

from collections.abc import Sequence
from functools import cache
from html import escape
from typing import Final

from markdown_it import MarkdownIt
from markdown_it.token import Token

from ai_engine.domain.reply import Button, Card

_PAGE: Final = (
    '<!DOCTYPE html><html><head><meta charset="utf-8"></head>'
    '<body style="font-family:sans-serif;font-size:14px;line-height:1.5">{}</body></html>'
)
_TABLE: Final = '<table style="border-collapse:collapse">{}</table>'
_CELL: Final = 'style="border:1px solid #ccc;padding:4px 8px;text-align:left"'
_BUTTON: Final = (
    "display:inline-block;padding:6px 14px;margin:4px 8px 4px 0;border-radius:4px;"
    "text-decoration:none;color:#fff;background:{}"
)
_COLOURS: Final = {"primary": "#1677ff", "danger": "#d4380d"}


@cache
def _parser() -> MarkdownIt:
    """Raw HTML is shown as text; links are only those that markdown-it holds to be harmless
    (neither javascript: nor data:); pictures become links, so that nothing is loaded unasked."""
    found = MarkdownIt("commonmark", {"html": False, "breaks": True})
    found.add_render_rule("image", _picture)
    return found.enable(["table", "strikethrough"])


def _picture(
    renderer: object, tokens: Sequence[Token], at: int, options: object, env: object
) -> str:
    source = str(tokens[at].attrs.get("src", ""))
    words = escape(tokens[at].content or source)
    if not source.startswith(("https://", "http://")):
        return words
    return f'<a href="{escape(source)}">{words}</a>'


def html(markdown: str) -> str:
    """A fragment."""
    page = _parser().render(markdown)
    page = page.replace("<table>", '<table style="border-collapse:collapse">')
    return page.replace("<th>", f"<th {_CELL}>").replace("<td>", f"<td {_CELL}>")


def page(*fragments: str) -> str:
    """A whole page of fragments."""
    return _PAGE.format("".join(fragments))


def card_html(card: Card) -> str:
    """A card as a fragment: title, text, its fields as a table, its links as buttons."""
    found = [f"<h3>{escape(card.title)}</h3>"] if card.title else []
    found += [html(card.markdown)] if card.markdown else []
    if card.image_url.startswith("https://"):
        found.append(f'<p><a href="{escape(card.image_url)}">{escape(card.image_url)}</a></p>')
    rows = "".join(
        f"<tr><th {_CELL}>{escape(name)}</th><td {_CELL}>{escape(value)}</td></tr>"
        for name, value in card.fields
    )
    found += [_TABLE.format(rows)] if rows else []
    links = "".join(_link(button) for button in card.buttons if is_link(button))
    found += [f"<p>{links}</p>"] if links else []
    return "".join(found)


def is_link(button: Button) -> bool:
    """Whether its address is one that a mail may hold."""
    return button.url.lower().startswith(("https://", "http://", "mailto:"))


def _link(button: Button) -> str:
    style = _BUTTON.format(_COLOURS.get(button.style, "#595959"))
    return f'<a href="{escape(button.url)}" style="{style}">{escape(button.label)}</a>'


def quoted(by: str, text: str) -> str:
    """The beginning of the mail that is answered."""
    lines = escape(text).replace("\n", "<br>")
    style = "border-left:2px solid #ccc;margin:0 0 0 4px;padding-left:8px;color:#666"
    return (
        f'<div class="gmail_quote"><p style="color:#666">{escape(by)}</p>'
        f'<blockquote style="{style}">{lines}</blockquote></div>'
    )
