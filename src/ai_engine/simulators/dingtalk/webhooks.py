"""The reply URLs: a message's sessionWebhook and a group's custom robot."""

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiohttp import web

from ai_engine.domain.message import Json
from ai_engine.simulators.base import Handler
from ai_engine.simulators.dingtalk.codec import BadReply, read_object, read_reply
from ai_engine.simulators.dingtalk.crypto import signature_holds
from ai_engine.simulators.dingtalk.gate import old_answer

if TYPE_CHECKING:
    from ai_engine.simulators.dingtalk.server import DingTalkSimulator

SESSION_GONE = 300001
"""errcode of an unknown or expired session. Not in the public reference: connectors must take any
errcode but 0 as a refusal."""
UUIDS_MAX = 1_000
PENALTY_SECONDS = 600.0


@dataclass(slots=True, kw_only=True)
class CustomRobot:
    """A group's own robot: it only speaks."""

    token: str = "simulated-custom-robot"  # noqa: S105 (simulated, and shown by /sim/info)
    secret: str = "SECsimulated"  # noqa: S105 (likewise)
    times: deque[float] = field(default_factory=lambda: deque[float](maxlen=10_000))
    stopped_until: float = 0.0
    uuids: OrderedDict[str, None] = field(default_factory=OrderedDict[str, None])


class Webhooks:
    """Handlers of `/robot/sendBySession` and `/robot/send`: HTTP 200, the errcode says the rest."""

    def __init__(self, simulator: "DingTalkSimulator") -> None:
        self._sim = simulator
        self.custom = CustomRobot()

    def routes(self) -> list[tuple[str, str, Handler]]:
        gate = self._sim.gate
        return [
            ("POST", "/robot/sendBySession", gate.open(self._session, old=True, sends=True)),
            ("POST", "/robot/send", gate.open(self._custom, old=True, sends=True)),
        ]

    async def _session(self, request: web.Request) -> web.Response:
        sim = self._sim
        try:
            body = await self._body(request)
            session = sim.sessions.get(request.query.get("session", ""))
            if (
                session is None
                or sim.faults.session_webhook_expired
                or sim.clock.time() >= session.expires_at
            ):
                raise BadReply(SESSION_GONE, "session 不存在或已过期")
            shown = read_reply(body)
        except BadReply as bad:
            return old_answer(bad.errcode, bad.errmsg)
        if shown is not None:
            sim.show(
                shown,
                conversation=session.conversation,
                reply_to=session.message_id,
                via="sessionWebhook",
                request=request,
            )
        return old_answer()

    async def _custom(self, request: web.Request) -> web.Response:
        sim, robot = self._sim, self.custom
        try:
            body = await self._body(request)
            self._check_custom(request)
            uuid = body.get("msgUuid")
            if isinstance(uuid, str) and uuid in robot.uuids:
                return old_answer()
            self._pace()
            shown = read_reply(body)
        except BadReply as bad:
            return old_answer(bad.errcode, bad.errmsg)
        if isinstance(uuid, str):
            robot.uuids[uuid] = None
            while len(robot.uuids) > UUIDS_MAX:
                robot.uuids.popitem(last=False)
        if shown is not None:
            group = sim.directory.group()
            sim.show(shown, conversation=group.id, via="custom robot", request=request)
        return old_answer()

    async def _body(self, request: web.Request) -> Json:
        if request.content_type != "application/json":
            raise BadReply(43004, "无效的HTTP HEADER Content-Type")
        body = read_object(await request.read())
        if body is None:
            raise BadReply(40035, "不合法的参数: JSON 格式错误")
        if self._sim.faults.reply_errcode:
            raise BadReply(self._sim.faults.reply_errcode, "refused by the simulator's fault knob")
        return body

    def _check_custom(self, request: web.Request) -> None:
        token = request.query.get("access_token", "")
        if not token:
            raise BadReply(400101, "access_token 不存在")
        if token != self.custom.token:
            raise BadReply(SESSION_GONE, "token is not exist")
        timestamp, given = (request.query.get(name, "") for name in ("timestamp", "sign"))
        now_ms = int(self._sim.clock.time() * 1000)
        if not signature_holds(timestamp, given, self.custom.secret, now_ms=now_ms):
            raise BadReply(310000, "sign not match, or timestamp is over an hour away")

    def _pace(self) -> None:
        """20 a minute; who exceeds it is stopped for ten minutes."""
        robot, now = self.custom, self._sim.clock.time()
        while robot.times and now - robot.times[0] >= 60.0:
            robot.times.popleft()
        if now >= robot.stopped_until and (
            len(robot.times) >= self._sim.faults.custom_robot_per_minute
        ):
            robot.stopped_until = now + PENALTY_SECONDS
        if now < robot.stopped_until:
            raise BadReply(410100, "发送速度太快而限流")
        robot.times.append(now)
