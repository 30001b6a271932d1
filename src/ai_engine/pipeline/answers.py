"""What a turn answers: who may, what was said or pressed, which part of the engine answers."""

from dataclasses import replace
from typing import Final

from ai_engine.assistant.base import AssistantState
from ai_engine.domain.message import MessageKind
from ai_engine.domain.skill import spoken_language
from ai_engine.journal.base import Outcome
from ai_engine.pipeline import actions, asking, commands, feedback
from ai_engine.pipeline.work import Work

CHAT: Final = "chat.use"
MODERATE: Final = "chat.moderate"


def stop(work: Work, *, answered: bool) -> Outcome:
    """What a `/stop` commits. `answered`: the stopped turn itself answers."""
    sender = work.message.sender
    work.step("stop", running=answered)
    replies = () if answered else work.outcome(work.say("stop.nothing"), "command").replies
    return Outcome(
        replies=replies,
        cancel_queued_of=(
            sender.tenant,
            sender.platform,
            "*" if work.allowed(MODERATE) else sender.user_id,
        ),
        trace=tuple(work.trace),
    )


async def answer(work: Work) -> Outcome:
    """Who may → what was asked → which part answers."""
    message = work.message
    work.step("turn", attempt=work.turn.attempt, crashes=work.turn.crashes)
    if work.was_stopped:
        return stopped(work)
    if not work.allowed(CHAT):
        return work.outcome(work.say("turn.denied", action=CHAT), "engine")
    match message.kind:
        case MessageKind.RESUME:
            return await _resume(work)
        case MessageKind.UNSUPPORTED:
            return work.outcome(work.say("turn.unsupported", kind=message.text or "?"), "engine")
        case MessageKind.BUTTON:
            return await _pressed(work)
        case MessageKind.FEEDBACK:
            return await feedback.rated(work, message.payload)
        case MessageKind.WELCOME:
            return _welcomed(work)
        case MessageKind.NOTICE if "say" in message.payload:
            return work.outcome(str(message.payload["say"]), "engine")
        case _:
            return await _said(work)


async def _said(work: Work) -> Outcome:
    which = commands.parse(work.message.text)
    if which is not None:
        return await actions.command(work, which)
    return await _routed(work)


async def _pressed(work: Work) -> Outcome:
    """A button's value: an answer to a question, a rating, or words said by pressing."""
    match work.message.payload:
        case {"call": str(call), "answer": str(said)}:
            return asking.answered(work, approve=said == "approve", call_id=call)
        case {"feedback": str(rating), **more}:
            return await feedback.rated(work, {"rating": rating, "of": more.get("of", "")})
        case {"text": str(words)} if words.strip():
            work.message = replace(work.message, kind=MessageKind.TEXT, text=words)
            work.said = words
            work.language = spoken_language(words, work.language)
            return await _said(work)
        case _:
            return work.outcome(work.say("button.unknown"), "engine")


def _welcomed(work: Work) -> Outcome:
    """What a person reads who opens the chat for the first time."""
    channel = work.plan.config.channels.get(work.message.channel)
    if channel is not None and not channel.welcome:
        return Outcome(trace=tuple(work.trace))
    parts = [work.say("welcome.head"), actions.help_text(work)]
    return work.outcome("\n\n".join(parts), "engine")


async def _routed(work: Work) -> Outcome:
    message = work.message
    decision = work.plan.routes.match(
        message.text,
        channel=message.channel,
        chat_kind=message.chat.kind.value,
        roles=work.actor.roles,
    )
    work.step("routed", action=decision.action, rule=decision.rule, skill=decision.skill_id)
    match decision.action:
        case "drop":
            return Outcome(trace=tuple(work.trace), audit=tuple(work.audit))
        case "reply":
            return work.outcome(decision.reply, f"rule:{decision.rule}")
        case "trigger_skill":
            return await actions.trigger(work, decision.skill_id, decision.text)
        case _:
            return await actions.ask_assistant(work, decision.text)


async def _resume(work: Work) -> Outcome:
    resumed = asking.resumed(work)
    if isinstance(resumed, Outcome):
        return resumed
    state, _ = resumed
    return await _go_on(work, state)


async def _go_on(work: Work, state: AssistantState) -> Outcome:
    """A triggered call has no conversation around it; the assistant's has."""
    if state.messages:
        return await actions.run_assistant(work, state)
    return await actions.run_trigger(work, state)


def stopped(work: Work) -> Outcome:
    note = work.say("stop.done")
    text = f"{work.text}\n\n{note}" if work.text else note
    work.step("stopped", chars=len(work.text))
    return work.outcome(text, "command", remember=bool(work.text), handled="stopped")
