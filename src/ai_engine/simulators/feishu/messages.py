"""The message API: send, reply, edit, recall, look up, react."""

from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web

from ai_engine.domain.ids import new_id
from ai_engine.domain.message import Json
from ai_engine.simulators.base import Handler
from ai_engine.simulators.feishu.cards import read_card
from ai_engine.simulators.feishu.gate import No, part, read, words, yes
from ai_engine.simulators.feishu.store import Message, new_message_id

if TYPE_CHECKING:
    from ai_engine.simulators.feishu.server import FeishuSimulator

SEND = ("im:message", "im:message:send_as_bot")
READ = ("im:message", "im:message:readonly")
REACT = ("im:message", "im:message.reactions:write_only")
TEXT_BYTES_MAX = 150 * 1024
EDITS_MAX = 20
PRODUCED_BY = "X-AI-Engine-Produced-By"


class Messages:
    """Handlers of `/open-apis/im/v1`."""

    def __init__(self, simulator: "FeishuSimulator") -> None:
        self._sim = simulator
        self.reactions: dict[str, tuple[str, str]] = {}
        """reaction id → (message id, emoji)."""

    def routes(self) -> list[tuple[str, str, Handler]]:
        gate, base = self._sim.gate, "/open-apis/im/v1"
        one = f"{base}/messages/{{message_id}}"
        return [
            ("POST", f"{base}/messages", gate.api(self._send, *SEND, sends=True)),
            ("POST", f"{one}/reply", gate.api(self._reply, *SEND, sends=True)),
            ("GET", one, gate.api(self._get, *READ)),
            ("PUT", one, gate.api(self._edit, *SEND)),
            ("PATCH", one, gate.api(self._patch, *SEND)),
            ("DELETE", one, gate.api(self._delete, *SEND)),
            ("POST", f"{one}/reactions", gate.api(self._react, *REACT)),
            ("DELETE", f"{one}/reactions/{{reaction_id}}", gate.api(self._unreact, *REACT)),
        ]

    async def _send(self, request: web.Request) -> web.Response:
        body = await read(request)
        conversation = self._receiver(
            request.query.get("receive_id_type", ""), words(body, "receive_id")
        )
        return self._sent(body, conversation, request)

    async def _reply(self, request: web.Request) -> web.Response:
        body = await read(request)
        parent = self._sim.store.present(request.match_info["message_id"])
        return self._sent(body, parent.conversation, request, parent)

    def _receiver(self, kind: str, receive_id: str) -> str:
        """The conversation's id."""
        directory = self._sim.directory
        if kind == "chat_id":
            chat = directory.find(receive_id.removeprefix("oc_"))
            if chat is None:
                raise No(230002, "The bot can not be outside the group.")
            return chat.id
        prefixes = {"open_id": "ou_", "user_id": "", "union_id": "on_"}
        if kind not in prefixes:
            raise No(230001, "Your request contains an invalid request parameter: receive_id_type")
        user = receive_id.removeprefix(prefixes[kind])
        if not directory.knows(user):
            raise No(230013, "Bot has NO availability to this user.")
        return directory.private(user).id

    def _sent(
        self, body: Json, conversation: str, request: web.Request, parent: Message | None = None
    ) -> web.Response:
        sim, now = self._sim, self._sim.clock.time()
        if sim.faults.reply_code:
            raise No(sim.faults.reply_code, "refused by the simulator's fault knob")
        uuid: Any = body.get("uuid")
        if uuid is not None and (not isinstance(uuid, str) or not 1 <= len(uuid) <= 50):
            raise No(230001, "Your request contains an invalid request parameter: uuid")
        if (before := sim.store.used(conversation, uuid, now)) is not None:
            return yes(before.as_json(sim.app_id))
        kind, content = words(body, "msg_type"), words(body, "content")
        shown = self._shown(kind, content)
        thread = parent.thread if parent else ""
        if parent is not None and body.get("reply_in_thread") and not thread:
            thread = f"omt_{parent.id}"
        message = Message(
            id=new_message_id(),
            conversation=conversation,
            kind=kind,
            content=content,
            sender="",
            created_ms=int(now * 1000),
            parent=parent.id if parent else "",
            thread=thread,
        )
        sim.store.add(message)
        sim.store.use(conversation, uuid, message, now)
        sim.show(
            message,
            shown,
            via="reply" if parent else "messages",
            produced_by=request.headers.get(PRODUCED_BY, "")[:100],
        )
        if card_id := shown.get("card_id"):
            sim.cardkit.placed(str(card_id), message.id)
        return yes(message.as_json(sim.app_id))

    def _shown(self, kind: str, content: str) -> Json:
        """What a reader sees of a message: fields of a transcript entry."""
        try:
            body: Any = msgspec.json.decode(content)
        except msgspec.DecodeError as error:
            raise No(230001, "content is not a string in json format") from error
        if not isinstance(body, dict):
            raise No(230001, "content is not a json object")
        found: Json = body  # pyright: ignore[reportUnknownVariableType]
        if kind == "interactive":
            return self._card(found, content)
        if len(content.encode()) > TEXT_BYTES_MAX:
            raise No(230025, "The length of the message content reaches its limit.")
        if kind == "text":
            return {"kind": "text", "text": words(found, "text")}
        if kind == "post":
            return {"kind": "markdown", "text": _post_text(found)}
        key = words(found, "image_key" if kind == "image" else "file_key")
        file = self._sim.shelf.get(key)
        if file is None:
            raise No(230055, "the key does not exist, or its type is another one")
        kinds = {"image": "image", "file": "file", "audio": "audio", "media": "video"}
        if kind not in kinds:
            raise No(230001, f"invalid msg_type {kind}")
        return {"kind": kinds[kind], "text": file.name, "url": f"/files/{key}"}

    def _card(self, found: Json, content: str) -> Json:
        if self._sim.faults.take("refuse_cards"):
            raise No(230099, "Failed to create card content, ext=ErrCode: 11310")
        if found.get("type") == "card":
            card_id = str(part(found, "data").get("card_id", ""))
            return {**self._sim.cardkit.shown(card_id), "card_id": card_id}
        return self._sim.card_fields(read_card(content))

    async def _get(self, request: web.Request) -> web.Response:
        message = self._sim.store.present(request.match_info["message_id"])
        return yes({"items": [message.as_json(self._sim.app_id)]})

    def _own(self, request: web.Request) -> Message:
        message = self._sim.store.present(request.match_info["message_id"])
        if message.sender:
            raise No(230071, "The operator is not the message's sender.")
        return message

    async def _edit(self, request: web.Request) -> web.Response:
        """Texts and rich texts only."""
        body, message = await read(request), self._own(request)
        if message.kind not in ("text", "post") or body.get("msg_type") not in ("text", "post"):
            raise No(230054, "This message type does not support being edited.")
        if message.edits >= EDITS_MAX:
            raise No(230072, "The message has reached the number of times it can be edited.")
        shown = self._shown(str(body["msg_type"]), words(body, "content"))
        message.edits += 1
        message.content = str(body["content"])
        self._sim.transcript.mark(message.id, text=shown["text"], edits=message.edits)
        return yes(message.as_json(self._sim.app_id))

    async def _patch(self, request: web.Request) -> web.Response:
        """Cards only."""
        body, message = await read(request), self._own(request)
        if message.kind != "interactive":
            raise No(230001, "the message is no card")
        content = words(body, "content")
        message.edits += 1
        message.content = content
        fields = self._sim.card_fields(read_card(content))
        self._sim.transcript.mark(message.id, edits=message.edits, **fields)
        return yes()

    async def _delete(self, request: web.Request) -> web.Response:
        message = self._own(request)
        message.deleted = True
        self._sim.transcript.mark(message.id, detail="recalled", text="")
        return yes()

    async def _react(self, request: web.Request) -> web.Response:
        message = self._sim.store.present(request.match_info["message_id"])
        emoji = words(part(await read(request), "reaction_type"), "emoji_type")
        reaction_id = new_id("reaction")
        self.reactions[reaction_id] = (message.id, emoji)
        self._sim.transcript.mark(message.id, detail=f"reaction {emoji}")
        operator = {"operator_id": self._sim.app_id, "operator_type": "app"}
        return yes(
            {
                "reaction_id": reaction_id,
                "operator": operator,
                "action_time": str(int(self._sim.clock.time() * 1000)),
                "reaction_type": {"emoji_type": emoji},
            }
        )

    async def _unreact(self, request: web.Request) -> web.Response:
        if self.reactions.pop(request.match_info["reaction_id"], None) is None:
            raise No(231011, "reaction not found")
        return yes()


def _post_text(found: Json) -> str:
    """A post's words; it is wrapped in a language."""
    body = part(found, next(iter(found), ""))
    lines: Any = body.get("content", [])
    texts = ["".join(str(piece.get("text", "")) for piece in line) for line in lines]
    title = str(body.get("title", ""))
    text = "\n".join(([f"**{title}**"] if title else []) + texts)
    if not text:
        raise No(230001, "the post is empty")
    return text
