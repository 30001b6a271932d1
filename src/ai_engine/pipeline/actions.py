"""The answers: a command, a fixed reply, a skill triggered by a rule, or the assistant."""

from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from ai_engine.assistant.base import Answered, AssistantState, MustAsk
from ai_engine.assistant.loop import LoopLimits
from ai_engine.assistant.texts import failure_text
from ai_engine.assistant.tool_round import ToolRound
from ai_engine.domain.errors import ModelFailed
from ai_engine.domain.skill import Tool, ToolCall
from ai_engine.journal.base import Outcome
from ai_engine.pipeline import asking, feedback, offers
from ai_engine.pipeline.attachments import with_contents
from ai_engine.pipeline.commands import Command
from ai_engine.pipeline.work import Work


async def command(work: Work, which: Command) -> Outcome:
    """`/new`, `/help`, `/yes`, `/no`. (`/stop` is the control lane's, in turn.py.)"""
    work.step("command", name=which.value)
    if which is Command.NEW:
        return work.outcome(work.say("new.done"), "command", end_session=True)
    if which in (Command.YES, Command.NO):
        return asking.answered(work, approve=which is Command.YES)
    if which in (Command.GOOD, Command.BAD):
        return await feedback.command(work, which)
    return work.outcome(help_text(work), "command")


def help_text(work: Work) -> str:
    skills = skill_lines(work)
    parts = [work.say("help.head"), work.say("help.commands")]
    if skills:
        parts += [work.say("help.skills"), skills]
    return "\n\n".join(parts)


def skill_lines(work: Work) -> str:
    """The skills that this person may use, one a line."""
    return "\n".join(
        f"- {(tool.title_zh if work.language == 'zh' else tool.title) or tool.name}"
        for tool in work.plan.tools.values()
        if work.allowed(tool.permission)
    )


async def trigger(work: Work, skill_id: str, text: str) -> Outcome:
    """A rule named the skill: it runs on the person's own words, without a model."""
    tool = work.plan.tools.get(skill_id)
    if tool is None:
        return work.outcome(work.say("skill.unknown", skill=skill_id), "engine")
    if not work.allowed(tool.permission):  # before any question, and audited like a call
        denied = await work.call(tool, ToolCall(id="rule", name=tool.name))
        return work.outcome(denied.text, "engine")
    state = work.saved_state() or _triggered(work, tool, text)
    return await run_trigger(work, state)


def _triggered(work: Work, tool: Tool, text: str) -> AssistantState:
    context = asking.tool_context(work)
    arguments = tool.from_text(text, context) if tool.from_text else {}
    call = ToolCall(id="rule", name=tool.name, arguments=arguments)
    return AssistantState(messages=[], calls=[call])


async def run_trigger(work: Work, state: AssistantState) -> Outcome:
    """One call, with the same checkpoints and questions as the model's calls have."""
    call = state.calls[0]
    tool = work.plan.tools.get(call.name)
    if tool is None:
        return work.outcome(work.say("skill.unknown", skill=call.name), "engine")
    if call.id in state.denied:
        return work.outcome(work.say("ask.denied"), "engine")
    interrupted = call.id in state.begun and call.id not in state.results
    if interrupted and not (tool.read_only or tool.idempotent):
        return work.outcome(work.say("skill.unknown_outcome", skill=call.name), "engine")
    must_ask = await ToolRound(state, work.plan.tools, work, LoopLimits()).run()
    if must_ask is not None:
        return asking.ask(work, must_ask)
    result = state.results[call.id]
    return work.outcome(
        result.text, f"rule:{call.name}", card=result.card, media=result.media, remember=True
    )


async def ask_assistant(work: Work, text: str) -> Outcome:
    """The model answers, with the skills as its tools."""
    state = work.saved_state()
    if state is None:
        message = work.message if text == work.message.text else replace(work.message, text=text)
        message = await with_contents(work, message)
        history = work.turn.session.history
        today = _today(work.plan.config.skills.timezone, int(work.clock.time() // 60))
        state = work.plan.assistant.begin(history, message, today=today)
    return await run_assistant(work, state)


@lru_cache(maxsize=16)
def _today(zone: str, minute: int) -> str:
    """The date in the zone at a minute since the Unix epoch: no day begins within one."""
    return datetime.fromtimestamp(60 * minute, ZoneInfo(zone)).strftime("%Y-%m-%d %A (%Z)")


async def run_assistant(work: Work, state: AssistantState) -> Outcome:
    tools = [tool for tool in work.plan.tools.values() if work.allowed(tool.permission)]
    try:
        result = await work.plan.assistant.run(state, tools, work)
    except ModelFailed as error:
        work.metrics.model_call(state.model or "any", error.reason, work.model_seconds)
        return no_model(work, error)
    if isinstance(result, MustAsk):
        return asking.ask(work, result)
    return _answered(work, state, result)


def _answered(work: Work, state: AssistantState, result: Answered) -> Outcome:
    usage = result.usage
    work.step(
        "model",
        name=result.model,
        seconds=round(work.model_seconds, 4),
        prompt_tokens=usage.prompt,
        completion_tokens=usage.completion,
        cut=result.cut,
    )
    work.metrics.model_call(
        result.model,
        "ok",
        work.model_seconds,
        prompt_tokens=usage.prompt,
        completion_tokens=usage.completion,
    )
    cards = [found.card for found in state.results.values() if found.card is not None]
    card = cards[-1] if cards else None
    media = tuple(each for found in state.results.values() for each in found.media)
    return work.outcome(result.text, f"model:{result.model}", card=card, media=media, remember=True)


def no_model(work: Work, error: ModelFailed) -> Outcome:
    """When no model can answer: one honest sentence, and what does work."""
    work.step("no_model", reason=error.reason, error=error.message)
    sentence, skills = failure_text(error), offers.lines(work)
    return work.outcome(f"{sentence}\n\n{skills}" if skills else sentence, "engine")
