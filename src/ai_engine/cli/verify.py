"""`ai-engine verify`: try a channel from end to end before people do."""

import logging
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

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
    live: Annotated[
        bool, typer.Option("--live", help="On the real platform: it says what to write.")
    ] = False,
    wait: Annotated[
        float, typer.Option(min=1, max=3600, help="With --live: seconds for each step.")
    ] = 120.0,
    host: Annotated[str, typer.Option(help="With --live: where the platform's calls arrive.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="With --live: its port.")] = 8080,
    config: ConfigOption = None,
    env: EnvOption = None,
    as_json: JsonOption = False,
) -> None:
    """Try channels against a simulated platform: text, groups, cards, buttons, streams, several
    skills in one turn, and what goes wrong (network cut, time-out, duplicate, bad signature,
    expired token, throttling). The engine that runs is not touched.

    With --live one configured channel is tried on its real platform: stop the engine first, and do
    what the command says.
    """
    import uvloop

    logging.getLogger("ai_engine").setLevel(logging.CRITICAL)  # faults are provoked here
    if live:
        if not channel:
            raise typer.BadParameter("name the channel to try", param_hint="--live")
        name, settings = _configured(channel, config, env)[0]
        alive = _Live(name, settings, host, port, wait, only)
        reports = uvloop.run(_on_platform(alive, quiet=as_json))
    else:
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


class _Live(NamedTuple):
    name: str
    settings: ChannelConfig
    host: str
    port: int
    wait: float
    only: str


async def _on_platform(asked: _Live, *, quiet: bool) -> "list[Report]":
    from ai_engine.channels.about import mode_of
    from ai_engine.channels.types import about, type_of
    from ai_engine.cli.server import Listener
    from ai_engine.cli.verification import live
    from ai_engine.cli.verification.report import Report
    from ai_engine.domain.clock import SystemClock

    kind = type_of(asked.name, asked.settings)
    mode = mode_of(about(kind), asked.settings)
    only = _names(asked.only, [step for step, *_ in live.STEPS])

    def tell(zh: str, en: str) -> None:
        typer.echo(f"→ {en}\n  {zh}", err=True)

    if not quiet:
        _head(asked.name, kind, mode)
        if kind == "email":
            say("  Leave the subjects empty. · 邮件主题留空。")
    listener = Listener(host=asked.host, port=asked.port)
    connected = live.connected(asked.name, asked.settings, listener, tell, asked.wait)
    async with connected as made:
        told = _unsaid if quiet else _line
        results = await live.run(made, told, SystemClock(), only)
    return [Report(channel=asked.name, type=kind, mode=mode, results=results)]


def _unsaid(_: "Result") -> None:
    """The JSON report says it."""


def _names(only: str, known: Iterable[str]) -> tuple[str, ...]:
    names = tuple(name.strip() for name in only.split(",") if name.strip())
    if unknown := [name for name in names if name not in known]:
        raise typer.BadParameter(
            f"no check {unknown[0]!r}; there are {', '.join(known)}", param_hint="--only"
        )
    return names


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
            hint="--live tries a channel on its real platform; "
            f"--type {SIMULATED[0]} one with simulated credentials",
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

    known = {check.id: check for check in CHECKS}
    names = _names(only, known)
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
