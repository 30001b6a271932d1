"""Tokens, who the bot is, people, departments, chats; and custom group bots."""

from typing import TYPE_CHECKING

import msgspec
from aiohttp import web

from ai_engine.domain.message import Json
from ai_engine.simulators.base import Handler
from ai_engine.simulators.control import answer_json
from ai_engine.simulators.feishu import crypto, events
from ai_engine.simulators.feishu.cards import read_card
from ai_engine.simulators.feishu.gate import No, read, words, yes
from ai_engine.simulators.feishu.store import Message, new_message_id

if TYPE_CHECKING:
    from ai_engine.simulators.feishu.server import FeishuSimulator

HOOK_TOKEN = "simulated-hook"  # noqa: S105 (simulated, and shown by /sim/info)
HOOK_SECRET = "simulated-hook-secret"  # noqa: S105 (likewise)
HOOK_WINDOW_SECONDS = 3_600
DEPARTMENT = "od-simulated"


class DirectoryApi:
    """Handlers of what is neither a message nor a card entity."""

    def __init__(self, simulator: "FeishuSimulator") -> None:
        self._sim = simulator

    def routes(self) -> list[tuple[str, str, Handler]]:
        gate, base = self._sim.gate, "/open-apis"
        contact = ("contact:user.base:readonly", "contact:contact.base:readonly")
        departments = "contact:department.base:readonly"
        return [
            *(
                ("POST", f"{base}/auth/v3/{kind}_access_token/internal", gate.open(self._token))
                for kind in ("tenant", "app")
            ),
            ("GET", f"{base}/bot/v3/info", gate.api(self._bot)),
            ("GET", f"{base}/contact/v3/users/{{user}}", gate.api(self._user, *contact)),
            (
                "GET",
                f"{base}/contact/v3/departments/{{id}}",
                gate.api(self._department, departments),
            ),
            ("GET", f"{base}/im/v1/chats/{{chat}}", gate.api(self._chat, "im:chat:readonly")),
            ("POST", f"{base}/bot/v2/hook/{{token}}", gate.open(self._hook)),
        ]

    async def _token(self, request: web.Request) -> web.Response:
        body = await read(request)
        if body.get("app_id") != self._sim.app_id:
            return answer_json({"code": 10003, "msg": "invalid param"}, 400)
        if not self._sim.is_app(body.get("app_id"), body.get("app_secret")):
            return answer_json({"code": 10014, "msg": "app secret invalid"}, 400)
        token, seconds = self._sim.gate.issue()
        names = ("tenant_access_token", "app_access_token")
        return answer_json(
            {"code": 0, "msg": "ok", "expire": seconds, **dict.fromkeys(names, token)}
        )

    async def _bot(self, _: web.Request) -> web.Response:
        bot: Json = {
            "activate_status": 2,
            "app_name": self._sim.robot_name,
            "avatar_url": "",
            "ip_white_list": [],
            "open_id": events.BOT_OPEN_ID,
        }
        return answer_json({"code": 0, "msg": "ok", "bot": bot})

    async def _user(self, request: web.Request) -> web.Response:
        kind = request.query.get("user_id_type", "open_id")
        prefix = {"open_id": "ou_", "union_id": "on_"}.get(kind, "")
        user = request.match_info["user"].removeprefix(prefix)
        if not self._sim.directory.knows(user):
            raise No(99992351, "id not exist")
        if self._sim.faults.person_hidden:
            raise No(41050, "no user authority error")
        person = self._sim.directory.person(user)
        leader = "" if user == "lisi" else f"{prefix}lisi"
        found: Json = {
            **events.ids(user),
            "name": person.name,
            "en_name": "",
            "email": f"{user}@example.com",
            "department_ids": [DEPARTMENT],
            "leader_user_id": leader,
            "job_title": person.title,
            "status": {"is_activated": True},
        }
        return yes({"user": found})

    async def _department(self, request: web.Request) -> web.Response:
        if request.match_info["id"] != DEPARTMENT:
            raise No(43010, "dept_id not exist")
        found = {"name": "产品部 · Product", "open_department_id": DEPARTMENT}
        return yes({"department": found})

    async def _chat(self, request: web.Request) -> web.Response:
        chat = self._sim.directory.find(request.match_info["chat"].removeprefix("oc_"))
        if chat is None:
            raise No(232011, "Operator can NOT be out of the chat.")
        mode = "group" if chat.kind == "group" else "p2p"
        return yes({"name": chat.title, "chat_mode": mode, "chat_type": "private"})

    async def _hook(self, request: web.Request) -> web.Response:
        """A custom group bot: HTTP 200, the code says the rest."""
        body, faults = await read(request), self._sim.faults
        if request.match_info["token"] != HOOK_TOKEN:
            return answer_json({"code": 19001, "msg": "param invalid: access token"})
        timestamp, now = str(body.get("timestamp", "")), self._sim.clock.time()
        good = crypto.hook_signature(timestamp, HOOK_SECRET) == body.get("sign")
        fresh = timestamp.isdigit() and abs(now - int(timestamp)) <= HOOK_WINDOW_SECONDS
        if not good or not fresh:
            return answer_json({"code": 19021, "msg": "sign match fail or timestamp is not within"})
        if faults.throttled():
            return answer_json({"code": 11232, "msg": "frequency limited"})
        try:
            shown = self._hook_shown(body)
        except No as no:
            return answer_json({"code": no.code, "msg": no.msg})
        message = Message(
            id=new_message_id(),
            conversation=self._sim.directory.group().id,
            kind=str(body.get("msg_type")),
            content="",
            sender="",
            created_ms=int(now * 1000),
        )
        self._sim.show(message, shown, via="custom bot", produced_by="")
        return answer_json({"code": 0, "msg": "success", "data": {}})

    def _hook_shown(self, body: Json) -> Json:
        """Here content and card are objects, not texts of JSON."""
        kind = body.get("msg_type")
        if kind == "interactive":
            return self._sim.card_fields(read_card(msgspec.json.encode(body.get("card")).decode()))
        if kind != "text" or not isinstance(body.get("content"), dict):
            raise No(9499, "Bad Request: msg_type")
        return {"kind": "text", "text": words(body["content"], "text")}
