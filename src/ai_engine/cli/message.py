"""`ai-engine message`: messages of our own, which answer nothing."""

from typing import Annotated, Any

import typer

from ai_engine.cli.locate import locate
from ai_engine.cli.options import ConfigOption, DataOption, JsonOption
from ai_engine.cli.output import failing, print_json, say
from ai_engine.cli.reach import call, running_url
from ai_engine.domain.errors import NotFound

app = typer.Typer(help="Messages of your own to people and groups.", no_args_is_help=True)


@app.callback()
def message() -> None:
    """Messages of your own to people and groups."""


@app.command()
@failing
def send(
    channel: Annotated[str, typer.Argument(help="The channel's name.")],
    to: Annotated[str, typer.Argument(help="user:<id> or group:<id>, in the platform's ids.")],
    text: Annotated[str, typer.Argument(help="What to say, in Markdown.")],
    key: Annotated[
        str, typer.Option(help="Idempotency key: the same one is sent once within 24 hours.")
    ] = "",
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send a message through the running engine. It is durable when this returns."""
    place = locate(config, data)
    url = running_url(place.data)
    if url is None:
        raise NotFound(f"no engine runs on {place.data}", hint="start it: ai-engine serve")
    body: dict[str, Any] = {"channel": channel, "to": to, "text": text, "id": key}
    taken = call(url, place.data, "messages", method="POST", body=body)
    if as_json:
        print_json(taken)
        return
    was = "sent before" if taken["duplicate"] else "on its way"
    say(f"{was}: {taken['id']}", note=f"ai-engine trace {taken['id']} tells how it went")
