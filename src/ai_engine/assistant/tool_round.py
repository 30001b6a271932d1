"""One round of tool calls: decide, checkpoint, run a bounded number at once, record."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Protocol

from ai_engine.assistant import texts
from ai_engine.assistant.base import AssistantState, Hooks, MustAsk
from ai_engine.domain.skill import Tool, ToolCall, ToolResult


class RoundLimits(Protocol):
    """The bounds that a round needs."""

    @property
    def parallel_tools_max(self) -> int: ...
    @property
    def result_chars_max(self) -> int: ...


class ToolRound:
    """Gives every call of the state's present round a result, or returns the question to ask.

    A call with a result never runs again. A call that was begun without a recorded result runs
    again only when its tool is read-only or idempotent.
    """

    def __init__(
        self,
        state: AssistantState,
        tools: Mapping[str, Tool],
        hooks: Hooks,
        limits: RoundLimits,
    ) -> None:
        self._state = state
        self._tools = tools
        self._hooks = hooks
        self._limits = limits
        self._checkpointing = asyncio.Lock()
        self._unsaved = False

    async def run(self) -> MustAsk | None:
        state = self._state
        self._settle()
        waiting = [call for call in state.calls if call.id not in state.results]
        ready = [call for call in waiting if not self._must_ask(call)]
        writes = any(not self._tools[call.name].read_only for call in waiting)
        size = self._limits.parallel_tools_max
        for at in range(0, len(ready), size):
            await self._run_batch(ready[at : at + size], writes=writes)
        for call in waiting:
            if call.id not in state.results:
                return MustAsk(call=call, tool=self._tools[call.name], state=state)
        return None

    def _settle(self) -> None:
        """Results of calls that will not run: unknown, denied, of unknown outcome."""
        state = self._state
        for call in state.calls:
            if call.id in state.results:
                continue
            tool = self._tools.get(call.name)
            if tool is None:
                self._error(call, texts.unknown_tool(call.name, list(self._tools)))
            elif call.id in state.denied:
                self._error(call, texts.DENIED)
            elif call.id in state.begun and not (tool.read_only or tool.idempotent):
                self._error(call, texts.OUTCOME_UNKNOWN)

    def _error(self, call: ToolCall, text: str) -> None:
        self._state.results[call.id] = ToolResult(text=text, error=True)

    def _must_ask(self, call: ToolCall) -> bool:
        return self._tools[call.name].ask_first and call.id not in self._state.approved

    async def _run_batch(self, calls: Sequence[ToolCall], *, writes: bool) -> None:
        if writes:
            begun = self._state.begun
            begun.extend(call.id for call in calls if call.id not in begun)
            await self._hooks.checkpoint(self._state)
        if len(calls) == 1:
            await self._run_one(calls[0], writes=writes)
            return
        try:
            async with asyncio.TaskGroup() as group:
                for call in calls:
                    group.create_task(self._run_one(call, writes=writes))
        except BaseExceptionGroup as error:
            # Callers know single errors (a lost lease); the others were cancelled with it.
            raise error.exceptions[0] from error

    async def _run_one(self, call: ToolCall, *, writes: bool) -> None:
        result = await self._hooks.call(self._tools[call.name], call)
        self._state.results[call.id] = ToolResult(
            text=texts.bounded(result.text, self._limits.result_chars_max),
            error=result.error,
            card=result.card,
            media=result.media,
        )
        if writes:
            await self._save()

    async def _save(self) -> None:
        """One checkpoint at a time; one that starts later covers all results known by then."""
        self._unsaved = True
        async with self._checkpointing:
            if self._unsaved:
                self._unsaved = False
                await self._hooks.checkpoint(self._state)
