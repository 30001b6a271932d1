"""RE2 patterns: linear time whatever the pattern and the text, so no message can stall the engine.

`PatternSet` looks for all patterns in one pass over the text. See docs/reference/routing.md.
"""

from collections.abc import Sequence
from typing import Any, Protocol, cast

import re2 as _re2  # google-re2 has no type stubs; this module is the typed face of it

Span = tuple[int, int]
"""Start and end of a match, in characters."""


class InvalidPattern(ValueError):
    """The pattern is not RE2. `what` says why, `fix` what to do."""

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(f"{what} {fix}")
        self.what = what
        self.fix = fix


class _Match(Protocol):
    def span(self, group: int | str = 0) -> Span: ...


class _Regexp(Protocol):
    @property
    def groupindex(self) -> dict[str, int]: ...
    def search(self, text: str) -> _Match | None: ...


_api = cast("Any", _re2)
_options = _api.Options()
_options.log_errors = False  # RE2 would write to stderr by itself; errors are raised instead


def compile_pattern(pattern: str) -> "Pattern":
    """The pattern, ready to search. Raises InvalidPattern."""
    return Pattern(pattern)


class Pattern:
    """One RE2 expression. A group named `text` marks what is passed on instead of the rest."""

    __slots__ = ("_regexp", "_text_group", "source")

    def __init__(self, source: str) -> None:
        self.source = source
        try:
            self._regexp = cast("_Regexp", _api.compile(source, options=_options))
        except UnicodeEncodeError:
            raise InvalidPattern(
                "the pattern holds half of a surrogate pair.", "Write the whole character."
            ) from None
        except _api.error as error:
            raise _explained(error) from None
        self._text_group = self._regexp.groupindex.get("text")

    def passed_on(self, text: str) -> str:
        """What a rule with this pattern hands on of a text that it matches.

        The group named `text` when there is one; else the text without the match, when the match
        starts at the beginning and leaves something; else the whole text.
        """
        match = self._regexp.search(text)
        if match is None:
            return text
        if self._text_group is not None:
            start, end = match.span(self._text_group)
            return text[start:end].strip() if start >= 0 else text
        start, end = match.span()
        return (text[end:].strip() or text) if start == 0 else text

    def found_in(self, text: str) -> bool:
        return self._regexp.search(text) is not None


class PatternSet:
    """Which of many patterns occur in a text, in one pass: about 1 µs for 50 patterns."""

    __slots__ = ("_patterns", "_sentinel", "_set")

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        self._patterns = tuple(patterns)
        self._sentinel = len(patterns)
        self._set = _compiled_set([p.source for p in patterns])

    def found_in(self, text: str) -> list[int]:
        """Indexes of the patterns that occur in the text, ascending."""
        found: list[int] | None = self._set.Match(text) if self._set is not None else None
        if not found:  # the sentinel always matches: without it the automaton had no memory left
            return [at for at, pattern in enumerate(self._patterns) if pattern.found_in(text)]
        return sorted(at for at in found if at != self._sentinel)


def _compiled_set(sources: Sequence[str]) -> Any:
    """RE2's set with an always matching sentinel at its end; None when it grows too large."""
    compiled = _api.Set.SearchSet(_options)
    try:
        for source in (*sources, ""):
            compiled.Add(source)
        compiled.Compile()
    except _api.error:
        return None
    return compiled


def _explained(error: Exception) -> InvalidPattern:
    raw = error.args[0] if error.args else error
    reason = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else str(raw)
    fix = "See the syntax at https://github.com/google/re2/wiki/Syntax."
    if reason.startswith("invalid perl operator"):
        fix = (
            "RE2 has no look-ahead, look-behind or atomic groups, so that no message can stall"
            " the engine; use priorities or two rules instead."
        )
    elif reason.startswith("invalid escape sequence"):
        fix = r"RE2 has no back-references and no \Z (write \z); double a backslash in JSON."
    elif reason.startswith("bad repetition operator"):
        fix = "RE2 has no possessive repetition (`++`, `*+`); write it once."
    elif reason.startswith("no argument for repetition"):
        fix = r"To find the character itself write a backslash before it, as in \*."
    elif reason.startswith("invalid repetition size"):
        fix = "Repeat at most 1000 times."
    return InvalidPattern(f"the pattern is not RE2: {reason}.", fix)
