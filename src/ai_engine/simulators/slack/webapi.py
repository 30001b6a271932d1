"""The Web API's other methods: who the bot is, people, chats, reactions, status."""

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

from ai_engine.domain.message import Json
from ai_engine.simulators.base import Handler
from ai_engine.simulators.slack.gate import Call, Refusal
from ai_engine.simulators.transcript import BOT

if TYPE_CHECKING:
    from ai_engine.simulators.slack.server import SlackSimulator

REACTIONS_MAX: Final = 10_000
HISTORY_MAX: Final = 100


class WebApi:
    """Handlers of `/api/…`."""

    def __init__(self, simulator: "SlackSimulator") -> None:
        self._sim = simulator
        self.reactions: OrderedDict[str, list[str]] = OrderedDict()
        """Time stamp of a message → what the bot reacted with."""
        self.statuses: OrderedDict[tuple[str, str], str] = OrderedDict()
        """(channel, thread) → the assistant's status."""

    def routes(self) -> list[tuple[str, str, Handler]]:
        gate = self._sim.gate

        def method(name: str, work: Any, **how: Any) -> tuple[str, str, Handler]:
            return ("*", f"/api/{name}", gate.method(work, **how))

        return [
            method("auth.test", self._auth_test),
            method("users.info", self._user, scope="users:read", json=False),
            method("conversations.open", self._open, scope="im:write"),
            method("conversations.history", self._history, scope="im:history", json=False),
            method("conversations.info", self._info, json=False),
            method("reactions.add", self._react, scope="reactions:write"),
            method("assistant.threads.setStatus", self._status, scope="assistant:write"),
            method("api.test", self._api_test),
        ]

    async def _api_test(self, call: Call) -> Json:
        return {"args": call.args}

    async def _auth_test(self, call: Call) -> Json:
        bot = self._sim.bot
        return {
            "url": f"{self._sim.url}/",
            "team": "Simulated",
            "user": bot.name,
            "team_id": bot.team_id,
            "user_id": bot.user_id,
            "bot_id": bot.bot_id,
            "is_enterprise_install": False,
        }

    async def _user(self, call: Call) -> Json:
        sim, user = self._sim, call.text("user", "user_not_found")
        if user == sim.bot.user_id:
            return {"user": {"id": user, "name": sim.bot.name, "is_bot": True, "profile": {}}}
        if not sim.directory.knows(user):
            raise Refusal("user_not_found")
        person = sim.directory.person(user)
        profile: Json = {"real_name": person.name, "display_name": person.name}
        if sim.faults.missing_scope != "users:read.email":
            profile["email"] = f"{user}@example.com"
        return {
            "user": {
                "id": user,
                "team_id": sim.bot.team_id,
                "name": user,
                "real_name": person.name,
                "is_bot": False,
                "profile": {**profile, "title": person.title},
            }
        }

    async def _open(self, call: Call) -> Json:
        user = call.text("users", "users_list_not_supplied")
        if not self._sim.directory.knows(user):
            raise Refusal("user_not_found")
        return {"channel": {"id": self._sim.private(user).id}}

    async def _history(self, call: Call) -> Json:
        sim, channel = self._sim, call.text("channel", "channel_not_found")
        if sim.directory.find(channel) is None:
            raise Refusal("channel_not_found")
        found = call.maybe("limit")
        limit = min(int(found), HISTORY_MAX) if found.isdigit() else HISTORY_MAX
        entries = sim.transcript.list(conversation=channel)[-limit:]
        messages: list[Json] = [
            {
                "type": "message",
                "ts": entry.id,
                "text": entry.text,
                "user": sim.bot.user_id if entry.sender == BOT else entry.sender,
            }
            for entry in reversed(entries)
        ]
        return {"messages": messages, "has_more": False}

    async def _info(self, call: Call) -> Json:
        chat = self._sim.directory.find(call.text("channel", "channel_not_found"))
        if chat is None:
            raise Refusal("channel_not_found")
        private = chat.kind == "private"
        return {"channel": {"id": chat.id, "is_im": private, "name": "" if private else chat.title}}

    async def _react(self, call: Call) -> Json:
        ts, name = call.text("timestamp", "bad_timestamp"), call.text("name", "invalid_name")
        entry = self._sim.transcript.get(ts)
        if entry is None or entry.conversation != call.args.get("channel"):
            raise Refusal("message_not_found")
        given = self.reactions.setdefault(ts, [])
        if name in given:
            raise Refusal("already_reacted")
        given.append(name)
        while len(self.reactions) > REACTIONS_MAX:
            self.reactions.popitem(last=False)
        return {}

    async def _status(self, call: Call) -> Json:
        where = (call.text("channel_id"), call.text("thread_ts"))
        if self._sim.directory.find(where[0]) is None:
            raise Refusal("channel_not_found")
        self.statuses[where] = call.maybe("status")
        while len(self.statuses) > REACTIONS_MAX:
            self.statuses.popitem(last=False)
        return {}
