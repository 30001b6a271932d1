"""DingTalk's server API: access tokens, proactive robot messages, files."""

import re
from typing import TYPE_CHECKING, Any

from aiohttp import web

from ai_engine.domain.ids import new_id
from ai_engine.domain.message import Json
from ai_engine.simulators.base import Handler
from ai_engine.simulators.control import answer_json
from ai_engine.simulators.dingtalk.codec import CORP_ID, BadParam, read_msg_param, read_object
from ai_engine.simulators.dingtalk.gate import api_error, old_answer
from ai_engine.simulators.files import FILE_BYTES_MAX, SharedFile

if TYPE_CHECKING:
    from ai_engine.simulators.dingtalk.server import DingTalkSimulator

USERS_MAX = 20
MEDIA_KINDS = {"image": "picture", "voice": "audio", "file": "file", "video": "video"}
MIME = re.compile(r"[a-z]+/[\w.+-]+")
SEND_SCOPE = "qyapi_robot_sendmsg"


class OpenApi:
    """Handlers of `/v1.0/oauth2`, `/v1.0/robot` and their older relatives."""

    def __init__(self, simulator: "DingTalkSimulator") -> None:
        self._sim = simulator

    def routes(self) -> list[tuple[str, str, Handler]]:
        gate = self._sim.gate
        robot = "/v1.0/robot"
        return [
            ("POST", "/v1.0/oauth2/accessToken", gate.open(self._access_token)),
            ("POST", "/v1.0/oauth2/{corp}/token", gate.open(self._corp_token)),
            ("GET", "/gettoken", gate.open(self._old_token, old=True)),
            ("POST", f"{robot}/oToMessages/batchSend", self._sends(self._batch_send)),
            ("POST", f"{robot}/groupMessages/send", self._sends(self._group_send)),
            (
                "POST",
                f"{robot}/messageFiles/download",
                gate.with_token(self._download, scope=SEND_SCOPE),
            ),
            ("POST", "/media/upload", gate.with_token(self._upload, old=True)),
            ("GET", "/files/{code}", self._file),
        ]

    def _sends(self, handler: Handler) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            try:
                return await handler(request)
            except BadParam as bad:
                return api_error(400, bad.code, bad.message)

        return self._sim.gate.with_token(handle, sends=True, scope=SEND_SCOPE)

    async def _access_token(self, request: web.Request) -> web.Response:
        body = read_object(await request.read()) or {}
        if not self._sim.is_app(body.get("appKey"), body.get("appSecret")):
            return api_error(400, "invalidClientIdOrSecret", "无效的clientId或者clientSecret")
        token, seconds = self._sim.tokens.issue()
        return answer_json({"accessToken": token, "expireIn": seconds})

    async def _corp_token(self, request: web.Request) -> web.Response:
        body = read_object(await request.read()) or {}
        if request.match_info["corp"] != CORP_ID:
            return api_error(400, "invalidCorpId", "无效的corpId")
        if body.get("grant_type") != "client_credentials":
            return api_error(400, "unsupportedGrantType", "grant_type must be client_credentials")
        if not self._sim.is_app(body.get("client_id"), body.get("client_secret")):
            return api_error(400, "invalidClientIdOrSecret", "无效的clientId或者clientSecret")
        token, seconds = self._sim.tokens.issue()
        return answer_json({"access_token": token, "expires_in": seconds})

    async def _old_token(self, request: web.Request) -> web.Response:
        if not self._sim.is_app(request.query.get("appkey"), request.query.get("appsecret")):
            return old_answer(40089, "不合法的corpid或corpsecret")
        token, seconds = self._sim.tokens.issue()
        return old_answer(access_token=token, expires_in=seconds)

    async def _robot_body(self, request: web.Request) -> Json:
        body = read_object(await request.read())
        if body is None:
            raise BadParam("InvalidParameter", "the body is no JSON object")
        code = body.get("robotCode")
        if not code:
            raise BadParam("invalidParameter.robotCode.empty", "robotCode is empty")
        if code != self._sim.robot.code:
            raise BadParam("invalidParameter.robotCode.notExsit", "robot 不存在")
        return body

    async def _batch_send(self, request: web.Request) -> web.Response:
        sim = self._sim
        body = await self._robot_body(request)
        users: Any = body.get("userIds")
        if not isinstance(users, list) or not users:
            raise BadParam("invalidParameter.userIds.empty", "userIds is empty")
        names = [str(user) for user in users]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        if len(names) > USERS_MAX:
            raise BadParam("invalidParameter.userIds.overMax", f"more than {USERS_MAX} userIds")
        shown = read_msg_param(body.get("msgKey"), body.get("msgParam"))
        unknown = [user for user in names if not sim.directory.knows(user)]
        for user in names:
            if user not in unknown:
                chat = sim.directory.private(user)
                sim.show(shown, conversation=chat.id, via="oToMessages", request=request)
        return answer_json(
            {
                "processQueryKey": new_id("query"),
                "invalidStaffIdList": unknown,
                "flowControlledStaffIdList": [],
            }
        )

    async def _group_send(self, request: web.Request) -> web.Response:
        sim = self._sim
        body = await self._robot_body(request)
        conversation = body.get("openConversationId")
        if not conversation:
            raise BadParam("miss.openConversationId", "openConversationId is missing")
        chat = sim.directory.find(str(conversation))
        if chat is None or chat.kind != "group":
            raise BadParam("invalid.openConversationId", "the robot is in no such group")
        if sim.faults.group_disbanded:
            raise BadParam("group.disbanded", "the group has been disbanded")
        shown = read_msg_param(body.get("msgKey"), body.get("msgParam"))
        sim.show(shown, conversation=chat.id, via="groupMessages", request=request)
        return answer_json({"processQueryKey": new_id("query")})

    async def _download(self, request: web.Request) -> web.Response:
        body = read_object(await request.read()) or {}
        if body.get("robotCode") != self._sim.robot.code:
            return api_error(400, "invalidParameter.robotCode.notExsit", "robot 不存在")
        code = body.get("downloadCode")
        if not isinstance(code, str) or self._sim.shelf.get(code) is None:
            return api_error(400, "invalidParameter.downloadCode", "no such downloadCode")
        return answer_json({"downloadUrl": f"{self._sim.url}/files/{code}"})

    async def _file(self, request: web.Request) -> web.Response:
        file = self._sim.shelf.get(request.match_info["code"])
        if file is None:
            return web.Response(status=404)
        return web.Response(
            body=file.content,
            content_type=file.mime if MIME.fullmatch(file.mime) else "application/octet-stream",
            headers={"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox"},
        )

    async def _upload(self, request: web.Request) -> web.Response:
        if not request.content_type.startswith("multipart/"):
            return old_answer(40035, "multipart/form-data is needed")
        form = await request.post()
        kind = MEDIA_KINDS.get(str(form.get("type") or request.query.get("type", "")))
        media = form.get("media")
        if kind is None or not isinstance(media, web.FileField):
            return old_answer(40035, "type or media is missing")
        content = media.file.read(FILE_BYTES_MAX + 1)
        if not content or len(content) > FILE_BYTES_MAX:
            return old_answer(40009, f"a file has 1 to {FILE_BYTES_MAX} bytes")
        code = self._sim.shelf.put(
            SharedFile(kind=kind, name=media.filename, mime=media.content_type, content=content),
            "@media",
        )
        now_ms = int(self._sim.clock.time() * 1000)
        return old_answer(media_id=code, type=form.get("type"), created_at=now_ms)
