"""The simulated platforms by channel type; each is imported when it is first wanted."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final, cast

from ai_engine.simulators.base import Simulator

SIMULATED: Final = (
    "dingtalk",
    "wecom",
    "wecom_aibot",
    "feishu",
    "slack",
    "teams",
    "telegram",
    "mattermost",
)
"""Channel types with a simulator: packages of `simulators/` with `SIMULATOR` (the class) and
`build(auth, **common)`."""


def simulator_class(type_: str) -> type[Simulator]:
    """Raises KeyError: this type has no simulator."""
    if type_ not in SIMULATED:
        raise KeyError(type_)
    return cast("type[Simulator]", import_module(f"ai_engine.simulators.{type_}").SIMULATOR)


def build(type_: str, auth: Mapping[str, str], **common: Any) -> Simulator:
    """A simulator with these credentials (names of `auth` fields); what is missing is simulated.

    `common`: engine, channel, host, port, public_url, robot_name, clock, as the base class takes
    them.

    Raises:
        KeyError: this type has no simulator.
    """
    known = simulator_class(type_).auth_defaults
    full = {**known, **{name: value for name, value in auth.items() if value}}
    module = import_module(f"ai_engine.simulators.{type_}")
    return cast("Simulator", module.build(full, **common))
