"""A robot on the vendor's own Stream SDK, run as a child process.

The SDK reads its endpoint from the environment when imported and blocks on requests, so it cannot
live in the test's process. Prints one JSON line for each thing that happens.
"""

import asyncio
import json
import sys

import dingtalk_stream
from dingtalk_stream import AckMessage, ChatbotMessage


def tell(what: str, **more: object) -> None:
    print(json.dumps({"what": what, **more}), flush=True)


class Bot(dingtalk_stream.ChatbotHandler):
    async def process(self, callback):
        message = ChatbotMessage.from_dict(callback.data)
        text = message.text.content.strip()
        tell(
            "message",
            id=message.message_id,
            text=message.text.content,
            staff=message.sender_staff_id,
            chat=message.conversation_type,
            title=message.conversation_title,
            at=[user.to_dict() for user in message.at_users],
        )
        if text == "refuse":
            return AckMessage.STATUS_SYSTEM_EXCEPTION, "refused"
        if text.startswith("ai "):
            tell("replied", card=await asyncio.to_thread(self.ai_card, text, message))
            return AckMessage.STATUS_OK, "OK"
        if text.startswith("md "):
            answer = self.reply_markdown("answer", f"**{text[3:]}**", message)
        else:
            answer = self.reply_text(f"echo: {text}", message)
        tell("replied", answer=answer)
        return AckMessage.STATUS_OK, "OK"

    def ai_card(self, text, message):
        """The vendor's AI card from start to end; `ai fail` ends it as failed."""
        card = dingtalk_stream.AIMarkdownCardInstance(self.dingtalk_client, message)
        card.set_title_and_logo("Title", "")
        card.ai_start()
        card.ai_streaming("par")
        card.ai_streaming("tial", append=True)
        if text == "ai fail":
            card.ai_fail()
        else:
            buttons = [{"text": "OK", "color": "blue", "id": "ok", "request": True}]
            card.ai_finish(markdown="the whole", button_list=buttons)
        return card.card_instance_id


class Cards(dingtalk_stream.CallbackHandler):
    async def process(self, callback):
        press = dingtalk_stream.CardCallbackMessage.from_dict(callback.data)
        tell(
            "press",
            card=press.card_instance_id,
            user=press.user_id,
            content=press.content,
            id=callback.headers.message_id,
        )
        title = {"cardParamMap": {"msgTitle": f"pressed by {press.user_id}"}}
        return AckMessage.STATUS_OK, {"cardData": title}


class Events(dingtalk_stream.EventHandler):
    seen = 0

    async def process(self, event):
        Events.seen += 1
        tell("event", id=event.headers.event_id, type=event.headers.event_type, data=event.data)
        if Events.seen == 1:
            return AckMessage.STATUS_SYSTEM_EXCEPTION, "again please"
        return AckMessage.STATUS_OK, "OK"


class Client(dingtalk_stream.DingTalkStreamClient):
    def open_connection(self):
        connection = super().open_connection()
        tell("opened", ok=connection is not None)
        return connection


def main() -> None:
    client = Client(dingtalk_stream.Credential(sys.argv[1], sys.argv[2]))
    client.register_callback_handler(ChatbotMessage.TOPIC, Bot())
    client.register_callback_handler(dingtalk_stream.Card_Callback_Router_Topic, Cards())
    client.register_all_event_handler(Events())
    tell("token", ok=client.get_access_token() is not None)
    asyncio.run(client.start())


if __name__ == "__main__":
    main()
