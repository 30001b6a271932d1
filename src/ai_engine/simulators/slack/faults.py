"""The knobs that only Slack has."""

from dataclasses import dataclass

from ai_engine.simulators.faults import Count, Faults, Seconds


@dataclass(slots=True, kw_only=True)
class SlackFaults(Faults):
    """`Faults` and what Slack adds. `expired_token` answers `token_expired`."""

    missing_scope: str = ""
    """Calls that need this scope are answered `missing_scope`; `x-oauth-scopes` leaves it out."""
    token_revoked: bool = False
    """Calls are answered `token_revoked`."""
    retry_after_seconds: Count = 1
    """What `Retry-After` says to a throttled call."""
    streaming_refused: bool = False
    """`chat.startStream` is answered `channel_type_not_supported`."""
    stream_seconds: Seconds = 300.0
    """After so long Slack ends a stream by itself: `message_not_in_streaming_state`."""
    edits_refused: bool = False
    """`chat.update` is answered `cant_update_message`."""
    blocks_refused: bool = False
    """Messages with blocks are answered `invalid_blocks`."""
    not_in_channel: bool = False
    """Posts into channels are answered `not_in_channel`."""
    no_authorizations: bool = False
    """Events come without `authorizations`, so that only `auth.test` tells who the bot is."""
    other_team: str = ""
    """People write from this workspace, through a channel that is shared with it."""
