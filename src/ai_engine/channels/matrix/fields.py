"""Reading JSON that others wrote: a value of the expected kind, or its empty one."""

from typing import Any, cast

from ai_engine.domain.message import Json


def part(of: Json, name: str) -> Json:
    """An object within an object; {} when there is none."""
    found: Any = of.get(name)
    return cast("Json", found) if isinstance(found, dict) else {}


def text(of: Json, name: str) -> str:
    """A text within an object; empty when there is none."""
    found: Any = of.get(name)
    return found if isinstance(found, str) else ""


def number(of: Json, name: str) -> int:
    """A whole number within an object; 0 when there is none."""
    found: Any = of.get(name)
    return found if isinstance(found, int) and not isinstance(found, bool) else 0


def items(of: Json, name: str) -> list[Any]:
    """A list within an object; [] when there is none."""
    found: Any = of.get(name)
    return cast("list[Any]", found) if isinstance(found, list) else []


def objects(of: Json, name: str) -> list[Json]:
    """The objects of a list within an object."""
    return [cast("Json", each) for each in items(of, name) if isinstance(each, dict)]


def records(of: Json, name: str) -> dict[str, Json]:
    """The objects within an object within an object, by name."""
    found = part(of, name)
    return {key: cast("Json", each) for key, each in found.items() if isinstance(each, dict)}
