"""`ai-engine skills`: what the assistant can do."""

from pathlib import Path
from typing import Any

import typer

from ai_engine.cli.locate import locate
from ai_engine.cli.options import ConfigOption, DataOption, EnvOption, JsonOption
from ai_engine.cli.output import failing, print_json, say, table
from ai_engine.cli.settings import load_config

app = typer.Typer(help="What the assistant can do.", no_args_is_help=True)


@app.callback()
def skills() -> None:
    """What the assistant can do."""


@app.command("list")
@failing
def list_skills(
    config: ConfigOption = None,
    data: DataOption = None,
    env: EnvOption = None,
    as_json: JsonOption = False,
) -> None:
    """Skills that are on, with the permission each one needs."""
    place = locate(config, data)
    found = _skills(load_config(place.config, env=env).config, place.data)
    if as_json:
        print_json(found)
        return
    table(
        ("skill", "permission", "reads only", "asks first", "what it does"),
        [
            (
                s["name"],
                s["permission"],
                "yes" if s["read_only"] else "no",
                "yes" if s["ask_first"] else "no",
                s["description"].splitlines()[0],
            )
            for s in found
        ],
    )
    say(f"{len(found)} skill{'s' * (len(found) != 1)}, from {place.config}", style="dim")


def _skills(settings: Any, data: Path) -> list[dict[str, Any]]:
    from ai_engine.domain.clock import SystemClock
    from ai_engine.security.egress import Egress
    from ai_engine.skills.registry import build_builtin

    return [
        {
            "name": tool.name,
            "description": tool.description,
            "permission": tool.permission,
            "read_only": tool.read_only,
            "idempotent": tool.idempotent,
            "ask_first": tool.ask_first,
            "timeout_seconds": tool.timeout_seconds,
            "parameters": tool.parameters,
        }
        for tool in build_builtin(settings.skills, data, Egress(), SystemClock())
    ]
