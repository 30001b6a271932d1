"""Turns: the second third of the road. From a durable message to a committed answer."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from ai_engine.domain.clock import Clock
from ai_engine.domain.errors import EngineError, LostLease
from ai_engine.domain.message import Lane, MessageKind, same_person
from ai_engine.domain.within import within
from ai_engine.events.base import Events, Progressed
from ai_engine.journal.base import Journal, Outcome, Turn
from ai_engine.observe.logging import bind
from ai_engine.observe.metrics import Metrics
from ai_engine.pipeline import corrections
from ai_engine.pipeline.answers import MODERATE, answer, stop, stopped
from ai_engine.pipeline.latency import OwnShare
from ai_engine.pipeline.plan import Plan
from ai_engine.pipeline.seen import show_seen
from ai_engine.pipeline.surely import surely
from ai_engine.pipeline.work import Work

log = logging.getLogger(__name__)

CORRECTIONS = (MessageKind.EDIT, MessageKind.RECALL)


@dataclass(slots=True, eq=False)
class _Running:
    turn: Turn
    work: Work
    task: asyncio.Task[None]
    stopped: bool = False
    """A `/stop` means it: whatever it would have answered, it ends as stopped."""
    cancelled: bool = False
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
        async with asyncio.TaskGroup() as group:
            self._group = group
            group.create_task(self._read_control(group))
            await self._read_mailbox(group)

    async def _read_mailbox(self, group: asyncio.TaskGroup) -> None:
        """No turn is taken before there is room to run it, so `/stop` finds every one taken."""
        slots = asyncio.Semaphore(self._plan().config.server.turns_max)
        turns = self._journal.turns(Lane.MAILBOX)
        while True:
            await slots.acquire()
            turn = await anext(turns, None)
            if turn is None:
                return
            work = self._work(turn)
            task = group.create_task(self._mailbox(turn))
            self._running[turn.session.key] = _Running(turn, work, task)
            task.add_done_callback(lambda _: slots.release())

    async def _read_control(self, group: asyncio.TaskGroup) -> None:
        """A reader of its own: `/stop` is wanted most when all places are taken."""
        async for turn in self._journal.turns(Lane.CONTROL):
            group.create_task(self._control(turn))

    def _work(self, turn: Turn) -> Work:
        return Work(turn, self._plan(), self._journal, self._metrics, self._clock)

    # The mailbox lane: one turn.

    async def _mailbox(self, turn: Turn) -> None:
        running = self._running[turn.session.key]
        work = running.work
        with _bound(turn):
            try:
                show_seen(work, self._group)
                outcome = await self._outcome(running)
                running.ending = True
                await self._commit(turn, work, outcome)
            except asyncio.CancelledError:
                await self._give_back(turn)
                raise
            except LostLease as error:
                log.warning("turn given up: %s", error)
            except Exception as error:  # noqa: BLE001 - the supervision boundary of a turn
                await self._fail(turn, work, error)
            finally:
                if self._running.get(turn.session.key) is running:
                    del self._running[turn.session.key]
                await work.stream.stop()

    async def _outcome(self, running: _Running) -> Outcome:
        """The turn's end; nothing may be awaited between its last line and the commit."""
        work = running.work
        outcome: Outcome | None = None
        try:
            with within(work.plan.config.server.turn_timeout_seconds):
                outcome = await answer(work)
            await work.stream.stop()
        except asyncio.CancelledError:
            # Whoever else cancels (the end of the process) wants the turn to go back.
            if not running.cancelled or running.task.uncancel():
                raise
            await work.stream.stop()
        if outcome is None or running.stopped:
            outcome = stopped(work)
        return work.finishing_stream(outcome)

    async def _commit(self, turn: Turn, work: Work, outcome: Outcome) -> None:
        message = turn.message
        if turn.blocked_seconds is not None and turn.attempt == 1:
            excluded = turn.blocked_seconds + work.watch.outside_seconds
            self._share.put(turn.id, message.received_at, excluded)
        n = await surely(lambda: self._journal.commit(turn, outcome), self._clock)
        self._events.publish(Progressed(session_key=turn.session.key, n=n))
        self._metrics.turn(self._clock.time() - message.received_at)

    async def _fail(self, turn: Turn, work: Work, error: Exception) -> None:
        log.error("turn failed: %s", type(error).__name__, exc_info=error)
        reason = error.message if isinstance(error, EngineError) else type(error).__name__
        await work.stream.stop()
        apology = work.replies(work.say("turn.failed", id=turn.id), "engine")[0]
        steps = tuple(work.trace)
        try:
            await surely(work.keep_stream, self._clock)
            verdict = await surely(
                lambda: self._journal.fail(turn, reason, reply=apology, trace=steps), self._clock
            )
            if verdict.dead:
                await self._tell(turn.session.key)
        except LostLease as lost:
            log.warning("failed turn given up: %s", lost)
        except Exception:  # a fault of the journal must not end the other turns
            log.exception("a failed turn could not be ended; the next start repeats it")
        else:
            self._metrics.turn_failed(turn.message.channel, "dead" if verdict.dead else "retry")

    async def _tell(self, session_key: str) -> None:
        """An apology is in the session's log: those who follow it should look."""
        with suppress(EngineError):  # they look by themselves too, only later
            session = await self._journal.session_by_key(session_key)
            if session is not None:
                self._events.publish(Progressed(session_key=session_key, n=session.last_event))

    async def _give_back(self, turn: Turn) -> None:
        try:
            await self._journal.release(turn)
        except LostLease:
            return  # its end is being written already
        except EngineError as error:
            log.warning("turn not released, the next start repeats it: %s", error)

    # The control lane: `/stop` overtakes.

    async def _control(self, turn: Turn) -> None:
        work = self._work(turn)
        with _bound(turn):
            running = self._stoppable(turn, work)
            try:
                if running is not None and not await self._claim(running):
                    running = None
                await self._commit(turn, work, await _controlled(work, running is not None))
            except LostLease as error:
                log.warning("control message given up: %s", error)
                return
            except Exception as error:  # noqa: BLE001 - the supervision boundary of a control message
                await self._fail(turn, work, error)
                return
        if running is not None and not (running.ending or running.cancelled):
            running.cancelled = True
            running.task.cancel()

    def _stoppable(self, turn: Turn, work: Work) -> _Running | None:
        running = self._running.get(turn.session.key)
        if running is None or running.ending or running.turn.seq > turn.seq:
            return None
        said = running.turn.message
        mine = same_person(said.sender, turn.message.sender)
        if turn.message.kind in CORRECTIONS:
            of = turn.message.channel, corrections.original_of(turn.message)
            return running if mine and (said.channel, said.message_id) == of else None
        return running if mine or work.allowed(MODERATE) else None

    async def _claim(self, running: _Running) -> bool:
        """Durable before the `/stop` counts as handled: should the process end in between, the
        repeated turn ends as stopped too. False when the turn has just ended."""
        running.stopped = True
        try:
            await running.work.mark_stopped()
        except LostLease:
            return False
        return True


async def _controlled(work: Work, running: bool) -> Outcome:
    """`running`: the turn that is meant ran, and has been claimed."""
    if work.message.kind in CORRECTIONS:
        return await corrections.corrected(work, stopped=running)
    return stop(work, answered=running)


def _bound(turn: Turn) -> bind:
    return bind(
        trace_id=turn.message.trace_id,
        message_id=turn.id,
        session=turn.session.id,
        channel=turn.message.channel,
    )
