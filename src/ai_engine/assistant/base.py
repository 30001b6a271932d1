"""The assistant's ports and its state: plain serialisable data from the first token on."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ai_engine.domain.message import Json
from ai_engine.domain.skill import Tool, ToolCall, ToolResult


@dataclass(slots=True, kw_only=True)
class Usage:
    """Tokens as the model server reported them."""

    prompt: int = 0
    completion: int = 0


@dataclass(slots=True, kw_only=True)
class AssistantState:
    """All that the loop needs to go on in another process."""

    messages: list[Json]
    """OpenAI chat messages: system, history, the user's, then this turn's rounds. Reasoning is
    never in here."""
    rounds: int = 0
    calls: list[ToolCall] = field(default_factory=list[ToolCall])
    """Asked by the model in the present round."""
    results: dict[str, ToolResult] = field(default_factory=dict[str, ToolResult])
    """By call id; a call with a result never runs again. Once a round is over its results are
    chat messages; only those with a card or media stay here, so that the turn still shows them."""
    begun: list[str] = field(default_factory=list[str])
    """Ids of calls that were begun; one without a result has an unknown outcome."""
    approved: list[str] = field(default_factory=list[str])
    denied: list[str] = field(default_factory=list[str])
    text: str = ""
    """What the user was shown so far in this turn."""
    language: str = ""
    """zh | en: the language of the loop's own sentences; empty: that of the newest user message."""
    usage: Usage = field(default_factory=Usage)
    model: str = ""
    version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    text: str
    model: str
    usage: Usage
    cut: bool = False
    """The model stopped at its length limit; `text` says so already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MustAsk:
    """The person must be asked before this call; `state` resumes the turn."""

    call: ToolCall
    tool: Tool
    state: AssistantState


class Hooks(Protocol):
    """What the loop asks of the turn that runs it."""

    def on_text(self, text: str) -> None:
        """The whole answer text so far. It may be shorter than before: a fallback model, or the
        turn's next attempt, begins again."""
        ...

    async def checkpoint(self, state: AssistantState) -> None:
        """Durable when it returns."""
        ...

    async def call(self, tool: Tool, call: ToolCall) -> ToolResult:
        """Authorise, run with time-out, record. Never raises for a tool's own failure."""
        ...

    def outside(self, seconds: float, what: str) -> None:
        """Time spent waiting for the model, for the latency's own share and the trace."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """One piece of a streamed model answer."""

    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    """Complete tool calls; only in the last piece."""
    finish: str = ""
    """stop | length | tool_calls | content_filter | "" while the answer goes on"""
    usage: Usage | None = None
    faults: tuple[str, ...] = ()
    """Parallel to `calls` when not empty: why a call's arguments cannot be read, or ""."""
    restart: bool = False
    """Forget the text of this call's earlier pieces; the answer begins with this piece."""
    model: str = ""
    """In the last piece: which model of the configuration answered."""


class Model(Protocol):
    """One model of the configuration."""

    name: str
    languages: Sequence[str]
    """Languages it speaks, `*` for all."""
    tools: bool
    """Whether it takes tool definitions."""
    images: bool
    """Whether it takes `image_url` parts."""

    def stream(
        self, messages: Sequence[Json], tools: Sequence[Json]
    ) -> AsyncGenerator[Delta, None]:
        """One model call. Reasoning (`reasoning_content`, `<think>`) is left out. Close the
        generator to abandon the answer (`contextlib.aclosing`).

        Raises:
            ModelFailed: unreachable, refused, timed out, or not the protocol.
        """
        ...

    async def close(self) -> None: ...
