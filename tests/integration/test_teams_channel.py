"""The Teams channel against the simulated Teams, which the vendor's own SDK has proved."""

import pytest

from support.teams_world import world


@pytest.mark.parametrize("chat", ["private", "group"])
async def test_a_question_is_answered_where_it_was_asked(chat):
    async with world() as (simulator, engine):
        asked = await simulator.say("zhangsan", "明天有什么安排?", chat=chat)
        message = await engine.next()
        assert message.text == "明天有什么安排?"
        assert message.chat.kind == chat
        assert (message.sender.user_id, message.sender.tenant) == ("zhangsan", simulator.tenant)
        assert (await simulator.wait_settled(asked)).detail == "HTTP 202"
        await engine.answer(message, "**没有**安排")
        reply = await simulator.wait_reply(asked)
        assert (reply.text, reply.kind, reply.reply_to) == ("**没有**安排", "markdown", asked)
