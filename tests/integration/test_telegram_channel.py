"""The Telegram channel against the simulated Telegram, which the platform's SDKs have proved."""

import pytest

from support.telegram_world import world


@pytest.mark.parametrize("mode", ["webhook", "poll"])
@pytest.mark.parametrize("chat", ["private", "group"])
async def test_a_question_is_answered_where_it_was_asked(mode, chat):
    async with world(mode) as (simulator, engine):
        asked = await simulator.say("zhangsan", "明天有什么安排?", chat=chat)
        message = await engine.next()
        assert (message.text, message.chat.kind, message.message_id) == (
            *("明天有什么安排?", chat, asked),
        )
        assert (message.sender.platform, message.sender.name) == ("telegram", "张三")
        await engine.answer(message, "**没有**安排")
        reply = await simulator.wait_reply(asked)
        assert (reply.text, reply.kind) == ("**没有**安排", "markdown")
        assert reply.reply_to == (asked if chat == "group" else None)
