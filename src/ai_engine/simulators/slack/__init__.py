"""The simulated Slack."""

from collections.abc import Mapping
from typing import Any, Final

from ai_engine.simulators.slack.server import SlackSimulator

SIMULATOR: Final = SlackSimulator

__all__ = ["SIMULATOR", "SlackSimulator", "build"]


def build(auth: Mapping[str, str], **common: Any) -> SlackSimulator:
    """From credentials by their `auth` names."""
    return SlackSimulator(
        bot_token=auth["bot_token"],
        signing_secret=auth["signing_secret"],
        app_token=auth["app_token"],
        **common,
    )
