"""`ai-engine demo`: the engine, a simulated DingTalk and a local model, in one process tree."""

import os
import socket
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from ai_engine.cli.output import failing

if TYPE_CHECKING:
    from ai_engine.engine import Engine
    from ai_engine.observe.logging import Logs

APP_ID: Final = "ding-demo-app"
MODEL: Final = "smollm2"


@failing
def demo(
    data: Annotated[Path, typer.Option(help="Where the demo keeps everything.")] = Path(".demo"),
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="The engine's; 0: a free one.")
    ] = 8000,
    simulator_port: Annotated[
        int, typer.Option(min=0, max=65535, help="The chat page's; 0: a free one.")
    ] = 8090,
    no_model: Annotated[bool, typer.Option("--no-model", help="Without the local model.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Tell in JSON lines.")] = False,
) -> None:
    """Try everything on this machine: no account, no configuration, no second terminal.

    MODEL_BASE_URL, MODEL_NAME and MODEL_API_KEY put a real model in the place of the local one.
    """
    from ai_engine.cli.demo_data import prepare
    from ai_engine.cli.server import run
    from ai_engine.config.schema import LogConfig
    from ai_engine.observe.logging import setup

    data = data.resolve()
    prepare(data)
    local = not no_model and not os.environ.get("MODEL_BASE_URL")
    if local:
        local = _pull(data, quiet=as_json)
    with setup(LogConfig(level="warning", format="text")) as logs:
        run(_demo(data, _free(port), simulator_port, local=local, logs=logs, as_json=as_json))


def _free(port: int) -> int:
    """This port, or a free one when something else has it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return 0
    return port


def _pull(data: Path, *, quiet: bool) -> bool:
    """Whether the local model is there; fetches it the first time."""
    from ai_engine.assistant.local import LocalModelFailed, is_pulled, models_dir, pull
    from ai_engine.cli.output import console, say

    models = models_dir(data)
    if is_pulled(models, MODEL):
        return True
    try:
        if quiet:
            pull(models, MODEL, lambda _: None)
        else:
            with console().status("Fetching the local model (about 130 MB, once) …") as status:
                pull(models, MODEL, lambda line: status.update(f"Local model: {line}"))
    except LocalModelFailed as error:
        # The demo is worth seeing without it: rules and skills need no model.
        say(f"The local model is not available: {error}", style="yellow")
        return False
    return True


async def _demo(
    data: Path, port: int, simulator_port: int, *, local: bool, logs: "Logs", as_json: bool
) -> None:
    from ai_engine.cli.serve import chat_link, tell
    from ai_engine.cli.server import announced, until_signal

    parts = _parts(data, port, simulator_port, local=local, logs=logs)
    async with parts as (engine, url, page), announced(data, url, engine.live.path.absolute()):
        signalled = until_signal()
        link = chat_link(engine, url)
        if as_json:
            tell(event="ready", url=url, pid=os.getpid(), chat=link, page=page)
        else:
            from ai_engine.cli.banner import show_demo

            show_demo(engine, url=url, page=page, link=link, data=data)
        await signalled


@asynccontextmanager
async def _parts(
    data: Path, port: int, simulator_port: int, *, local: bool, logs: "Logs"
) -> AsyncGenerator[tuple["Engine", str, str]]:
    """(engine, its URL, the chat page) while everything runs."""
    from ai_engine.assistant.local import MODELS, models_dir
    from ai_engine.assistant.local_process import LocalModelProcess
    from ai_engine.cli.demo_data import secret, write_config
    from ai_engine.cli.server import Listener, serving
    from ai_engine.cli.settings import live_config
    from ai_engine.engine import Options
    from ai_engine.simulators.dingtalk import DingTalkSimulator
    from ai_engine.simulators.open_meteo import OpenMeteoSimulator

    async with AsyncExitStack() as stack:
        simulator = DingTalkSimulator(
            app_id=APP_ID, app_secret=secret(data), port=_free(simulator_port)
        )
        await stack.enter_async_context(simulator)
        weather = await stack.enter_async_context(OpenMeteoSimulator())
        model: dict[str, Any] | None = None
        prompt = MODELS[MODEL].system_prompt
        if local:
            process = LocalModelProcess(models_dir(data), MODEL)
            model = (await stack.enter_async_context(process)).settings
        path = write_config(
            data,
            app_id=APP_ID,
            platform=simulator.url,
            weather=weather.base_url,
            model=model,
            prompt=prompt,
        )
        options = Options(live=live_config(path), data=data, logs=logs)
        listener = Listener(host="127.0.0.1", port=port)
        engine, url = await stack.enter_async_context(serving(options, listener))
        simulator.engine = url
        yield engine, url, f"{simulator.url}/"
