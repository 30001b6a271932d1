"""An error's traceback for the log, without words that others may have put into it."""

import traceback
from collections.abc import Iterator
from typing import cast

from ai_engine.domain.errors import EngineError

_DEPTH_MAX = 5
"""Causes, and groups within groups, that are told."""


def told(error: BaseException, *, with_words: bool, depth: int = 0) -> list[str]:
    """The lines of a traceback, oldest cause first.

    A library's error may quote what a person wrote (`ValueError: invalid literal: …`). Unless logs
    may hold that, only the engine's own errors keep their words; others are named by their class.
    """
    if with_words:
        return traceback.format_exception(error)
    return list(_wordless(error, depth))


def _wordless(error: BaseException, depth: int) -> Iterator[str]:
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None and depth < _DEPTH_MAX:
        yield from _wordless(before, depth + 1)
        yield "\nThis led to:\n\n"
    yield "Traceback (most recent call last):\n"
    yield from traceback.format_tb(error.__traceback__)
    kind = type(error)
    name = f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")
    yield f"{name}: {error}\n" if isinstance(error, EngineError) else f"{name}\n"
    if isinstance(error, BaseExceptionGroup) and depth < _DEPTH_MAX:
        group = cast("BaseExceptionGroup[BaseException]", error)
        for part in group.exceptions:
            yield "\nWithin the group:\n\n"
            yield from _wordless(part, depth + 1)
