"""The knobs that only WeCom's AI robots have."""

from dataclasses import dataclass

from ai_engine.simulators.faults import Count, Faults, Seconds


@dataclass(slots=True, kw_only=True)
class AibotFaults(Faults):
    """`Faults` and what the robot adds. Robots have no access tokens: `expired_token` makes so many
    reply addresses expire."""

    poll_seconds: Seconds = 0.5
    """Between two questions for an open stream."""
    no_polls: bool = False
    """An open stream is never asked for."""
    stream_seconds: Seconds = 360.0
    """How long a stream may stay open."""
    response_url_seconds: float = 3600.0
    """Life of a message's reply address; 0 or less issues one that has expired already."""
    media_seconds: float = 300.0
    """Life of a file's address."""
    callback_attempts: Count = 3
    """How often a message is sent that the robot does not answer with 200."""
    chat_per_minute: Count = 30
    """Replies and pushes in one chat over the WebSocket before errcode 45009 (0: no limit)."""
    refreshes_count: bool = False
    """Whether each refresh of a stream counts as a reply; WeCom's documentation does not say."""
    reply_errcode: int = 0
    """Refuse answers over the WebSocket and by reply address with this errcode."""
    silent_pings: bool = False
    """Pings are not answered."""
