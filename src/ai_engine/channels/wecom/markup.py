"""Our markdown in WeCom's: headings, bold, links, code within a line, quotes; nothing else.

Source: WeCom, "Send application messages", markdown (developer.work.weixin.qq.com/document/
path/90236#markdown消息).
"""

import re
from typing import Final

from ai_engine.channels.text import plain, sendable, without_tables

LIMIT_BYTES: Final = 2048
"""Of a text and of a markdown message."""

_CONTROLS: Final = dict.fromkeys((*range(9), 11, 12, *range(14, 32), 127), "")
_FENCE: Final = re.compile(r" {0,3}(?:`{3,}|~{3,})[^`]*")
_INLINE: Final = re.compile(
    r"(?P<code>`[^`\n]+`)"
    r"|!\[(?P<alt>[^\]\n]*)\]\((?P<image>[^)\s]+)\)"
    r"|(?P<bold>\*\*[^*\n]+\*\*)"
    r"|(?<![\w*])\*(?P<italic>[^*\s][^*\n]*)\*(?![\w*])"
    r"|~~(?P<struck>[^~\n]+)~~"
)


def words(text: str, form: str) -> str:
    """`text` is markdown; `form` markdown | text."""
    clean = sendable(text).translate(_CONTROLS)
    return plain(clean) if form == "text" else _markdown(clean)


def _markdown(text: str) -> str:
    """Code blocks become quotes, images links; what WeCom would show as bare signs goes."""
    lines: list[str] = []
    in_code = False
    for line in without_tables(text).split("\n"):
        if _FENCE.fullmatch(line):
            in_code = not in_code
        elif in_code:
            lines.append(f"> {line}")
        else:
            lines.append(_INLINE.sub(_inline, line))
    return "\n".join(lines)


def _inline(found: re.Match[str]) -> str:
    kind = found.lastgroup or ""
    if kind == "image":
        return f"[{found['alt'] or found['image']}]({found['image']})"
    return found[kind]
