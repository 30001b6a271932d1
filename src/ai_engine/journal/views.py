"""Stored rows as the port's reading methods show them."""

from collections.abc import Sequence

from ai_engine.domain.message import Json
from ai_engine.journal.base import DeadLetter
from ai_engine.journal.rows import STATES, DeadRow


def dead_letter_of(row: DeadRow) -> DeadLetter:
    """For people."""
    return DeadLetter(
        id=row.id,
        kind=row.kind,
        at=row.at,
        channel=row.channel,
        session_key=row.session_key,
        message_id=row.message_id,
        error=row.error,
        attempts=row.attempts,
        text=row.text,
    )


def trace_of(steps: Sequence[Json], state: int | None) -> Json | None:
    """A message's story from its steps. `state` is the row's, None when it is gone already."""
    if not steps:
        return None
    first = steps[0]
    told = [step["state"] for step in steps if "state" in step]
    return {
        "id": first["id"],
        "message_id": first["message_id"],
        "channel": first["channel"],
        "session": first["session"],
        "state": STATES[state] if state is not None else (told[-1] if told else "queued"),
        "trace_id": first["trace_id"],
        "attempts": sum(step["step"] == "started" for step in steps),
        "steps": list(steps),
    }
