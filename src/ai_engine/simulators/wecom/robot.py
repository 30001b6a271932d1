"""The group robot of the simulated WeCom: it only speaks (path/99110)."""

import base64
import binascii
import hashlib
from collections import deque
from typing import TYPE_CHECKING, Any, cast

from aiohttp import web

from ai_engine.domain.message import Json
from ai_engine.simulators.base import Handler
from ai_engine.simulators.files import SharedFile
from ai_engine.simulators.wecom import cards
from ai_engine.simulators.wecom.gate import Refusal, answer
from ai_engine.simulators.wecom.openapi import read_object, words
from ai_engine.simulators.wecom.outbox import Message

if TYPE_CHECKING:
    from ai_engine.simulators.wecom.server import WeComSimulator

KEY = "simulated-robot-key"
IMAGE_BYTES_MAX = 2 * 1024 * 1024
_LIMITS = {"text": 2048, "markdown": 4096, "markdown_v2": 4096}
_CARDS = ("text_notice", "news_notice")


class Robot:
    """Handlers of `/cgi-bin/webhook/…`."""

    def __init__(self, simulator: "WeComSimulator") -> None:
        self._sim = simulator
        self._times: deque[float] = deque(maxlen=10_000)

    def routes(self) -> list[tuple[str, str, Handler]]:
        gate = self._sim.gate
        return [
            ("POST", "/cgi-bin/webhook/send", gate.open(self._send, sends=True)),
            ("POST", "/cgi-bin/webhook/upload_media", gate.open(self._upload)),
        ]

    async def _send(self, request: web.Request) -> web.Response:
        self._check(request)
        body = await read_object(request)
        message = self._message(body)
        self._pace()
        group = self._sim.directory.group()
        self._sim.outbox.show(message, group.id, "webhook/send", request)
        return answer()

    async def _upload(self, request: web.Request) -> web.Response:
        self._check(request)
        if request.query.get("type") not in ("file", "voice"):
            raise Refusal(40004, "invalid media type")
        return await self._sim.api.upload(request)

    def _check(self, request: web.Request) -> None:
        if request.query.get("key") != KEY:
            raise Refusal(93000, "invalid webhook url")

    def _pace(self) -> None:
        now = self._sim.clock.time()
        while self._times and now - self._times[0] >= 60.0:
            self._times.popleft()
        if len(self._times) >= self._sim.faults.robot_per_minute:
            raise Refusal(45009, "api freq out of limit")
        self._times.append(now)

    def _message(self, body: Json) -> Message:
        kind = str(body.get("msgtype"))
        if kind in _LIMITS:
            shown = "markdown" if kind != "text" else kind
            return Message(kind=shown, text=words(body, kind, _LIMITS[kind]))
        if kind in ("file", "voice"):
            return self._sim.api.media_message(body, kind)
        if kind == "image":
            return self._image(body)
        if kind == "template_card":
            try:
                return Message.of_card(cards.read(body.get("template_card"), types=_CARDS))
            except cards.BadCard as bad:
                raise Refusal(40058, f"invalid Request Parameter: {bad}") from bad
        raise Refusal(40008, "invalid message type")

    def _image(self, body: Json) -> Message:
        part: Any = body.get("image")
        image = cast("Json", part) if isinstance(part, dict) else {}
        try:
            content = base64.b64decode(str(image.get("base64") or ""), validate=True)
        except binascii.Error as error:
            raise Refusal(40009, "invalid image size") from error
        if not 0 < len(content) <= IMAGE_BYTES_MAX:
            raise Refusal(40009, "invalid image size")
        if hashlib.md5(content, usedforsecurity=False).hexdigest() != image.get("md5"):
            raise Refusal(301019, "image md5 not match")
        mime = "image/png" if content.startswith(b"\x89PNG") else "image/jpeg"
        file = SharedFile(kind="picture", name="image", mime=mime, content=content)
        return Message(
            kind="picture", text="image", url=f"/files/{self._sim.shelf.put(file, 'media')}"
        )
