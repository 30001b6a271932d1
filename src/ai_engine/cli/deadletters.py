"""`ai-engine deadletters`: what was given up after every attempt, and replaying it."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ai_engine.cli.locate import locate_data
from ai_engine.cli.options import ConfigOption, DataOption, JsonOption
from ai_engine.cli.output import failing, print_json, say, table
from ai_engine.cli.reach import ask, segment
from ai_engine.cli.sessions import clock_time
from ai_engine.domain.errors import NotFound

if TYPE_CHECKING:
    from ai_engine.journal.base import Journal

app = typer.Typer(help="What was given up, and replaying it.", no_args_is_help=True)


@app.command("list")
@failing
def list_dead_letters(
    config: ConfigOption = None,
    data: DataOption = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")] = 100,
    as_json: JsonOption = False,
) -> None:
    """Messages and replies that were given up, newest first."""
    from ai_engine.api.views import dead_letter

    async def offline(journal: "Journal") -> Any:
        return [dead_letter(d) for d in await journal.dead_letters(limit)]

    answer = ask(locate_data(config, data), f"deadletters?limit={limit}", offline)
    if as_json:
        print_json(answer.value)
        return
    table(
        ("id", "kind", "when", "channel", "message", "attempts", "why"),
        [
            (
                d["id"],
                d["kind"],
                clock_time(d["at"]),
                d["channel"],
                d["message_id"],
                d["attempts"],
                d["error"],
            )
            for d in answer.value
        ],
    )
    say(
        f"{len(answer.value)} dead letter{'s' * (len(answer.value) != 1)}, from {answer.source}",
        style="dim",
    )


@app.command()
@failing
def replay(
    dead_letter_id: Annotated[str, typer.Argument(help="As `deadletters list` shows it.")],
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Queue one again, at the end of its session's queue, attempts from zero."""

    async def offline(journal: "Journal") -> Any:
        if not await journal.replay(dead_letter_id):
            raise NotFound(f"there is no dead letter {dead_letter_id!r}")
        return {"id": dead_letter_id, "status": "replayed"}

    path = f"deadletters/{segment(dead_letter_id)}/replay"
    answer = ask(locate_data(config, data), path, offline, method="POST")
    if as_json:
        print_json(answer.value)
        return
    say(f"{dead_letter_id} is queued again (through {answer.source}).")
