"""The knobs that only Teams has."""

from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec

from ai_engine.simulators.faults import Faults, Seconds


@dataclass(slots=True, kw_only=True)
class TeamsFaults(Faults):
    """`Faults` and what Teams adds. `wrong_secret` signs with a key that is not the published one;
    `clock_skew_seconds` shifts the token's times."""

    no_authorization: bool = False
    """Activities come without an Authorization header."""
    wrong_audience: bool = False
    """Tokens are for another app."""
    wrong_issuer: bool = False
    """Tokens are another issuer's."""
    wrong_service_claim: bool = False
    """The token's `serviceurl` is not the activity's."""
    unknown_kid: bool = False
    """Tokens name a key that is not published."""
    algorithm: Literal["RS256", "RS384", "RS512", "HS256", "none"] = "RS256"
    """How tokens are signed."""
    not_endorsed: bool = False
    """The published key is endorsed for another channel only."""
    keys_down: bool = False
    """The OpenID metadata is answered 503."""
    service_url: Annotated[str, msgspec.Meta(max_length=2048)] = ""
    """Claimed, in token and activity, in place of the real service URL."""
    channel_id: Annotated[str, msgspec.Meta(max_length=200)] = ""
    """Activities come from this channel of Bot Framework, such as `webchat`."""
    tenant: Annotated[str, msgspec.Meta(max_length=200)] = ""
    """Activities come from this tenant."""
    token_seconds: float = 3599.0
    """Life of an access token."""
    login_refused: bool = False
    """The login answers `invalid_client`."""
    not_installed: bool = False
    """Calls of the connector API are answered 403 BotNotInConversationRoster."""
    not_found: bool = False
    """Answers to an activity find it deleted: 404."""
    rate_limits: bool = False
    """A conversation takes 7 messages a second and 60 in 30 s, as Teams documents it; then 429."""
    streaming_forbidden: bool = False
    """No stream may be opened."""
    stream_gap_seconds: Seconds = 1.0
    """The least time between two requests of one stream; sooner ones are answered 429."""
    stream_seconds: Seconds = 120.0
    """How long a stream may last."""
    old_client: bool = False
    """People use a client that knows only `Action.Submit`: a pressed button is a message."""
