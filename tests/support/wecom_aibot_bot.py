"""A bot on the official Python SDK (`aibot`), in a process of its own: JSON lines on stdout.

Arguments: WebSocket URL, bot id, secret. It answers a text by a stream of two states, `card` by a
template card, a press by an updated card, an opened chat by a greeting, and pushes to whom it is
told: `push <user>`.
"""

import asyncio
import json
import sys

import aibot.ws
from aibot import WSClient, WSClientOptions

aibot.ws._SSL_CONTEXT = None  # the SDK passes one even for ws://, which `websockets` refuses


def say(what, **more):
    print(json.dumps({"what": what, **more}), flush=True)


class Quiet:
    def debug(self, *_):
        pass

    info = warn = debug

    def error(self, message, *_):
        say("error", message=message)


CARD = {
    "card_type": "button_interaction",
    "main_title": {"title": "Sure?"},
    "button_list": [{"text": "Yes", "style": 1, "key": "yes"}],
    "task_id": "task-1",
}


async def main(url, bot_id, secret):
    client = WSClient(
        WSClientOptions(
            bot_id=bot_id,
            secret=secret,
            ws_url=url,
            logger=Quiet(),
            heartbeat_interval=50,
            max_reconnect_attempts=1,
        )
    )

    async def text(frame):
        body = frame["body"]
        content = body["text"]["content"]
        say("text", content=content, user=body["from"]["userid"], chattype=body["chattype"])
        if content == "card":
            await client.reply_template_card(frame, CARD)
        elif content.startswith("push "):
            message = {"msgtype": "markdown", "markdown": {"content": "pushed"}}
            ack = await client.send_message(content[5:], message)
            say("pushed", errcode=ack["errcode"])
        else:
            await client.reply_stream(frame, "s1", "You", False, feedback={"id": "f1"})
            ack = await client.reply_stream(frame, "s1", "You said", True)
            say("streamed", errcode=ack["errcode"])

    async def image(frame):
        part = frame["body"]["image"]
        content, name = await client.download_file(part["url"], part["aeskey"])
        say("image", bytes=content.hex(), name=name)

    async def entered(frame):
        await client.reply_welcome(frame, {"msgtype": "text", "text": {"content": "Welcome"}})

    async def pressed(frame):
        part = frame["body"]["event"]["template_card_event"]
        say("pressed", key=part["event_key"])
        done = {**CARD, "main_title": {"title": "Done"}, "task_id": part["task_id"]}
        await client.update_template_card(frame, done)

    async def rated(frame):
        say("rated", **frame["body"]["event"]["feedback_event"])

    client.on("authenticated", lambda: say("authenticated"))
    client.on("disconnected", lambda reason: say("disconnected"))
    client.on("error", lambda error: say("error", message=str(error)))
    client.on("message.text", text)
    client.on("message.image", image)
    client.on("event.enter_chat", entered)
    client.on("event.template_card_event", pressed)
    client.on("event.feedback_event", rated)
    client.on("event.disconnected_event", lambda frame: say("taken over"))
    await client.connect()
    await asyncio.Event().wait()


asyncio.run(main(*sys.argv[1:]))
