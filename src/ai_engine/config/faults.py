"""Where a fault of the configuration is: locations in the document and their written form."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TypeAlias

Loc: TypeAlias = tuple[str | int, ...]
"""A place in the document: keys and list indexes from the root."""

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"
"""What a JSON document can hold."""

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault at a place in the document; `load` turns it into a `Problem` of a file."""

    loc: Loc
    what: str
    fix: str
    warning: bool = False


def json_path(loc: Loc) -> str:
    """`$.channels.x.auth`, `$.routing_rules[2]`, `$.channels["a b"]`."""
    parts = ["$"]
    for step in loc:
        if isinstance(step, int):
            parts.append(f"[{step}]")
        elif _PLAIN_KEY.fullmatch(step):
            parts.append(f".{step}")
        else:
            parts.append(f"[{json.dumps(step, ensure_ascii=False)}]")
    return "".join(parts)


def leaves(value: Json, loc: Loc = ()) -> Iterator[tuple[Loc, Json]]:
    """Every scalar, empty list and empty object, with its place, in document order."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from leaves(item, (*loc, key))
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from leaves(item, (*loc, index))
    else:
        yield loc, value


def related(one: Loc, other: Loc) -> bool:
    """Whether one place is the other or lies inside it."""
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]


def nearest(word: str, known: list[str]) -> str | None:
    """The known word that looks most like `word`, if any is close."""
    folded = {name.lower().replace("-", "_"): name for name in known}
    found = get_close_matches(word.lower().replace("-", "_"), list(folded), n=1, cutoff=0.6)
    return folded[found[0]] if found else None
