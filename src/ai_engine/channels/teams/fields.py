"""Reading the parts of an activity: bounded, never surprised by a type."""

from typing import Any, Final, cast

from ai_engine.domain.errors import Malformed
from ai_engine.domain.message import Json

ID_MAX: Final = 1024


def part(body: Json, *path: str) -> Json:
    """The object at `path`; {} when there is none."""
    found: Any = body
    for name in path:
        found = cast("Json", found).get(name) if isinstance(found, dict) else None
    return cast("Json", found) if isinstance(found, dict) else {}


def items(body: Json, name: str, most: int = 100) -> list[Json]:
    """The objects in the list called `name`, the first `most`; [] when there is none."""
    found: Any = body.get(name)
    if not isinstance(found, list):
        return []
    listed = cast("list[Any]", found)[:most]
    return [cast("Json", item) for item in listed if isinstance(item, dict)]


def text(body: Json, name: str, longest: int = ID_MAX) -> str:
    """The text called `name`; empty when there is none or it is longer than `longest`."""
    found = body.get(name)
    return found if isinstance(found, str) and len(found) <= longest else ""


def needed(body: Json, name: str, path: str = "$") -> str:
    """A text that must be there. Raises Malformed."""
    found = body.get(name)
    if not isinstance(found, str) or not 0 < len(found) <= ID_MAX:
        raise Malformed(f"{path}.{name}: must be a text of 1 to {ID_MAX} characters")
    return found
