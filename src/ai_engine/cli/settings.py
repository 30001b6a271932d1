"""Loads the configuration for a command, with what is installed here and the rules' checks."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ai_engine.channels.types import BUILT_IN

if TYPE_CHECKING:
    from ai_engine.config.load import Loaded, LoadOptions
    from ai_engine.config.schema import ChannelConfig, Rule
    from ai_engine.config.watch import LiveConfig


def load_options(*, env: str | None = None, allow_group_read: bool = False) -> "LoadOptions":
    """How every command and the engine read the configuration."""
    return {
        "env": env,
        "channel_types": BUILT_IN,
        "allow_group_read": allow_group_read,
        "check_rules": _wrong_rules,
        "warn_rules": _idle_rules,
        "check_channel": _look,
    }


def load_config(path: Path, *, env: str | None = None, allow_group_read: bool = False) -> "Loaded":
    """The configuration in `path`. Raises ConfigInvalid with every problem."""
    from ai_engine.config.load import load

    return load(path, **load_options(env=env, allow_group_read=allow_group_read))


def live_config(
    path: Path, *, env: str | None = None, allow_group_read: bool = False
) -> "LiveConfig":
    """The configuration in `path`, to be followed. Raises ConfigInvalid with every problem."""
    from ai_engine.config.watch import LiveConfig

    return LiveConfig(path, **load_options(env=env, allow_group_read=allow_group_read))


def _look(kind: str, settings: "ChannelConfig") -> list[tuple[tuple[str, ...], str, str, bool]]:
    """What a built-in connector finds wrong with its own settings."""
    from ai_engine.channels.about import findings
    from ai_engine.channels.types import about

    return [(each.key, each.what, each.fix, each.error) for each in findings(about(kind), settings)]


def _wrong_rules(rules: "Sequence[Rule]") -> list[tuple[int, str, str]]:
    from ai_engine.routing.check import check_rules

    idle = set(_idle_rules(rules))
    return [found for p in check_rules(rules) if (found := (p.at, p.what, p.fix)) not in idle]


def _idle_rules(rules: "Sequence[Rule]") -> list[tuple[int, str, str]]:
    """Rules that never win: allowed, since a catch-all above the others is a maintenance notice."""
    from ai_engine.routing.check import unreachable_rules

    return [(problem.at, problem.what, problem.fix) for problem in unreachable_rules(rules)]
