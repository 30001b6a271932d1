"""`ai-engine channels`: connections to chat platforms."""

from typing import Any, Final

import typer

from ai_engine.channels.types import BUILT_IN
from ai_engine.cli.locate import locate
from ai_engine.cli.options import ConfigOption, DataOption, EnvOption, JsonOption
from ai_engine.cli.output import failing, print_json, say, table
from ai_engine.cli.reach import call, running_url
from ai_engine.cli.settings import load_config
from ai_engine.config.schema import ChannelConfig

WEBCHAT: Final = "webchat"
"""Always there, unless the configuration turns it off."""

app = typer.Typer(help="Connections to chat platforms.", no_args_is_help=True)


@app.callback()
def channels() -> None:
    """Connections to chat platforms."""


@app.command("list")
@failing
def list_channels(
    config: ConfigOption = None,
    data: DataOption = None,
    env: EnvOption = None,
    as_json: JsonOption = False,
) -> None:
    """Every channel: its state when an engine runs, else what the configuration says."""
    place = locate(config, data)
    url = running_url(place.data)
    if url is not None:
        found = call(url, place.data, "channels")
        source = f"engine at {url}"
    else:
        found = _configured(place.config, env)
        source = f"{place.config} (no engine runs on {place.data})"
    if as_json:
        print_json(found)
        return
    table(
        ("name", "type", "state", "last event", "detail"),
        [(c["name"], c["type"], c["state"], _age(c), c["detail"]) for c in found],
    )
    say(f"from {source}", style="dim")


def _age(channel: dict[str, Any]) -> str:
    age = channel.get("last_event_age_seconds")
    return "" if age is None else f"{age:.0f} s ago"


def _configured(path: Any, env: str | None) -> list[dict[str, Any]]:
    settings = load_config(path, env=env).config
    implied = {} if WEBCHAT in settings.channels else {WEBCHAT: ChannelConfig(type=WEBCHAT)}
    return [
        {
            "name": name,
            "type": channel.type,
            "state": _state(channel.enabled, channel.type),
            "detail": "" if channel.type in BUILT_IN else "its plugin is not installed",
            "last_event_age_seconds": None,
            "connected": False,
        }
        for name, channel in {**settings.channels, **implied}.items()
    ]


def _state(enabled: bool, kind: str) -> str:
    if not enabled:
        return "off"
    return "not running" if kind in BUILT_IN else "plugin_missing"
