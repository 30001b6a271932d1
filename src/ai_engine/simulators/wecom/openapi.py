"""WeCom's server API for an app: tokens, application messages, media, the directory."""

import re
from typing import TYPE_CHECKING, Any, cast

import msgspec
from aiohttp import web

from ai_engine.domain.ids import new_id
from ai_engine.domain.message import Json
from ai_engine.simulators.base import Handler
from ai_engine.simulators.files import SharedFile
from ai_engine.simulators.wecom import cards
from ai_engine.simulators.wecom.gate import Refusal, answer
from ai_engine.simulators.wecom.outbox import Message

if TYPE_CHECKING:
    from ai_engine.simulators.wecom.server import WeComSimulator

TEXT_BYTES_MAX = 2048
MIME = re.compile(r"[a-z]+/[\w.+-]+")
MB = 1024 * 1024
MEDIA = {
    "image": ("picture", 10 * MB, ("image/png", "image/jpeg")),
    "voice": ("audio", 2 * MB, ("audio/amr",)),
    "video": ("video", 10 * MB, ("video/mp4",)),
    "file": ("file", 20 * MB, ()),
}
"""WeCom's kind → ours, most bytes, formats (path/90253)."""
DEPARTMENTS = {1: "模拟公司 Example Corp", 2: "产品部 Product", 3: "研发部 Engineering"}
LEADER = "lisi"


async def read_object(request: web.Request) -> Json:
    """The body. Raises Refusal."""
    try:
        found: Any = msgspec.json.decode(await request.read())
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Refusal(47001, "data format error")
    return cast("Json", found)


def words(body: Json, kind: str, bytes_max: int) -> str:
    """The content of a text or markdown part. Raises Refusal. A text that is too long is cut, as
    WeCom documents it; of markdown it only says that there is a limit."""
    part: Any = body.get(kind)
    content: Any = cast("Json", part).get("content") if isinstance(part, dict) else None
    if not isinstance(content, str) or not content:
        raise Refusal(44004, f"content is empty: {kind}")
    data = content.encode()
    if len(data) > bytes_max:
        if kind != "text":
            raise Refusal(45002, "content size out of limit")
        content = data[:bytes_max].decode("utf-8", "ignore")
    return content


class OpenApi:
    """Handlers of `/cgi-bin/…`."""

    def __init__(self, simulator: "WeComSimulator") -> None:
        self._sim = simulator

    def routes(self) -> list[tuple[str, str, Handler]]:
        gate = self._sim.gate
        with_token = gate.with_token
        return [
            ("GET", "/cgi-bin/gettoken", gate.open(self._token)),
            ("POST", "/cgi-bin/message/send", with_token(self._send, sends=True)),
            ("POST", "/cgi-bin/appchat/send", with_token(self._send_group, sends=True)),
            ("POST", "/cgi-bin/message/update_template_card", with_token(self._update)),
            ("POST", "/cgi-bin/media/upload", with_token(self._upload)),
            ("GET", "/cgi-bin/media/get", with_token(self._media)),
            ("GET", "/cgi-bin/user/get", with_token(self._user)),
            ("GET", "/cgi-bin/department/get", with_token(self._department)),
            ("GET", "/cgi-bin/agent/get", with_token(self._agent)),
            ("GET", "/files/{code}", self._file),
        ]

    async def _token(self, request: web.Request) -> web.Response:
        if request.query.get("corpid") != self._sim.corp_id:
            raise Refusal(40013, "invalid corpid")
        if request.query.get("corpsecret") != self._sim.secret:
            raise Refusal(40001, "invalid credential")
        token, seconds = self._sim.tokens.issue()
        return answer(access_token=token, expires_in=seconds)

    async def _send(self, request: web.Request) -> web.Response:
        sim = self._sim
        body = await read_object(request)
        if sim.faults.send_errcode:
            raise Refusal(sim.faults.send_errcode, "refused by the simulator's fault knob")
        if str(body.get("agentid")) != str(sim.agent_id):
            raise Refusal(40056, "invalid agentid")
        receivers = [user for user in str(body.get("touser") or "").split("|") if user]
        if not receivers:
            raise Refusal(40003, "touser, toparty and totag are all empty")
        known = [user for user in receivers if sim.directory.knows(user)]
        unknown = [user for user in receivers if user not in known]
        if not known:
            raise Refusal(81013, "user & party & tag all invalid")
        message = self._message(body)
        unlicensed = known if sim.faults.no_license else []
        code = ""
        if not unlicensed:
            code = sim.outbox.deliver(message, known, body, request)
        more: Json = {"response_code": code} if code else {}
        return answer(
            invaliduser="|".join(unknown),
            invalidparty="",
            invalidtag="",
            unlicenseduser="|".join(unlicensed),
            msgid=new_id("msg"),
            **more,
        )

    async def _send_group(self, request: web.Request) -> web.Response:
        body = await read_object(request)
        chat = self._sim.directory.find(str(body.get("chatid") or ""))
        if chat is None or chat.kind != "group":
            raise Refusal(86001, "invalid chatid")
        if body.get("msgtype") == "template_card":
            raise Refusal(40008, "invalid message type")
        self._sim.outbox.show(self._message(body), chat.id, "appchat/send", request)
        return answer()

    def _message(self, body: Json) -> Message:
        """What is to be shown. Raises Refusal."""
        kind = str(body.get("msgtype"))
        if kind in ("text", "markdown"):
            return Message(kind=kind, text=words(body, kind, TEXT_BYTES_MAX))
        if kind == "template_card":
            try:
                return Message.of_card(cards.read(body.get("template_card")))
            except cards.BadCard as bad:
                raise Refusal(40058, f"invalid Request Parameter: {bad}") from bad
        if kind in MEDIA:
            return self.media_message(body, kind)
        raise Refusal(40008, "invalid message type")

    def media_message(self, body: Json, kind: str) -> Message:
        """A message that names an uploaded file. Raises Refusal."""
        part: Any = body.get(kind)
        code: Any = cast("Json", part).get("media_id") if isinstance(part, dict) else None
        file = self._sim.shelf.get(code) if isinstance(code, str) else None
        if file is None or file.kind != MEDIA[kind][0]:
            raise Refusal(40007, "invalid media_id")
        return Message(kind=file.kind, text=file.name, url=f"/files/{code}")

    async def _update(self, request: web.Request) -> web.Response:
        body = await read_object(request)
        if str(body.get("agentid")) != str(self._sim.agent_id):
            raise Refusal(40056, "invalid agentid")
        self._sim.outbox.update(body)
        return answer(invaliduser=[])

    async def _upload(self, request: web.Request) -> web.Response:
        return await self.upload(request)

    async def upload(self, request: web.Request) -> web.Response:
        """Keeps a file. Raises Refusal."""
        kind = request.query.get("type", "")
        if kind not in MEDIA:
            raise Refusal(40004, "invalid media type")
        if not request.content_type.startswith("multipart/"):
            raise Refusal(41005, "media data missing")
        media = (await request.post()).get("media")
        if not isinstance(media, web.FileField):
            raise Refusal(41005, "media data missing")
        ours, bytes_max, formats = MEDIA[kind]
        content = media.file.read(bytes_max + 1)
        if not 5 < len(content) <= bytes_max:
            raise Refusal(40006, "invalid file size")
        if formats and media.content_type not in formats:
            raise Refusal(40005, "invalid file type")
        shared = SharedFile(
            kind=ours, name=media.filename, mime=media.content_type, content=content
        )
        code = self._sim.shelf.put(shared, "media")
        now = str(int(self._sim.clock.time()))
        return answer(type=kind, media_id=code, created_at=now)

    async def _media(self, request: web.Request) -> web.Response:
        file = self._sim.shelf.get(request.query.get("media_id", ""))
        if file is None:
            raise Refusal(40007, "invalid media_id")
        return web.Response(
            body=file.content,
            content_type=file.mime if MIME.fullmatch(file.mime) else "application/octet-stream",
            headers={"Content-Disposition": _disposition(file.name)},
        )

    async def _file(self, request: web.Request) -> web.Response:
        """For the page; WeCom shows it in its own client."""
        file = self._sim.shelf.get(request.match_info["code"])
        if file is None:
            return web.Response(status=404)
        return web.Response(
            body=file.content,
            content_type=file.mime if MIME.fullmatch(file.mime) else "application/octet-stream",
            headers={"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox"},
        )

    async def _user(self, request: web.Request) -> web.Response:
        self._check_directory()
        user = request.query.get("userid", "")
        if not self._sim.directory.knows(user):
            raise Refusal(60111, "userid not found")
        person = self._sim.directory.person(user)
        departments = [3] if user == LEADER else [2]
        leaders = [] if user == LEADER else [LEADER]
        return answer(
            userid=user,
            name=person.name,
            department=departments,
            main_department=departments[0],
            position=person.title,
            direct_leader=leaders,
            status=1,
        )

    async def _department(self, request: web.Request) -> web.Response:
        self._check_directory()
        number = request.query.get("id", "")
        name = DEPARTMENTS.get(int(number)) if number.isdigit() else None
        if name is None:
            raise Refusal(60003, "department not found")
        return answer(department={"id": int(number), "name": name, "parentid": 1, "order": 1})

    async def _agent(self, request: web.Request) -> web.Response:
        sim = self._sim
        if request.query.get("agentid") != str(sim.agent_id):
            raise Refusal(301002, "not allow operate another agent with this accesstoken")
        users = [{"userid": person.id} for person in sim.directory.staff]
        return answer(
            agentid=sim.agent_id, name=sim.robot_name, close=0, allow_userinfos={"user": users}
        )

    def _check_directory(self) -> None:
        if self._sim.faults.no_directory:
            raise Refusal(48002, "api forbidden")


def _disposition(name: str) -> str:
    plain = "".join(c if c.isascii() and c.isprintable() and c not in '"\\' else "_" for c in name)
    return f'attachment; filename="{plain}"'
