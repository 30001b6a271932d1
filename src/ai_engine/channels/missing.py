"""A channel whose connector plugin is not installed: it says so, and how to mend it."""

from ai_engine.channels.about import About
from ai_engine.channels.base import (
    Accept,
    Capabilities,
    Outgoing,
    Status,
    WebhookRequest,
    WebhookResponse,
)
from ai_engine.channels.connector import Connector
from ai_engine.channels.host import Host
from ai_engine.config.schema import ChannelConfig
from ai_engine.domain.errors import NotFound, SendRetryable


class MissingChannel(Connector):
    """Takes the place of a channel that cannot be built; replies to it wait."""

    capabilities = Capabilities(text_limit=4000)

    def __init__(
        self, name: str, type_: str, config: ChannelConfig, host: Host, known: tuple[str, ...]
    ) -> None:
        super().__init__(About(type=type_, zh=type_, en=type_), name, config, host)
        self.problems = [
            f"no connector for the type {type_!r} is installed: install a plugin that provides "
            f"it, or set `type` to one of {', '.join(known)}"
        ]

    async def start(self) -> None:
        """Said already when the configuration was read."""

    async def webhook(self, request: WebhookRequest, accept: Accept) -> WebhookResponse:
        """Always refused."""
        raise NotFound(f"channel {self.name!r} is not available", hint=self.problems[0])

    async def send(self, outgoing: Outgoing) -> None:
        """Kept for when the plugin is there."""
        raise SendRetryable(self.problems[0], retry_after_seconds=300)

    def status(self) -> Status:
        return Status(state="plugin_missing", detail=self.problems[0], connected=False)
