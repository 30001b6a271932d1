"""The tool loop: model call, tool calls, model call, … until there is an answer.

All progress is in the `AssistantState`, plain data: the loop can stop after any model round and
go on in another process.
"""

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass

import msgspec

from ai_engine.assistant import texts
from ai_engine.assistant.base import Answered, AssistantState, Hooks, Model, MustAsk
from ai_engine.assistant.messages import newest_user_text
from ai_engine.assistant.openai_wire import new_call_id
from ai_engine.assistant.tool_round import ToolRound
from ai_engine.domain.clock import Clock
from ai_engine.domain.message import Json
from ai_engine.domain.skill import Tool, ToolCall, ToolResult, spoken_language


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopLimits:
    """Every bound of one turn."""

    rounds_max: int = 8
    """Model rounds with tool calls; then one last call without tools."""
    calls_max: int = 32
    """Tool calls in one round; the others are answered with an error."""
    parallel_tools_max: int = 8
    """Tools that run at once."""
    result_chars_max: int = 16_000
    """What the model is shown of one tool result."""


@dataclass(slots=True, kw_only=True)
class _Round:
    """What one model call brought."""

    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    faults: tuple[str, ...] = ()
    finish: str = ""


class AssistantLoop:
    """`run` answers one message. Stateless: one object serves all turns."""

    def __init__(self, model: Model, *, limits: LoopLimits, clock: Clock) -> None:
        self._model = model
        self._limits = limits
        self._clock = clock

    async def run(
        self, state: AssistantState, tools: Sequence[Tool], hooks: Hooks
    ) -> Answered | MustAsk:
        """Go on from `state` (changed in place, so that a cancelled turn's text is in it).

        Raises:
            ModelFailed: no model answered; `reason` says why.
        """
        known = {tool.name: tool for tool in tools}
        definitions = [definition(tool) for tool in tools] if self._model.tools else []
        while True:
            if state.calls:
                asked = await ToolRound(state, known, hooks, self._limits).run()
                if asked is not None:
                    return asked
                _fold(state)
            last = state.rounds >= self._limits.rounds_max
            answer = await self._ask_model(state, [] if last else definitions, hooks)
            if last or not answer.calls:
                return self._answered(state, answer)
            self._take_calls(state, answer)

    async def _ask_model(
        self, state: AssistantState, definitions: Sequence[Json], hooks: Hooks
    ) -> _Round:
        """One model call, streamed to the hooks."""
        result = _Round()
        shown = f"{state.text}\n\n" if state.text else ""
        waited = 0.0
        asked_at = self._clock.monotonic()
        async with aclosing(self._model.stream(state.messages, definitions)) as pieces:
            try:
                async for piece in pieces:
                    waited += self._clock.monotonic() - asked_at
                    if piece.restart:
                        result.text = ""
                    if piece.text or piece.restart:
                        result.text += piece.text
                        state.text = shown + result.text
                        hooks.on_text(state.text)
                    if piece.finish:
                        result.calls, result.faults = piece.calls, piece.faults
                        result.finish = piece.finish
                        state.model = piece.model or self._model.name
                        if piece.usage is not None:
                            state.usage.prompt += piece.usage.prompt
                            state.usage.completion += piece.usage.completion
                    asked_at = self._clock.monotonic()
            finally:
                waited += self._clock.monotonic() - asked_at
                hooks.outside(waited, f"model:{state.model or self._model.name}")
        result.text = result.text.strip()
        state.text = (shown + result.text).strip()
        return result

    def _take_calls(self, state: AssistantState, answer: _Round) -> None:
        """Open a tool round: the model's calls become part of the state."""
        used = {
            call["id"] for message in state.messages for call in message.get("tool_calls") or ()
        }
        calls: list[ToolCall] = []
        for at, call in enumerate(answer.calls):
            if not call.id or call.id in used:
                call = ToolCall(id=new_call_id(), name=call.name, arguments=call.arguments)
            used.add(call.id)
            calls.append(call)
            if answer.faults and answer.faults[at]:
                text = texts.bad_arguments(answer.faults[at])
                state.results[call.id] = ToolResult(text=text, error=True)
            elif at >= self._limits.calls_max:
                text = texts.TOO_MANY.format(limit=self._limits.calls_max)
                state.results[call.id] = ToolResult(text=text, error=True)
        state.calls = calls
        state.rounds += 1
        state.messages.append(
            {
                "role": "assistant",
                "content": answer.text or None,
                "tool_calls": [_wire_call(call) for call in calls],
            }
        )

    def _answered(self, state: AssistantState, answer: _Round) -> Answered:
        language = state.language or spoken_language(newest_user_text(state.messages))
        cut = answer.finish == "length"
        if not answer.text:
            sentence = texts.EMPTY_CUT if cut else texts.EMPTY
            if answer.finish == "content_filter":
                sentence = texts.DECLINED
            note = sentence[language]
        else:
            note = texts.CUT[language] if cut else ""
        text = f"{state.text}\n\n{note}" if state.text and note else state.text or note
        return Answered(text=text, model=state.model, usage=state.usage, cut=cut)


def _fold(state: AssistantState) -> None:
    """Close the round: its results become chat messages. Cards stay for the turn to show."""
    for call in state.calls:
        result = state.results.pop(call.id)
        text = f"Error: {result.text}" if result.error else result.text
        state.messages.append({"role": "tool", "tool_call_id": call.id, "content": text})
        if result.card is not None or result.media:
            state.results[call.id] = ToolResult(text="", card=result.card, media=result.media)
    state.calls = []
    state.begun = []
    state.approved = []
    state.denied = []


def definition(tool: Tool) -> Json:
    """The tool as the protocol defines it to the model."""
    return {
        "type": "function",
        "function": {
            "name": tool.name,
            "description": tool.description,
            "parameters": tool.parameters,
        },
    }


def _wire_call(call: ToolCall) -> Json:
    arguments = msgspec.json.encode(call.arguments).decode()
    return {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": arguments},
    }
