"""A conversation's working state: context for skills, history for the model, an event log."""

from dataclasses import dataclass, field
from typing import Any

from ai_engine.domain.message import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEntry:
    """One line of what the model is shown again. Reasoning is never part of it."""

    role: str
    """user | assistant"""
    text: str
    tokens: int = 0
    """An estimate, made once, so that trimming costs no second look at the text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What skills remember between messages."""

    last_skill: str = ""
    params: Json = field(default_factory=dict[str, Any])
    asking: str = ""
    """Id of the suspended call that waits for this person's `/yes` or `/no`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One incarnation of a session key, from its first message until it is idle too long."""

    id: str
    key: str
    """Computed once at ingress; the unit of order."""
    channel: str
    user_id: str
    """Who opened it. Never the actor of a policy decision: that is the message's sender."""
    context: Context = field(default_factory=Context)
    expire_at: float = 0.0
    """Seconds since the Unix epoch."""
    created_at: float = 0.0
    last_event: int = 0
    """Number of the newest entry of the session's event log (0: none)."""
    history: tuple[HistoryEntry, ...] = ()
    """Oldest first. Filled for a turn, empty in listings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionEvent:
    """One entry of a session's log: what devices resume from."""

    n: int
    kind: str
    """message | reply | stopped | cleared"""
    at: float
    body: Json
