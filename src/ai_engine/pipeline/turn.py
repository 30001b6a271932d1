"""Turns: the second third of the road. From a durable message to a committed answer."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from ai_engine.assistant.base import AssistantState
from ai_engine.domain.clock import Clock
from ai_engine.domain.errors import EngineError, LostLease
from ai_engine.domain.message import Lane, MessageKind
from ai_engine.events.base import Events, Progressed
from ai_engine.journal.base import Journal, Outcome, Turn
from ai_engine.observe.logging import bind
from ai_engine.observe.metrics import Metrics
from ai_engine.pipeline import actions, asking, commands
from ai_engine.pipeline.latency import OwnShare
from ai_engine.pipeline.plan import Plan
from ai_engine.pipeline.work import Work

log = logging.getLogger(__name__)

CHAT: Final = "chat.use"
MODERATE: Final = "chat.moderate"


@dataclass(slots=True, eq=False)
class _Running:
    turn: Turn
    task: asyncio.Task[None]
    stopped: bool = False
    ending: bool = False
    """Its commit is under way: too late to stop it."""


class Turns:
    """Runs what the journal offers, many sessions at once, one turn in each."""

    def __init__(
        self,
        journal: Journal,
        events: Events,
        metrics: Metrics,
        clock: Clock,
        share: OwnShare,
        plan: Callable[[], Plan],
    ) -> None:
        self._journal = journal
        self._events = events
        self._metrics = metrics
        self._clock = clock
        self._share = share
        self._plan = plan
        self._running: dict[str, _Running] = {}

    async def run(self) -> None:
        """Until the journal is drained. Turns in flight end first; if cancelled, they go back."""
        slots = asyncio.Semaphore(self._plan().config.server.turns_max)
        async with asyncio.TaskGroup() as group:
            async for turn in self._journal.turns():
                if turn.lane is Lane.CONTROL:
                    group.create_task(self._control(turn))
                    continue
                await slots.acquire()
                task = group.create_task(self._mailbox(turn))
                self._running[turn.session.key] = _Running(turn, task)
                task.add_done_callback(lambda _: slots.release())

    # The mailbox lane: one turn.

    async def _mailbox(self, turn: Turn) -> None:
        running = self._running[turn.session.key]
        plan = self._plan()
        work = Work(turn, plan, self._journal, self._metrics, self._clock)
        with bind(
            trace_id=turn.message.trace_id,
            message_id=turn.id,
            session=turn.session.id,
            channel=turn.message.channel,
        ):
            try:
                outcome = await self._outcome(running, work, plan)
                running.ending = True
                await self._commit(turn, work, outcome)
            except asyncio.CancelledError:
                with suppress(LostLease):  # its end is being written already
                    await self._journal.release(turn)
                raise
            except LostLease as error:
                log.warning("turn given up: %s", error)
            except Exception as error:  # noqa: BLE001 - the supervision boundary of a turn
                await self._fail(turn, work, error)
            finally:
                await work.stream.stop()
                if self._running.get(turn.session.key) is running:
                    del self._running[turn.session.key]

    async def _outcome(self, running: _Running, work: Work, plan: Plan) -> Outcome:
        try:
            async with asyncio.timeout(plan.config.server.turn_timeout_seconds):
                outcome = await answer(work)
        except asyncio.CancelledError:
            if not running.stopped:
                raise
            running.task.uncancel()
            outcome = _stopped(work)
        await work.stream.stop()
        return outcome

    async def _commit(self, turn: Turn, work: Work, outcome: Outcome) -> None:
        message = turn.message
        if turn.blocked_seconds is not None:
            excluded = turn.blocked_seconds + work.watch.outside_seconds
            self._share.put(turn.id, message.received_at, excluded)
        n = await self._journal.commit(turn, outcome)
        self._events.publish(Progressed(session_key=turn.session.key, n=n))
        self._metrics.turn(self._clock.time() - message.received_at)

    async def _fail(self, turn: Turn, work: Work, error: Exception) -> None:
        log.error("turn failed: %s", type(error).__name__, exc_info=error)
        apology = work.replies(work.say("turn.failed", id=turn.id), "engine")[0]
        reason = error.message if isinstance(error, EngineError) else type(error).__name__
        try:
            verdict = await self._journal.fail(turn, reason, reply=apology, trace=tuple(work.trace))
        except LostLease as lost:
            log.warning("failed turn given up: %s", lost)
            return
        self._metrics.turn_failed(turn.message.channel, "dead" if verdict.dead else "retry")

    # The control lane: `/stop` overtakes.

    async def _control(self, turn: Turn) -> None:
        work = Work(turn, self._plan(), self._journal, self._metrics, self._clock)
        try:
            await self._commit(turn, work, self._stop(turn, work))
        except LostLease as error:
            log.warning("control message given up: %s", error)
            return
        except Exception as error:  # noqa: BLE001 - the supervision boundary of a control message
            await self._fail(turn, work, error)
            return
        running = self._stoppable(turn, work)
        if running is not None:
            running.stopped = True
            running.task.cancel()

    def _stoppable(self, turn: Turn, work: Work) -> _Running | None:
        running = self._running.get(turn.session.key)
        if running is None or running.ending or running.turn.seq > turn.seq:
            return None
        mine = running.turn.message.sender == turn.message.sender
        return running if mine or work.allowed(MODERATE) else None

    def _stop(self, turn: Turn, work: Work) -> Outcome:
        sender = turn.message.sender
        whose = "*" if work.allowed(MODERATE) else sender.user_id
        work.step("stop")
        if self._stoppable(turn, work) is None:
            answer = work.outcome(work.say("stop.nothing"), "command")
            replies = answer.replies
        else:
            replies = ()  # the stopped turn itself answers
        return Outcome(
            replies=replies,
            cancel_queued_of=(sender.tenant, sender.platform, whose),
            trace=tuple(work.trace),
        )


async def answer(work: Work) -> Outcome:
    """Who may → what was asked → which part answers."""
    message = work.message
    work.step("turn", attempt=work.turn.attempt, crashes=work.turn.crashes)
    if not work.allowed(CHAT):
        return work.outcome(work.say("turn.denied", action=CHAT), "engine")
    if message.kind is MessageKind.RESUME:
        return await _resume(work)
    if message.kind is MessageKind.UNSUPPORTED:
        return work.outcome(work.say("turn.unsupported", kind=message.text or "?"), "engine")
    which = commands.parse(message.text)
    if which is not None:
        return await actions.command(work, which)
    return await _routed(work)


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


def _stopped(work: Work) -> Outcome:
    note = work.say("stop.done")
    text = f"{work.text}\n\n{note}" if work.text else note
    work.step("stopped", chars=len(work.text))
    return work.outcome(text, "command", remember=bool(work.text), handled="stopped")
