"""`@skill`: the schema that a model sees, and what happens to arguments that do not fit."""

from datetime import date, datetime
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from ai_engine.domain.errors import SkillFailed
from ai_engine.domain.skill import ToolContext, ToolResult
from ai_engine.skills.base import skill

from support.tool_context import tool_context


@skill(
    permission="skill:book.use", timeout_seconds=5, ask_first=True, title="Book", title_zh="订房"
)
async def book(
    context: ToolContext,
    room: str,
    size: Literal["small", "large"] = "small",
    seats: Annotated[int, Field(ge=1, le=20)] = 4,
    rate: float = 1.5,
    catering: bool = False,
    note: str | None = None,
    guests: list[str] | None = None,
    extras: dict[str, Any] | None = None,
    start: datetime | None = None,
    day: date | None = None,
    floor: Annotated[int, "Which floor"] = 1,
) -> dict[str, object]:
    """Book a room
    for a meeting.

    More words that are for readers of the code.

    Args:
        room: The room's name,
            as on its door.
        size (str): How big it is.

    Returns:
        context: this line is no argument.
    """
    return {
        "room": room, "size": size, "seats": seats, "note": note, "key": context.idempotency_key,
        "start": start.isoformat() if start else "", "day": str(day), "guests": guests,
        "rest": [rate, catering, extras, floor],
    }  # fmt: skip


def test_the_tool_carries_the_rules_of_the_decorator():
    assert (book.name, book.permission, book.timeout_seconds) == ("book", "skill:book.use", 5)
    assert (book.ask_first, book.read_only, book.idempotent) == (True, False, False)
    assert (book.title, book.title_zh) == ("Book", "订房")
    assert book.description == "Book a room for a meeting."


def test_the_schema_says_types_defaults_and_descriptions_and_leaves_the_context_out():
    schema = book.parameters
    properties = schema["properties"]
    assert schema["type"] == "object"
    assert schema["required"] == ["room"]
    assert schema["additionalProperties"] is False
    assert "context" not in properties
    assert properties["room"] == {
        "type": "string",
        "description": "The room's name, as on its door.",
    }
    assert properties["size"] == {
        "type": "string",
        "enum": ["small", "large"],
        "default": "small",
        "description": "How big it is.",
    }
    assert properties["seats"] == {"type": "integer", "minimum": 1, "maximum": 20, "default": 4}
    assert properties["rate"] == {"type": "number", "default": 1.5}
    assert properties["catering"] == {"type": "boolean", "default": False}
    assert properties["note"] == {"type": "string"}
    assert properties["guests"] == {"type": "array", "items": {"type": "string"}}
    assert properties["extras"]["type"] == "object"
    assert properties["start"] == {"type": "string", "format": "date-time"}
    assert properties["day"] == {"type": "string", "format": "date"}
    assert properties["floor"] == {"type": "integer", "default": 1, "description": "Which floor"}


async def test_a_parameter_called_title_keeps_its_name_in_the_schema():
    @skill()
    async def rename(title: str) -> str:
        """Rename it."""
        return title

    assert rename.parameters["properties"] == {"title": {"type": "string"}}
    assert rename.permission == "skill:rename.use"


async def test_arguments_are_converted_and_the_context_is_injected():
    result = await book.invoke(
        {"room": "A", "seats": "7", "start": "2026-12-01T15:00:00+08:00", "day": "2026-12-02"},
        tool_context(key="t/9"),
    )
    assert not result.error
    for part in ('"seats":7', '"key":"t/9"', '"start":"2026-12-01T15:00:00+08:00"', "2026-12-02"):
        assert part in result.text


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({}, "room"),
        ({"room": "A", "size": "huge"}, "size"),
        ({"room": "A", "seats": 99}, "seats"),
        ({"room": "A", "seats": "many"}, "seats"),
        ({"room": "A", "colour": "red"}, "colour"),
        ({"room": "A", "start": "soonish"}, "start"),
        ({"room": "A", "guests": ["a", 1]}, "guests.1"),
        ({"room": ["A"]}, "room"),
    ],
)
async def test_wrong_arguments_are_an_error_that_names_them_and_the_function_does_not_run(
    arguments, named
):
    result = await book.invoke(arguments, tool_context())
    assert result.error
    assert f"- {named}: " in result.text
    assert result.text.startswith("Wrong arguments for book:")


async def test_wrong_arguments_are_explained_in_the_language_of_the_turn():
    result = await book.invoke({}, tool_context(language="zh"))
    assert result.text.startswith("book 的参数不对")


async def test_a_long_wrong_value_is_shown_shortened():
    result = await book.invoke({"room": "A", "seats": "x" * 5000}, tool_context())
    assert len(result.text) < 300


async def test_a_skill_that_says_it_failed_gives_an_error_result_with_the_hint():
    @skill()
    async def broken() -> str:
        """Fail."""
        raise SkillFailed("the printer is on fire", hint="use another")

    result = await broken.invoke({}, tool_context())
    assert result == ToolResult(text="the printer is on fire (use another)", error=True)


async def test_an_unexpected_exception_is_left_to_the_turn_that_called():
    @skill()
    async def buggy() -> str:
        """Crash."""
        raise KeyError("oops")

    with pytest.raises(KeyError):
        await buggy.invoke({}, tool_context())


async def test_text_results_and_whole_results_pass_unchanged():
    whole = ToolResult(text="x", error=True)

    @skill()
    async def echo(which: str) -> str | ToolResult:
        """Echo."""
        return whole if which == "whole" else which

    assert await echo.invoke({"which": "plain"}, tool_context()) == ToolResult(text="plain")
    assert await echo.invoke({"which": "whole"}, tool_context()) is whole


async def test_a_result_of_another_type_is_a_bug_that_is_named():
    @skill()
    async def number() -> str:
        """Return a number."""
        return 3  # type: ignore[return-value]

    with pytest.raises(TypeError, match="int"):
        await number.invoke({}, tool_context())


def test_words_become_arguments_by_the_function_that_is_registered():
    @skill(from_text=lambda text, context: {"room": text + context.language})
    async def find(room: str) -> str:
        """Find it."""
        return room

    assert find.from_text is not None
    assert find.from_text("A", tool_context(language="zh")) == {"room": "Azh"}


def test_what_cannot_be_a_skill_is_refused_when_it_is_declared():
    def plain(room: str) -> str:
        return room

    async def untyped(room) -> str:
        return room

    async def starred(*rooms: str) -> str:
        return ""

    async def fine() -> str:
        return ""

    with pytest.raises(TypeError, match="async"):
        skill()(plain)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="'room' has no annotation"):
        skill()(untyped)
    with pytest.raises(TypeError, match="'rooms'"):
        skill()(starred)
    with pytest.raises(ValueError, match="name"):
        skill(name="not a name")(fine)
    with pytest.raises(ValueError, match="timeout_seconds"):
        skill(timeout_seconds=0)(fine)


async def test_a_bound_method_can_be_a_skill():
    class Greeter:
        def __init__(self, word: str) -> None:
            self.word = word

        async def greet(self, name: str) -> str:
            """Greet someone."""
            return f"{self.word} {name}"

    tool = skill(name="greet")(Greeter("hello").greet)
    assert tool.parameters["required"] == ["name"]
    assert (await tool.invoke({"name": "Ann"}, tool_context())).text == "hello Ann"
