"""JSON documents: read with every fault placed, merged as overlays, each value's file kept."""

import json
from collections.abc import Iterator
from typing import Any, NoReturn, cast

from ai_engine.config.faults import Fault, Json, Loc

DEPTH_MAX = 50
"""Objects and lists within each other; the schema needs six."""


class BrokenJson(Exception):
    """The text is not JSON; `position` is `line:column` where that is known."""

    def __init__(self, position: str, what: str, fix: str) -> None:
        super().__init__(what)
        self.position = position
        self.what = what
        self.fix = fix


class _Object(dict[str, Any]):
    """An object that remembers which of its keys came twice."""

    repeated: tuple[str, ...] = ()


def _object(pairs: list[tuple[str, Any]]) -> _Object:
    made = _Object(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        made.repeated = tuple(k for k, _ in pairs if k in seen or seen.add(k))
    return made


def _refuse_constant(name: str) -> NoReturn:
    raise BrokenJson("", f"{name} is not JSON.", "Write a finite number.")


def parse(text: str) -> tuple[Json, list[Fault]]:
    """The document and the faults that JSON itself lets pass: repeated keys, broken characters.

    Raises:
        BrokenJson: the text is not JSON.
    """
    try:
        document = json.loads(text, object_pairs_hook=_object, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        at, what, fix = _explain(text, error)
        line, column = text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
        raise BrokenJson(f"{line}:{column}", what, fix) from None
    except RecursionError:
        raise BrokenJson("", "it is nested too deeply.", "Check the brackets.") from None
    except ValueError:  # an integer of thousands of digits
        raise BrokenJson("", "a number in it is too long.", "Write a shorter number.") from None
    faults: list[Fault] = []
    _inspect(document, (), faults)
    if faults:  # broken characters would fail again, at every later step
        document = json.loads(json.dumps(document, ensure_ascii=False).encode("utf-8", "replace"))
    return cast("Json", document), faults


def _explain(text: str, error: json.JSONDecodeError) -> tuple[int, str, str]:
    """Position, fault and fix; never the line itself, which may hold a secret."""
    at = error.pos
    here = text[at : at + 2]
    before = text[:at].rstrip()
    if not text.strip():
        return at, "the file is empty.", "Write at least {}, or run: ai-engine init"
    if "trailing comma" in error.msg or (before.endswith(",") and here[:1] in ("}", "]")):
        comma = at if here[:1] == "," else len(before) - 1
        return comma, "a comma stands before a closing bracket.", "Remove that comma."
    if here in ("//", "/*") or here[:1] == "#":
        return at, "JSON has no comments.", "Remove the comment."
    if here[:1] == "'":
        return at, "text stands in single quotes.", "Use double quotes."
    if not here.strip():
        return at, "the file ends too early.", "Look for a missing quote, ] or }."
    what = f"it is not valid JSON: {error.msg}."
    return at, what, "Look for a missing comma, colon, quote or bracket just before this place."


def _inspect(value: Any, loc: Loc, faults: list[Fault]) -> None:
    if len(loc) > DEPTH_MAX:
        raise BrokenJson("", "it is nested too deeply.", "Check the brackets.")
    if isinstance(value, _Object):
        for key in value.repeated:
            fix = "Keep one of them; JSON would silently take the last."
            faults.append(Fault(loc=(*loc, key), what="this key is written twice.", fix=fix))
        for key, item in value.items():
            _inspect(item, (*loc, key), faults)
    elif isinstance(value, list):
        for index, item in enumerate(cast("list[Any]", value)):
            _inspect(item, (*loc, index), faults)
    elif isinstance(value, str) and any("\ud800" <= c <= "\udfff" for c in value):
        what = "this text holds half a character (an unpaired \\ud800…\\udfff escape)."
        faults.append(Fault(loc=loc, what=what, fix="Write the character itself, as UTF-8."))


def merge(base: Json, overlay: Json, name: str, sources: dict[Loc, str], loc: Loc = ()) -> Json:
    """The base with the overlay laid on it: JSON Merge Patch (RFC 7396), so null removes a key.

    `sources` is kept up to date: which file each value of the result came from.
    """
    if not isinstance(overlay, dict):
        _forget_sources(base, sources, loc)
        note_sources(overlay, name, sources, loc)
        return overlay
    if not isinstance(base, dict):
        _forget_sources(base, sources, loc)
    merged: dict[str, Json] = dict(base) if isinstance(base, dict) else {}
    sources.setdefault(loc, name)
    for key, item in overlay.items():
        if item is None:
            _forget_sources(merged.pop(key, None), sources, (*loc, key))
        else:
            merged[key] = merge(merged.get(key), item, name, sources, (*loc, key))
    return merged


def note_sources(value: Json, name: str, sources: dict[Loc, str], loc: Loc = ()) -> None:
    """Record `name` as the source of `value` and of everything in it."""
    for place in _places(value, loc):
        sources[place] = name


def _forget_sources(value: Json, sources: dict[Loc, str], loc: Loc) -> None:
    for place in _places(value, loc):
        sources.pop(place, None)


def _places(value: Json, loc: Loc) -> Iterator[Loc]:
    yield loc
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _places(item, (*loc, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _places(item, (*loc, index))
