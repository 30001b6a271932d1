"""Text for platforms: split at a limit, markdown as plain text, cards for those that have none."""

import re
from typing import Final

from ai_engine.domain.reply import Card

LIMIT_MIN: Final = 16
"""The smallest limit that `split` takes; every code point and its neighbours fit into it."""

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})([^\n]*)")
_SENTENCE_ENDS: Final = ("。", "!", "?", ";", ". ", "! ", "? ", "; ")
_JOINERS: Final = "\u200d\ufe0e\ufe0f"


def size(text: str, unit: str) -> int:
    """Length in `bytes` (UTF-8), `chars` (code points) or `utf16` (code units)."""
    if unit == "chars":
        return len(text)
    if unit == "bytes":
        return len(text.encode("utf-8", "surrogatepass"))
    if unit == "utf16":
        return len(text.encode("utf-16-le", "surrogatepass")) // 2
    raise ValueError(f"unknown unit {unit!r}: use bytes, chars or utf16")


def sendable(text: str) -> str:
    """The text with lone surrogates, which no encoding can carry, replaced by U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def split(text: str, limit: int, unit: str = "chars") -> list[str]:
    """The text in parts of at most `limit` units, none of them blank; [] for blank text.

    Cuts, in this order, between paragraphs, lines, sentences, words, code points. A code block
    that is cut is closed in one part and opened again in the next. White space at a cut goes.

    Raises:
        ValueError: `limit` is below `LIMIT_MIN` or `unit` is unknown.
    """
    if limit < LIMIT_MIN:
        raise ValueError(f"limit {limit} is below {LIMIT_MIN}")
    text = sendable(text)
    if size(text, unit) <= limit:
        return [text] if text.strip() else []
    parts: list[str] = []
    start, fence = 0, ""
    while start < len(text):
        part, start, fence = _next_part(text, start, fence, limit, unit)
        if part.strip():
            parts.append(part)
    return parts


def _next_part(text: str, start: int, fence: str, limit: int, unit: str) -> tuple[str, int, str]:
    """One part, where the next begins, and the fence line that is open there."""
    head = f"{fence}\n" if fence else ""
    room = limit - size(head, unit)
    end = _fit(text, start, room, unit)
    if end == len(text):
        return head + text[start:], end, ""
    cut = _cut(text, start, end)
    still_open, opened_at = _fence_after(text, start, cut, fence)
    if still_open and opened_at > (start + cut) // 2:
        cut, still_open = opened_at, ""  # the whole block goes into the next part
    if still_open:
        closing = "\n" + _marker(still_open)
        end = _fit(text, start, room - size(closing, unit), unit)
        if end <= start or size(still_open, unit) > limit // 4:
            return _plain_part(text, start, limit, unit)
        cut = _cut(text, start, end, in_code=True)
        still_open, _ = _fence_after(text, start, cut, fence)
        tail = closing if still_open else ""
        return head + text[start:cut].removesuffix("\n") + tail, cut, still_open
    return head + text[start:cut].rstrip(), _after_space(text, cut), ""


def _plain_part(text: str, start: int, limit: int, unit: str) -> tuple[str, int, str]:
    """For a fence line too long to be repeated: cut the code without closing it."""
    cut = _cut(text, start, _fit(text, start, limit, unit), in_code=True)
    return text[start:cut], cut, ""


def _fit(text: str, start: int, limit: int, unit: str) -> int:
    """The greatest end with `size(text[start:end]) <= limit`, between code points."""
    if limit <= 0:
        return start
    piece = text[start : start + limit]
    if unit == "chars":
        return start + len(piece)
    if unit == "bytes":
        data = piece.encode()
        if len(data) <= limit:
            return start + len(piece)
        while data[limit] & 0xC0 == 0x80:
            limit -= 1
        return start + len(data[:limit].decode())
    data = piece.encode("utf-16-le")
    if len(data) <= 2 * limit:
        return start + len(piece)
    if 0xDC <= data[2 * limit + 1] <= 0xDF:
        limit -= 1
    return start + len(data[: 2 * limit].decode("utf-16-le"))


def _cut(text: str, start: int, end: int, *, in_code: bool = False) -> int:
    """The best place to cut in (start, end]; those in the second half are good enough."""
    middle = start + (end - start) // 2
    for mark in ("\n",) if in_code else ("\n\n", "\n"):
        at = text.rfind(mark, middle, end)
        if at > start:
            return at + len(mark)
    if not in_code:
        at = max(text.rfind(mark, middle, end) + len(mark) for mark in _SENTENCE_ENDS)
        if middle < at <= end:
            return at
        at = text.rfind(" ", middle, end)
        if at > start:
            return at + 1
    line = text.rfind("\n", start, end) + 1
    if line > start and text.startswith(("```", "~~~"), line):
        return line  # half a fence line would be no fence
    return _between_characters(text, start, end)


def _between_characters(text: str, start: int, end: int) -> int:
    """Not before a joiner or variation selector, so that most emoji stay whole; bounded search."""
    cut = end
    while start + 1 < cut < len(text) and end - cut < 8:
        if text[cut] not in _JOINERS and text[cut - 1] != "\u200d":
            return cut
        cut -= 1
    return end


def _fence_after(text: str, start: int, cut: int, fence: str) -> tuple[str, int]:
    """The fence line that is open at `cut` (else empty) and where it began, when `fence` was open
    at `start`. A part's beginning counts as a line's: so will the platform's reader see it."""
    opened_at = at = start
    for line in text[start:cut].split("\n"):
        found = _FENCE.fullmatch(line)
        if found is not None:
            marker, info = found[1], found[2].strip()
            if not fence and ("`" not in info or marker[0] == "~"):
                fence, opened_at = line.strip(), at
            elif fence and not info and marker.startswith(_marker(fence)):
                fence = ""
        at += len(line) + 1
    return fence, opened_at


def _marker(fence: str) -> str:
    return fence[: len(fence) - len(fence.lstrip(fence[0]))]


def _after_space(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \n":
        at += 1
    return at


_INLINE: Final = re.compile(
    r"(?P<code>`[^`\n]+`)"
    r"|!\[(?P<alt>[^\]\n]*)\]\((?P<image>[^)\s]+)\)"
    r"|\[(?P<label>[^\]\n]+)\]\((?P<link>[^)\s]+)\)"
    r"|\*\*(?P<bold>[^*\n]+)\*\*"
    r"|(?<![\w*])\*(?P<italic>[^*\s][^*\n]*)\*(?![\w*])"
    r"|~~(?P<struck>[^~\n]+)~~"
    r"|\\(?P<escaped>[\\`*_{}\[\]()#+\-.!|>~])"
)
_HEADING: Final = re.compile(r" {0,3}#{1,6} +")


def plain(markdown: str) -> str:
    """Markdown as text for people: marks go; words, line breaks, list signs and addresses stay."""
    lines: list[str] = []
    fence = ""
    for line in markdown.split("\n"):
        before, (fence, _) = fence, _fence_after(line, 0, len(line), fence)
        if before != fence:
            continue
        lines.append(line if fence else _INLINE.sub(_inline, _HEADING.sub("", line, count=1)))
    return "\n".join(lines)


def _inline(found: re.Match[str]) -> str:
    kind = found.lastgroup or ""
    if kind == "code":
        return found["code"][1:-1]
    if kind == "image":
        return f"{found['alt']} {found['image']}".strip()
    if kind == "link":
        label, link = found["label"], found["link"]
        return label if label == link else f"{label} ({link})"
    return found[kind]


_TABLE_RULE: Final = re.compile(r"\|?(?: *:?-+:? *\|)+ *(?::?-+:? *)?")


def without_tables(markdown: str) -> str:
    """Tables as lists ("- **column**: value; …"), for platforms whose markdown has none."""
    if "|" not in markdown:
        return markdown
    lines = markdown.split("\n")
    found: list[str] = []
    at = 0
    fence = ""
    while at < len(lines):
        line = lines[at]
        fence, _ = _fence_after(line, 0, len(line), fence)
        is_head = not fence and "|" in line and at + 1 < len(lines)
        if not is_head or not _TABLE_RULE.fullmatch(lines[at + 1].strip()):
            found.append(line)
            at += 1
            continue
        head, at = _cells(line), at + 2
        while at < len(lines) and "|" in lines[at]:
            found.append(_row_as_item(head, _cells(lines[at])))
            at += 1
    return "\n".join(found)


def _cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip().strip("|").split("|")]


def _row_as_item(head: list[str], cells: list[str]) -> str:
    named = [*head, *[""] * (len(cells) - len(head))]
    pairs = zip(named, cells, strict=False)
    return "- " + "; ".join(f"**{name}**: {cell}" if name else cell for name, cell in pairs if cell)


def unsaid(text: str, card: Card) -> list[tuple[str, str]]:
    """The card's fields that the text has not, name and value. A value as short as the 2 of
    "days: 2", which is in every date, counts only beside its name."""
    lines = text.split("\n")
    return [
        (name, value)
        for name, value in card.fields
        if not any(value in line and (len(value) > 2 or name in line) for line in lines)
    ]


def with_card(text: str, card: Card | None) -> str:
    """The answer for readers without cards: the text, and what only the card says."""
    if card is None:
        return text
    lines = [text] if text else []
    if card.title and card.title not in text:
        lines.append(f"**{card.title}**")
    if card.markdown and card.markdown not in text:
        lines.append(card.markdown)
    lines.extend(f"- {name}: {value}" for name, value in unsaid(text, card))
    if card.image_url and card.image_url not in text:
        lines.append(f"![]({card.image_url})")
    lines.extend(f"[{b.label}]({b.url})" for b in card.buttons if b.url)
    return "\n\n".join(lines)
