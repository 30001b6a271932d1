"""Random interleavings of all that may happen to a journal, kills included, against a model."""

import asyncio
import contextlib
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from ai_engine.domain.message import InboundMessage
from ai_engine.domain.reply import Reply
from ai_engine.domain.session import HistoryEntry
from ai_engine.journal.base import Delivery, Limits, Outcome, Turn

from support.clock import ManualClock
from support.journals import ENGINES, TIMEOUT, Desk, desk, message

KEYS = ("a", "b", "c")
_KEYS = st.lists(st.sampled_from(KEYS), unique=True)
LIMITS = Limits(crash_attempts_max=10_000, crash_alone_from=10_000)


@dataclass
class Expected:
    """One accepted message, as the model sees it."""

    message: InboundMessage
    crashes: int = 0
    attempt: int = 1
    checkpoint: Any = None
    ready_at: float = 0.0


@dataclass
class Conversation:
    """One session of the model."""

    queue: list[Expected] = field(default_factory=list)
    """Not ended, in order; the first may be running."""
    turn: Turn | None = None
    ended: list[str] = field(default_factory=list)
    """Platform ids of ended messages, in order."""
    history: list[str] = field(default_factory=list)
    replies: list[str] = field(default_factory=list)
    """Ids of all replies committed, in order."""
    sent: int = 0
    """How many of them were told `delivered`."""
    written: int = 0
    """How many of these are surely written."""
    delivery: Delivery | None = None


class JournalMachine(RuleBasedStateMachine):
    """Drives one engine; the loop runs only inside the rules."""

    engine_name = "memory"

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.directory = Path(tempfile.mkdtemp(prefix="journal-model-"))
        self.clock = ManualClock()
        self.engine = ENGINES[self.engine_name]
        self.sessions = {key: Conversation() for key in KEYS}
        self.ids: dict[str, str] = {}
        self.numbers = 0

    def run(self, work: Any) -> Any:
        async def bounded() -> Any:
            async with asyncio.timeout(TIMEOUT):
                return await work

        return self.runner.run(bounded())

    @initialize()
    def begin(self) -> None:
        self.run(self.open())

    async def open(self) -> None:
        self.journal = self.engine.open(self.directory, LIMITS, self.clock)
        await self.journal.__aenter__()
        self.reading = desk(self.journal)
        self.desk: Desk = await self.reading.__aenter__()

    async def settle(self) -> None:
        """Take what the journal offers and check that it may."""
        await self.desk.settle()
        while self.desk.turns.ready():
            self.check_turn(await self.desk.turns.next())
        while self.desk.deliveries.ready():
            self.check_delivery(await self.desk.deliveries.next())
        for conversation in self.sessions.values():
            self.check_nothing_is_missing(conversation)

    def check_turn(self, turn: Turn) -> None:
        conversation = self.sessions[turn.session.key]
        assert conversation.turn is None, "two turns in flight in one session"
        assert conversation.queue, "a turn that was ended already"
        expected = conversation.queue[0]
        assert turn.message == expected.message
        assert turn.attempt == expected.attempt
        assert turn.crashes >= expected.crashes
        assert turn.checkpoint == expected.checkpoint
        assert expected.ready_at <= self.clock.time()
        assert [entry.text for entry in turn.session.history] == conversation.history
        expected.crashes = turn.crashes
        conversation.turn = turn

    def check_delivery(self, delivery: Delivery) -> None:
        conversation = self.sessions[delivery.session_key]
        assert conversation.delivery is None, "two deliveries in flight in one session"
        allowed = conversation.replies[conversation.written : conversation.sent + 1]
        assert delivery.reply.id in allowed, "a reply out of order, or sent again without need"
        conversation.sent = conversation.replies.index(delivery.reply.id)
        conversation.written = conversation.sent
        conversation.delivery = delivery

    def check_nothing_is_missing(self, conversation: Conversation) -> None:
        waits = conversation.queue and conversation.queue[0].ready_at <= self.clock.time()
        assert not waits or conversation.turn is not None, "an accepted message is not offered"
        if conversation.delivery is None:
            assert conversation.sent >= len(conversation.replies), "a reply is not offered"

    # What may happen.

    @rule(key=st.sampled_from(KEYS))
    def accept(self, key: str) -> None:
        self.numbers += 1
        sent = message(f"m{self.numbers}", id=f"p{self.numbers}")
        self.run(self.do_accept(key, sent))
        self.run(self.settle())

    async def do_accept(self, key: str, sent: InboundMessage) -> None:
        receipt = await self.journal.accept(sent, key)
        known = self.ids.setdefault(sent.message_id, receipt.id)
        assert receipt.id == known
        if not receipt.duplicate:
            self.sessions[key].queue.append(Expected(message=sent))

    @rule(which=st.integers(0, 99))
    def accept_again(self, which: int) -> None:
        if not self.ids:
            return
        id_ = sorted(self.ids)[which % len(self.ids)]
        receipt = self.run(self.journal.accept(message("again", id=id_), "a"))
        assert receipt.duplicate
        assert receipt.id == self.ids[id_]

    # What is drawn never depends on the journal, whose threads make each run a little different:
    # a rule about a session where there is nothing to do does nothing.

    @rule(key=st.sampled_from(KEYS), replies=st.integers(0, 2))
    def commit(self, key: str, replies: int) -> None:
        conversation = self.sessions[key]
        if conversation.turn is None:
            return
        outcome = self.outcome(conversation, replies)
        self.run(self.journal.commit(conversation.turn, outcome))
        self.committed(conversation, outcome)
        self.run(self.settle())

    def outcome(self, conversation: Conversation, count: int) -> Outcome:
        assert conversation.turn is not None
        turn = conversation.turn
        texts = [f"{turn.message.text}/{n}" for n in range(count)]
        return Outcome(
            replies=[Reply(id=text, text=text) for text in texts],
            history=[HistoryEntry(role="user", text=turn.message.text)],
        )

    def committed(self, conversation: Conversation, outcome: Outcome) -> None:
        expected = conversation.queue.pop(0)
        assert expected.message.message_id not in conversation.ended, "committed twice"
        conversation.ended.append(expected.message.message_id)
        conversation.history += [entry.text for entry in outcome.history]
        conversation.replies += [reply.id for reply in outcome.replies]
        conversation.turn = None

    @rule(key=st.sampled_from(KEYS), n=st.integers())
    def checkpoint(self, key: str, n: int) -> None:
        conversation = self.sessions[key]
        if conversation.turn is None:
            return
        self.run(self.journal.checkpoint(conversation.turn, {"n": n}))
        conversation.queue[0].checkpoint = {"n": n}

    @rule(key=st.sampled_from(KEYS))
    def fail(self, key: str) -> None:
        conversation = self.sessions[key]
        if conversation.turn is None:
            return
        expected = conversation.queue[0]
        sorry = Reply(id=f"sorry {expected.message.text}")
        verdict = self.run(self.journal.fail(conversation.turn, "boom", reply=sorry))
        conversation.turn = None
        if verdict.dead:
            conversation.queue.pop(0)
            conversation.ended.append(expected.message.message_id)
            conversation.replies.append(sorry.id)
        else:
            expected.attempt += 1
            expected.ready_at = verdict.retry_at
        self.run(self.settle())

    @rule(key=st.sampled_from(KEYS))
    def release(self, key: str) -> None:
        conversation = self.sessions[key]
        if conversation.turn is None:
            return
        turn, conversation.turn = conversation.turn, None
        self.run(self.journal.release(turn))
        self.run(self.settle())

    @rule(seconds=st.sampled_from([0.1, 3, 12]))
    def advance(self, seconds: float) -> None:
        self.run(self.clock.advance(seconds))
        self.run(self.settle())

    @rule(key=st.sampled_from(KEYS))
    def delivered(self, key: str) -> None:
        conversation = self.sessions[key]
        if conversation.delivery is None:
            return
        delivery, conversation.delivery = conversation.delivery, None
        self.run(self.journal.delivered(delivery))
        conversation.sent += 1
        self.run(self.settle())
        conversation.written = max(conversation.written, conversation.sent)

    @precondition(lambda self: self.engine.durable)
    @rule(accept=_KEYS, commit=_KEYS, send=_KEYS, moment=st.integers(0, 6))
    def kill(self, accept: list[str], commit: list[str], send: list[str], moment: int) -> None:
        """SIGKILL while accepts, commits and acknowledgements are under way."""
        accepts: dict[str, InboundMessage] = {}
        for key in accept:
            self.numbers += 1
            accepts[key] = message(f"m{self.numbers}", id=f"p{self.numbers}")
        commits = [self.sessions[key] for key in commit if self.sessions[key].turn is not None]
        sends = [self.sessions[key] for key in send if self.sessions[key].delivery is not None]
        self.run(self.die(accepts, commits, sends, moment))
        self.run(self.settle())

    async def die(
        self,
        accepts: dict[str, InboundMessage],
        commits: list[Conversation],
        sends: list[Conversation],
        moment: int,
    ) -> None:
        for conversation in sends:
            assert conversation.delivery is not None
            await self.journal.delivered(conversation.delivery)
            conversation.sent += 1
        outcomes = [self.outcome(conversation, 1) for conversation in commits]
        accepting = [
            asyncio.create_task(self.journal.accept(sent, key)) for key, sent in accepts.items()
        ]
        committing = [
            asyncio.create_task(self.journal.commit(one.turn, outcome))
            for one, outcome in zip(commits, outcomes, strict=True)
        ]
        for _ in range(moment):
            await asyncio.sleep(0)
        await self.engine.kill(self.journal)
        for task in accepting + committing:
            task.cancel()
        await asyncio.gather(*accepting, *committing, return_exceptions=True)
        await self.reading.__aexit__(None, None, None)
        await self.open()
        for task, conversation, outcome in zip(committing, commits, outcomes, strict=True):
            assert conversation.turn is not None
            trace = await self.journal.trace(conversation.turn.id)
            handled = trace["state"] == "handled"
            told = not task.cancelled() and task.exception() is None
            assert handled or not told, "a commit that was told is lost"
            if handled:
                self.committed(conversation, outcome)
        for conversation in self.sessions.values():
            if conversation.turn is not None:
                conversation.queue[0].crashes += 1
            conversation.turn = conversation.delivery = None
        for task, (key, sent) in zip(accepting, accepts.items(), strict=True):
            receipt = await self.journal.accept(sent, key)  # the platform sends it again
            told = not task.cancelled() and task.exception() is None
            assert receipt.duplicate or not told, "an accept that was told is lost"
            self.ids[sent.message_id] = receipt.id
            self.sessions[key].queue.append(Expected(message=sent))

    def teardown(self) -> None:
        """Answer and deliver all that is left; nothing may be missing."""
        try:
            if hasattr(self, "journal"):
                self.run(self.finish())
        finally:
            self.runner.close()
            shutil.rmtree(self.directory)

    async def finish(self) -> None:
        await self.settle()
        while any(one.queue or one.delivery for one in self.sessions.values()):
            for conversation in self.sessions.values():
                if conversation.turn is not None:
                    outcome = self.outcome(conversation, 1)
                    await self.journal.commit(conversation.turn, outcome)
                    self.committed(conversation, outcome)
                if conversation.delivery is not None:
                    delivery, conversation.delivery = conversation.delivery, None
                    await self.journal.delivered(delivery)
                    conversation.sent += 1
            await self.clock.advance(15)
            await self.settle()
        for conversation in self.sessions.values():
            assert conversation.sent == len(conversation.replies)
        ended = [id_ for one in self.sessions.values() for id_ in one.ended]
        assert sorted(ended) == sorted(self.ids)
        with contextlib.suppress(asyncio.CancelledError):
            await self.reading.__aexit__(None, None, None)
        await self.journal.__aexit__(None, None, None)


@pytest.mark.parametrize("engine", list(ENGINES))
def test_any_interleaving_keeps_every_promise(engine: str):
    class Machine(JournalMachine):
        engine_name = engine

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=25,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
