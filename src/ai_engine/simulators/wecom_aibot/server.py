"""The simulated WeCom: an AI robot, its people, its WebSocket and its callbacks."""

import base64
import hmac
import secrets
from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

from ai_engine.domain.clock import Clock
from ai_engine.domain.errors import Malformed, NotFound
from ai_engine.domain.ids import new_id
from ai_engine.domain.message import Json
from ai_engine.simulators.base import Handler, Simulator
from ai_engine.simulators.files import SharedFile
from ai_engine.simulators.people import Conversation, Person
from ai_engine.simulators.wecom_aibot.callbacks import WRONG, Callback, Callbacks
from ai_engine.simulators.wecom_aibot.chat import ChatView
from ai_engine.simulators.wecom_aibot.codec import About, event, message
from ai_engine.simulators.wecom_aibot.crypto import seal
from ai_engine.simulators.wecom_aibot.faults import AibotFaults
from ai_engine.simulators.wecom_aibot.hooks import Hooks
from ai_engine.simulators.wecom_aibot.socket import RobotSocket

_RATINGS = {"good": 1, "bad": 2, "none": 3}
_KINDS = {"picture": "image", "audio": "voice", "video": "video", "file": "file"}


class WecomAibotSimulator(Simulator):
    """WeCom with one AI robot, which is the engine. Arguments: see `Simulator`, and

    bot_id, secret: the robot's id and its WebSocket's secret.
    token, aes_key: of its callbacks.
    robot_name: what people @ in groups.
    """

    platform = "wecom_aibot"
    auth_defaults: ClassVar[Mapping[str, str]] = {
        "bot_id": "aibSimulatedRobot",
        "secret": "simulated-secret",
        "token": "simulatedToken",
        "aes_key": "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG",
    }

    def __init__(
        self,
        *,
        bot_id: str = auth_defaults["bot_id"],
        secret: str = auth_defaults["secret"],
        token: str = auth_defaults["token"],
        aes_key: str = auth_defaults["aes_key"],
        engine: str = "",
        channel: str = "wecom_aibot",
        host: str = "127.0.0.1",
        port: int = 0,
        public_url: str = "",
        robot_name: str = "AI助手",
        clock: Clock | None = None,
    ) -> None:
        self.faults = AibotFaults()
        super().__init__(
            faults=self.faults,
            host=host,
            port=port,
            public_url=public_url,
            engine=engine,
            channel=channel,
            clock=clock,
        )
        self.bot_id = bot_id
        self.secret = secret
        self.token = token
        self.aes_key = aes_key
        self.robot_name = robot_name
        self.chat = ChatView(self)
        self.callbacks = Callbacks(self)
        self.socket = RobotSocket(self)
        self.hooks = Hooks(self)

    def is_bot(self, bot_id: Any, secret: Any) -> bool:
        """Whether these are the robot's credentials."""
        same_id = hmac.compare_digest(str(bot_id).encode(), self.bot_id.encode())
        same_secret = hmac.compare_digest(str(secret).encode(), self.secret.encode())
        return same_id and same_secret

    @property
    def ws_url(self) -> str:
        return f"ws{self.url.removeprefix('http')}/ws"

    def routes(self) -> list[tuple[str, str, Handler]]:
        return [
            *((method, path, self.logged(one)) for method, path, one in self.hooks.routes()),
            ("GET", "/ws", self.socket.connect),
        ]

    async def stopping(self) -> None:
        await self.socket.close()

    def state(self) -> Json:
        mode = "stream" if self.socket.connected else "http" if self.engine else "none"
        connections = int(self.socket.connected)
        return {"engine": self.engine_state, "connections": connections, "mode": mode}

    def info(self) -> Json:
        group = self.directory.group()
        return {
            "bot_id": self.bot_id,
            "robot_name": self.robot_name,
            "callback_url": f"{self.engine}/api/message/{self.channel}" if self.engine else "",
            "endpoints": {"api": self.url, "ws": self.ws_url},
            "sdk": {"aibot": {"ws_url": self.ws_url}, "@wecom/aibot-node-sdk": self.ws_url},
            "group": {"id": group.id, "title": group.title},
        }

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
    ) -> str:
        if chat not in ("private", "group"):
            raise Malformed(f"chat must be private or group, not {chat!r}")
        if not user or not (text or file):
            raise Malformed("a message needs a user, and a text or a file")
        group = chat == "group"
        person = self.directory.person(user, name)
        private = partial(self.directory.private, user)
        where = (self.directory.group if group else private)(conversation)
        mention = f"@{self.robot_name}"
        seen = not group or at is not False or mention in text
        entry = self.transcript.add(
            id=f"msg{new_id('wx')}",
            conversation=where.id,
            chat=chat,
            sender=user,
            name=person.name,
            text=text or (file.name if file else ""),
            kind=file.kind if file else "text",
            at=self.clock.time(),
            status="queued" if seen else "unseen",
            detail="" if seen else f"the robot only sees what {mention} is in",
            url=f"/files/{self.shelf.put(file, 'wx')}" if file else "",
        )
        if seen:
            words = f"{mention} {text}".strip() if group and mention not in text else text
            content = self._content(words, file)
            self._put(entry.id, person, where, content)
        return entry.id

    async def quote(self, user: str, text: str, quoted: Json, *, chat: str = "private") -> str:
        """A person answers a message: `quoted` is `{"msgtype", …}` as WeCom has it."""
        person = self.directory.person(user)
        where = self.directory.group() if chat == "group" else self.directory.private(user)
        entry = self._happened(person, where, text)
        content = {"msgtype": "text", "text": {"content": text}, "quote": quoted}
        self._put(entry, person, where, content)
        return entry

    def _put(self, entry: str, person: Person, where: Conversation, content: Json) -> None:
        address = {"response_url": self.hooks.address(entry, where.id)}
        about = self._about(entry, person, where, address)
        self.callbacks.put(Callback(id=entry, conversation=where.id, body=message(about, content)))

    def _about(self, id_: str, person: Person, where: Conversation, more: Json) -> About:
        return About(
            bot_id=self.bot_id,
            message_id=id_,
            person=person,
            conversation=where,
            at=self.clock.time(),
            more=more,
        )

    def _content(self, text: str, file: SharedFile | None) -> Json:
        if file is None:
            return {"msgtype": "text", "text": {"content": text}}
        kind = _KINDS.get(file.kind, "file")
        if kind == "voice":
            return {"msgtype": "voice", "voice": {"content": text}}
        own_key = base64.b64encode(secrets.token_bytes(32)).decode()
        streams = self.socket.connected
        part: Json = {"url": self.hooks.store(file, own_key if streams else self.aes_key)}
        if streams:
            part["aeskey"] = own_key
        if kind == "image" and text:
            words = {"msgtype": "text", "text": {"content": text}}
            return {
                "msgtype": "mixed",
                "mixed": {"msg_item": [words, {"msgtype": "image", "image": part}]},
            }
        return {"msgtype": kind, kind: part}

    async def resend(self, message_id: str, *, replay: bool = False) -> None:
        await self.callbacks.resend(message_id, replay=replay)

    def _happened(self, person: Person, where: Conversation, text: str) -> str:
        """A row for what a person did; its id is the event's."""
        return self.transcript.add(
            id=f"msg{new_id('wx')}",
            conversation=where.id,
            chat=where.kind,
            sender=person.id,
            name=person.name,
            text=text,
            kind="text",
            at=self.clock.time(),
            status="queued",
        ).id

    async def press(self, entry_id: str, button: int = 0, *, user: str = "") -> str:
        entry, card = self.transcript.get(entry_id), self.chat.cards.get(entry_id)
        if entry is None or card is None or not 0 <= button < len(entry.buttons):
            raise NotFound(f"no button {button} of {entry_id}")
        chosen = entry.buttons[button]
        if "key" not in chosen:
            raise Malformed("this button opens an address")
        where = self.directory.find(entry.conversation) or self.directory.group(entry.conversation)
        person = self.directory.person(user or card.user or where.user or "zhangsan")
        id_ = self._happened(person, where, f"〔{chosen['label']}〕")
        address = {"response_url": self.hooks.address(id_, where.id)}
        part = {
            "card_type": card.card_type,
            "event_key": chosen["key"],
            "task_id": card.task_id,
        }
        body = event(self._about(id_, person, where, address), "template_card_event", part)
        self.callbacks.put(Callback(id=id_, conversation=where.id, body=body, entry=entry_id))
        return id_

    async def rate(self, entry_id: str, rating: str, *, text: str = "", user: str = "") -> str:
        entry, rated = self.transcript.get(entry_id), self.chat.feedback.get(entry_id)
        if entry is None or rated is None:
            raise NotFound(f"{entry_id} cannot be rated")
        if rating not in _RATINGS:
            raise Malformed("rating must be good, bad or none")
        where = self.directory.find(entry.conversation) or self.directory.group(entry.conversation)
        person = self.directory.person(user or where.user or "zhangsan")
        part: Json = {"id": rated, "type": _RATINGS[rating]}
        if rating == "bad":
            part |= {"content": text, "inaccurate_reason_list": [2]}
        id_ = new_id("wxevent")
        body = event(self._about(id_, person, where, {}), "feedback_event", part)
        self.callbacks.put(Callback(id=id_, conversation=where.id, body=body))
        return id_

    async def enter(self, user: str, *, name: str = "") -> str:
        person, where = self.directory.person(user, name), self.directory.private(user)
        id_ = new_id("wxevent")
        body = event(self._about(id_, person, where, {}), "enter_chat", {})
        self.callbacks.put(Callback(id=id_, conversation=where.id, body=body))
        return id_

    async def check_url(self) -> tuple[int, str]:
        """What WeCom does when an administrator saves the callback address: (status, said)."""
        timestamp = str(int(self.clock.time() + self.faults.clock_skew_seconds))
        token = self.token + (WRONG if self.faults.wrong_secret else "")
        query = Callbacks.signed(seal(self.aes_key, b"echo-1234"), token, timestamp)
        query["echostr"] = query.pop("encrypt")
        status, answer, error = await self.callbacks.call("GET", query)
        return status, error or answer.decode("utf-8", "replace")
