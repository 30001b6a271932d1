"""The simulated DingTalk: its robot, its people, its API on one address."""

import hmac
import random
from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

from aiohttp import web

from ai_engine.domain.clock import Clock
from ai_engine.domain.errors import Malformed
from ai_engine.domain.ids import new_id
from ai_engine.domain.message import Json
from ai_engine.simulators.base import Handler, Simulator
from ai_engine.simulators.dingtalk.callbacks import Callbacks
from ai_engine.simulators.dingtalk.card_api import CardApi
from ai_engine.simulators.dingtalk.codec import (
    CORP_ID,
    Robot,
    Shown,
    robot_message,
    text_content,
)
from ai_engine.simulators.dingtalk.contact import Contact
from ai_engine.simulators.dingtalk.events import Events
from ai_engine.simulators.dingtalk.faults import DingTalkFaults
from ai_engine.simulators.dingtalk.gate import Gate
from ai_engine.simulators.dingtalk.openapi import OpenApi
from ai_engine.simulators.dingtalk.stream import Gateway, StreamTimes
from ai_engine.simulators.dingtalk.tokens import ReplySessions, Tokens
from ai_engine.simulators.dingtalk.webhooks import Webhooks
from ai_engine.simulators.files import SharedFile
from ai_engine.simulators.people import Conversation, Person
from ai_engine.simulators.transcript import BOT, Entry

PRODUCED_BY_HEADER = "X-AI-Engine-Produced-By"
"""An engine that wants the page to say which part answered names it in this request header."""


class DingTalkSimulator(Simulator):
    """DingTalk with one app, whose robot is the engine. Arguments: see `Simulator`, and

    app_id, app_secret: the app's client id (also its robot code) and secret.
    robot_name: what people @ in groups.
    token, aes_key: of the HTTP push of events; empty when there is none.
    times: periods of the stream gateway, in seconds.
    seed: of the choice among stream connections.
    """

    platform = "dingtalk"
    auth_defaults: ClassVar[Mapping[str, str]] = {
        "app_id": "dingsimulated",
        "app_secret": "simulated-secret",
        "token": "",
        "aes_key": "",
    }

    def __init__(
        self,
        *,
        app_id: str,
        app_secret: str,
        engine: str = "",
        channel: str = "dingtalk",
        host: str = "127.0.0.1",
        port: int = 0,
        public_url: str = "",
        robot_name: str = "AI助手",
        token: str = "",
        aes_key: str = "",
        clock: Clock | None = None,
        times: StreamTimes | None = None,
        seed: int | None = None,
    ) -> None:
        self.faults = DingTalkFaults()
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
        self.robot = Robot(code=app_id, name=robot_name)
        self.tokens = Tokens(self.clock, self.faults)
        self.sessions = ReplySessions()
        self.gate = Gate(self.faults, self.tokens)
        self.callbacks = Callbacks(self)
        self.stream = Gateway(self, times or StreamTimes(), random.Random(seed))  # noqa: S311 (a draw, no secret)
        self.webhooks = Webhooks(self)
        self.cards = CardApi(self)
        self.contact = Contact(self)
        self.events = Events(self, token, aes_key)
        self._openapi = OpenApi(self)

    def is_app(self, app_id: Any, secret: Any) -> bool:
        """Whether these are the app's credentials."""
        same_id = hmac.compare_digest(str(app_id).encode(), self.app_id.encode())
        same_secret = hmac.compare_digest(str(secret).encode(), self.app_secret.encode())
        return same_id and same_secret

    def routes(self) -> list[tuple[str, str, Handler]]:
        rooms = (self._openapi, self.webhooks, self.stream, self.cards, self.contact)
        logged = [route for room in rooms for route in room.routes()]
        return [
            *((method, path, self.logged(handler)) for method, path, handler in logged),
            ("GET", "/connect", self.stream.connect),
            *self.stream.control_routes(),
        ]

    async def stopping(self) -> None:
        await self.stream.close()

    def state(self) -> Json:
        return {
            "engine": self.engine_state,
            "connections": len(self.stream.robot_connections),
            "mode": "stream"
            if self.stream.robot_connections
            else "http"
            if self.engine
            else "none",
        }

    def info(self) -> Json:
        return {
            "app_id": self.app_id,
            "robot_code": self.robot.code,
            "robot_name": self.robot.name,
            "corp_id": CORP_ID,
            "callback_url": f"{self.engine}/api/message/{self.channel}" if self.engine else "",
            "endpoints": {"api": self.url, "oapi": self.url},
            "sdk": {
                "dingtalk_stream": f"DINGTALK_OPENAPI_ENDPOINT={self.url}",
                "alibabacloud_dingtalk": {
                    "protocol": self.url.split("://")[0],
                    "endpoint": self.url.split("://")[1],
                },
            },
            "custom_robot": {
                "url": f"{self.url}/robot/send?access_token={self.webhooks.custom.token}",
                "secret": self.webhooks.custom.secret,
            },
            "group": {"id": self.directory.group().id, "title": self.directory.group().title},
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
        self.callbacks.check_room()
        group = chat == "group"
        person = self.directory.person(user, name)
        private = partial(self.directory.private, user)
        where = (self.directory.group if group else private)(conversation)
        code = self.shelf.put(file, "dl") if file else ""
        seen = not group or at is not False or f"@{self.robot.name}" in text
        entry = self.transcript.add(
            id=f"msg{new_id('dt')}",
            conversation=where.id,
            chat=chat,
            sender=user,
            name=person.name,
            text=text or (file.name if file else ""),
            kind=file.kind if file else "text",
            at=self.clock.time(),
            status="queued" if seen else "unseen",
            detail="" if seen else f"the robot only sees what @{self.robot.name} is in",
            url=f"/files/{code}" if code else "",
        )
        if seen:
            words = text_content(text, group=group, robot_name=self.robot.name)
            content = _file_content(file, code) if file else words
            self._call_back(entry.id, person, where, content)
        return entry.id

    def _call_back(
        self, message_id: str, person: Person, where: Conversation, content: Json
    ) -> None:
        expires_at = self.clock.time() + self.faults.session_webhook_seconds
        session = self.sessions.issue(message_id, where.id, expires_at)
        self.callbacks.put(
            robot_message(
                message_id=message_id,
                robot=self.robot,
                person=person,
                conversation=where,
                created_ms=int(self.clock.time() * 1000),
                webhook=f"{self.url}/robot/sendBySession?session={session}",
                webhook_expires_ms=int(expires_at * 1000),
                content=content,
            )
        )

    async def resend(self, message_id: str, *, replay: bool = False) -> None:
        await self.callbacks.resend(message_id, replay=replay)

    async def press(self, entry_id: str, button: int = 0, *, user: str = "") -> str:
        return await self.cards.press(entry_id, button, user)

    def push_event(self, event_type: str, data: Json) -> str:
        """An event of the organisation, by HTTP where that is set up and no Stream connection
        takes events, else over the next connection that does; its id. Raises Overloaded."""
        if self.stream.takes_events or not self.events.possible:
            return self.stream.send_event(event_type, data)
        return self.events.push(event_type, data)

    def add_to_group(self, operator: str, conversation: str = "") -> str:
        """Somebody adds the robot to a group; the event's id. Raises Overloaded."""
        group = self.directory.group(conversation)
        return self.push_event(
            "im_cool_app_install",
            {
                "coolAppCode": "COOLAPP-1-SIMULATED",
                "openConversationId": group.id,
                "openConversationCorpId": CORP_ID,
                "operateTime": str(int(self.clock.time() * 1000)),
                "operator": self.directory.person(operator).id,
                "robotCode": self.robot.code,
            },
        )

    def show(
        self,
        shown: Shown,
        *,
        conversation: str,
        via: str,
        request: web.Request,
        reply_to: str | None = None,
    ) -> Entry:
        """Put what the engine sent into the chat."""
        chat = self.directory.find(conversation)
        url = f"/files/{shown.media}" if shown.media else ""
        return self.transcript.add(
            id=f"bot{new_id('dt')}",
            conversation=conversation,
            chat=chat.kind if chat else "private",
            sender=BOT,
            name=self.robot.name,
            text=shown.text,
            title=shown.title,
            kind=shown.kind,
            at=self.clock.time(),
            reply_to=reply_to,
            via=via,
            url=url,
            produced_by=request.headers.get(PRODUCED_BY_HEADER, "")[:100],
        )


def _file_content(file: SharedFile, code: str) -> Json:
    content: dict[str, Any] = {"downloadCode": code}
    if file.kind == "picture":
        content["pictureDownloadCode"] = code
    elif file.kind == "audio":
        content |= {"recognition": "", "duration": 1000}
    elif file.kind == "video":
        content |= {"videoType": "mp4", "duration": 1000}
    else:
        content |= {"fileName": file.name, "spaceId": "1", "fileId": code}
    return {"msgtype": file.kind, "content": content}
