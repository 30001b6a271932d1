"""What answers while a channel is tried: a scripted model, and skills with known results."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, Final

from ai_engine.assistant.assistant import Assistant
from ai_engine.assistant.base import Delta, Usage
from ai_engine.assistant.fallback import FallbackChain
from ai_engine.assistant.loop import AssistantLoop, LoopLimits
from ai_engine.assistant.messages import content_text, newest_user_text
from ai_engine.domain.clock import Clock
from ai_engine.domain.ids import new_id
from ai_engine.domain.message import Json
from ai_engine.domain.reply import Button, Card
from ai_engine.domain.skill import Tool, ToolCall, ToolContext, ToolResult

NAME: Final = "script"
PIECES: Final = ("The answer ", "comes in ", "several ", "pieces.")
CITY, SKY = "Hangzhou", "sunny"
CARD_TITLE: Final = "Order 4711"
PRESSED: Final = "The button was pressed."
SLOW: Final = "slow but sure"
RULES: Final = (
    {"pattern": "^card$", "action": "trigger_skill", "skill_id": "verify_card"},
    {"pattern": "^pressed$", "action": "reply", "text": PRESSED},
)
_PERMISSION: Final = "skill:calendar_query.use"
"""One that every employee has."""


class Script:
    """Implements `assistant.base.Model`: the first word of the newest message says what to do.

    `echo …` repeats, `stream` answers piece by piece, `long` answers with more than one message,
    `chain` uses two skills one after the other, `slow` waits for `go_on`.
    """

    name = NAME
    languages: Sequence[str] = ("*",)
    tools = True
    images = True

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.pause = 0.05
        """Seconds between two pieces of a streamed answer."""
        self.length = 1000
        """Characters of a long answer."""
        self.go_on = asyncio.Event()

    async def stream(
        self, messages: Sequence[Json], tools: Sequence[Json]
    ) -> AsyncGenerator[Delta, None]:
        """One answer by the rules above."""
        text = newest_user_text(messages).strip()
        word, _, rest = text.partition(" ")
        if word == "chain":
            found, calls = _chained(messages)
            yield Delta(text=found)
            yield self._end("tool_calls" if calls else "stop", calls)
            return
        if word == "slow":
            await self.go_on.wait()
        for at, piece in enumerate(self._pieces(word, rest)):
            if at and word == "stream":
                await self._clock.sleep(self.pause)
            yield Delta(text=piece)
        yield self._end("stop")

    def _pieces(self, word: str, rest: str) -> Sequence[str]:
        match word:
            case "stream":
                return PIECES
            case "long":
                return (long_text(self.length),)
            case "slow":
                return (SLOW,)
            case _:
                return (f"You said: {rest}",)

    def _end(self, finish: str, calls: tuple[ToolCall, ...] = ()) -> Delta:
        usage = Usage(prompt=1, completion=1)
        return Delta(calls=calls, finish=finish, usage=usage, model=self.name)

    async def close(self) -> None:
        """Nothing is held."""


def long_text(chars: int) -> str:
    """Numbered lines, so that order and completeness can be seen."""
    lines: list[str] = []
    size = 0
    while size < chars:
        lines.append(f"line {len(lines) + 1:05d} of a long answer 很长的回答")
        size += len(lines[-1]) + 1
    return "\n".join(lines)


def _chained(messages: Sequence[Json]) -> tuple[str, tuple[ToolCall, ...]]:
    """First the city, then its weather, then the sentence."""
    results = _results_since_user(messages)
    if not results:
        return "", (ToolCall(id=new_id("c"), name="verify_city", arguments={}),)
    if len(results) == 1:
        arguments = {"city": results[0]}
        return "", (ToolCall(id=new_id("c"), name="verify_weather", arguments=arguments),)
    return f"Skills say: {' / '.join(results)}", ()


def _results_since_user(messages: Sequence[Json]) -> list[str]:
    found: list[str] = []
    for message in reversed(messages):
        if message.get("role") == "user":
            break
        if message.get("role") == "tool":
            found.insert(0, content_text(message.get("content")))
    return found


def tools() -> Mapping[str, Tool]:
    """Skills with known results."""

    async def city(_: Json, __: ToolContext) -> ToolResult:
        return ToolResult(text=CITY)

    async def weather(arguments: Json, _: ToolContext) -> ToolResult:
        return ToolResult(text=f"{SKY} in {arguments.get('city')}")

    async def card(_: Json, __: ToolContext) -> ToolResult:
        shown = Card(
            title=CARD_TITLE,
            markdown="Please have a look. 请查看。",
            fields=(("State", "open"), ("Amount", "12.50")),
            buttons=(Button(label="Press me", value={"text": "pressed"}, style="primary"),),
        )
        return ToolResult(text="Here is the order.", card=shown)

    found = (("verify_city", city), ("verify_weather", weather), ("verify_card", card))
    return {name: _tool(name, invoke) for name, invoke in found}


def _tool(name: str, invoke: Any) -> Tool:
    return Tool(
        name=name,
        description=f"{name}: for trying a channel.",
        parameters={"type": "object", "properties": {"city": {"type": "string"}}},
        invoke=invoke,
        permission=_PERMISSION,
        read_only=True,
        from_text=lambda _, __: {},
    )


def assistant(script: Script, clock: Clock) -> Assistant:
    """An assistant that has only the script."""
    chain = FallbackChain([script])
    return Assistant(
        loop=AssistantLoop(chain, limits=LoopLimits(), clock=clock),
        chain=chain,
        names=(script.name,),
        system_prompt="",
        history_tokens=1000,
        context_tokens=32_000,
        answer_tokens=1000,
        language="en",
    )
