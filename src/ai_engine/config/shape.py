"""Validation against the schema, with every fault told in plain words: what is there, what may be.

Values that came from a reference or that are secret are never part of a message.
"""

import json
from collections.abc import Collection
from dataclasses import replace
from typing import Any, Generic, TypeVar, cast

from pydantic import BaseModel, ValidationError

from ai_engine.config.faults import Fault, Json, Loc, nearest

M = TypeVar("M", bound=BaseModel)

_NUMBERS = {"int_type": "a whole number", "float_type": "a number", "bool_type": "true or false"}
_KINDS = _NUMBERS | {
    "string_type": "text",
    "tuple_type": "a list [ … ]",
    "list_type": "a list [ … ]",
    "dict_type": "an object { … }",
    "model_type": "an object { … }",
}
FAULTS_MAX = 100
"""Faults of one document that are told singly; what is beyond is counted."""

_RANGE = frozenset({"greater_than", "greater_than_equal", "less_than", "less_than_equal"})


class Shape(Generic[M]):
    """A model and its JSON Schema, which knows the keys and limits at each place."""

    def __init__(self, model: type[M]) -> None:
        self._model = model
        self._schema = model.model_json_schema()

    def build(
        self, data: dict[str, Json], hidden: Collection[Loc] = (), base: Loc = ()
    ) -> tuple[M | None, list[Fault]]:
        """The model of `data`, and every fault with its place below `base`.

        What is at fault is left out, so that the rest can be checked further; None when nothing
        is left to build. `hidden` are the places filled by references: their values are never
        shown, and a text there may stand for a number or for true and false.
        """
        faults: list[Fault] = []
        data = cast("dict[str, Json]", json.loads(json.dumps(data)))  # ours to change
        while True:
            try:
                text = json.dumps(data)
                return self._model.model_validate_json(text, strict=True), faults
            except ValidationError as error:
                found = error.errors(include_url=False)
            if len(found) > FAULTS_MAX:
                what = f"there are {len(found)} faults below here; the first are told."
                faults.append(Fault(loc=base, what=what, fix="Check that it is the right file."))
            is_lost = False
            # Both ways the loop goes on with less to complain about, so it ends.
            for one in found:
                loc: Loc = tuple(one["loc"])
                is_hidden = (*base, *loc) in hidden
                if is_hidden and one["type"] in _NUMBERS and _convert(data, loc, one["type"]):
                    continue
                if len(faults) < FAULTS_MAX:
                    fault = self._explain(cast("dict[str, Any]", one), loc, is_hidden)
                    faults.append(replace(fault, loc=(*base, *fault.loc)))
                cut = loc[:-1] if one["type"] == "missing" else loc
                is_lost = is_lost or not cut
                _remove(data, cut)
            if is_lost:
                return None, faults

    def at(self, loc: Loc) -> dict[str, Any]:
        """The schema of the value at `loc`; empty where the schema has no such place."""
        schema = self._resolve(self._schema)
        for step in loc:
            inner: Any = schema.get("items")
            if isinstance(step, str):
                inner = schema.get("properties", {}).get(step, schema.get("additionalProperties"))
            schema = self._resolve(inner) if inner else {}
        return schema

    def _resolve(self, schema: dict[str, Any]) -> dict[str, Any]:
        if "anyOf" in schema:
            schema = next(s for s in schema["anyOf"] if s.get("type") != "null")
        if "$ref" in schema:
            schema = self._schema["$defs"][schema["$ref"].rsplit("/", 1)[1]]
        return schema

    def _explain(self, error: dict[str, Any], loc: Loc, is_hidden: bool) -> Fault:
        kind = error["type"]
        if kind == "extra_forbidden":
            return self._unknown_key(loc)
        if kind == "missing":
            fix = self.at(loc).get("description", "").split("\n")[0]
            return Fault(loc=loc, what="this key is missing.", fix=f"Add it. {fix}".rstrip())
        schema = self.at(loc)
        is_hidden = is_hidden or schema.get("format") == "password"
        if kind in _RANGE:
            shown = "what its reference gives is not" if is_hidden else f"found {error['input']}"
            span = _span(schema)
            return Fault(loc=loc, what=f"must be {span}; {shown}.", fix=f"Write a number {span}.")
        if kind == "literal_error":
            return _wrong_choice(schema, error["input"], loc, is_hidden)
        if kind in _KINDS:
            return _wrong_kind(kind, error["input"], loc, is_hidden)
        return Fault(loc=loc, what=f"{error['msg']}.", fix="See: ai-engine config schema")

    def _unknown_key(self, loc: Loc) -> Fault:
        key = str(loc[-1])
        section = self.at(loc[:-1])
        known = list(section.get("properties", {}))
        what = "there is no such key."
        if inside := [
            name for name in known if key in self.at((*loc[:-1], name)).get("properties", {})
        ]:
            return Fault(loc=loc, what=what, fix=f"It belongs into {inside[0]!r}: move it there.")
        if near := nearest(key, known):
            return Fault(loc=loc, what=what, fix=f"Did you mean {near!r}?")
        return Fault(loc=loc, what=what, fix=f"Remove it; known here: {', '.join(known)}.")


def _found(value: object) -> str:
    """What kind of value stands there; never the value of a text."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return "text"
    if isinstance(value, int | float):
        return "a number"
    return "a list" if isinstance(value, list) else "an object"


def _wrong_kind(kind: str, value: object, loc: Loc, is_hidden: bool) -> Fault:
    wanted = _KINDS[kind]
    if is_hidden and kind in _NUMBERS:
        what = f"must be {wanted}; what its reference gives is something else."
        return Fault(loc=loc, what=what, fix="Check the environment variable or the secret file.")
    what = f"must be {wanted}; found {_found(value)}."
    if kind in _NUMBERS and isinstance(value, str):
        fix = f"Write {wanted} without quotes."
    elif kind == "string_type" and not isinstance(value, list | dict):
        fix = "Put it in double quotes."
    else:
        fix = f"Write {wanted}."
    return Fault(loc=loc, what=what, fix=fix)


def _wrong_choice(schema: dict[str, Any], value: object, loc: Loc, is_hidden: bool) -> Fault:
    choices = [str(choice) for choice in schema.get("enum", [])]
    quoted = ", ".join(repr(choice) for choice in choices if choice)
    is_text = isinstance(value, str) and not is_hidden
    shown = repr(value) if is_text and len(str(value)) <= 40 else _found(value)
    near = nearest(value, choices) if is_text and isinstance(value, str) else None
    fix = f"Did you mean {near!r}?" if near else "Write one of these."
    return Fault(loc=loc, what=f"must be one of {quoted}; found {shown}.", fix=fix)


def _span(schema: dict[str, Any]) -> str:
    """`from 60 to 86400`, `more than 0 and at most 120`."""
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return f"from {low} to {high}"
    parts = [
        text + str(schema[key])
        for key, text in (
            ("minimum", "at least "),
            ("exclusiveMinimum", "more than "),
            ("maximum", "at most "),
            ("exclusiveMaximum", "less than "),
        )
        if key in schema
    ]
    return " and ".join(parts)


def _convert(data: dict[str, Json], loc: Loc, kind: str) -> bool:
    """Read the referenced text at `loc` as the number or truth value that belongs there."""
    holder: Any = data
    for step in loc[:-1]:
        holder = holder[step]
    try:
        value = json.loads(holder[loc[-1]])
    except (TypeError, ValueError):
        return False
    wanted = {"int_type": int, "float_type": int | float, "bool_type": bool}[kind]
    if not isinstance(value, wanted) or (isinstance(value, bool) and kind != "bool_type"):
        return False
    holder[loc[-1]] = value
    return True


def _remove(data: dict[str, Json], loc: Loc) -> None:
    """Take the value at `loc` out; of a list the whole, since its other places would move."""
    if not loc:
        return
    holder: Any = data
    for step, following in zip(loc, (*loc[1:], None), strict=True):
        if following is None or isinstance(following, int):
            holder.pop(step, None)
            return
        if step not in holder:
            return  # an earlier fault of this round took the section with it
        holder = holder[step]
