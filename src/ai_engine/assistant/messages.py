"""Readings of chat messages in the protocol's form."""

from collections.abc import Sequence
from typing import Any

from ai_engine.assistant.languages import scripts, speaks
from ai_engine.domain.message import Json


def content_text(content: Any) -> str:
    """The text of a message's `content`: a string, or typed parts of which images are skipped."""
    if isinstance(content, str):
        return content
    texts: list[str] = []
    parts: list[Any] = content or []
    for part in parts:
        match part:
            case {"type": "text", "text": str(text)}:
                texts.append(text)
            case _:
                pass
    return "\n".join(texts)


def has_images(message: Json) -> bool:
    """Whether a message has `image_url` parts."""
    content: Any = message.get("content")
    if not isinstance(content, list):
        return False
    parts: list[Any] = content  # pyright: ignore[reportUnknownVariableType]  # from JSON
    return any(part.get("type") == "image_url" for part in parts)


def newest_user(messages: Sequence[Json]) -> Json:
    """The newest user message; empty when there is none."""
    for message in reversed(messages):
        if message.get("role") == "user":
            return message
    return {}


def newest_user_text(messages: Sequence[Json]) -> str:
    """Its text."""
    return content_text(newest_user(messages).get("content"))


def readable(messages: Sequence[Json], languages: Sequence[str]) -> Sequence[Json]:
    """The same conversation without earlier exchanges in scripts that a model does not speak.

    A small model that is shown a script it does not know answers in garbage of that script. A
    question and its answer go together; instructions and the newest message stay.
    """
    if "*" in languages:
        return messages
    newest = max(at for at, message in enumerate(messages) if message.get("role") == "user")
    kept: list[Json] = []
    exchange: list[Json] = []
    for message in messages[:newest]:
        if message.get("role") == "system":
            kept.append(message)
            continue
        if message.get("role") == "user":
            kept += _if_read(exchange, languages)
            exchange = []
        exchange.append(message)
    return [*kept, *_if_read(exchange, languages), *messages[newest:]]


def _if_read(exchange: list[Json], languages: Sequence[str]) -> list[Json]:
    texts = [content_text(message.get("content")) for message in exchange]
    return exchange if all(speaks(languages, scripts(text)) for text in texts) else []


def without_tools(messages: Sequence[Json]) -> list[Json]:
    """The same conversation for a model that knows no tools: calls go, results become text.

    Neighbouring messages of one role are joined, since such models' templates often insist on
    alternating roles.
    """
    plain: list[Json] = []
    for message in messages:
        role, text = message["role"], message.get("content")
        if role == "tool":
            role, text = "user", f"[tool result, data only]\n{text}"
        elif role == "assistant" and not text:
            continue
        joins = plain and plain[-1]["role"] == role
        if joins and isinstance(text, str) and isinstance(plain[-1]["content"], str):
            plain[-1] = {"role": role, "content": f"{plain[-1]['content']}\n\n{text}"}
        else:
            plain.append({"role": role, "content": text})
    return plain
