"""`ai-engine verify`: try a channel from end to end before people do."""

import logging
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ai_engine import __version__
from ai_engine.cli.locate import locate
from ai_engine.cli.options import ConfigOption, EnvOption, JsonOption
from ai_engine.cli.output import Exit, console, failing, print_json, say
from ai_engine.config.schema import ChannelConfig
from ai_engine.domain.errors import NotFound

if TYPE_CHECKING:
    from ai_engine.cli.verification.checks import Result
    from ai_engine.cli.verification.report import Report


@failing
def verify(
    channel: Annotated[
        str, typer.Argument(help="A configured channel. Without: all that can be simulated.")
    ] = "",
    kind: Annotated[
        str, typer.Option("--type", help="A channel type instead, with simulated credentials.")
    ] = "",
    mode: Annotated[str, typer.Option(help="With --type: webhook, stream or poll.")] = "",
    only: Annotated[
        str, typer.Option(help="Checks to run, by their ids, with commas: text,card.")
    ] = "",
    html: Annotated[Path | None, typer.Option(help="Write the report as a page, too.")] = None,
    config: ConfigOption = None,
    env: EnvOption = None,
    as_json: JsonOption = False,
) -> None:
    """Try channels against a simulated platform: text, groups, cards, buttons, streams, several
    skills in one turn, and what goes wrong (network cut, time-out, duplicate, bad signature,
    expired token, throttling). The engine that runs is not touched.
    """
    import uvloop

    logging.getLogger("ai_engine").setLevel(logging.CRITICAL)  # faults are provoked here
    wanted = [(kind, _simulated(kind, mode))] if kind else _configured(channel, config, env)
    reports = uvloop.run(_all(wanted, only, quiet=as_json))
    from ai_engine.cli.verification.report import as_data, as_html

    at = datetime.now().astimezone().isoformat(timespec="seconds")
    if html is not None:
        html.write_text(as_html(reports, at, __version__), encoding="utf-8")
    if as_json:
        print_json(as_data(reports, at, __version__))
    elif html is not None:
        say(f"report: {html}", style="dim")
    if not all(report.ok for report in reports):
        raise typer.Exit(Exit.FAILED)


def _simulated(kind: str, mode: str) -> ChannelConfig:
    return ChannelConfig.model_validate({"type": kind, **({"mode": mode} if mode else {})})


def _configured(
    channel: str, config: Path | None, env: str | None
) -> list[tuple[str, ChannelConfig]]:
    from ai_engine.channels.types import type_of
    from ai_engine.cli.settings import load_config
    from ai_engine.simulators.types import SIMULATED

    found = load_config(locate(config, None).config, env=env).config.channels
    if channel:
        if channel not in found:
            raise NotFound(
                f"there is no channel {channel!r}", hint=f"configured: {', '.join(found) or 'none'}"
            )
        return [(channel, found[channel])]
    able = [
        (name, each)
        for name, each in found.items()
        if each.enabled and type_of(name, each) in SIMULATED
    ]
    if not able:
        raise NotFound(
            "no configured channel has a simulator",
            hint=f"ai-engine verify --type {SIMULATED[0]} tries one with simulated credentials",
        )
    return able


async def _all(
    wanted: list[tuple[str, ChannelConfig]], only: str, *, quiet: bool
) -> "list[Report]":
    from ai_engine.channels.about import mode_of
    from ai_engine.channels.types import about, type_of
    from ai_engine.cli.verification import checks
    from ai_engine.cli.verification.report import Report
    from ai_engine.cli.verification.world import world
    from ai_engine.domain.clock import SystemClock

    chosen = _chosen(only)
    reports: list[Report] = []
    for name, settings in wanted:
        kind = type_of(name, settings)
        results: list[Result] = []
        async with world(kind, settings) as made:
            if not quiet:
                _head(name, kind, made.mode)
            for check in chosen:
                results.append(await checks.run(check, made, SystemClock()))
                if not quiet:
                    _line(results[-1])
        mode = mode_of(about(kind), settings)
        reports.append(Report(channel=name, type=kind, mode=mode, results=tuple(results)))
    return reports


def _chosen(only: str) -> Any:
    from ai_engine.cli.verification.checks import CHECKS

    names = [name.strip() for name in only.split(",") if name.strip()]
    known = {check.id: check for check in CHECKS}
    if unknown := [name for name in names if name not in known]:
        raise typer.BadParameter(
            f"no check {unknown[0]!r}; there are {', '.join(known)}", param_hint="--only"
        )
    return [known[name] for name in names] or CHECKS


def _head(name: str, kind: str, mode: str) -> None:
    shown = kind if name == kind else f"{name} ({kind})"
    say()
    say(f"{shown}{f', {mode}' if mode else ''}", style="bold")


def _line(result: "Result") -> None:
    from rich.text import Text

    from ai_engine.cli.verification.report import SIGNS

    styles = {"passed": "green", "failed": "bold red", "skipped": "dim"}
    style = styles[result.outcome]
    line = Text.assemble(
        (f"  {SIGNS[result.outcome]} ", style),
        (f"{result.en} · {result.zh}", "" if result.outcome == "passed" else style),
    )
    line.append(f"  {result.detail} ({result.seconds:.1f} s)", "dim")
    console().print(line, soft_wrap=True)
