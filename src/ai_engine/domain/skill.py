"""Tools as the assistant and the rules see them, whoever provides them."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from ai_engine.domain.message import Attachment, InboundMessage, Json
from ai_engine.domain.reply import Card

_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff]")
_LATIN = re.compile("[A-Za-z]")


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    id: str
    name: str
    arguments: Json = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolResult:
    """What a tool answered; an error is a text that the model (or the person) can act upon."""

    text: str
    error: bool = False
    card: Card | None = None
    media: tuple[Attachment, ...] = ()
    """Images and files for the person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolContext:
    """What a tool may know of the turn that calls it."""

    message: InboundMessage
    idempotency_key: str
    """`<turn>/<call>`: the same when the call is repeated after a crash."""
    language: str
    """zh | en: the language to answer in."""
    params: Json = field(default_factory=dict[str, Any])
    """The session's remembered parameters (`context.params`)."""


Invoke = Callable[[Json, ToolContext], Awaitable[ToolResult]]
FromText = Callable[[str, ToolContext], Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """One callable thing with its schema and its rules."""

    name: str
    description: str
    parameters: Json
    """JSON Schema of the arguments, an object schema."""
    invoke: Invoke
    permission: str
    """What the sender must be allowed, such as `skill:calendar_query.use`."""
    read_only: bool = False
    """True: needs no checkpoint, may be repeated freely."""
    idempotent: bool = False
    """True: may be repeated with the same idempotency key and has its effect once."""
    ask_first: bool = False
    """True: the person must say yes before each call."""
    timeout_seconds: float = 30.0
    from_text: FromText | None = None
    """Arguments from a person's words, so that a rule can trigger it without a model."""
    title: str = ""
    """For people, in /help; the description is for the model."""
    title_zh: str = ""


def spoken_language(text: str, default: str = "en") -> str:
    """`zh` when the text holds a Han character, `en` when it holds a Latin letter.

    Else, and for a bare command such as `/help`, `default`.
    """
    if not text.isascii() and _HAN.search(text):
        return "zh"
    bare_command = text.startswith("/") and " " not in text.strip()
    return "en" if not bare_command and _LATIN.search(text) else default
