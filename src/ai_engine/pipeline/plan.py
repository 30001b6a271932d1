"""What the present configuration says, built whole and swapped whole."""

from collections.abc import Mapping
from dataclasses import dataclass

from ai_engine.assistant.assistant import Assistant
from ai_engine.channels.base import Capabilities, Channel, MediaStore
from ai_engine.config.schema import Config
from ai_engine.domain.skill import Tool
from ai_engine.policy.authorize import Policy
from ai_engine.routing.match import RoutingTable

_UNKNOWN = Capabilities(text_limit=2000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A turn takes one plan at its start and keeps it to its end."""

    config: Config
    routes: RoutingTable
    assistant: Assistant
    tools: Mapping[str, Tool]
    channels: Mapping[str, Channel]
    policy: Policy
    media: MediaStore

    def capabilities(self, channel: str) -> Capabilities:
        """Of a configured channel; modest ones when it is gone."""
        found = self.channels.get(channel)
        return found.capabilities if found else _UNKNOWN
