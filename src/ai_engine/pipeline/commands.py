"""Commands that work in every chat, in both languages."""

from enum import StrEnum
from typing import Final


class Command(StrEnum):
    NEW = "new"
    HELP = "help"
    STOP = "stop"
    YES = "yes"
    NO = "no"
    GOOD = "good"
    BAD = "bad"


_WORDS: Final[dict[str, Command]] = {
    "/new": Command.NEW,
    "/新会话": Command.NEW,
    "/新对话": Command.NEW,
    "/help": Command.HELP,
    "/帮助": Command.HELP,
    "/stop": Command.STOP,
    "/停止": Command.STOP,
    "/停": Command.STOP,
    "/yes": Command.YES,
    "/同意": Command.YES,
    "/no": Command.NO,
    "/拒绝": Command.NO,
    "/good": Command.GOOD,
    "/赞": Command.GOOD,
    "/bad": Command.BAD,
    "/踩": Command.BAD,
}
_WITH_WORDS: Final = (Command.GOOD, Command.BAD)
WORDS_MAX: Final = 2000
"""Characters that may follow `/good` and `/bad`."""


def parse(text: str) -> Command | None:
    """The command that the whole text is; None for anything else. Full-width slash counts."""
    if len(text) <= 32:
        found = _WORDS.get(text.strip().replace("／", "/").lower())
        if found is not None:
            return found
    return _with_words(text) if text[:1] in "/／" else None


def _with_words(text: str) -> Command | None:
    """`/good` and `/bad` may say why."""
    if len(text) > WORDS_MAX:
        return None
    parts = text.split(maxsplit=1)
    found = _WORDS.get(parts[0].replace("／", "/").lower()) if len(parts) == 2 else None
    return found if found in _WITH_WORDS else None


def words_after(text: str) -> str:
    """What follows the command; empty when nothing does."""
    parts = text.split(maxsplit=1)
    return parts[1].strip() if len(parts) == 2 else ""
