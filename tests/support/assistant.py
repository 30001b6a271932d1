"""What the assistant's tests share: hooks that record, tools that count."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from ai_engine.assistant.base import AssistantState
from ai_engine.assistant.state import dump_state
from ai_engine.domain.skill import Tool, ToolCall, ToolContext, ToolResult


async def _never(arguments: dict[str, Any], context: ToolContext) -> ToolResult:
    raise AssertionError("the loop calls tools through its hooks only")


def make_tool(name: str = "look", **more: Any) -> Tool:
    return Tool(
        name=name,
        description=f"does {name}",
        parameters={"type": "object", "properties": {}},
        invoke=_never,
        permission=f"skill:{name}.use",
        **more,
    )


def user(text: str, **more: Any) -> AssistantState:
    return AssistantState(messages=[{"role": "user", "content": text}], **more)


Run = Callable[[Tool, ToolCall], Awaitable[ToolResult]]


class RecordingHooks:
    """Keeps everything in order; checkpoints are dumped at once, as the journal would."""

    def __init__(self, run: Run | None = None) -> None:
        self.texts: list[str] = []
        self.checkpoints: list[dict[str, Any]] = []
        self.calls: list[ToolCall] = []
        self.outsides: list[tuple[float, str]] = []
        self.order: list[str] = []
        self.running = 0
        self.running_max = 0
        self._run = run

    def on_text(self, text: str) -> None:
        self.texts.append(text)

    async def checkpoint(self, state: AssistantState) -> None:
        self.checkpoints.append(dump_state(state))
        self.order.append("checkpoint")
        await asyncio.sleep(0)

    async def call(self, tool: Tool, call: ToolCall) -> ToolResult:
        self.calls.append(call)
        self.order.append(f"call {call.name}")
        self.running += 1
        self.running_max = max(self.running_max, self.running)
        try:
            if self._run is not None:
                return await self._run(tool, call)
            await asyncio.sleep(0)
            return ToolResult(text=f"{call.name} done")
        finally:
            self.running -= 1

    def outside(self, seconds: float, what: str) -> None:
        self.outsides.append((seconds, what))
