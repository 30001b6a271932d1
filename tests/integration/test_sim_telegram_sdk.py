"""The simulated Telegram, driven by python-telegram-bot here and by aiogram in a child process."""

import asyncio
import json
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from telegram import (
    Bot,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    MessageEntity,
    ReplyParameters,
    Update,
)
from telegram.error import BadRequest, Conflict, Forbidden, InvalidToken, RetryAfter
from telegram.ext import (
    ApplicationBuilder,
    CallbackQueryHandler,
    CommandHandler,
    MessageHandler,
    MessageReactionHandler,
    filters,
)

from ai_engine.simulators.files import SharedFile
from ai_engine.simulators.telegram import TelegramSimulator
from ai_engine.simulators.telegram.updates import RetryTimes

ROOT = Path(__file__).parents[2]
ORACLE = ROOT / "tests/oracles/telegram_aiogram.py"
TOKEN = "424242:a-bot-token"


def simulated(**more):
    return TelegramSimulator(token=TOKEN, retry=RetryTimes(first=0.02), **more)


@asynccontextmanager
async def ptb_bot(sim, token=TOKEN):
    async with Bot(token, base_url=f"{sim.url}/bot", base_file_url=f"{sim.url}/file/bot") as bot:
        yield bot


def number(sim, user="zhangsan"):
    return sim.info()["numbers"][user]


# python-telegram-bot


async def test_ptb_polls_answers_and_is_pressed():
    seen = []

    async def text(update, context):
        message = update.effective_message
        seen.append((message.text, message.chat.type, sorted(message.parse_entities().values())))
        keyboard = InlineKeyboardMarkup([[InlineKeyboardButton("Press", callback_data="v1")]])
        await message.reply_html(f"<b>echo</b> {message.text}", reply_markup=keyboard)

    async def start(update, context):
        seen.append(("start", context.args))

    async def pressed(update, context):
        await update.callback_query.answer("thanks")
        await update.callback_query.edit_message_text(f"got {update.callback_query.data}")

    async def reacted(update, context):
        seen.append(update.message_reaction.new_reaction[0].emoji)

    async with simulated() as sim:
        application = (
            ApplicationBuilder()
            .token(TOKEN)
            .base_url(f"{sim.url}/bot")
            .base_file_url(f"{sim.url}/file/bot")
            .build()
        )
        application.add_handler(CommandHandler("start", start))
        application.add_handler(CallbackQueryHandler(pressed))
        application.add_handler(MessageReactionHandler(reacted))
        application.add_handler(MessageHandler(filters.UpdateType.MESSAGE & filters.TEXT, text))
        async with application:
            await application.start()
            await application.updater.start_polling(
                timeout=5, allowed_updates=Update.ALL_TYPES, poll_interval=0
            )
            await sim.enter("zhangsan")
            asked = await sim.say("lisi", "@AI助手 你好 😀", chat="group")
            reply = await sim.wait_reply(asked)
            assert (reply.text, reply.buttons[0]["label"]) == (
                *("**echo** @ai_engine_bot 你好 😀", "Press"),
            )
            query = await sim.press(reply.id)
            edited = await sim.transcript.wait(
                reply.id, lambda: _with_edits(sim, reply.id, 1), timeout_seconds=5
            )
            assert (edited.text, edited.buttons) == ("got v1", ())
            assert sim.presses[query] == {"text": "thanks", "show_alert": False}
            await sim.rate(reply.id, "good")
            async with asyncio.timeout(5):
                while len(seen) < 3:
                    await asyncio.sleep(0)
            await application.updater.stop()
            await application.stop()
    assert seen == [
        *(("start", []), ("@ai_engine_bot 你好 😀", "supergroup", ["@ai_engine_bot"]), "👍"),
    ]


def _with_edits(sim, entry, edits):
    found = sim.transcript.get(entry)
    return found if found.edits >= edits else None


async def test_ptb_sends_texts_files_drafts_and_actions():
    async with simulated() as sim, ptb_bot(sim) as bot:
        assert (await bot.get_me()).username == "ai_engine_bot"
        asked = await sim.say("zhangsan", "hello")
        chat = number(sim)
        [update] = await bot.get_updates(timeout=5)
        assert (update.message.text, update.message.from_user.full_name) == ("hello", "张三")
        await bot.send_chat_action(chat, "typing")
        for words in ("You", "You have"):
            assert await bot.send_message_draft(chat, 7, words)
        growing = await sim.wait_reply(asked, unfinished=True)
        assert (growing.text, growing.state, growing.edits) == ("You have", "streaming", 1)
        sent = await bot.send_message(
            chat,
            "<b>You</b> have <a href='https://a.example'>5</a> 😀 days",
            parse_mode="HTML",
            reply_parameters=ReplyParameters(update.message.message_id),
        )
        assert sent.parse_entities([MessageEntity.BOLD, MessageEntity.TEXT_LINK]) == {
            sent.entities[0]: "You",
            sent.entities[1]: "5",
        }
        assert (await sim.wait_reply(asked)).state == "finished"
        document = await bot.send_document(chat, b"a,b", filename="t.csv", caption="rows")
        file = await bot.get_file(document.document.file_id)
        assert bytes(await file.download_as_bytearray()) == b"a,b"
        photo = await bot.send_photo(chat, b"\xff\xd8jpeg")
        assert photo.photo[-1].file_size == 6
        chat_info = await bot.get_chat(chat)
        assert chat_info.first_name == "张三"
        assert await bot.delete_message(chat, photo.message_id)
        assert sim.actions[0][1] == "typing"


async def test_ptb_understands_every_refusal(monkeypatch):
    monkeypatch.setenv("PTB_TIMEDELTA", "1")
    async with simulated() as sim, ptb_bot(sim) as bot:
        await sim.say("zhangsan", "hello")
        chat = number(sim)
        sent = await bot.send_message(chat, "one")
        with pytest.raises(BadRequest, match="not modified"):
            await sent.edit_text("one")
        with pytest.raises(BadRequest, match="parse entities"):
            await bot.send_message(chat, "<b>open", parse_mode="HTML")
        with pytest.raises(BadRequest, match="too long"):
            await bot.send_message(chat, "x" * 4097)
        button = InlineKeyboardButton("b", callback_data="x" * 65)
        keyboard = InlineKeyboardMarkup.from_button(button)
        with pytest.raises(BadRequest, match="Button_data_invalid"):
            await bot.send_message(chat, "x", reply_markup=keyboard)
        with pytest.raises(BadRequest, match="Chat not found"):
            await bot.send_message(999, "x")
        with pytest.raises(Forbidden, match="initiate"):
            await bot.send_message(number(sim, "lisi"), "x")
        sim.faults.change({"throttle_after": 0, "throttle_times": 1})
        with pytest.raises(RetryAfter) as caught:
            await bot.send_message(chat, "x")
        assert caught.value.retry_after.total_seconds() == 3
        sim.faults.rival = 1
        with pytest.raises(Conflict, match="terminated by other"):
            await bot.get_updates(timeout=1)
        await bot.set_webhook("https://bot.example/hook", secret_token="abc")
        with pytest.raises(Conflict, match="webhook is active"):
            await bot.get_updates(timeout=1)
        assert (await bot.get_webhook_info()).url == "https://bot.example/hook"
        await bot.delete_webhook()
        with pytest.raises(BadRequest, match="unallowed"):
            await bot.set_webhook("https://bot.example/hook", secret_token="a b")
        with pytest.raises(InvalidToken):
            async with ptb_bot(sim, "1:wrong"):
                pass


async def test_two_that_poll_end_each_other_and_updates_wait_until_confirmed():
    async with simulated() as sim, ptb_bot(sim) as bot, ptb_bot(sim) as other:
        first = asyncio.create_task(other.get_updates(timeout=5))
        while sim.updates._poll is None:
            await asyncio.sleep(0)
        second = asyncio.create_task(bot.get_updates(timeout=5))
        with pytest.raises(Conflict, match="terminated by other"):
            await first
        asked = await sim.say("zhangsan", "hello")
        [update] = await second
        [again] = await bot.get_updates(timeout=5)
        assert again.update_id == update.update_id
        assert sim.transcript.get(asked).status == "queued"
        assert await bot.get_updates(offset=update.update_id + 1, timeout=0) == ()
        assert sim.transcript.get(asked).status == "delivered"


# aiogram


class Child:
    def __init__(self, process):
        self._process = process

    async def next(self, what):
        async with asyncio.timeout(20):
            while True:
                line = await self._process.stdout.readline()
                assert line, "the bot ended"
                if line.startswith(b'{"what"') and (said := json.loads(line))["what"] == what:
                    return said


@asynccontextmanager
async def aiogram_bot(sim, mode):
    process = await asyncio.create_subprocess_exec(
        str(ROOT / ".venv-oracles/bin/python"),
        str(ORACLE),
        *(sim.url, TOKEN, mode),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield Child(process)
    finally:
        process.kill()
        await process.communicate()


@pytest.mark.parametrize("mode", ["poll", "webhook"])
async def test_aiogram_receives_answers_and_is_pressed(mode):
    async with simulated() as sim, aiogram_bot(sim, mode) as bot:
        assert (await bot.next("me"))["username"] == "ai_engine_bot"
        if mode == "webhook":
            await bot.next("hooked")
        asked = await sim.say("zhangsan", "@AI助手 你好 😀 /x", chat="group")
        got = await bot.next("message")
        assert got["text"] == "@ai_engine_bot 你好 😀 /x"
        assert got["entities"] == ["@ai_engine_bot", "/x"]
        sent = await bot.next("sent")
        assert sent["html"].startswith("<b>echo</b>: @ai")
        reply = await sim.wait_reply(asked)
        assert (reply.reply_to, reply.buttons[0]["style"]) == (asked, "primary")
        query = await sim.press(reply.id)
        assert (await bot.next("pressed"))["data"] == "value-1"
        edited = await sim.transcript.wait(
            reply.id, lambda: _with_edits(sim, reply.id, 1), timeout_seconds=5
        )
        assert edited.text == "pressed"
        async with asyncio.timeout(5):
            while sim.presses[query] is None:
                await asyncio.sleep(0)
        await sim.edit(asked, "@AI助手 changed")
        assert (await bot.next("edited"))["text"] == "@ai_engine_bot changed"
        await sim.rate(reply.id, "bad")
        assert (await bot.next("reacted"))["emoji"] == ["👎"]
        picture = SharedFile(kind="picture", name="a.jpg", mime="image/jpeg", content=b"12345")
        await sim.say("zhangsan", "look", file=picture)
        assert await bot.next("file") == {"what": "file", "size": 5, "caption": "look"}
        asked = await sim.say("zhangsan", "/file")
        reply = await sim.wait_reply(asked)
        assert (reply.kind, reply.text) == ("file", "**the** file")
        kept = sim.shelf.get(reply.url.removeprefix("/files/"))
        assert (kept.name, kept.content) == ("表.csv", b"a,b\n")
