"""The chat-completions protocol as data: requests built, streamed pieces decoded and assembled.

Protocol: OpenAI API reference, "Chat completions" and its streaming chunks, as vLLM, SGLang,
Ollama and llama.cpp serve it. Fields that are not read here cost nothing. Lenient where servers
differ: a call's index or id may be missing, arguments may come as an object, content as parts.
"""

import secrets
from collections.abc import Sequence
from typing import Any

import msgspec

from ai_engine.assistant.base import Delta, Usage
from ai_engine.assistant.reasoning import ReasoningFilter
from ai_engine.config.schema import ModelConfig
from ai_engine.domain.message import Json
from ai_engine.domain.skill import ToolCall

_ID_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"
_CALLS_MAX = 128


class WireFunction(msgspec.Struct, gc=False):
    name: str | None = None
    arguments: str | dict[str, Any] | None = None


class WireCall(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: WireFunction | None = None


class WireDelta(msgspec.Struct):
    content: str | list[Any] | None = None
    tool_calls: list[WireCall] | None = None


class WireChoice(msgspec.Struct):
    delta: WireDelta | None = None
    message: WireDelta | None = None
    finish_reason: str | None = None


class WireUsage(msgspec.Struct, gc=False):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class WireChunk(msgspec.Struct):
    choices: list[WireChoice] | None = None
    usage: WireUsage | None = None
    error: Any = None


decode_chunk = msgspec.json.Decoder(WireChunk).decode


def request_body(
    config: ModelConfig, messages: Sequence[Json], tools: Sequence[Json], *, usage: bool
) -> bytes:
    """The JSON of one streamed call; `usage` asks for token counts in the last piece."""
    body: Json = {"model": config.model, "messages": messages, "stream": True}
    if usage:
        body["stream_options"] = {"include_usage": True}
    if tools:
        body["tools"] = tools
    if config.temperature is not None:
        body["temperature"] = config.temperature
    if config.max_tokens is not None:
        body["max_tokens"] = config.max_tokens
    return msgspec.json.encode(body)


def new_call_id() -> str:
    """Nine letters and digits: the strictest form that a known server (Mistral's) asks for."""
    return "".join(secrets.choice(_ID_ALPHABET) for _ in range(9))


class _CallParts:
    __slots__ = ("arguments", "id", "name", "pieces")

    def __init__(self) -> None:
        self.id = ""
        self.name = ""
        self.pieces: list[str] = []
        self.arguments: Json | None = None

    def add(self, part: WireCall) -> None:
        self.id = self.id or part.id or ""
        if part.function is None:
            return
        self.name = self.name or part.function.name or ""
        if isinstance(part.function.arguments, str):
            self.pieces.append(part.function.arguments)
        elif part.function.arguments is not None:
            self.arguments = part.function.arguments

    def complete(self) -> tuple[ToolCall, str]:
        """The call, and why its arguments cannot be read ("" when they can)."""
        fault = ""
        arguments = self.arguments
        if arguments is None:
            arguments, fault = _read_arguments("".join(self.pieces))
        return ToolCall(id=self.id or new_call_id(), name=self.name, arguments=arguments), fault


def _read_arguments(text: str) -> tuple[Json, str]:
    if not text.strip():
        return {}, ""
    try:
        value: Any = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        return {}, f"the arguments are not valid JSON: {error}"
    if isinstance(value, dict):
        return value, ""  # pyright: ignore[reportUnknownVariableType]  # a JSON object
    return {}, "the arguments are JSON, but not an object"


class Answer:
    """One answer as it grows, piece by piece."""

    __slots__ = ("_calls", "_filter", "done", "finish", "usage")

    def __init__(self) -> None:
        self._filter = ReasoningFilter()
        self._calls: dict[int, _CallParts] = {}
        self.finish = ""
        self.usage: Usage | None = None
        self.done = False

    def add(self, chunk: WireChunk, text: str = "") -> str:
        """Take one piece in and return `text` with what it brings for people. A restart drops
        what `text` held."""
        if chunk.usage is not None:
            self.usage = Usage(
                prompt=chunk.usage.prompt_tokens or 0, completion=chunk.usage.completion_tokens or 0
            )
        if not chunk.choices:
            return text
        choice = chunk.choices[0]
        if choice.finish_reason:
            self.finish = choice.finish_reason
        delta = choice.delta or choice.message
        if delta is None:
            return text
        if delta.tool_calls:
            for part in delta.tool_calls:
                self._place(part).add(part)
        content = delta.content
        if not content:
            return text
        restarted_before = self._filter.restarted
        added = self._filter.feed(content if isinstance(content, str) else _joined(content))
        return added if self._filter.restarted and not restarted_before else text + added

    def take_restart(self) -> bool:
        """True once, after text that was given out turned out to be reasoning."""
        restarted, self._filter.restarted = self._filter.restarted, False
        return restarted

    def last(self, model: str, text: str = "", *, restart: bool = False) -> Delta:
        """The closing piece: what is left of the text after `text`, calls, finish reason, usage."""
        done = [parts.complete() for _, parts in sorted(self._calls.items())]
        faults = tuple(fault for _, fault in done)
        finish = self.finish
        if done:
            finish = "tool_calls"
        elif finish not in {"length", "content_filter"}:
            finish = "stop"
        return Delta(
            text=text + self._filter.finish(),
            restart=restart,
            calls=tuple(call for call, _ in done),
            faults=faults if any(faults) else (),
            finish=finish,
            usage=self.usage,
            model=model,
        )

    def _place(self, part: WireCall) -> _CallParts:
        index = part.index
        newest = max(self._calls, default=-1)
        if index is None:
            same = [at for at, parts in self._calls.items() if part.id and parts.id == part.id]
            index = same[0] if same else (newest + 1 if part.id or newest < 0 else newest)
        elif part.id and index in self._calls and self._calls[index].id not in {"", part.id}:
            index = newest + 1  # a server that numbers every parallel call 0
        if index not in self._calls:
            if len(self._calls) >= _CALLS_MAX:
                raise ValueError(f"the model asked for more than {_CALLS_MAX} tools at once")
            self._calls[index] = _CallParts()
        return self._calls[index]


def _joined(parts: list[Any]) -> str:
    """The text of content that comes in typed parts; parts of other types are reasoning."""
    texts: list[str] = []
    for part in parts:
        match part:
            case {"type": "text", "text": str(text)}:
                texts.append(text)
            case _:
                pass
    return "".join(texts)


def error_text(body: bytes) -> str:
    """What a server's error body says, in one line of at most 300 characters."""
    text = body.decode("utf-8", "replace")
    try:
        value: Any = msgspec.json.decode(body)
    except msgspec.DecodeError:
        value = None
    match value:
        case {"error": {"message": str(message)}}:
            text = message
        case {"error": str(message)} | {"message": str(message)} | {"detail": str(message)}:
            text = message
        case _:
            pass
    return " ".join(text.split())[:300]
