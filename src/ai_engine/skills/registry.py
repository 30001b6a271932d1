"""The skills that are on, by name: the built-in ones and whatever else is registered."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from ai_engine.config.schema import SkillsConfig
from ai_engine.domain.clock import Clock
from ai_engine.domain.errors import ConfigInvalid, Problem
from ai_engine.domain.skill import Tool
from ai_engine.security.egress import Egress


class Registry:
    """Tools by name. A tool that `enabled` does not name is known, but off."""

    def __init__(self, tools: Iterable[Tool] = (), *, enabled: Iterable[str] = ("*",)) -> None:
        self._enabled = frozenset(enabled)
        self._tools: dict[str, Tool] = {}
        for tool in tools:
            self.register(tool)

    def register(self, tool: Tool) -> None:
        """Add a tool. Raises ValueError when the name is taken."""
        if tool.name in self._tools:
            raise ValueError(f"a skill named {tool.name!r} is registered already")
        self._tools[tool.name] = tool

    def is_on(self, name: str) -> bool:
        """Whether the skill exists and is enabled."""
        return name in self._tools and ("*" in self._enabled or name in self._enabled)

    def get(self, name: str) -> Tool | None:
        """The tool, or None when there is none of that name or it is off."""
        return self._tools[name] if self.is_on(name) else None

    def names(self) -> tuple[str, ...]:
        """Every known name, also of skills that are off, in order of registration."""
        return tuple(self._tools)

    def unknown(self) -> tuple[str, ...]:
        """Names that `enabled` mentions and nobody registered, for the configuration check."""
        return tuple(sorted(self._enabled - {"*"} - self._tools.keys()))

    def __iter__(self) -> Iterator[Tool]:
        return (tool for name, tool in self._tools.items() if self.is_on(name))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.is_on(name)


def build_builtin(config: SkillsConfig, data_dir: Path, egress: Egress, clock: Clock) -> Registry:
    """The built-in skills, as configured. Reads no file and opens no connection.

    Raises:
        ConfigInvalid: the time zone is unknown.
    """
    from zoneinfo import ZoneInfo

    from ai_engine.skills.builtin.calendar import CalendarSkill
    from ai_engine.skills.builtin.weather import WeatherSkill

    try:
        timezone = ZoneInfo(config.timezone)
    except (KeyError, ValueError, OSError) as error:
        raise ConfigInvalid(
            [
                Problem(
                    where="$.skills.timezone",
                    what=f"{config.timezone!r} is not a time zone.",
                    fix="Use an IANA name such as Asia/Shanghai or Europe/Berlin.",
                )
            ]
        ) from error
    calendar_file = Path(config.calendar.file or "calendar.ics").expanduser()
    calendar = CalendarSkill(data_dir / calendar_file, timezone, clock)
    weather = WeatherSkill(config.weather, egress, clock, timezone)
    return Registry((*calendar.tools(), *weather.tools()), enabled=config.enabled)
