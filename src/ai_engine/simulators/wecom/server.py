"""The simulated WeCom: one app, its members, a group robot, its API on one address."""

import random
from collections.abc import Mapping
from typing import ClassVar

from aiohttp import web

from ai_engine.domain.clock import Clock
from ai_engine.domain.errors import Malformed, NotFound
from ai_engine.domain.ids import new_id
from ai_engine.domain.message import Json
from ai_engine.simulators.base import Handler, Simulator
from ai_engine.simulators.control import answer_json, guarded
from ai_engine.simulators.files import SharedFile
from ai_engine.simulators.transcript import Entry
from ai_engine.simulators.wecom import codec
from ai_engine.simulators.wecom.callbacks import Callbacks
from ai_engine.simulators.wecom.crypto import Envelope
from ai_engine.simulators.wecom.faults import WeComFaults
from ai_engine.simulators.wecom.gate import Gate, Tokens
from ai_engine.simulators.wecom.openapi import OpenApi
from ai_engine.simulators.wecom.outbox import Message, Outbox
from ai_engine.simulators.wecom.robot import KEY, Robot

_MSGTYPES = {"picture": "image", "image": "image", "audio": "voice", "video": "video"}


class WeComSimulator(Simulator):
    """WeCom with one app. Arguments: see `Simulator`, and

    corp_id, agent_id, secret: the organisation's id, the app's AgentId and Secret.
    token, aes_key: Token and EncodingAESKey of "receive messages".
    robot_name: the app's name.
    """

    platform = "wecom"
    auth_defaults: ClassVar[Mapping[str, str]] = {
        "corp_id": "wwsimulated",
        "agent_id": "1000002",
        "secret": "simulated-secret",
        "token": "simulatedtoken",
        "aes_key": "c2ltdWxhdGVkLWtleS1zaW11bGF0ZWQta2V5LTMyYnl",
    }

    def __init__(
        self,
        *,
        corp_id: str,
        agent_id: str,
        secret: str,
        token: str,
        aes_key: str,
        engine: str = "",
        channel: str = "wecom",
        host: str = "127.0.0.1",
        port: int = 0,
        public_url: str = "",
        robot_name: str = "AI助手",
        clock: Clock | None = None,
    ) -> None:
        self.faults = WeComFaults()
        super().__init__(
            faults=self.faults,
            host=host,
            port=port,
            public_url=public_url,
            engine=engine,
            channel=channel,
            clock=clock,
        )
        self.corp_id = corp_id
        self.agent_id = int(agent_id)
        self.secret = secret
        self.token = token
        self.aes_key = aes_key
        self.robot_name = robot_name
        self.envelope = Envelope(token, aes_key, corp_id)
        self.tokens = Tokens(self.clock, self.faults)
        self.gate = Gate(self.clock, self.faults, self.tokens)
        self.callbacks = Callbacks(self)
        self.outbox = Outbox(self)
        self.api = OpenApi(self)
        self._robot = Robot(self)
        self._numbers = random.Random()  # noqa: S311 (message numbers, no secret)

    def routes(self) -> list[tuple[str, str, Handler]]:
        logged = [*self.api.routes(), *self._robot.routes()]
        return [
            *((method, path, self.logged(handler)) for method, path, handler in logged),
            ("POST", "/sim/check-url", guarded(self._check_url)),
        ]

    async def stopping(self) -> None:
        """No long connections."""

    def state(self) -> Json:
        return {
            "engine": self.engine_state,
            "connections": 0,
            "mode": "http" if self.engine else "none",
        }

    def info(self) -> Json:
        return {
            "corp_id": self.corp_id,
            "agent_id": self.agent_id,
            "robot_name": self.robot_name,
            "callback_url": f"{self.engine}/api/message/{self.channel}" if self.engine else "",
            "endpoints": {"api": self.url},
            "robot": {"url": f"{self.url}/cgi-bin/webhook/send?key={KEY}", "key": KEY},
            "dropped": self.outbox.dropped,
            "repeats": self.outbox.repeats,
        }

    async def check_url(self) -> bool:
        """What the console does when the callback's address is saved; whether it was passed."""
        return await self.callbacks.check_url()

    async def _check_url(self, _: web.Request) -> web.Response:
        return answer_json({"passed": await self.check_url()})

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
        if chat != "private":
            raise Malformed("WeCom's apps talk to one member at a time; chat must be private")
        if not user or not (text or file):
            raise Malformed("a message needs a user, and a text or a file")
        fields: dict[str, str | int] = {"MsgType": "text", "Content": text}
        url = ""
        if file is not None:
            code = self.shelf.put(file, "media")
            fields, url = self._file_fields(file, code), f"/files/{code}"
        shown = text or (file.name if file else "")
        kind = file.kind if file else "text"
        return self._write(user, name, fields, shown, kind=kind, url=url, conversation=conversation)

    def _file_fields(self, file: SharedFile, code: str) -> dict[str, str | int]:
        kind = _MSGTYPES.get(file.kind, "file")
        fields: dict[str, str | int] = {"MsgType": kind, "MediaId": code}
        if kind == "image":
            fields["PicUrl"] = f"{self.url}/files/{code}"
        elif kind == "voice":
            fields["Format"] = "amr"
            if self.faults.recognition:
                fields["Recognition"] = self.faults.recognition
        elif kind == "video":
            fields["ThumbMediaId"] = code
        else:
            fields["FileName"] = file.name
        return fields

    async def share_location(self, user: str, label: str, latitude: float, longitude: float) -> str:
        """A member sends a place."""
        fields: dict[str, str | int] = {
            "MsgType": "location",
            "Location_X": f"{latitude:.6f}",
            "Location_Y": f"{longitude:.6f}",
            "Scale": 15,
            "Label": label,
        }
        return self._write(user, "", fields, label)

    async def share_link(self, user: str, title: str, description: str, url: str) -> str:
        """A member sends a link."""
        fields: dict[str, str | int] = {
            "MsgType": "link",
            "Title": title,
            "Description": description,
            "Url": url,
            "PicUrl": "",
        }
        return self._write(user, "", fields, f"{title} {url}", kind="link")

    async def enter(self, user: str, *, name: str = "") -> str:
        fields = {"MsgType": "event", "Event": "enter_agent", "EventKey": ""}
        return self._write(user, name, fields, "〔进入应用 / opened the app〕")

    async def subscribe(self, user: str, *, name: str = "") -> str:
        """An administrator lets a member see the app; the id of the event."""
        fields = {"MsgType": "event", "Event": "subscribe", "EventKey": ""}
        return self._write(user, name, fields, "〔关注 / may see the app〕")

    async def click_menu(self, user: str, key: str) -> str:
        """A member chooses an entry of the app's menu; the id of the event."""
        fields = {"MsgType": "event", "Event": "click", "EventKey": key}
        return self._write(user, "", fields, f"〔菜单 / menu: {key}〕")

    async def press(self, entry_id: str, button: int = 0, *, user: str = "") -> str:
        entry = self.transcript.get(entry_id)
        if entry is None:
            raise NotFound(f"there is no message {entry_id}")
        pressed, card = self.outbox.button(entry, button)
        chat = self.directory.find(entry.conversation)
        fields = {
            "MsgType": "event",
            "Event": "template_card_event",
            "EventKey": str(pressed["key"]),
            "TaskId": card.task_id,
            "CardType": card.card_type,
            "ResponseCode": self.outbox.code((entry.id,)),
        }
        who = user or (chat.user if chat else "")
        return self._write(who, "", fields, f"〔{pressed['label']}〕")

    def _write(
        self,
        user: str,
        name: str,
        fields: Mapping[str, str | int],
        shown: str,
        *,
        kind: str = "text",
        url: str = "",
        conversation: str = "",
    ) -> str:
        """Queue a callback, and show in the chat what its member did."""
        self.callbacks.check_room()
        person = self.directory.person(user, name)
        where = self.directory.private(user, conversation)
        event = fields["MsgType"] == "event"
        number = self._numbers.getrandbits(62)
        message_id = new_id("event") if event else str(number)
        self.transcript.add(
            id=message_id,
            conversation=where.id,
            chat="private",
            sender=user,
            name=person.name,
            text=shown,
            kind=kind,
            at=self.clock.time(),
            status="queued",
            url=url,
        )
        full: dict[str, str | int] = {
            "ToUserName": self.corp_id,
            "FromUserName": user,
            "CreateTime": int(self.clock.time()),
            **fields,
            "AgentID": self.agent_id,
        }
        if not event:
            full["MsgId"] = number
        self.callbacks.put(message_id, full)
        return message_id

    async def resend(self, message_id: str, *, replay: bool = False) -> None:
        await self.callbacks.resend(message_id, replay=replay)

    def take_passive_reply(self, body: bytes, message_id: str) -> Entry | None:
        """What an engine answered within the callback itself: an encrypted text, or nothing."""
        outer = codec.read(body.decode("utf-8", "replace"))
        sealed = outer.get("Encrypt", "")
        timestamp, nonce = outer.get("TimeStamp", ""), outer.get("Nonce", "")
        if not sealed or outer.get("MsgSignature") != self.envelope.sign(timestamp, nonce, sealed):
            return None
        try:
            inner = codec.read(self.envelope.open(sealed))
        except ValueError:
            return None
        if inner.get("MsgType") != "text":
            return None
        chat = self.directory.private(inner.get("ToUserName", ""))
        message = Message(kind="text", text=inner.get("Content", ""))
        return self.outbox.show(message, chat.id, "passive reply", None, reply_to=message_id)
