"""A bot on the vendor's own Python SDK, run as a child process: JSON lines on standard output.

feishu_bot.py BASE_URL APP_ID APP_SECRET stream|send|frames|events
"""

import io
import json
import sys
import threading

import lark_oapi as lark
from lark_oapi.api.cardkit.v1 import (
    ContentCardElementRequest,
    ContentCardElementRequestBody,
    CreateCardRequest,
    CreateCardRequestBody,
    SettingsCardRequest,
    SettingsCardRequestBody,
)
from lark_oapi.api.contact.v3 import GetUserRequest
from lark_oapi.api.im.v1 import (
    CreateImageRequest,
    CreateImageRequestBody,
    CreateMessageReactionRequest,
    CreateMessageReactionRequestBody,
    CreateMessageRequest,
    CreateMessageRequestBody,
    Emoji,
    GetMessageRequest,
    GetMessageResourceRequest,
    ReplyMessageRequest,
    ReplyMessageRequestBody,
)
from lark_oapi.event.callback.model.p2_card_action_trigger import P2CardActionTriggerResponse


def tell(what, **more):
    print(json.dumps({"what": what, **more}), flush=True)


class Bot:
    def __init__(self, base, app_id, secret):
        self.base, self.app_id, self.secret = base, app_id, secret
        builder = lark.Client.builder().app_id(app_id).app_secret(secret).domain(base)
        self.client = builder.log_level(lark.LogLevel.ERROR).build()

    def dispatcher(self, encrypt_key="", token=""):
        return (
            lark.EventDispatcherHandler.builder(encrypt_key, token)
            .register_p2_im_message_receive_v1(self.message)
            .register_p2_im_message_recalled_v1(
                lambda data: tell("recalled", id=data.event.message_id)
            )
            .register_p2_im_message_reaction_created_v1(
                lambda data: tell("reacted", emoji=data.event.reaction_type.emoji_type)
            )
            .register_p2_im_chat_access_event_bot_p2p_chat_entered_v1(
                lambda data: tell("entered", user=data.event.operator_id.open_id)
            )
            .register_p2_card_action_trigger(self.pressed)
            .build()
        )

    def message(self, data):
        message, sender = data.event.message, data.event.sender
        text = json.loads(message.content).get("text", "")
        tell(
            "message",
            id=message.message_id,
            text=text,
            chat=message.chat_type,
            user=sender.sender_id.open_id,
            mentions=[each.name for each in message.mentions or []],
        )
        if text == "refuse":
            raise ValueError("refused")
        # The SDK runs handlers on its own loop; its synchronous calls must not wait there.
        threading.Thread(target=self.reply, args=(message.message_id, text)).start()

    def reply(self, message_id, text):
        body = ReplyMessageRequestBody.builder().msg_type("text").uuid(message_id[:50])
        body = body.content(json.dumps({"text": f"echo: {text}"})).build()
        request = ReplyMessageRequest.builder().message_id(message_id).request_body(body).build()
        answer = self.client.im.v1.message.reply(request)
        tell("replied", code=answer.code, id=answer.data.message_id if answer.data else "")

    def pressed(self, data):
        tell("pressed", value=data.event.action.value, user=data.event.operator.open_id)
        return P2CardActionTriggerResponse({"toast": {"type": "info", "content": "taken"}})

    def stream(self):
        lark.ws.Client(
            self.app_id,
            self.secret,
            event_handler=self.dispatcher(),
            domain=self.base,
            log_level=lark.LogLevel.ERROR,
        ).start()

    def send(self):
        """Every call of the HTTP API that a bot needs."""
        card = {
            "schema": "2.0",
            "config": {"streaming_mode": True},
            "body": {"elements": [{"tag": "markdown", "content": "", "element_id": "md1"}]},
        }
        body = CreateCardRequestBody.builder().type("card_json").data(json.dumps(card)).build()
        made = self.client.cardkit.v1.card.create(
            CreateCardRequest.builder().request_body(body).build()
        )
        tell("card", code=made.code, id=made.data.card_id)
        sent = self._create("ou_zhangsan", "open_id", "interactive", self._entity(made))
        tell("sent", code=sent.code, id=sent.data.message_id, chat=sent.data.chat_id)
        for sequence, text in ((1, "Hello"), (2, "Hello, world"), (2, "again")):
            body = ContentCardElementRequestBody.builder().content(text).sequence(sequence).build()
            request = ContentCardElementRequest.builder().card_id(made.data.card_id)
            request = request.element_id("md1").request_body(body).build()
            tell("wrote", code=self.client.cardkit.v1.card_element.content(request).code)
        off = json.dumps({"config": {"streaming_mode": False}})
        body = SettingsCardRequestBody.builder().settings(off).sequence(3).build()
        request = SettingsCardRequest.builder().card_id(made.data.card_id).request_body(body)
        tell("closed", code=self.client.cardkit.v1.card.settings(request.build()).code)
        self._more(sent.data.message_id)

    def _more(self, message_id):
        emoji = Emoji.builder().emoji_type("Get").build()
        body = CreateMessageReactionRequestBody.builder().reaction_type(emoji).build()
        request = CreateMessageReactionRequest.builder().message_id(message_id).request_body(body)
        tell("reacted", code=self.client.im.v1.message_reaction.create(request.build()).code)
        picture = io.BytesIO(b"a picture")
        body = CreateImageRequestBody.builder().image_type("message").image(picture)
        answer = self.client.im.v1.image.create(
            CreateImageRequest.builder().request_body(body.build()).build()
        )
        tell("image", code=answer.code, key=answer.data.image_key)
        content = json.dumps({"image_key": answer.data.image_key})
        tell("picture", code=self._create("oc_cid-group-ops", "chat_id", "image", content).code)
        got = self.client.im.v1.message.get(
            GetMessageRequest.builder().message_id(message_id).build()
        )
        tell("got", kind=got.data.items[0].msg_type, sender=got.data.items[0].sender.id)
        request = GetUserRequest.builder().user_id("ou_zhangsan").user_id_type("open_id").build()
        user = self.client.contact.v3.user.get(request).data.user
        tell("user", name=user.name, leader=user.leader_user_id)
        refused = self._create("ou_nobody", "open_id", "text", json.dumps({"text": "x"}))
        tell("refused", code=refused.code)

    @staticmethod
    def _entity(made):
        return json.dumps({"type": "card", "data": {"card_id": made.data.card_id}})

    def _create(self, receive_id, id_type, kind, content):
        body = CreateMessageRequestBody.builder().receive_id(receive_id).msg_type(kind)
        request = CreateMessageRequest.builder().receive_id_type(id_type)
        request = request.request_body(body.content(content).build()).build()
        return self.client.im.v1.message.create(request)

    def resource(self, message_id, key):
        request = GetMessageResourceRequest.builder().message_id(message_id).file_key(key)
        answer = self.client.im.v1.message_resource.get(request.type("file").build())
        tell("resource", code=answer.code, content=answer.file.read().decode())


def frames():
    """Reads frames in hexadecimal, a line each; tells what the SDK's protobuf makes of them and
    how it writes the same frame itself."""
    from lark_oapi.ws.pb.pbbp2_pb2 import Frame

    for line in sys.stdin:
        frame = Frame()
        frame.ParseFromString(bytes.fromhex(line.strip()))
        tell(
            "frame",
            seq_id=frame.SeqID,
            log_id=frame.LogID,
            service=frame.service,
            method=frame.method,
            headers={each.key: each.value for each in frame.headers},
            payload=frame.payload.hex(),
            written=frame.SerializeToString().hex(),
        )


def events(bot, encrypt_key, token):
    """Reads HTTP events (`{"headers","body"}`), a line each; tells how the SDK answers them."""
    from lark_oapi.core.model import RawRequest

    dispatcher = bot.dispatcher(encrypt_key, token)
    for line in sys.stdin:
        given = json.loads(line)
        request = RawRequest()
        request.uri, request.headers = "/", given["headers"]
        request.body = given["body"].encode()
        answer = dispatcher.do(request)
        tell("answer", status=answer.status_code, body=answer.content.decode())


def main():
    base, app_id, secret, mode, *more = sys.argv[1:]
    if mode == "frames":
        frames()
        return
    bot = Bot(base, app_id, secret)
    {"stream": bot.stream, "send": bot.send, "resource": bot.resource}.get(
        mode, lambda *rest: events(bot, *rest)
    )(*more)


if __name__ == "__main__":
    main()
