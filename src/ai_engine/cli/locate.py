"""Finds the configuration and the data directory that a command works on.

| | configuration | data |
|---|---|---|
| 1 | `--config` | `--data` |
| 2 | `AI_ENGINE_CONFIG` | `AI_ENGINE_DATA` |
| 3 | `./ai-engine.json` | `data` beside the configuration |
| 4 | `/etc/ai-engine/ai-engine.json` | `/var/lib/ai-engine` |

The configuration is the first that is named or exists; a named one that does not exist is an
error when it is read. Unless named, the data directory goes with the configuration: that of
`/etc/ai-engine` is `/var/lib/ai-engine`, that of any other lies beside it.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ai_engine.domain.errors import ConfigInvalid, Problem

FILE_NAME = "ai-engine.json"
SYSTEM_CONFIG = Path("/etc/ai-engine") / FILE_NAME
SYSTEM_DATA = Path("/var/lib/ai-engine")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a command works."""

    config: Path
    data: Path


def locate(
    config: Path | None = None,
    data: Path | None = None,
    *,
    environ: Mapping[str, str] = os.environ,
    folder: Path = Path(),
    system_config: Path = SYSTEM_CONFIG,
    system_data: Path = SYSTEM_DATA,
) -> Place:
    """The configuration file and the data directory. See the table above.

    Raises:
        ConfigInvalid: none is named and none exists.
    """
    candidates = (folder / FILE_NAME, system_config)
    found = config or _named("AI_ENGINE_CONFIG", environ)
    found = found or next((path for path in candidates if os.path.lexists(path)), None)
    if found is None:
        raise ConfigInvalid([_none_found(candidates)])
    named_data = data or _named("AI_ENGINE_DATA", environ)
    beside = system_data if found == system_config else found.parent / "data"
    return Place(config=found, data=named_data or beside)


def locate_data(
    config: Path | None = None,
    data: Path | None = None,
    *,
    environ: Mapping[str, str] = os.environ,
    folder: Path = Path(),
    system_config: Path = SYSTEM_CONFIG,
    system_data: Path = SYSTEM_DATA,
) -> Path:
    """The data directory alone; without any configuration `./data` or the system's, if there.

    Raises:
        ConfigInvalid: none is named and none exists.
    """
    if named := data or _named("AI_ENGINE_DATA", environ):
        return named
    try:
        place = locate(
            config,
            environ=environ,
            folder=folder,
            system_config=system_config,
            system_data=system_data,
        )
    except ConfigInvalid:
        for path in (folder / "data", system_data):
            if path.is_dir():
                return path
        raise
    return place.data


def _named(variable: str, environ: Mapping[str, str]) -> Path | None:
    value = environ.get(variable, "")
    return Path(value) if value else None


def _none_found(candidates: tuple[Path, ...]) -> Problem:
    looked = " and ".join(str(path) for path in candidates)
    return Problem(
        where="configuration",
        what=f"found none: --config and AI_ENGINE_CONFIG name none, and {looked} do not exist.",
        fix="Name one by --config FILE, or make one: ai-engine init",
    )
