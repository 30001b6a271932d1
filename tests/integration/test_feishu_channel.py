"""The Feishu channel against the simulated Feishu, which the vendor's own SDKs have proved."""

import asyncio
from typing import Any

import pytest

from ai_engine.domain.errors import PermissionMissing, SendRefused, SendRetryable
from ai_engine.domain.message import Attachment, MessageKind
from ai_engine.domain.reply import Button, Card, Reply
from ai_engine.simulators.files import SharedFile

from support.feishu import feishu_world


@pytest.mark.parametrize("mode", ["webhook", "stream"])
@pytest.mark.parametrize("chat", ["private", "group"])
async def test_a_question_is_answered_where_it_was_asked(mode: str, chat: str):
    async with feishu_world(mode) as (simulator, engine):
        asked = await simulator.say("zhangsan", "明天有什么安排?", chat=chat)
        message = await engine.next()
        assert (message.text, message.chat.kind, message.message_id) == (
            *("明天有什么安排?", chat, asked),
        )
        await engine.answer(message, "**没有**安排")
        reply = await simulator.wait_reply(asked)
        assert (reply.text, reply.via, reply.reply_to) == ("**没有**安排", "reply", asked)
        assert (await simulator.wait_settled(asked)).status == "delivered"
