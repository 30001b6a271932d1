"""`ai-engine serve`: one engine in this process, until a signal."""

import json
import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ai_engine.cli.locate import locate
from ai_engine.cli.options import ConfigOption, DataOption, EnvOption, GroupReadOption
from ai_engine.cli.output import failing

if TYPE_CHECKING:
    from ai_engine.cli.server import Listener
    from ai_engine.engine import Engine, Options


@failing
def serve(
    config: ConfigOption = None,
    data: DataOption = None,
    env: EnvOption = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free port.")] = 8000,
    host: Annotated[
        str, typer.Option(help="Address to listen on; other than loopback needs TLS or a proxy.")
    ] = "127.0.0.1",
    allow_group_read: GroupReadOption = False,
    as_json: Annotated[bool, typer.Option("--json", help="Tell in JSON lines.")] = False,
) -> None:
    """Run the engine until SIGTERM or Ctrl-C, then let running answers end."""
    from ai_engine.cli.server import Listener, run
    from ai_engine.cli.settings import live_config
    from ai_engine.engine import Options
    from ai_engine.observe.logging import secret_values, setup

    place = locate(config, data)
    live = live_config(place.config, env=env, allow_group_read=allow_group_read)
    settings = live.current.config
    with setup(settings.log, secrets=secret_values(settings)) as logs:
        options = Options(live=live, data=place.data, logs=logs)
        run(_serve(options, Listener(host=host, port=port), as_json=as_json))


async def _serve(options: "Options", listener: "Listener", *, as_json: bool) -> None:
    from ai_engine.cli.banner import show_banner
    from ai_engine.cli.server import announced, serving, until_signal

    async with (
        serving(options, listener) as (engine, url),
        announced(options.data, url, options.live.path.absolute()),
    ):
        signalled = until_signal()
        link = chat_link(engine, url)
        if as_json:
            tell(event="ready", url=url, pid=os.getpid(), chat=link)
        else:
            show_banner(engine, url, link)
        name = await signalled
        if as_json:
            tell(event="stopping", signal=name)


def tell(**said: Any) -> None:
    """One JSON line on standard output, at once."""
    sys.stdout.write(json.dumps(said, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def chat_link(engine: "Engine", url: str) -> str:
    """A one-time link into the web chat."""
    return f"{url}/chat?code={engine.access.issue_code()}"
