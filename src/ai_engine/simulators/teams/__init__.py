"""The simulated Microsoft Teams."""

from collections.abc import Mapping
from typing import Any, Final

from ai_engine.simulators.teams.server import TeamsSimulator

SIMULATOR: Final = TeamsSimulator

__all__ = ["SIMULATOR", "TeamsSimulator", "build"]


def build(auth: Mapping[str, str], **common: Any) -> TeamsSimulator:
    """From credentials by their `auth` names."""
    return TeamsSimulator(
        app_id=auth["app_id"], app_secret=auth["app_secret"], tenant=auth["tenant"], **common
    )
