"""The simulated Feishu: its bot, its people, its API on one address."""

import hmac
import random
from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

from ai_engine.domain.clock import Clock
from ai_engine.domain.errors import Malformed, NotFound
from ai_engine.domain.ids import new_id
from ai_engine.domain.message import Json
from ai_engine.simulators.base import Handler, Simulator
from ai_engine.simulators.feishu import directory_api, events
from ai_engine.simulators.feishu.cardkit import CardKit
from ai_engine.simulators.feishu.cards import Seen
from ai_engine.simulators.feishu.directory_api import DirectoryApi
from ai_engine.simulators.feishu.faults import FeishuFaults
from ai_engine.simulators.feishu.files import FileApi
from ai_engine.simulators.feishu.gate import Gate
from ai_engine.simulators.feishu.messages import Messages
from ai_engine.simulators.feishu.outbox import Outbox, Outcome
from ai_engine.simulators.feishu.store import Message, Store, new_message_id
from ai_engine.simulators.feishu.ws import WsGateway, WsTimes
from ai_engine.simulators.files import SharedFile
from ai_engine.simulators.people import Conversation, Person
from ai_engine.simulators.transcript import BOT, Entry

EMOJIS = {"good": "THUMBSUP", "bad": "ThumbsDown"}


class FeishuSimulator(Simulator):
    """Feishu with one app, whose bot is the engine. Arguments: see `Simulator`, and

    app_id, app_secret: the app's credentials. encrypt_key: empty sends events unencrypted and
    unsigned. verification_token: in every event.
    robot_name: what people @ in groups. times: periods of the long connection, in seconds.
    seed: of the choice among connections.
    """

    platform = "feishu"
    auth_defaults: ClassVar[Mapping[str, str]] = {
        "app_id": "cli_0123456789abcdef",
        "app_secret": "simulated-secret",
        "encrypt_key": "simulated-encrypt-key",
        "verification_token": "simulated-verification-token",
    }

    def __init__(
        self,
        *,
        app_id: str,
        app_secret: str,
        encrypt_key: str = "",
        verification_token: str = "",
        engine: str = "",
        channel: str = "feishu",
        host: str = "127.0.0.1",
        port: int = 0,
        public_url: str = "",
        robot_name: str = "AI助手",
        clock: Clock | None = None,
        times: WsTimes | None = None,
        seed: int | None = None,
    ) -> None:
        self.faults = FeishuFaults()
        super().__init__(
            faults=self.faults,
            host=host,
            port=port,
            public_url=public_url,
            engine=engine,
            channel=channel,
            clock=clock,
        )
        self.app_id = app_id
        self.app_secret = app_secret
        self.encrypt_key = encrypt_key
        self.verification_token = verification_token
        self.robot_name = robot_name
        self.gate = Gate(self.faults, self.clock, app_id)
        self.store = Store()
        self.outbox = Outbox(self)
        self.messages = Messages(self)
        self.files = FileApi(self)
        self.cardkit = CardKit(self)
        self.ws = WsGateway(self, times or WsTimes(), random.Random(seed))  # noqa: S311 (a draw, no secret)
        self._people_api = DirectoryApi(self)
        self.toasts: dict[str, Json] = {}
        """What presses were answered, by the event's id."""

    def is_app(self, app_id: Any, secret: Any) -> bool:
        """Whether these are the app's credentials."""
        same_id = hmac.compare_digest(str(app_id).encode(), self.app_id.encode())
        same_secret = hmac.compare_digest(str(secret).encode(), self.app_secret.encode())
        return same_id and same_secret

    def routes(self) -> list[tuple[str, str, Handler]]:
        parts = (self._people_api, self.messages, self.files, self.cardkit, self.ws)
        logged = [route for part in parts for route in part.routes()]
        return [
            *((method, path, self.logged(handler)) for method, path, handler in logged),
            ("GET", "/ws/v2", self.ws.connect),
            ("GET", "/files/{code}", self.files.show),
        ]

    async def stopping(self) -> None:
        await self.ws.close()

    def state(self) -> Json:
        count = len(self.ws.connections)
        mode = "stream" if count else "http" if self.engine else "none"
        return {"engine": self.engine_state, "connections": count, "mode": mode}

    def info(self) -> Json:
        group = self.directory.group()
        return {
            "app_id": self.app_id,
            "robot_name": self.robot_name,
            "bot_open_id": events.BOT_OPEN_ID,
            "tenant_key": events.TENANT,
            "callback_url": f"{self.engine}/api/message/{self.channel}" if self.engine else "",
            "endpoints": {"api": self.url},
            "sdk": {"lark_oapi": f"domain={self.url}", "node_sdk": f"domain: {self.url}"},
            "custom_robot": {
                "url": f"{self.url}/open-apis/bot/v2/hook/{directory_api.HOOK_TOKEN}",
                "secret": directory_api.HOOK_SECRET,
            },
            "group": {"id": group.id, "chat_id": events.chat_id(group.id), "title": group.title},
        }

    # What people do.

    async def say(
        self,
        user: str,
        text: str = "",
        *,
        chat: str = "private",
        conversation: str = "",
        name: str = "",
        at: bool | None = None,
        file: SharedFile | None = None,
        reply_to: str = "",
    ) -> str:
        """See `Simulator.say`. `reply_to`: the message that this one quotes."""
        if chat not in ("private", "group"):
            raise Malformed(f"chat must be private or group, not {chat!r}")
        if not user or not (text or file):
            raise Malformed("a message needs a user, and a text or a file")
        self.outbox.check_room()
        group = chat == "group"
        person = self.directory.person(user, name)
        private = partial(self.directory.private, user)
        where = (self.directory.group if group else private)(conversation)
        called = not group or self._called(text, at=at)
        seen = called or self.faults.group_messages
        code = self.shelf.put(file, "file_v3") if file else ""
        entry = self.transcript.add(
            id=new_message_id(),
            conversation=where.id,
            chat=chat,
            sender=user,
            name=person.name,
            text=text or (file.name if file else ""),
            kind=file.kind if file else "text",
            at=self.clock.time(),
            status="queued" if seen else "unseen",
            detail="" if seen else f"the bot only sees what @{self.robot_name} is in",
            url=f"/files/{code}" if code else "",
        )
        kind, content, mentions = self._content(text, file, code, group=group, called=called)
        message = self._kept(entry, kind, content, code, reply_to)
        if seen:
            self._send_out(message, person, where, content, mentions)
        return entry.id

    def _called(self, text: str, *, at: bool | None) -> bool:
        signs = (f"@{self.robot_name}", *events.EVERYONE)
        return at is not False or any(sign in text for sign in signs)

    def _content(
        self, text: str, file: SharedFile | None, code: str, *, group: bool, called: bool
    ) -> tuple[str, Json, list[Json]]:
        """(message_type, content, mentions)."""
        if file is not None:
            keys = {"picture": ("image", "image_key"), "video": ("media", "file_key")}
            kind, key = keys.get(file.kind, (file.kind, "file_key"))
            named: Json = {} if kind in ("image", "audio") else {"file_name": file.name}
            return kind, {key: code, **named}, []
        sign = f"@{self.robot_name}"
        if group and called and sign not in text and not any(e in text for e in events.EVERYONE):
            text = f"{sign} {text}"
        spoken, mentions = events.spoken(
            text, group=group, robot=self.robot_name, people=self.directory.staff
        )
        return "text", {"text": spoken}, mentions

    def _kept(self, entry: Entry, kind: str, content: Json, code: str, parent: str) -> Message:
        message = Message(
            id=entry.id,
            conversation=entry.conversation,
            kind=kind,
            content=str(content),
            sender=entry.sender,
            created_ms=int(entry.at * 1000),
            parent=parent,
            thread=self.faults.thread if entry.chat == "group" else "",
            files=(code,) if code else (),
        )
        self.store.add(message)
        return message

    def _send_out(
        self,
        message: Message,
        person: Person,
        where: Conversation,
        content: Json,
        mentions: list[Json],
    ) -> None:
        body = events.message_event(
            message_id=message.id,
            person=person,
            conversation=where,
            kind=message.kind,
            content=content,
            mentions=mentions,
            now=self.clock.time(),
            parent=message.parent,
            thread=message.thread,
            tenant=self.faults.tenant,
            sender_type="app" if self.faults.from_bot else "user",
        )
        self.outbox.put(message.id, where.id, self._event("im.message.receive_v1", body))

    def _event(self, kind: str, body: Json) -> Json:
        return events.envelope(
            kind,
            body,
            app_id=self.app_id,
            token=self.verification_token,
            now=self.clock.time(),
            tenant=self.faults.tenant,
        )

    async def tell(self, kind: str, body: Json) -> tuple[str, Outcome]:
        """Send any event; its id and what became of the first attempt."""
        event = self._event(kind, body)
        return event["header"]["event_id"], await self.outbox.tell(event)

    async def verify_address(self) -> Json:
        """Ask the engine whether the callback address is its own; what it answered."""
        body = {"challenge": new_id("challenge"), "token": self.verification_token}
        outcome = await self.outbox.deliver({**body, "type": "url_verification"})
        return {**body, "answer": outcome.answer, "detail": outcome.detail}

    async def resend(self, message_id: str, *, replay: bool = False) -> None:
        await self.outbox.resend(message_id, replay=replay)

    def _entry(self, entry_id: str, *, bot: bool) -> Entry:
        entry = self.transcript.get(entry_id)
        if entry is None or (entry.sender == BOT) is not bot:
            raise NotFound(f"no such message {entry_id}")
        return entry

    async def press(self, entry_id: str, button: int = 0, *, user: str = "") -> str:
        entry = self._entry(entry_id, bot=True)
        if not 0 <= button < len(entry.buttons):
            raise NotFound(f"the message has {len(entry.buttons)} buttons")
        pressed = entry.buttons[button]
        if "value" not in pressed:
            raise Malformed("this button opens an address")
        body: Json = {
            "operator": {"tenant_key": self.faults.tenant or events.TENANT}
            | events.ids(user or self._answered(entry)),
            "token": new_id("c"),
            "action": {"value": pressed["value"], "tag": "button", "timezone": "Asia/Shanghai"},
            "host": "im_message",
            "context": {
                "open_message_id": entry.id,
                "open_chat_id": events.chat_id(entry.conversation),
            },
        }
        event_id, outcome = await self.tell("card.action.trigger", body)
        self.toasts[event_id] = outcome.answer
        return event_id

    def _answered(self, entry: Entry) -> str:
        """Who was answered by the bot's message."""
        asked = self.transcript.get(entry.reply_to or "")
        chat = self.directory.find(entry.conversation)
        found = asked.sender if asked else chat.user if chat else ""
        if not found or found == BOT:
            raise Malformed("say who presses: user")
        return found

    async def recall(self, message_id: str) -> str:
        entry = self._entry(message_id, bot=False)
        if (message := self.store.get(message_id)) is not None:
            message.deleted = True
        body = {
            "message_id": message_id,
            "chat_id": events.chat_id(entry.conversation),
            "recall_time": str(int(self.clock.time() * 1000)),
            "recall_type": "message_owner",
        }
        event_id, _ = await self.tell("im.message.recalled_v1", body)
        return event_id

    async def rate(self, entry_id: str, rating: str, *, text: str = "", user: str = "") -> str:
        """A reaction; `none` takes 👍 back."""
        entry = self._entry(entry_id, bot=True)
        kind = "deleted" if rating == "none" else "created"
        body: Json = {
            "message_id": entry.id,
            "reaction_type": {"emoji_type": EMOJIS.get(rating, "THUMBSUP")},
            "operator_type": "user",
            "user_id": events.ids(user or self._answered(entry)),
            "app_id": self.app_id,
            "action_time": str(int(self.clock.time() * 1000)),
        }
        event_id, _ = await self.tell(f"im.message.reaction.{kind}_v1", body)
        return event_id

    async def enter(self, user: str, *, name: str = "") -> str:
        person = self.directory.person(user, name)
        where = self.directory.private(person.id)
        said = self.transcript.list(conversation=where.id)
        body: Json = {"chat_id": events.chat_id(where.id), "operator_id": events.ids(user)}
        if said:
            last = said[-1]
            body["last_message_id"] = last.id
            body["last_message_create_time"] = str(int(last.at * 1000))
        event_id, _ = await self.tell("im.chat.access_event.bot_p2p_chat_entered_v1", body)
        return event_id

    # What the bot says.

    def card_fields(self, seen: Seen) -> Json:
        """Fields of a transcript entry for a card."""
        texts = list(seen.texts.values())
        card: Json | None = None
        if seen.title or seen.image:
            card = {"title": seen.title, "markdown": "\n\n".join(texts[1:])}
            if seen.image:
                card["image"] = f"/files/{seen.image}"
        return {
            "kind": "markdown",
            "text": seen.text,
            "title": seen.title,
            "card": card,
            "buttons": tuple(seen.buttons),
        }

    def show(self, message: Message, shown: Json, *, via: str, produced_by: str) -> Entry:
        """Put what the engine sent into the chat."""
        chat = self.directory.find(message.conversation)
        fields = {name: value for name, value in shown.items() if name != "card_id"}
        return self.transcript.add(
            id=message.id,
            conversation=message.conversation,
            chat=chat.kind if chat else "private",
            sender=BOT,
            name=self.robot_name,
            at=self.clock.time(),
            reply_to=message.parent or None,
            via=via,
            produced_by=produced_by,
            **fields,
        )
