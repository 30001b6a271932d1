"""Leaves a model's reasoning out of its answer: the text between `<think>` and `</think>`."""

_OPEN = "<think>"
_CLOSE = "</think>"


class ReasoningFilter:
    """Takes the answer's text in pieces, gives back what people may read.

    A tag may be split over pieces. A tag right after a backtick is quoted text, not a tag. Some
    chat templates put the opening tag into the prompt, so that an answer holds the closing one
    only: all before it was reasoning, and `restarted` is set once.
    """

    __slots__ = ("_before", "_opened", "_pending", "_thinking", "_trim", "restarted")

    def __init__(self) -> None:
        self._pending = ""
        self._before = ""
        self._thinking = False
        self._opened = False
        self._trim = True
        self.restarted = False
        """True when what was given out by earlier calls was reasoning; the caller resets it."""

    def feed(self, piece: str) -> str:
        if not self._thinking and not self._pending and not self._trim and "<" not in piece:
            self._before = piece[-1:] or self._before
            return piece
        return self._scan(self._pending + piece)

    def finish(self) -> str:
        """The rest, once the answer is over. Reasoning that was never closed stays out."""
        rest, self._pending = self._pending, ""
        return "" if self._thinking else self._shown(rest)

    def _scan(self, text: str) -> str:
        out = ""
        while True:
            at, tag = self._next_tag(text)
            if at < 0:
                keep = _unfinished_tag(text)
                self._pending = text[len(text) - keep :]
                rest = text[: len(text) - keep]
                return out if self._thinking else out + self._shown(rest)
            if tag == _OPEN:
                out += self._shown(text[:at])
                self._thinking = self._opened = True
            else:
                if not self._thinking:
                    out = ""
                    self.restarted = True
                self._thinking = False
                self._opened = self._trim = True
            text = text[at + len(tag) :]

    def _next_tag(self, text: str) -> tuple[int, str]:
        if self._thinking:
            return text.find(_CLOSE), _CLOSE
        opening = self._unquoted(text, _OPEN)
        closing = -1 if self._opened else self._unquoted(text, _CLOSE)
        if closing >= 0 and (opening < 0 or closing < opening):
            return closing, _CLOSE
        return opening, _OPEN

    def _unquoted(self, text: str, tag: str) -> int:
        at = text.find(tag)
        while at >= 0 and (text[at - 1] if at else self._before) == "`":
            at = text.find(tag, at + 1)
        return at

    def _shown(self, text: str) -> str:
        if self._trim:
            text = text.lstrip()
            self._trim = not text
        self._before = text[-1:] or self._before
        return text


def _unfinished_tag(text: str) -> int:
    """How many characters at the end may be the beginning of a tag."""
    at = text.rfind("<", -(len(_CLOSE) - 1))
    if at < 0:
        return 0
    tail = text[at:]
    return len(tail) if _OPEN.startswith(tail) or _CLOSE.startswith(tail) else 0
