"""`@skill`: makes a tool with a JSON Schema out of an asynchronous function with types."""

import inspect
import re
from collections.abc import Awaitable, Callable, Sequence
from datetime import date, datetime
from typing import Annotated, Any, cast, get_args, get_origin, get_type_hints

import msgspec
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from ai_engine.domain.errors import SkillFailed
from ai_engine.domain.message import Json
from ai_engine.domain.skill import FromText, Tool, ToolContext, ToolResult

Result = str | ToolResult | Json
"""What a skill's function may return; a dict becomes JSON text."""
SkillFunction = Callable[..., Awaitable[Result]]

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""What OpenAI-compatible servers accept as a function's name."""
_ARGUMENT = re.compile(r"(\w+)(?: \([^)]*\))?:\s*(.*)")
_SECTION = re.compile(r"[A-Z]\w*:")


def skill(
    *,
    permission: str = "",
    name: str = "",
    timeout_seconds: float = 30.0,
    ask_first: bool = False,
    read_only: bool = False,
    idempotent: bool = False,
    title: str = "",
    title_zh: str = "",
    from_text: FromText | None = None,
) -> Callable[[SkillFunction], Tool]:
    """Decorate an `async def` (or call it on a bound method) to get its `Tool`.

    The name is the function's, the description its docstring's first paragraph. The arguments'
    schema comes from the annotations, their descriptions from the docstring's `Args:` section or
    from `Annotated[T, "text"]`. A parameter annotated `ToolContext` is given by the engine and is
    no part of the schema. Arguments are validated and converted before the function runs.
    `SkillFailed` becomes an error result; any other exception is the caller's to handle.

    Raises:
        TypeError: the function is not asynchronous, or a parameter has no usable annotation.
        ValueError: the name or the time-out is not possible.
    """

    def make(function: SkillFunction) -> Tool:
        tool_name = name or function.__name__
        _check(function, tool_name, timeout_seconds)
        summary, described = _docstring(function)
        arguments, injected = _arguments_model(function, tool_name, described)

        async def invoke(given: Json, context: ToolContext) -> ToolResult:
            try:
                valid = arguments.model_validate(given)
            except ValidationError as error:
                return ToolResult(text=_explain(tool_name, error, context.language), error=True)
            values: dict[str, Any] = {key: getattr(valid, key) for key in arguments.model_fields}
            values.update(dict.fromkeys(injected, context))
            try:
                return as_result(await function(**values))
            except SkillFailed as error:
                return ToolResult(text=str(error), error=True)

        return Tool(
            name=tool_name,
            description=summary,
            parameters=_schema(arguments),
            invoke=invoke,
            permission=permission or f"skill:{tool_name}.use",
            read_only=read_only,
            idempotent=idempotent,
            ask_first=ask_first,
            timeout_seconds=timeout_seconds,
            from_text=from_text,
            title=title or tool_name,
            title_zh=title_zh or title or tool_name,
        )

    return make


def as_result(value: Result) -> ToolResult:
    """A function's return value as a result. Raises TypeError for what it may not return."""
    match value:
        case ToolResult():
            return value
        case str():
            return ToolResult(text=value)
        case dict():
            return ToolResult(text=msgspec.json.encode(value).decode())
        case _:
            raise TypeError(f"a skill returned {type(value).__name__}, not str, dict or ToolResult")


def _check(function: SkillFunction, name: str, timeout_seconds: float) -> None:
    if not inspect.iscoroutinefunction(function):
        raise TypeError(f"skill {name!r} must be an async function")
    if not _NAME.fullmatch(name):
        raise ValueError(f"skill name {name!r} must be 1-64 characters of A-Z a-z 0-9 _ -")
    if not 0 < timeout_seconds <= 3600:
        raise ValueError(f"skill {name!r}: timeout_seconds must be in (0, 3600]")


def _docstring(function: SkillFunction) -> tuple[str, dict[str, str]]:
    """The first paragraph on one line, and the descriptions of the `Args:` section."""
    text = inspect.getdoc(function) or ""
    summary = " ".join(text.split("\n\n", 1)[0].split())
    described: dict[str, str] = {}
    inside, latest = False, ""
    for line in text.splitlines():
        if not line.startswith(" ") and _SECTION.fullmatch(line.strip()):
            inside = line.strip() == "Args:"
        elif inside and (found := _ARGUMENT.fullmatch(line.strip())) and _indent(line) <= 4:
            latest = found[1]
            described[latest] = found[2]
        elif inside and latest and line.strip():
            described[latest] += " " + line.strip()
    return summary, described


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _arguments_model(
    function: SkillFunction, name: str, described: dict[str, str]
) -> tuple[type[BaseModel], Sequence[str]]:
    """A model of the arguments, and the names of the parameters that get the context."""
    hints = get_type_hints(function, include_extras=True)
    fields: dict[str, Any] = {}
    injected: list[str] = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise TypeError(f"skill {name!r}: parameter {parameter.name!r} must have a plain name")
        hint = hints.get(parameter.name)
        if hint is None:
            raise TypeError(f"skill {name!r}: parameter {parameter.name!r} has no annotation")
        if hint is ToolContext:
            injected.append(parameter.name)
            continue
        default: Any = ... if parameter.default is parameter.empty else parameter.default
        words = described.get(parameter.name) or _annotated_words(hint)
        fields[parameter.name] = (hint, Field(default, description=words or None))
    model = create_model(name, __config__=ConfigDict(extra="forbid"), **fields)
    return model, injected


def _annotated_words(hint: object) -> str:
    if get_origin(hint) is Annotated:
        return next((extra for extra in get_args(hint)[1:] if isinstance(extra, str)), "")
    return ""


def _schema(model: type[BaseModel]) -> Json:
    """The model's JSON Schema, less what only costs tokens: titles, `null` of optional ones."""
    schema = model.model_json_schema()
    _tidy(schema)
    schema.setdefault("properties", {})
    return schema


def _tidy(node: Json) -> None:
    node.pop("title", None)
    choices: list[Json] = node.get("anyOf", [])
    real = [choice for choice in choices if choice.get("type") != "null"]
    if choices and len(real) == 1:
        del node["anyOf"]
        if node.get("default", ...) is None:
            del node["default"]
        node.update({key: value for key, value in real[0].items() if key not in node})
    for name in ("properties", "$defs"):
        for child in node.get(name, {}).values():
            _tidy(child)
    for child in (node.get("items"), node.get("additionalProperties")):
        if isinstance(child, dict):
            _tidy(cast("Json", child))
    for child in node.get("anyOf", []):
        _tidy(child)


def _explain(name: str, error: ValidationError, language: str) -> str:
    """What is wrong with the arguments, so that a model can call again rightly."""
    lines = ["Wrong arguments for " + name + ":" if language != "zh" else f"{name} 的参数不对："]
    for fault in error.errors(include_url=False, include_context=False)[:8]:
        path = ".".join(str(part) for part in fault["loc"]) or "arguments"
        given = _shown(fault["input"]) if fault["type"] != "missing" else ""
        lines.append(f"- {path}: {fault['msg']}{given}")
    return "\n".join(lines)


def _shown(value: object) -> str:
    if isinstance(value, str | int | float | bool | date | datetime | None):
        return f" (got {str(value)[:80]!r})"
    return f" (got {type(value).__name__})"
