"""Commands that work in every chat, in both languages."""

from enum import StrEnum
from typing import Final


class Command(StrEnum):
    NEW = "new"
    HELP = "help"
    STOP = "stop"
    YES = "yes"
    NO = "no"


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
}


def parse(text: str) -> Command | None:
    """The command that the whole text is; None for anything else. Full-width slash counts."""
    if len(text) > 32:
        return None
    return _WORDS.get(text.strip().replace("／", "/").lower())
