"""What the engine gives to a connector."""

from dataclasses import dataclass
from typing import Protocol

from ai_engine.channels.base import StoredReplies
from ai_engine.domain.clock import Clock
from ai_engine.domain.message import Media
from ai_engine.events.base import Events
from ai_engine.security.egress import Egress


class MediaStore(Protocol):
    """Contents by their hash, for a limited time. Implemented by `storage.media`."""

    async def put(self, content: bytes, *, name: str = "", mime: str = "") -> str:
        """Keep it; `blob:<hash>`. Raises TooLarge."""
        ...

    async def get(self, ref: str) -> Media | None:
        """By `blob:<hash>`; None when it is gone."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What the engine gives to a connector."""

    egress: Egress
    clock: Clock
    media: MediaStore
    stored: StoredReplies
    """This channel's answers by the platform's message id."""
    events: Events
