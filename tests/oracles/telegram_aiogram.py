"""A bot on aiogram. Arguments: base URL of the API, token, and `poll` or the port of a webhook.

Each line of its output is a JSON object that says what it saw.
"""

import asyncio
import json
import sys

from aiogram import Bot, Dispatcher, F
from aiogram.client.default import DefaultBotProperties
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.filters import Command
from aiogram.types import (
    BufferedInputFile,
    CallbackQuery,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    Message,
    MessageReactionUpdated,
)
from aiogram.webhook.aiohttp_server import SimpleRequestHandler, setup_application
from aiohttp import web

BASE, TOKEN, MODE = sys.argv[1:4]
SECRET = "aiogram_Secret-1"
dispatcher = Dispatcher()


def said(what, **more):
    print(json.dumps({"what": what, **more}), flush=True)


@dispatcher.message(Command("file"))
async def file(message: Message):
    await message.answer_document(
        BufferedInputFile(b"a,b\n", filename="表.csv"), caption="<b>the</b> file"
    )


@dispatcher.message(F.photo | F.document)
async def photo(message: Message, bot: Bot):
    ref = message.photo[-1].file_id if message.photo else message.document.file_id
    content = await bot.download(ref)
    said("file", size=len(content.read()), caption=message.caption)


@dispatcher.message()
async def echo(message: Message):
    entities = [e.extract_from(message.text) for e in message.entities or ()]
    said("message", text=message.text, chat=message.chat.type, entities=entities)
    button = InlineKeyboardButton(text="Press", callback_data="value-1", style="primary")
    sent = await message.reply(
        f"<b>echo</b>: {message.text}",
        reply_markup=InlineKeyboardMarkup(inline_keyboard=[[button]]),
    )
    said("sent", id=sent.message_id, text=sent.text, html=sent.html_text)


@dispatcher.edited_message()
async def edited(message: Message):
    said("edited", text=message.text, id=message.message_id)


@dispatcher.callback_query()
async def pressed(query: CallbackQuery):
    said("pressed", data=query.data)
    await query.message.edit_text("pressed")
    await query.answer("done")


@dispatcher.message_reaction()
async def reacted(update: MessageReactionUpdated):
    said("reacted", emoji=[each.emoji for each in update.new_reaction])


async def main():
    session = AiohttpSession(api=TelegramAPIServer.from_base(BASE))
    bot = Bot(TOKEN, session=session, default=DefaultBotProperties(parse_mode="HTML"))
    me = await bot.get_me()
    said("me", username=me.username)
    if MODE == "poll":
        await bot.delete_webhook()
        await dispatcher.start_polling(bot, polling_timeout=5, handle_signals=False)
        return
    app = web.Application()
    SimpleRequestHandler(dispatcher, bot, secret_token=SECRET).register(app, path="/hook")
    setup_application(app, dispatcher, bot=bot)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    await bot.set_webhook(
        f"http://127.0.0.1:{port}/hook",
        secret_token=SECRET,
        allowed_updates=dispatcher.resolve_used_update_types(),
    )
    said("hooked", port=port)
    await asyncio.Event().wait()


asyncio.run(main())
