"""`ai-engine simulate`: local servers that speak a platform's API, with a chat page."""

import asyncio
import inspect
import json
import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import typer
import uvloop

from ai_engine.channels.about import is_secret
from ai_engine.channels.types import about
from ai_engine.simulators.base import Simulator
from ai_engine.simulators.types import SIMULATED, build, simulator_class

_COMMON: Final[dict[str, tuple[Any, Any]]] = {
    # name: (annotation, default)
    "port": (
        Annotated[int, typer.Option(min=0, max=65535, help="Where to listen; 0: a free port.")],
        8090,
    ),
    "engine": (
        Annotated[str, typer.Option(help="The engine's base URL, where it calls back.")],
        "",
    ),
    "channel": (
        Annotated[str, typer.Option(help="The channel's name in the engine's configuration.")],
        "",
    ),
    "host": (
        Annotated[str, typer.Option(help="Where to listen. Nothing is protected: keep loopback.")],
        "127.0.0.1",
    ),
    "public_url": (
        Annotated[
            str, typer.Option(help="Base URL that others are told, where it is not HOST:PORT's.")
        ],
        "",
    ),
    "robot_name": (Annotated[str, typer.Option(help="What people @ in groups.")], "AI助手"),
    "as_json": (
        Annotated[bool, typer.Option("--json", help="Print the addresses as JSON.")],
        False,
    ),
}

app = typer.Typer(
    help="Run a simulated chat platform: its API, its people, and a chat page.",
    no_args_is_help=True,
)


@app.callback()
def simulate() -> None:
    """Run a simulated chat platform: its API, its people, and a chat page."""


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _parameters(type_: str) -> list[inspect.Parameter]:
    """An option for each credential of the platform; secrets also from a variable or a file."""
    found: dict[str, tuple[Any, Any]] = {}
    for name, simulated in simulator_class(type_).auth_defaults.items():
        flag = name.replace("_", "-")
        meant = f"As auth.{name} of the channel. Default: {simulated or 'none'}"
        found[name] = (Annotated[str, typer.Option(help=meant)], "")
        if is_secret(name):
            meant = f"Environment variable that holds --{flag}."
            found[f"{name}_env"] = (Annotated[str, typer.Option(help=meant)], "")
            meant = f"File that holds --{flag}."
            found[f"{name}_file"] = (Annotated[Path | None, typer.Option(help=meant)], None)
    for general, names in _stand_ins(type_).items():
        meant = f"Stands in for {' and '.join(_flag(each) for each in names)}."
        found[general] = (Annotated[str, typer.Option(help=meant)], "")
    if _SERVER in about(type_).labels:
        meant = "As auth.url of the channel: what others are told, like --public-url."
        found[_SERVER] = (Annotated[str, typer.Option(help=meant)], "")
    return [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
        )
        for name, (annotation, default) in {**found, **_COMMON}.items()
    ]


_SERVER: Final = "url"
"""The `auth` field of a platform that has a server of one's own; the simulator is that server."""


def _stand_ins(type_: str) -> dict[str, list[str]]:
    """General names (`app_id`, `app_secret`) → the credentials that they stand in for here."""
    known = simulator_class(type_).auth_defaults
    found: dict[str, list[str]] = {}
    for name, general in about(type_).aliases.items():
        if general not in known and name in known:
            found.setdefault(general, []).append(name)
    return found


def _command(type_: str) -> Callable[..., None]:
    def run(**given: Any) -> None:
        common = {name: given.pop(name) for name in _COMMON}
        as_json = bool(common.pop("as_json"))
        common["public_url"] = common["public_url"] or given.pop(_SERVER, "")
        _run(type_, _credentials(type_, given), common, as_json=as_json)

    parameters = _parameters(type_)
    run.__doc__ = f"Simulate {about(type_).en}: its API, its people, and a chat page."
    run.__signature__ = inspect.Signature(parameters)  # pyright: ignore[reportFunctionMemberAccess]
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    return run


for _type in SIMULATED:
    app.command(_type.replace("_", "-"))(_command(_type))
    if "_" in _type:
        app.command(_type, hidden=True)(_command(_type))


def _run(type_: str, auth: Mapping[str, str], common: Mapping[str, Any], *, as_json: bool) -> None:
    for name in ("engine", "public_url"):
        url: str = common[name]
        if url and urlsplit(str(url)).scheme not in ("http", "https"):
            flag = f"--{name.replace('_', '-')}"
            raise typer.BadParameter(f"{url!r} is no http or https URL", param_hint=flag)
    simulator = build(type_, auth, **{**common, "channel": common["channel"] or type_})
    try:
        uvloop.run(_serve(type_, simulator, as_json=as_json))
    except OSError as error:
        typer.echo(
            f"Cannot listen on {common['host']}:{common['port']}: {error.strerror or error}. "
            "Stop what uses it, or choose another --port.",
            err=True,
        )
        raise typer.Exit(1) from error


def _credentials(type_: str, given: Mapping[str, Any]) -> dict[str, str]:
    found = {
        name: _value(name, given) if is_secret(name) else str(given[name])
        for name in simulator_class(type_).auth_defaults
    }
    for general, names in _stand_ins(type_).items():
        for name in names:
            found[name] = found[name] or str(given[general])
    return found


def _value(name: str, given: Mapping[str, Any]) -> str:
    """One secret, from its option, its variable or its file; empty when none is named."""
    flag = f"--{name.replace('_', '-')}"
    plain, variable, file = given[name], given[f"{name}_env"], given[f"{name}_file"]
    if sum(map(bool, (plain, variable, file))) > 1:
        raise typer.BadParameter(f"give at most one of {flag}, {flag}-env and {flag}-file")
    if variable:
        plain = os.environ.get(variable, "")
        if not plain:
            raise typer.BadParameter(
                f"the environment variable {variable} is not set", param_hint=f"{flag}-env"
            )
    if file:
        try:
            plain = file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise typer.BadParameter(
                f"{file} cannot be read: {error}", param_hint=f"{flag}-file"
            ) from error
        if not plain:
            raise typer.BadParameter(f"{file} is empty", param_hint=f"{flag}-file")
    return str(plain)


async def _serve(type_: str, simulator: Simulator, *, as_json: bool) -> None:
    """Serve until SIGTERM or SIGINT."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with simulator:
        info = simulator.info()
        endpoints: dict[str, str] = info.get("endpoints", {})
        addresses = {
            "page": f"{simulator.url}/",
            **endpoints,
            "control": f"{simulator.url}/sim/info",
            "callbacks": info.get("callback_url", ""),
        }
        shown = json.dumps(addresses) if as_json else _described(type_, addresses, endpoints)
        typer.echo(shown)
        await stopped.wait()


def _described(type_: str, addresses: Mapping[str, str], endpoints: Mapping[str, str]) -> str:
    platform = about(type_)
    lines = [f"{platform.en}, simulated · 模拟{platform.zh}"]
    lines.append(f"  chat page · 聊天页面    {addresses['page']}")
    lines += [f"  {f'endpoints.{name}':<22} {url}" for name, url in endpoints.items()]
    lines.append(f"  control API            {addresses['control']}")
    lines.append(
        f"  messages go to         {addresses['callbacks'] or 'long connections only · 仅长连接'}"
    )
    lines.append("Ctrl+C ends it. · 按 Ctrl+C 结束。")
    return "\n".join(lines)
