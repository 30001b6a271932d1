"""`ai-engine trace`: a message's whole story, from its arrival to its answers."""

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


@failing
def trace(
    message_id: Annotated[str, typer.Argument(help="The platform's id of the message, or ours.")],
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell what became of a message, step by step."""

    async def offline(journal: "Journal") -> Any:
        found = await journal.trace(message_id)
        if found is None:
            raise NotFound(f"no message {message_id!r} is known", hint="traces are kept 7 days")
        return found

    path = f"messages/{segment(message_id)}/trace"
    answer = ask(locate_data(config, data), path, offline)
    if as_json:
        print_json(answer.value)
        return
    story = answer.value
    say(f"{story['message_id']}  ({story['id']})", style="bold")
    say(f"channel {story['channel']}, session {story['session']}, trace {story['trace_id']}")
    say(f"state {story['state']}")
    steps = story["steps"]
    begin = steps[0]["at"] if steps else 0.0
    table(
        ("when", "after", "step", "detail"),
        [
            (
                clock_time(step["at"]),
                f"{1000 * (step['at'] - begin):.1f} ms",
                step["step"],
                _detail(step, story),
            )
            for step in steps
        ],
    )
    say(f"from {answer.source}", style="dim")


def _detail(step: dict[str, Any], story: dict[str, Any]) -> str:
    """What the step says beyond its time and what the head of the story says."""
    return "  ".join(
        f"{key}={value}"
        for key, value in step.items()
        if key not in ("at", "step") and value not in ("", None) and story.get(key) != value
    )
