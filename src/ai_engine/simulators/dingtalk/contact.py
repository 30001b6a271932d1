"""The organisation's directory and reactions to messages."""

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from aiohttp import web

from ai_engine.domain.message import Json
from ai_engine.simulators.base import Handler
from ai_engine.simulators.control import answer_json
from ai_engine.simulators.dingtalk.codec import read_object
from ai_engine.simulators.dingtalk.gate import api_error, old_answer
from ai_engine.simulators.people import Person

if TYPE_CHECKING:
    from ai_engine.simulators.dingtalk.server import DingTalkSimulator

MEMBER_SCOPE: Final = "qyapi_get_member"
DEPARTMENT_SCOPE: Final = "qyapi_get_department_list"
CONTACT_SCOPE: Final = "Contact.User.Read"
REACTION_SCOPE: Final = "qyapi_robot_sendmsg"
DEPARTMENTS: Final = {
    1: "模拟公司 · Simulated Ltd",
    2: "产品部 · Product",
    3: "研发部 · Engineering",
}
MANAGERS: Final = {"zhangsan": "lisi", "alice": "zhangsan"}
_OF: Final = {"zhangsan": [2], "lisi": [3], "alice": [2, 3]}
REACTIONS_MAX: Final = 10_000


def union_id(user: str) -> str:
    """The same person for all apps of a developer."""
    return f"union-{user}"


class Contact:
    """Handlers of `topapi/v2`, `/v1.0/contact` and `/v1.0/robot/emotion`."""

    def __init__(self, simulator: "DingTalkSimulator") -> None:
        self._sim = simulator
        self.reactions: OrderedDict[str, list[str]] = OrderedDict()
        """Names of the robot's reactions, by message id."""

    def routes(self) -> list[tuple[str, str, Handler]]:
        gate = self._sim.gate
        person = gate.with_token(self._person, old=True, scope=MEMBER_SCOPE)
        department = gate.with_token(self._department, old=True, scope=DEPARTMENT_SCOPE)
        emotion = "/v1.0/robot/emotion"
        return [
            ("POST", "/topapi/v2/user/get", person),
            ("POST", "/topapi/v2/department/get", department),
            (
                "GET",
                "/v1.0/contact/users/{union}",
                gate.with_token(self._contact, scope=CONTACT_SCOPE),
            ),
            ("POST", f"{emotion}/reply", gate.with_token(self._react, scope=REACTION_SCOPE)),
            ("POST", f"{emotion}/recall", gate.with_token(self._unreact, scope=REACTION_SCOPE)),
        ]

    async def _person(self, request: web.Request) -> web.Response:
        user = str((await _fields(request)).get("userid", ""))
        if not user:
            return old_answer(400002, "无效的参数 userid")
        if not self._sim.directory.knows(user):
            return old_answer(60121, "找不到该用户")
        return old_answer(result=_detail(self._sim.directory.person(user)))

    async def _department(self, request: web.Request) -> web.Response:
        number = str((await _fields(request)).get("dept_id", ""))
        name = DEPARTMENTS.get(int(number)) if number.isdigit() else None
        if name is None:
            return old_answer(60003, "部门不存在")
        return old_answer(result={"dept_id": int(number), "name": name, "parent_id": 1})

    async def _contact(self, request: web.Request) -> web.Response:
        user = request.match_info["union"].removeprefix("union-")
        if not self._sim.directory.knows(user):
            return api_error(400, "user.notExist", "the user does not exist")
        person = self._sim.directory.person(user)
        return answer_json(
            {"nick": person.name, "unionId": union_id(user), "email": f"{user}@example.com"}
        )

    async def _react(self, request: web.Request) -> web.Response:
        body = await _fields(request)
        message = str(body.get("openMsgId", ""))
        if self._sim.transcript.get(message) is None:
            return api_error(400, "invalidParameter.openMsgId", "no such message")
        found = self.reactions.setdefault(message, [])
        found.append(str(body.get("emotionName", "")))
        while len(self.reactions) > REACTIONS_MAX:
            self.reactions.popitem(last=False)
        return answer_json({"success": True})

    async def _unreact(self, request: web.Request) -> web.Response:
        self.reactions.pop(str((await _fields(request)).get("openMsgId", "")), None)
        return answer_json({"success": True})


def _detail(person: Person) -> Json:
    found: Json = {
        "userid": person.id,
        "unionid": union_id(person.id),
        "name": person.name,
        "title": person.title,
        "org_email": f"{person.id}@example.com",
        "dept_id_list": _OF.get(person.id, [1]),
        "active": True,
    }
    manager = MANAGERS.get(person.id)
    return found | ({"manager_userid": manager} if manager else {})


async def _fields(request: web.Request) -> Json:
    """JSON or form, as the older API takes both."""
    if request.content_type == "application/x-www-form-urlencoded":
        return dict(await request.post())
    return read_object(await request.read()) or {}
