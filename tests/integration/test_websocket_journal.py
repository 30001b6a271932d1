"""The web chat on a real journal: the log's entries are what the protocol says they are."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from ai_engine.channels.base import Accepted, Outgoing
from ai_engine.domain.ids import derived_id
from ai_engine.domain.message import Lane
from ai_engine.domain.reply import Card, Reply
from ai_engine.events.base import Progressed
from ai_engine.journal.base import Outcome
from ai_engine.journal.memory import MemoryJournal

from support.chat import ChatBench


class JournalBench(ChatBench):
    """The bench with a journal in place of the plain log, and one worker."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.journal = MemoryJournal()
        self.log = self.journal

    async def accept(self, message):
        lane = Lane.CONTROL if message.text == "/stop" else Lane.MAILBOX
        receipt = await self.journal.accept(message, self.key(message), lane=lane)
        self.events.publish(Progressed(session_key=self.key(message), n=receipt.event))
        return Accepted(id=receipt.id, duplicate=receipt.duplicate)

    async def turns(self):
        async with self.journal, asyncio.TaskGroup() as tasks:
            tasks.create_task(self._deliver())
            async for turn in self.journal.turns():
                await self._turn(turn)

    async def _turn(self, turn):
        text = turn.message.text
        handle = await self.channel.open_stream(turn.message.target, turn.id)
        await self.channel.update(handle, "You")
        card = Card(title="A card", fields=(("a", "b"),)) if "card" in text else None
        reply = Reply(
            id=derived_id("r", turn.id),
            text=f"You said {text}",
            card=card,
            stream=handle,
            produced_by="engine",
        )
        outcome = Outcome(
            replies=[reply],
            end_session=text == "/new",
            handled="stopped" if text == "/stop" else "handled",
        )
        n = await self.journal.commit(turn, outcome)
        self.events.publish(Progressed(session_key=turn.session.key, n=n))

    async def _deliver(self):
        async for one in self.journal.deliveries():
            sent = Outgoing(
                reply=one.reply,
                target=one.target,
                in_reply_to=one.inbound_message_id,
                inbound_id=one.inbound_id,
                session_key=one.session_key,
                user_id=one.user_id,
            )
            await self.channel.finish(one.reply.stream, sent)
            await self.journal.delivered(one)


@pytest.fixture
def bench(tmp_path):
    return JournalBench(tmp_path)


@asynccontextmanager
async def talking(bench):
    async with bench.serve(), bench.client() as client:
        await client.until("welcome")
        yield client


async def test_a_message_and_its_reply_name_each_other(bench):
    async with talking(bench) as client:
        await client.send("client-0001", "card please")
        frames = await client.collect("partial", done=True)
    found = {frame.get("kind", frame["type"]): frame for frame in frames}
    message, reply = found["message"]["body"], found["reply"]["body"]
    assert message["client_id"] == "client-0001"
    assert message["id"] == found["ack"]["id"] == found["partial"]["turn"]
    assert reply["in_reply_to"] == message["message_id"]
    assert reply["text"] == "You said card please"
    assert (reply["produced_by"], reply["final"]) == ("engine", True)
    assert reply["card"]["title"] == "A card"
    assert reply["card"]["fields"] == [["a", "b"]]
    assert "stream" not in reply


async def test_a_new_chat_and_a_stop_are_entries_of_their_own(bench):
    async with talking(bench) as client:
        await client.send("client-0001", "/new")
        cleared = await client.until("event", kind="cleared")
        await client.put(type="stop", client_id="client-0002")
        stopped = await client.until("event", kind="stopped")
    assert cleared["body"] == {"in_reply_to": "admin:client-0001"}
    assert stopped["body"] == {"in_reply_to": "admin:client-0002"}


async def test_a_message_sent_again_after_a_break_is_answered_once(bench):
    async with bench.serve():
        for _ in range(3):
            async with bench.client() as client:
                await client.send("client-0001", "once")
                ack = await client.until("ack")
        async with bench.client() as client:
            await client.until("event", kind="reply")
    assert ack["duplicate"] is True
    entries = await bench.journal.events("webchat:user:/admin", 0)
    assert [entry.kind for entry in entries] == ["message", "reply"]
