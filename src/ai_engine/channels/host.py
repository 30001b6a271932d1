"""What the engine gives to a connector."""

from dataclasses import dataclass

from ai_engine.channels.base import MediaStore, Notes, StoredReplies
from ai_engine.domain.clock import Clock
from ai_engine.events.base import Events
from ai_engine.security.egress import Egress


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What the engine gives to a connector."""

    egress: Egress
    clock: Clock
    media: MediaStore
    stored: StoredReplies
    """This channel's answers by the platform's message id."""
    notes: Notes
    """This channel's own."""
    events: Events
