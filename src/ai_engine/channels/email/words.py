"""What the author wrote, without what mail programs add: history, signatures, hidden text."""

import re
from collections.abc import Sequence
from typing import Final

from selectolax.lexbor import LexborHTMLParser, LexborNode

from ai_engine.channels.email.addresses import decoded
from ai_engine.channels.email.mime import Part

_SOURCE_MAX: Final = 1_000_000
TEXT_MAX: Final = 100_000
QUOTE_MAX: Final = 8_000
_NODES_MAX: Final = 50_000

_WROTE: Final = re.compile(
    r"(?:on\b.{0,250}\bwrote|am\b.{0,250}\bschrieb\b.{0,80}|le\b.{0,250}\ba écrit"
    r"|el\b.{0,250}\bescribió|.{0,250}(?:写道|寫道))\s*[:：]",
    re.IGNORECASE,
)
_ORIGINAL: Final = re.compile(
    r"-{2,}\s*(?:original message|forwarded message|begin forwarded message|原始邮件|原始郵件"
    r"|原邮件|转发的?邮件|回复的?邮件|转发邮件信息|ursprüngliche nachricht)\s*-{2,}",
    re.IGNORECASE,
)
_HEAD: Final = re.compile(r"\**(?:from|发件人|寄件者|von|de)\**\s*[:：]\**\s*\S", re.IGNORECASE)
_HEAD_MORE: Final = re.compile(
    r"\**(?:sent|date|to|subject|发送时间|日期|时间|收件人|主题|傳送時間|收件者|gesendet|envoyé)"
    r"\**\s*[:：]",
    re.IGNORECASE,
)
_DEVICE: Final = re.compile(
    r"(?:sent from my \S.{0,40}|get outlook for \S.{0,40}|发自我的\S.{0,40}|從我的\S.{0,20}傳送)",
    re.IGNORECASE,
)
_SKIPPED: Final = frozenset({
    "script", "style", "head", "title", "template", "noscript", "iframe", "object", "svg",
    "select", "textarea", "-comment", "-doctype",
})  # fmt: skip
_BLOCKS: Final = frozenset({
    "p", "div", "table", "tr", "ul", "ol", "li", "h1", "h2", "h3", "h4", "h5", "h6", "pre",
    "blockquote", "section", "article", "header", "footer", "hr", "br", "dl", "dt", "dd",
})  # fmt: skip
_HIDDEN: Final = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*hidden|opacity\s*:\s*0(?:\.0+)?\s*(?:;|!|$)"
    r"|(?:font-size|max-height|max-width|line-height)\s*:\s*0[a-z%]*\s*(?:;|!|$)|mso-hide\s*:\s*all",
    re.IGNORECASE,
)
_QUOTES: Final = ("gmail_quote", "moz-cite-prefix", "yahoo_quoted", "protonmail_quote")


def read(parts: Sequence[Part]) -> tuple[str, str]:
    """(the author's words, what is quoted below them); both bounded."""
    own = [part for part in parts if not part.attached and not part.forwarded and not part.name]
    plain = [_decoded(part) for part in own if part.mime == "text/plain"]
    text, quote = "", ""
    if any(each.strip() for each in plain):
        text, quote = split("\n".join(plain))
    else:
        pages = [from_html(_decoded(part)) for part in own if part.mime == "text/html"]
        text, quote = split("\n".join(page for page, _ in pages))
        quote = "\n".join((quote, *(quoted for _, quoted in pages))).strip()
    inner = _forwarded(parts)
    quote = f"{quote}\n\n{inner}".strip() if inner else quote
    return text[:TEXT_MAX], quote[:QUOTE_MAX]


def _forwarded(parts: Sequence[Part]) -> str:
    inner = [part for part in parts if part.forwarded and not part.attached and not part.name]
    plain = [_decoded(part) for part in inner if part.mime == "text/plain"]
    if any(each.strip() for each in plain):
        return "\n".join(plain).strip()
    pages = [from_html(_decoded(part)) for part in inner if part.mime == "text/html"]
    return "\n".join("\n".join(page) for page in pages).strip()


def _decoded(part: Part) -> str:
    text = decoded(part.content[:_SOURCE_MAX], part.charset or "utf-8")
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\x00", "")


def split(text: str) -> tuple[str, str]:
    """(words, quote): lines with `>`, what stands below "… wrote:" and its like in the usual
    languages, and without the signature below `-- `."""
    own: list[str] = []
    quoted: list[str] = []
    lines = [line.rstrip() for line in text.split("\n")]
    at = 0
    while at < len(lines):
        line = lines[at].strip()
        if _begins_history(lines, at):
            quoted += lines[at:]
            break
        if (count := _attribution(lines, at)) and not _is_quoted(_next(lines, at + count)):
            quoted += lines[at + count :]
            break
        if count:
            at += count
            continue
        if lines[at] == "--":
            at = _after_signature(lines, at)
            continue
        if line.startswith(">"):
            quoted.append(line.lstrip("> "))
        else:
            own.append(lines[at])
        at += 1
    return _tidy(own, device=True), _tidy(quoted)


def _next(lines: Sequence[str], at: int) -> str:
    return next((line for line in lines[at : at + 5] if line.strip()), "")


def _is_quoted(line: str) -> bool:
    return line.lstrip().startswith(">")


def _attribution(lines: Sequence[str], at: int) -> int:
    """How many lines "On …, somebody wrote:" takes here: 0, 1 or 2."""
    line = lines[at].strip()
    if not line or len(line) > 300 or _is_quoted(line):
        return 0
    if _WROTE.fullmatch(line):
        return 1
    if at + 1 < len(lines) and line.lower().startswith(("on ", "am ", "le ", "el ", "在", "于")):
        both = f"{line} {lines[at + 1].strip()}"
        return 2 if len(both) <= 300 and _WROTE.fullmatch(both) else 0
    return 0


def _begins_history(lines: Sequence[str], at: int) -> bool:
    line = lines[at].strip()
    if _ORIGINAL.fullmatch(line):
        return True
    if not _HEAD.match(line):
        return False
    after = [each.strip() for each in lines[at + 1 : at + 7]]
    return sum(1 for each in after if _HEAD_MORE.match(each)) >= 2


def _after_signature(lines: Sequence[str], at: int) -> int:
    """A signature ends the words, at most 20 lines of it, or where history begins."""
    for below in range(at + 1, min(at + 20, len(lines))):
        if _is_quoted(lines[below]) or _attribution(lines, below) or _begins_history(lines, below):
            return below
    return len(lines)


def _tidy(lines: list[str], *, device: bool = False) -> str:
    while lines and (not lines[-1].strip() or (device and _DEVICE.fullmatch(lines[-1].strip()))):
        lines.pop()
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def from_html(source: str) -> tuple[str, str]:
    """(text, quoted text) of a page as a reader sees it: nothing hidden, no script, no address
    visited."""
    root = LexborHTMLParser(source).body
    found: tuple[list[str], list[str]] = ([], [])
    waiting: list[tuple[LexborNode | str, bool]] = [] if root is None else [(root, False)]
    left = _NODES_MAX
    while waiting and left:
        left -= 1
        node, quoted = waiting.pop()
        if isinstance(node, str):
            found[quoted].append(node)
        elif node.is_text_node:
            found[quoted].append(re.sub(r"[ \t\r\n\xa0]+", " ", node.text_content or ""))
        elif not _is_hidden(node):
            quoted = quoted or _is_quote(node)
            waiting += _opened(node, quoted)
    return _lines("".join(found[0])), _lines("".join(found[1]))


def _opened(node: LexborNode, quoted: bool) -> list[tuple[LexborNode | str, bool]]:
    """A node's children and the line breaks around them, the last first."""
    tag = node.tag or ""
    inner: list[tuple[LexborNode | str, bool]] = []
    if tag in _BLOCKS:
        inner.append(("\n- " if tag == "li" else "\n", quoted))
    inner += [(child, quoted) for child in node.iter(include_text=True)]
    if tag in _BLOCKS and tag != "br":
        inner.append(("\n", quoted))
    if tag in ("td", "th"):
        inner.append((" \t", quoted))
    inner.reverse()
    return inner


def _is_hidden(node: LexborNode) -> bool:
    if (node.tag or "") in _SKIPPED or node.is_comment_node:
        return True
    attributes = node.attributes
    return "hidden" in attributes or bool(_HIDDEN.search(attributes.get("style") or ""))


def _is_quote(node: LexborNode) -> bool:
    if node.tag == "blockquote":
        return True
    names = node.attributes.get("class") or ""
    return any(name in names for name in _QUOTES) or node.attributes.get("id") == "divRplyFwdMsg"


def _lines(text: str) -> str:
    lines = (line.strip() for line in text.split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()
