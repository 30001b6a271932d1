"""A channel whose connector plugin is not installed: it says so, and how to mend it."""

from ai_engine.channels.base import (
    Accept,
    Capabilities,
    Outgoing,
    Status,
    WebhookRequest,
    WebhookResponse,
)
from ai_engine.domain.errors import NotFound, SendRetryable
from ai_engine.domain.message import Json


class MissingChannel:
    """Takes the place of a channel that cannot be built; replies to it wait."""

    capabilities = Capabilities(text_limit=4000)

    def __init__(self, name: str, type_: str, known: tuple[str, ...]) -> None:
        self.name = name
        self.type = type_
        self._detail = (
            f"no connector for the type {type_!r} is installed: install a plugin that provides "
            f"it, or set `type` to one of {', '.join(known)}"
        )

    async def start(self) -> None:
        """Nothing to open."""

    async def webhook(self, request: WebhookRequest, accept: Accept) -> WebhookResponse:
        """Always refused."""
        raise NotFound(f"channel {self.name!r} is not available", hint=self._detail)

    async def run(self, accept: Accept) -> None:
        """No connection."""

    async def send(self, outgoing: Outgoing) -> None:
        """Kept for when the plugin is there."""
        raise SendRetryable(self._detail, retry_after_seconds=300)

    async def open_stream(self, target: Json, key: str) -> Json | None:
        return None

    async def update(self, handle: Json, text: str) -> None:
        """Nothing to update."""

    async def finish(self, handle: Json, outgoing: Outgoing) -> None:
        await self.send(outgoing)

    def status(self) -> Status:
        return Status(state="plugin_missing", detail=self._detail, connected=False)

    async def close(self) -> None:
        """Nothing to close."""
