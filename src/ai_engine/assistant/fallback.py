"""Several models as one: each call goes to the first that can answer it."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from ai_engine.assistant.base import Delta, Model
from ai_engine.assistant.languages import scripts, speaks
from ai_engine.assistant.limits import CircuitBreaker
from ai_engine.assistant.messages import (
    content_text,
    has_images,
    newest_user,
    readable,
    without_tools,
)
from ai_engine.domain.errors import ModelFailed
from ai_engine.domain.message import Json


class FallbackChain:
    """Tries its models in order. A `Model` itself; the answer's last piece names who answered.

    A model is passed over for a message in a script that it does not speak, for images that it
    does not take, and while its breaker is open; of the history it is shown what it can read. When
    one fails within its answer, the next one begins the answer again (`Delta.restart`).
    """

    def __init__(self, models: Sequence[Model]) -> None:
        self._models = tuple(models)
        self.name = models[0].name if models else ""
        self.languages: Sequence[str] = tuple({code for m in models for code in m.languages})
        self.tools = any(model.tools for model in models)
        self.images = any(model.images for model in models)
        self._all_languages = all("*" in model.languages for model in models)

    async def stream(
        self, messages: Sequence[Json], tools: Sequence[Json]
    ) -> AsyncGenerator[Delta, None]:
        """See `Model.stream`.

        Raises:
            ModelFailed: `reason` none_configured; language, when that alone ruled every model
                out; refused, when the last that was asked refused; else unreachable.
        """
        able, failure = self._able(newest_user(messages))
        restart = False
        for model in able:
            if isinstance(model, CircuitBreaker) and model.open:
                failure = failure or ModelFailed(f"model {model.name!r}: kept failing just now")
                continue
            fitting = readable(messages, model.languages)
            fitting = fitting if model.tools else without_tools(fitting)
            try:
                async with aclosing(model.stream(fitting, tools if model.tools else ())) as pieces:
                    if restart:
                        yield Delta(restart=True)
                    async for piece in pieces:
                        restart = True
                        yield piece
            except ModelFailed as error:
                failure = error
            else:
                return
        raise failure or ModelFailed(
            "no model is configured", reason="none_configured", hint="add one under models"
        )

    async def close(self) -> None:
        """Close every model."""
        for model in self._models:
            await model.close()

    def _able(self, message: Json) -> tuple[list[Model], ModelFailed | None]:
        """The models that can take this message, or why there is none."""
        able = list(self._models)
        if not self._all_languages:
            needed = scripts(content_text(message.get("content")))
            able = [model for model in able if speaks(model.languages, needed)]
        if self._models and not able:
            needed = scripts(content_text(message.get("content")))
            names = ", ".join(sorted(needed))
            return [], ModelFailed(
                f"no configured model speaks the message's script ({names})",
                reason="language",
                hint="add a model whose languages cover it to assistant.fallbacks",
            )
        if able and has_images(message):
            able = [model for model in able if model.images]
            if not able:
                return [], ModelFailed("no configured model takes images", reason="refused")
        return able, None
