"""`ai-engine simulate`: local servers that speak a platform's API, with a chat page."""

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer
import uvloop

from ai_engine.simulators.dingtalk import DingTalkSimulator

AppId = Annotated[str, typer.Option(help="The app's client id, also its robot code.")]
Port = Annotated[int, typer.Option(min=0, max=65535, help="Where to listen; 0 takes a free port.")]
Secret = Annotated[str, typer.Option(help="The app's secret. It is a simulated one: choose any.")]
SecretEnv = Annotated[str, typer.Option(help="Environment variable that holds the secret.")]
SecretFile = Annotated[Path | None, typer.Option(help="File that holds the secret.")]
EngineUrl = Annotated[
    str, typer.Option(help="The engine's base URL; without it only Stream mode works.")
]
Channel = Annotated[str, typer.Option(help="The channel's name in the engine's configuration.")]
Host = Annotated[
    str, typer.Option(help="Address to listen on. Nothing here is protected: keep loopback.")
]
PublicUrl = Annotated[
    str, typer.Option(help="Base URL that others are told, where it is not http://HOST:PORT.")
]
RobotName = Annotated[str, typer.Option(help="What people @ in groups.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the addresses as JSON.")]

app = typer.Typer(
    help="Run a simulated chat platform: its API, its people, and a chat page.",
    no_args_is_help=True,
)


@app.callback()
def simulate() -> None:
    """Run a simulated chat platform: its API, its people, and a chat page."""


@app.command()
def dingtalk(
    *,
    app_id: AppId,
    port: Port = 8090,
    app_secret: Secret = "",
    app_secret_env: SecretEnv = "",
    app_secret_file: SecretFile = None,
    engine: EngineUrl = "",
    channel: Channel = "dingtalk",
    host: Host = "127.0.0.1",
    public_url: PublicUrl = "",
    robot_name: RobotName = "AI助手",
    as_json: AsJson = False,
) -> None:
    """Simulate DingTalk: robot callbacks, Stream mode, replies, tokens, proactive messages."""
    secret = _secret(app_secret, app_secret_env, app_secret_file)
    for name, url in (("--engine", engine), ("--public-url", public_url)):
        if url and urlsplit(url).scheme not in ("http", "https"):
            raise typer.BadParameter(f"{url!r} is no http or https URL", param_hint=name)
    simulator = DingTalkSimulator(
        app_id=app_id,
        app_secret=secret,
        engine=engine,
        channel=channel,
        host=host,
        port=port,
        public_url=public_url,
        robot_name=robot_name,
    )
    try:
        uvloop.run(_serve(simulator, as_json=as_json))
    except OSError as error:
        typer.echo(
            f"Cannot listen on {host}:{port}: {error.strerror or error}. "
            "Stop what uses it, or choose another --port.",
            err=True,
        )
        raise typer.Exit(1) from error


def _secret(plain: str, variable: str, file: Path | None) -> str:
    if sum(map(bool, (plain, variable, file))) != 1:
        raise typer.BadParameter(
            "give exactly one of --app-secret, --app-secret-env and --app-secret-file"
        )
    if variable:
        plain = os.environ.get(variable, "")
        if not plain:
            raise typer.BadParameter(
                f"the environment variable {variable} is not set", param_hint="--app-secret-env"
            )
    if file:
        try:
            plain = file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise typer.BadParameter(
                f"{file} cannot be read: {error}", param_hint="--app-secret-file"
            ) from error
        if not plain:
            raise typer.BadParameter(f"{file} is empty", param_hint="--app-secret-file")
    return plain


async def _serve(simulator: DingTalkSimulator, *, as_json: bool) -> None:
    """Serve until SIGTERM or SIGINT."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with simulator:
        addresses = {
            "page": f"{simulator.url}/",
            "api": simulator.url,
            "oapi": simulator.url,
            "control": f"{simulator.url}/sim/info",
            "callbacks": simulator.info()["callback_url"],
        }
        typer.echo(json.dumps(addresses) if as_json else _described(addresses))
        await stopped.wait()


def _described(addresses: dict[str, str]) -> str:
    return "\n".join(
        (
            "DingTalk, simulated · 模拟钉钉",
            f"  chat page · 聊天页面    {addresses['page']}",
            f"  endpoints.api, .oapi   {addresses['api']}",
            f"  control API            {addresses['control']}",
            f"  messages go to         {addresses['callbacks'] or 'stream connections only'}",
            "Ctrl+C ends it. · 按 Ctrl+C 结束。",
        )
    )
