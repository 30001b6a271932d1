"""The simulated Mattermost."""

from collections.abc import Mapping
from typing import Any, Final

from ai_engine.simulators.mattermost.server import MattermostSimulator

SIMULATOR: Final = MattermostSimulator

__all__ = ["SIMULATOR", "MattermostSimulator", "build"]


def build(auth: Mapping[str, str], **common: Any) -> MattermostSimulator:
    """From credentials by their `auth` names."""
    simulated = MattermostSimulator.auth_defaults
    token, hook = auth["token"], auth["webhook_token"]
    if hook == simulated["webhook_token"] and token != simulated["token"]:
        hook = token  # one token was named: it stands for both
    return MattermostSimulator(token=token, webhook_token=hook, **common)
