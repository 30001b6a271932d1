"""Ratings of answers: by a button, by the platform's own reaction, or by `/good` and `/bad`."""

from typing import Any, Final

from ai_engine.domain.message import Json
from ai_engine.journal.base import AuditEntry, Outcome
from ai_engine.pipeline.commands import Command, words_after
from ai_engine.pipeline.work import Work

RATINGS: Final = ("good", "bad", "none")
TEXT_MAX: Final = 2000
"""Characters of a comment that are kept."""
_LOOK_BACK: Final = 50
"""Entries of the session's log among which the newest answer is looked for."""


async def rated(work: Work, payload: Json) -> Outcome:
    """A press or a reaction: kept with the answered message; the platform shows it itself."""
    rating, of = str(payload.get("rating", "")), str(payload.get("of", ""))
    of = of or await _newest_answer(work)
    if rating not in RATINGS or not of:
        work.step("feedback", result="nothing to rate")
        return Outcome(trace=tuple(work.trace))
    return _kept(work, of, rating, str(payload.get("text", "")))


async def command(work: Work, which: Command) -> Outcome:
    """`/good` or `/bad`, with or without words: the newest answer of this conversation."""
    of = await _newest_answer(work)
    if not of:
        return work.outcome(work.say("feedback.nothing"), "command")
    kept = _kept(work, of, which.value, words_after(work.message.text))
    thanks = work.outcome(work.say(f"feedback.{which.value}"), "command")
    return Outcome(
        replies=thanks.replies, audit=kept.audit, notes=kept.notes, trace=tuple(work.trace)
    )


def _kept(work: Work, of: str, rating: str, words: str) -> Outcome:
    detail: Json = {"text": words[:TEXT_MAX]} if words else {}
    work.metrics.feedback(work.message.channel, rating)
    work.step("feedback", of=of, rating=rating)
    note = {"at": work.clock.time(), "step": "rated", "rating": rating, "by": work.actor.id}
    entry = AuditEntry(
        action="feedback.give", actor=work.actor.id, resource=of, outcome=rating, detail=detail
    )
    return Outcome(
        notes=((of, {**note, **detail}),),
        audit=(*work.audit, entry),
        trace=tuple(work.trace),
    )


async def _newest_answer(work: Work) -> str:
    """Of this session, by the message that it answers; empty when there is none."""
    session = work.turn.session
    after = max(0, session.last_event - _LOOK_BACK)
    entries = await work.journal.events(session.key, after, _LOOK_BACK)
    for entry in reversed(entries):
        found: Any = entry.body.get("feedback") if entry.kind == "reply" else None
        if found:
            return str(found)
    return ""
