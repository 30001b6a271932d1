"""`ai-engine channels`: connections to chat platforms."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from ai_engine.channels.quality import grade
from ai_engine.channels.types import BUILT_IN, about
from ai_engine.cli.locate import locate
from ai_engine.cli.options import ConfigOption, DataOption, EnvOption, JsonOption
from ai_engine.cli.output import Exit, failing, print_json, say, show_problems, table
from ai_engine.cli.reach import call, running_url, segment
from ai_engine.cli.settings import load_config
from ai_engine.config.schema import ChannelConfig
from ai_engine.domain.errors import NotFound, Problem

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
        ("name", "type", "grade", "state", "last event", "detail"),
        [(c["name"], c["type"], c["grade"], c["state"], _age(c), c["detail"]) for c in found],
    )
    say(f"from {source}", style="dim")


@app.command()
@failing
def permissions(
    kind: Annotated[str, typer.Argument(help="The channel type, such as dingtalk.")],
    as_json: JsonOption = False,
) -> None:
    """What a connector must be allowed on its platform, why, and where that is granted."""
    try:
        found = about(kind.replace("-", "_"))
    except KeyError:
        raise NotFound(
            f"there is no connector {kind!r}", hint=f"one of {', '.join(BUILT_IN)}"
        ) from None
    if as_json:
        print_json([asdict(each) for each in found.permissions])
        return
    if not found.permissions:
        say(f"{found.en} · {found.zh}: no permissions to grant")
        return
    table(
        ("permission", "for", "why", "where"),
        [(p.name, p.needed, f"{p.en}\n{p.zh}", p.page) for p in found.permissions],
    )
    if found.console:
        say(found.console, style="dim")


@app.command()
@failing
def test(
    name: Annotated[str, typer.Argument(help="The channel's name.")],
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Call the platform once with the channel's credentials, through the running engine."""
    _tell(name, _through_engine(config, data, name, "check"), as_json=as_json)


@app.command()
@failing
def register(
    name: Annotated[str, typer.Argument(help="The channel's name.")],
    url: Annotated[
        str, typer.Option(help="The engine's public base URL, such as https://ai.example.com.")
    ],
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell the platform where to call the channel, through the running engine. Platforms that take
    this address in their console only are named, with what to enter there."""
    _tell(name, _through_engine(config, data, name, "register", {"url": url}), as_json=as_json)


def _through_engine(
    config: Path | None, data: Path | None, name: str, what: str, body: Any = None
) -> dict[str, Any]:
    place = locate(config, data)
    url = running_url(place.data)
    if url is None:
        raise NotFound(f"no engine runs on {place.data}", hint="start it: ai-engine serve")
    return call(url, place.data, f"channels/{segment(name)}/{what}", method="POST", body=body)


def _tell(name: str, found: dict[str, Any], *, as_json: bool) -> None:
    """What the platform said. Raises Exit: it did not do it."""
    if as_json:
        print_json(found)
    elif found["ok"]:
        say(f"{name}: {found['said']}", style="green")
    else:
        show_problems([Problem(where=name, what=found["said"], fix=found["hint"])])
    if not found["ok"]:
        raise typer.Exit(Exit.FAILED)


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
            "grade": grade(channel.type),
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
