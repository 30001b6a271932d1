"""Pictures and files: private addresses for the bot, the external upload in three steps.

Source: docs.slack.dev, "Working with files", `files.getUploadURLExternal`.
"""

import re
import secrets
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from aiohttp import web

from ai_engine.domain.message import Json
from ai_engine.simulators.base import Handler
from ai_engine.simulators.files import FILE_BYTES_MAX, SharedFile
from ai_engine.simulators.slack.codec import TEAM, file_object
from ai_engine.simulators.slack.gate import Call, Refusal

if TYPE_CHECKING:
    from ai_engine.simulators.slack.server import SlackSimulator

UPLOADS_MAX: Final = 1_000
_MIME: Final = re.compile(r"[a-z]+/[\w.+-]+")
_KINDS: Final = {"image": "picture", "audio": "audio", "video": "video"}
_SUFFIXES: Final = {"png": "image/png", "jpg": "image/jpeg", "gif": "image/gif"}


@dataclass(slots=True, kw_only=True)
class Upload:
    """One announced upload."""

    file_id: str
    name: str
    length: int
    content: bytes | None = None


class FileStore:
    """Handlers of `files.*` and of the addresses that they give."""

    def __init__(self, simulator: "SlackSimulator") -> None:
        self._sim = simulator
        self._uploads: OrderedDict[str, Upload] = OrderedDict()

    def routes(self) -> list[tuple[str, str, Handler]]:
        gate = self._sim.gate
        return [
            ("*", "/api/files.info", gate.method(self._info, scope="files:read", json=False)),
            (
                "*",
                "/api/files.getUploadURLExternal",
                gate.method(self._announce, scope="files:write", json=False),
            ),
            (
                "POST",
                "/api/files.completeUploadExternal",
                gate.method(self._complete, scope="files:write", sends=True),
            ),
            ("POST", "/upload/v1/{ticket}", self._upload),
            ("GET", "/files-pri/{code}/download/{name}", self._private),
            ("GET", "/files/{code}", self._public),
        ]

    def describe(self, code: str, file: SharedFile) -> Json:
        """The file object of something a person sent."""
        name = file.name.replace("/", "_") or "file"
        address = f"{self._sim.url}/files-pri/{TEAM}-{code}/download/{name}"
        return file_object(code, file.name, file.mime, len(file.content), file.kind, address)

    async def _info(self, call: Call) -> Json:
        code = call.text("file", "file_not_found")
        file = self._sim.shelf.get(code)
        if file is None:
            raise Refusal("file_not_found")
        return {"file": self.describe(code, file)}

    async def _announce(self, call: Call) -> Json:
        name, length = call.text("filename"), str(call.args.get("length", ""))
        if not length.isdigit() or not 0 < int(length) <= FILE_BYTES_MAX:
            raise Refusal("invalid_arguments")
        ticket = secrets.token_urlsafe(24)
        file_id = f"F{secrets.token_hex(5).upper()}"
        self._uploads[ticket] = Upload(file_id=file_id, name=name, length=int(length))
        while len(self._uploads) > UPLOADS_MAX:
            self._uploads.popitem(last=False)
        return {"upload_url": f"{self._sim.url}/upload/v1/{ticket}", "file_id": file_id}

    async def _upload(self, request: web.Request) -> web.Response:
        upload = self._uploads.get(request.match_info["ticket"])
        if upload is None:
            return web.Response(status=404, text="no such upload")
        content = await request.read()
        if len(content) != upload.length:
            return web.Response(status=400, text="the length is not the announced one")
        upload.content = content
        return web.Response(text=f"OK - {len(content)}")

    async def _complete(self, call: Call) -> Json:
        given: Any = call.args.get("files")
        if not isinstance(given, list) or not given:
            raise Refusal("invalid_arguments")
        uploads = [self._uploaded(entry) for entry in cast("list[Any]", given)]
        channel = call.maybe("channel_id")
        if channel:
            if self._sim.directory.find(channel) is None:
                raise Refusal("channel_not_found")
            for upload in uploads:
                self._show(call, channel, upload)
        return {"files": [{"id": upload.file_id, "title": upload.name} for upload in uploads]}

    def _uploaded(self, entry: Any) -> Upload:
        wanted = cast("Json", entry).get("id") if isinstance(entry, dict) else None
        for upload in self._uploads.values():
            if upload.file_id == wanted and upload.content is not None:
                return upload
        raise Refusal("file_not_found")

    def _show(self, call: Call, channel: str, upload: Upload) -> None:
        mime = _SUFFIXES.get(upload.name.rpartition(".")[2].lower(), "application/octet-stream")
        kind = _KINDS.get(mime.partition("/")[0], "file")
        content = upload.content or b""
        file = SharedFile(kind=kind, name=upload.name, mime=mime, content=content)
        code = self._sim.shelf.put(file, "F")
        self._sim.show(
            channel=channel,
            thread_ts=call.maybe("thread_ts"),
            text=call.maybe("initial_comment") or upload.name,
            kind=kind,
            via="files.completeUploadExternal",
            request=call.request,
            url=f"/files/{code}",
        )

    async def _private(self, request: web.Request) -> web.Response:
        """For the bot's token with `files:read`; anybody else is led to the login page."""
        allowed = request.headers.get("Authorization") == f"Bearer {self._sim.bot_token}"
        if not allowed or self._sim.faults.missing_scope == "files:read":
            return web.Response(status=302, headers={"Location": f"{self._sim.url}/login"})
        return self._content(request.match_info["code"].removeprefix(f"{TEAM}-"))

    async def _public(self, request: web.Request) -> web.Response:
        """For the simulator's own page."""
        return self._content(request.match_info["code"])

    def _content(self, code: str) -> web.Response:
        file = self._sim.shelf.get(code)
        if file is None:
            return web.Response(status=404)
        return web.Response(
            body=file.content,
            content_type=file.mime if _MIME.fullmatch(file.mime) else "application/octet-stream",
            headers={"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox"},
        )
