"""`ai-engine sessions`: conversations that are alive."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ai_engine.cli.locate import locate_data
from ai_engine.cli.options import ConfigOption, DataOption, JsonOption
from ai_engine.cli.output import failing, print_json, say, table
from ai_engine.cli.reach import ask, segment
from ai_engine.domain.errors import NotFound

if TYPE_CHECKING:
    from ai_engine.journal.base import Journal

app = typer.Typer(help="Conversations that are alive.", no_args_is_help=True)


def clock_time(at: float) -> str:
    """Local time for people."""
    return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M:%S")


@app.command("list")
@failing
def list_sessions(
    config: ConfigOption = None,
    data: DataOption = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")] = 100,
    as_json: JsonOption = False,
) -> None:
    """Live sessions, most recently active first."""
    from ai_engine.api.views import session

    async def offline(journal: "Journal") -> Any:
        return [session(s) for s in await journal.sessions(limit)]

    answer = ask(locate_data(config, data), f"sessions?limit={limit}", offline)
    if as_json:
        print_json(answer.value)
        return
    table(
        ("session", "user", "channel", "last skill", "expires"),
        [
            (
                s["session_id"],
                s["user_id"],
                s["channel"],
                s["context"]["last_skill"],
                clock_time(s["expire_at"]),
            )
            for s in answer.value
        ],
    )
    say(
        f"{len(answer.value)} session{'s' * (len(answer.value) != 1)}, from {answer.source}",
        style="dim",
    )


@app.command()
@failing
def show(
    session_id: Annotated[str, typer.Argument(help="As `sessions list` shows it.")],
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """One session: user, context, expiry."""
    from ai_engine.api.views import session

    async def offline(journal: "Journal") -> Any:
        found = await journal.session(session_id)
        if found is None:
            raise NotFound(f"there is no session {session_id!r}", hint="it may have expired")
        return session(found)

    answer = ask(locate_data(config, data), f"sessions/{segment(session_id)}", offline)
    if as_json:
        print_json(answer.value)
        return
    shown = {**answer.value, "expire_at": clock_time(answer.value["expire_at"])}
    shown["created_at"] = clock_time(answer.value["created_at"])
    table(("", ""), shown.items())
    say(f"from {answer.source}", style="dim")
