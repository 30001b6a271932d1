"""Pictures and files: uploads, what messages hold, and what the page shows."""

import re
from typing import TYPE_CHECKING, Any

from aiohttp import web

from ai_engine.simulators.base import Handler
from ai_engine.simulators.feishu.gate import No, yes
from ai_engine.simulators.feishu.messages import READ
from ai_engine.simulators.files import FILE_BYTES_MAX, SharedFile

if TYPE_CHECKING:
    from ai_engine.simulators.feishu.server import FeishuSimulator

UPLOAD = ("im:resource", "im:resource:upload")
IMAGE_BYTES_MAX = 10 * 1024 * 1024
FILE_TYPES = {"opus", "mp4", "pdf", "doc", "xls", "ppt", "stream"}
MIME = re.compile(r"[a-z]+/[\w.+-]+")


class FileApi:
    """Handlers of `/open-apis/im/v1/images`, `files` and `messages/…/resources`."""

    def __init__(self, simulator: "FeishuSimulator") -> None:
        self._sim = simulator

    def routes(self) -> list[tuple[str, str, Handler]]:
        gate, base = self._sim.gate, "/open-apis/im/v1"
        one = f"{base}/messages/{{message_id}}/resources/{{key}}"
        return [
            ("GET", one, gate.api(self._resource, *READ)),
            ("POST", f"{base}/images", gate.api(self._image, *UPLOAD)),
            ("POST", f"{base}/files", gate.api(self._file, *UPLOAD)),
        ]

    async def show(self, request: web.Request) -> web.Response:
        """For the page, and for people who look at what the bot sent."""
        file = self._sim.shelf.get(request.match_info["code"])
        if file is None:
            return web.Response(status=404)
        return web.Response(
            body=file.content,
            content_type=file.mime if MIME.fullmatch(file.mime) else "application/octet-stream",
            headers={"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox"},
        )

    async def _resource(self, request: web.Request) -> web.Response:
        message = self._sim.store.present(request.match_info["message_id"])
        key = request.match_info["key"]
        file = self._sim.shelf.get(key) if key in message.files else None
        wanted = request.query.get("type", "")
        if file is None:
            raise No(234003, "File not in msg.")
        if wanted not in ("image", "file") or (wanted == "image") != (file.kind == "picture"):
            raise No(234001, "Invalid request param: type")
        headers = {"Content-Disposition": "attachment", "X-Content-Type-Options": "nosniff"}
        return web.Response(body=file.content, content_type=file.mime, headers=headers)

    async def _image(self, request: web.Request) -> web.Response:
        form = await self._form(request)
        if form.get("image_type") not in ("message", "avatar"):
            raise No(234001, "Invalid request param: image_type")
        content, _, mime = await _content(form.get("image"), IMAGE_BYTES_MAX)
        file = SharedFile(kind="picture", name="image", mime=mime, content=content)
        return yes({"image_key": self._sim.shelf.put(file, "img_v3")})

    async def _file(self, request: web.Request) -> web.Response:
        form = await self._form(request)
        name, kind = str(form.get("file_name", "")), form.get("file_type")
        if not name or kind not in FILE_TYPES:
            raise No(234001, "Invalid request param: file_name or file_type")
        content, _, mime = await _content(form.get("file"), FILE_BYTES_MAX)
        file = SharedFile(kind="file", name=name, mime=mime, content=content)
        return yes({"file_key": self._sim.shelf.put(file, "file_v3")})

    @staticmethod
    async def _form(request: web.Request) -> dict[str, Any]:
        if not request.content_type.startswith("multipart/"):
            raise No(234001, "Invalid request param: multipart/form-data is needed")
        return dict(await request.post())


async def _content(field: Any, bytes_max: int) -> tuple[bytes, str, str]:
    """(content, name, mime) of an uploaded file. Raises No."""
    if isinstance(field, bytes | bytearray | str):  # a part without a file name
        content = field.encode() if isinstance(field, str) else bytes(field)
        name, mime = "", "application/octet-stream"
    elif isinstance(field, web.FileField):
        content = field.file.read(bytes_max + 1)
        name, mime = field.filename, field.content_type
    else:
        raise No(234001, "Invalid request param: the file is missing")
    if not content:
        raise No(234010, "File's size can't be 0.")
    if len(content) > bytes_max:
        raise No(234006, "The file size exceed the max value.")
    return content, name, mime
