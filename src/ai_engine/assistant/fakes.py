"""Models for tests and demonstrations: they keep the port's promises without any server."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field

from ai_engine.assistant.base import Delta, Usage
from ai_engine.assistant.messages import newest_user_text
from ai_engine.assistant.openai_wire import new_call_id
from ai_engine.domain.errors import ModelFailed
from ai_engine.domain.message import Json
from ai_engine.domain.skill import ToolCall


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One call that a double received, copied at that moment."""

    messages: Sequence[Json]
    tools: Sequence[Json]


@dataclass(slots=True, kw_only=True)
class Line:
    """One scripted answer."""

    pieces: Sequence[str] = ()
    calls: Sequence[ToolCall] = ()
    faults: Sequence[str] = ()
    finish: str = ""
    usage: Usage = field(default_factory=lambda: Usage(prompt=10, completion=5))
    error: Exception | None = None
    """Raised after the pieces."""
    gate: asyncio.Event | None = None
    """Awaited before the last piece."""


class ScriptedModel:
    """Answers from a script, in order; running past its end is an AssertionError.

    `asked` holds every call that it received.
    """

    def __init__(
        self,
        *lines: Line | str,
        name: str = "scripted",
        languages: Sequence[str] = ("*",),
        tools: bool = True,
        images: bool = True,
    ) -> None:
        self.name = name
        self.languages = languages
        self.tools = tools
        self.images = images
        self.asked: list[Asked] = []
        self._lines = deque(
            Line(pieces=[line]) if isinstance(line, str) else line for line in lines
        )

    def add(self, line: Line | str) -> None:
        """One more answer at the script's end."""
        self._lines.append(Line(pieces=[line]) if isinstance(line, str) else line)

    async def stream(
        self, messages: Sequence[Json], tools: Sequence[Json]
    ) -> AsyncGenerator[Delta, None]:
        """The next line of the script."""
        self.asked.append(Asked(messages=[dict(m) for m in messages], tools=list(tools)))
        if not self._lines:
            raise AssertionError(f"model {self.name!r} was asked more often than scripted")
        line = self._lines.popleft()
        for at, piece in enumerate(line.pieces):
            if line.gate is not None and at == len(line.pieces) - 1:
                await line.gate.wait()
            yield Delta(text=piece)
        if line.error is not None:
            raise line.error
        yield Delta(
            calls=tuple(line.calls),
            faults=tuple(line.faults),
            finish=line.finish or ("tool_calls" if line.calls else "stop"),
            usage=line.usage,
            model=self.name,
        )

    async def close(self) -> None:
        """Nothing is held."""


class FakeModel:
    """Answers every call by a function of the newest user message's text."""

    def __init__(
        self,
        answer: Callable[[str], str] = lambda text: f"You wrote: {text}",
        *,
        name: str = "fake",
        languages: Sequence[str] = ("*",),
    ) -> None:
        self.name = name
        self.languages = languages
        self.tools = True
        self.images = True
        self._answer = answer

    async def stream(
        self, messages: Sequence[Json], tools: Sequence[Json]
    ) -> AsyncGenerator[Delta, None]:
        """The answer, word by word."""
        words = self._answer(newest_user_text(messages)).split(" ")
        for at, word in enumerate(words):
            yield Delta(text=word if at == 0 else f" {word}")
        usage = Usage(prompt=len(messages), completion=len(words))
        yield Delta(finish="stop", usage=usage, model=self.name)

    async def close(self) -> None:
        """Nothing is held."""


def call(name: str, **arguments: object) -> Line:
    """A line that asks for one tool."""
    return Line(calls=[ToolCall(id=new_call_id(), name=name, arguments=dict(arguments))])


def failing(reason: str = "unreachable", *pieces: str) -> Line:
    """A line that fails after these pieces."""
    return Line(pieces=pieces, error=ModelFailed("scripted failure", reason=reason))
