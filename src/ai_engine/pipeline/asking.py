"""Asking a person first: the turn ends suspended, the answer is a message that resumes it."""

from dataclasses import replace
from typing import Any, Final

from ai_engine.assistant.base import AssistantState, MustAsk
from ai_engine.assistant.state import dump_state, load_state
from ai_engine.domain.message import Json, MessageKind
from ai_engine.domain.reply import Button, Card
from ai_engine.domain.skill import ToolContext
from ai_engine.journal.base import Outcome, Suspended
from ai_engine.pipeline.work import Work

ANSWER_SECONDS_MAX: Final = 900.0
"""How long a question waits for its answer."""


def tool_context(work: Work) -> ToolContext:
    """For turning a person's words into arguments, before there is a call."""
    return ToolContext(
        message=work.message,
        idempotency_key=work.turn.id,
        language=work.language,
        params=work.turn.session.context.params,
    )


def _person(work: Work) -> list[str]:
    sender = work.message.sender
    if sender.person:
        return ["person", sender.person]
    return [sender.tenant, sender.platform, sender.user_id]


def ask(work: Work, must_ask: MustAsk) -> Outcome:
    """Suspend: state durable, question sent, an `expired` answer due in time."""
    call, tool = must_ask.call, must_ask.tool
    call_id = f"{work.turn.id}/{call.id}"
    expires_at = work.clock.time() + ANSWER_SECONDS_MAX
    title = (tool.title_zh if work.language == "zh" else tool.title) or tool.name
    state: Json = {
        "assistant": dump_state(must_ask.state),
        "call": call.id,
        "person": _person(work),
        "language": work.language,
        "title": title,
        "said": work.said,
    }
    expired = replace(
        work.message,
        message_id=f"{call_id}/expired",
        kind=MessageKind.RESUME,
        text="",
        attachments=(),
        payload={"call": call_id, "answer": "expired"},
        received_at=expires_at,
    )
    before = work.context or work.turn.session.context
    work.step("asked", call=call_id, tool=tool.name)
    question = work.say("ask.question", title=title, arguments=_shown(call.arguments))
    return work.outcome(
        question,
        "engine",
        card=Card(buttons=_buttons(work, call_id)),
        context=replace(before, asking=call_id),
        suspended=Suspended(call_id=call_id, state=state, expires_at=expires_at),
        due=((expired, expires_at),),
    )


def _buttons(work: Work, call_id: str) -> tuple[Button, ...]:
    """The same answers as `/yes` and `/no`, for platforms that have buttons."""
    return (
        Button(
            label=work.say("ask.allow"),
            value={"call": call_id, "answer": "approve"},
            style="primary",
        ),
        Button(
            label=work.say("ask.refuse"), value={"call": call_id, "answer": "deny"}, style="danger"
        ),
    )


def _shown(arguments: Json) -> str:
    return "\n".join(f"- {name}: {value}" for name, value in arguments.items()) or "-"


def answered(work: Work, *, approve: bool, call_id: str = "") -> Outcome:
    """`/yes`, `/no` or a button: becomes a RESUME message of the same session, accepted with this
    commit. `call_id`: which question; empty: the newest one."""
    call_id = call_id or work.turn.session.context.asking
    if not call_id:
        return work.outcome(work.say("ask.nothing"), "command")
    resume = replace(
        work.message,
        message_id=f"{call_id}/{work.turn.id}",
        kind=MessageKind.RESUME,
        text="",
        attachments=(),
        payload={"call": call_id, "answer": "approve" if approve else "deny"},
        received_at=work.clock.time(),
    )
    return Outcome(due=((resume, work.clock.time()),), trace=tuple(work.trace))


def resumed(work: Work) -> tuple[AssistantState, str] | Outcome:
    """(state to go on from, approve|deny), or the turn's end when nothing is left to do."""
    answer = str(work.message.payload.get("answer", "deny"))
    suspended = work.turn.suspended
    if suspended is None:
        if answer == "expired":
            return Outcome(trace=tuple(work.trace))
        return work.outcome(work.say("ask.nothing"), "engine")
    if suspended.state["person"] != _person(work):
        # The question stays open for the one who may answer it.
        return work.outcome(work.say("ask.other"), "engine", suspended=suspended)
    context = work.turn.session.context
    if context.asking == suspended.call_id:  # a later question stays open
        work.context = replace(context, asking="")
    work.said = str(suspended.state.get("said", ""))
    work.step("resumed", call=suspended.call_id, answer=answer)
    if answer == "expired":
        title = suspended.state["title"]
        return work.outcome(work.say("ask.expired", title=title), "engine")
    state = work.saved_state() or load_state(suspended.state["assistant"])
    call: str = suspended.state["call"]
    chosen: list[Any] = state.approved if answer == "approve" else state.denied
    if call not in chosen:
        chosen.append(call)
    return state, answer
