"""The HTTP side of the platform: one-time reply addresses, and files people have sent."""

import asyncio
import secrets
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from aiohttp import web

from ai_engine.simulators.base import Handler
from ai_engine.simulators.control import answer_json
from ai_engine.simulators.files import SharedFile
from ai_engine.simulators.wecom_aibot.codec import Bad, read_answer, read_object
from ai_engine.simulators.wecom_aibot.crypto import seal_file

if TYPE_CHECKING:
    from ai_engine.simulators.wecom_aibot.server import WecomAibotSimulator

KEPT_MAX = 10_000
FILES_MAX = 200
USED = 60140
"""errcode of a reply address that is used, expired or unknown. Not in the public reference."""
TOO_OFTEN = 45009


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyAddress:
    message_id: str
    conversation: str
    expires_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    name: str
    data: bytes
    expires_at: float


class Hooks:
    """`/cgi-bin/aibot/response` and `/media/…`."""

    def __init__(self, simulator: "WecomAibotSimulator") -> None:
        self._sim = simulator
        self._addresses: OrderedDict[str, ReplyAddress] = OrderedDict()
        self._files: OrderedDict[str, StoredFile] = OrderedDict()

    def routes(self) -> list[tuple[str, str, Handler]]:
        return [
            ("POST", "/cgi-bin/aibot/response", self._gated(self._respond)),
            ("GET", "/media/{code}", self._gated(self._media)),
            ("GET", "/files/{code}", self._file),
        ]

    def address(self, message_id: str, conversation: str) -> str:
        """A new reply address."""
        sim, code = self._sim, secrets.token_urlsafe(24)
        self._addresses[code] = ReplyAddress(
            message_id=message_id,
            conversation=conversation,
            expires_at=sim.clock.time() + sim.faults.response_url_seconds,
        )
        while len(self._addresses) > KEPT_MAX:
            self._addresses.popitem(last=False)
        return f"{sim.url}/cgi-bin/aibot/response?response_code={code}"

    def store(self, file: SharedFile, aes_key: str) -> str:
        """The address of a file, encrypted with this key."""
        sim, code = self._sim, secrets.token_urlsafe(24)
        self._files[code] = StoredFile(
            name=file.name,
            data=seal_file(aes_key, file.content),
            expires_at=sim.clock.time() + sim.faults.media_seconds,
        )
        while len(self._files) > FILES_MAX:
            self._files.popitem(last=False)
        return f"{sim.url}/media/{code}"

    def _gated(self, handler: Handler) -> Handler:
        """With what the fault knobs ask for."""

        async def handle(request: web.Request) -> web.StreamResponse:
            faults = self._sim.faults
            if faults.take("error_burst"):
                return web.Response(status=503)
            answer = await handler(request)
            if faults.answer_delay_seconds:
                await asyncio.sleep(faults.answer_delay_seconds)
            if faults.take("drop_answer") and request.transport is not None:
                request.transport.abort()
            elif faults.take("malformed_answer") and isinstance(answer, web.Response):
                body = answer.body
                answer.body = body[: len(body) // 2] if isinstance(body, bytes) else b"{"
            return answer

        return handle

    async def _respond(self, request: web.Request) -> web.Response:
        sim = self._sim
        try:
            if sim.faults.throttled():
                raise Bad("api freq out of limit", TOO_OFTEN)
            if sim.faults.reply_errcode:
                raise Bad("refused by the simulator's fault knob", sim.faults.reply_errcode)
            code = request.query.get("response_code", "")
            address = self._addresses.get(code)
            over = address is None or sim.clock.time() >= address.expires_at
            if address is None or over or sim.faults.take("expired_token"):
                raise Bad("response_code is used, expired or unknown", USED)
            body = read_object(await request.read())
            if body is None:
                raise Bad("the body is no JSON object")
            shown = read_answer(body, kinds=("markdown", "template_card"))
        except Bad as bad:
            return answer_json({"errcode": bad.errcode, "errmsg": str(bad)})
        del self._addresses[code]
        sim.chat.add(
            shown,
            message_id=address.message_id,
            conversation=address.conversation,
            via="response_url",
        )
        return answer_json({"errcode": 0, "errmsg": "ok"})

    async def _file(self, request: web.Request) -> web.Response:
        """For people who look at the chat: in the clear."""
        file = self._sim.shelf.get(request.match_info["code"])
        if file is None:
            return web.Response(status=404)
        shown = file.mime if file.mime.startswith("image/") else "application/octet-stream"
        return web.Response(
            body=file.content,
            content_type=shown,
            headers={"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox"},
        )

    async def _media(self, request: web.Request) -> web.Response:
        file = self._files.get(request.match_info["code"])
        if file is None or self._sim.clock.time() >= file.expires_at:
            return web.Response(status=403)
        name = quote(file.name)
        return web.Response(
            body=file.data,
            content_type="application/octet-stream",
            headers={"Content-Disposition": f"attachment; filename*=UTF-8''{name}"},
        )
