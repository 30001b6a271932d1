"""Edits and recalls: what a person changed or took back before it was answered.

They run in the control lane. A message that still waits is cancelled; one whose turn runs is
stopped; after the answer a change has no effect, as in a talk between people. An edit of an
unanswered message is then answered in its new words.
"""

from dataclasses import replace

from ai_engine.domain.message import InboundMessage, MessageKind
from ai_engine.journal.base import Outcome
from ai_engine.pipeline.work import Work


def original_of(message: InboundMessage) -> str:
    """The platform's id of the message that is changed."""
    return str(message.payload.get("of", ""))


async def corrected(work: Work, *, stopped: bool) -> Outcome:
    """`stopped`: the original's turn ran and has been stopped."""
    message, of = work.message, original_of(work.message)
    story = await work.journal.trace(of, message.channel) if of else None
    open_still = stopped or (story or {}).get("state") == "queued"
    work.step(message.kind.value, of=of, result="in time" if open_still else "too late")
    if not open_still:
        return Outcome(trace=tuple(work.trace))
    due: tuple[tuple[InboundMessage, float], ...] = ()
    if message.kind is MessageKind.EDIT and message.text.strip():
        again = replace(
            message,
            message_id=f"{message.message_id}/again",
            kind=MessageKind.TEXT,
            payload={},
            received_at=work.clock.time(),
        )
        due = ((again, work.clock.time()),)
    return Outcome(cancel_message=of, due=due, trace=tuple(work.trace))
