"""What calls the engine by HTTP: outgoing webhook, slash command, buttons; and their answers."""

from typing import TYPE_CHECKING
from urllib.parse import urlencode

import msgspec
from aiohttp import web

from ai_engine.domain.errors import NotFound
from ai_engine.domain.message import Json
from ai_engine.simulators.control import answer_json
from ai_engine.simulators.mattermost import events
from ai_engine.simulators.mattermost.gate import AppError, error_answer
from ai_engine.simulators.mattermost.outbound import Outcome
from ai_engine.simulators.mattermost.store import TEAM_ID, TEAM_NAME, new_wire_id
from ai_engine.simulators.people import Conversation

if TYPE_CHECKING:
    from ai_engine.simulators.mattermost.server import MattermostSimulator

COMMAND = "/ask"
COMMAND_USES = 5
COMMAND_SECONDS = 1800.0
WRONG = "wrong"


class Integrations:
    """One outgoing webhook, one slash command, and the buttons of every post."""

    def __init__(self, simulator: "MattermostSimulator") -> None:
        self._sim = simulator
        self._commands: dict[str, tuple[str, str, float, int]] = {}
        """response_url's id → (entry, channel, made at, uses)"""

    async def press(self, post: Json, button: int, user: str) -> str:
        """Somebody presses a button; the callback's trigger id. Raises NotFound."""
        actions = events.actions(post)
        if not 0 <= button < len(actions):
            raise NotFound(f"there is no button {button}")
        channel = self._sim.store.channels[post["channel_id"]]
        place = self._sim.directory.find(self._sim.store.conversation_of(channel["id"]))
        who = self._sim.store.user(user or (place.user if place and place.user else "zhangsan"))
        body = events.pressed(post, actions[button], channel, who)
        if self._sim.faults.wrong_secret:
            body["context"] = {**body["context"], "ai_engine": {"mac": WRONG}}
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        url = actions[button]["integration"]["url"]
        await self._sim.outbound.post(body["trigger_id"], url, headers, msgspec.json.encode(body))
        return body["trigger_id"]

    def _hook_token(self) -> str:
        return WRONG if self._sim.faults.wrong_secret else self._sim.webhook_token

    async def hook(self, post: Json) -> Outcome:
        """The outgoing webhook of a post in the public channel."""
        channel, user = (
            self._sim.store.channels[post["channel_id"]],
            self._sim.store.users[post["user_id"]],
        )
        at = post["create_at"] + int(self._sim.faults.clock_skew_seconds * 1000)
        fields = events.outgoing(
            post, channel, user, self._hook_token(), f"@{self._sim.username}", at
        )
        outcome = await self._call(post["id"], fields, json=self._sim.faults.json_webhooks)
        if outcome.answer:
            await self._answered(outcome.answer, post["id"], channel["id"], thread=True)
        return outcome

    async def command(self, entry_id: str, user: str, where: Conversation, words: str) -> Outcome:
        channel, hook_id = self._sim.store.channel(where), new_wire_id()
        self._commands[hook_id] = (entry_id, channel["id"], self._sim.clock.time(), 0)
        while len(self._commands) > 1000:
            del self._commands[next(iter(self._commands))]
        fields: Json = {
            "token": self._hook_token(),
            "team_id": TEAM_ID,
            "team_domain": TEAM_NAME,
            "channel_id": channel["id"],
            "channel_name": channel["name"],
            "user_id": self._sim.user_id(user),
            "user_name": self._sim.store.user(user)["username"],
            "command": COMMAND,
            "text": words + "x" * self._sim.faults.oversized_bytes,
            "trigger_id": events.trigger_id(entry_id, self._sim.user_id(user)),
            "response_url": f"{self._sim.url}/hooks/commands/{hook_id}",
        }
        outcome = await self._call(entry_id, fields, json=False)
        if outcome.answer:
            await self._answered(outcome.answer, entry_id, channel["id"], thread=False)
        return outcome

    async def _call(self, entry_id: str, fields: Json, *, json: bool) -> Outcome:
        if not self._sim.engine:
            return Outcome(taken=False, via="", detail="no connection is open and no engine is set")
        body = msgspec.json.encode(fields) if json else urlencode(fields).encode()
        if self._sim.faults.malformed_json:
            body = body[: len(body) // 2]
        kind = "application/json" if json else "application/x-www-form-urlencoded"
        headers = {"Content-Type": kind, "Accept": "application/json"}
        if "command" in fields:
            headers["Authorization"] = f"Token {fields['token']}"
        url = f"{self._sim.engine}/api/message/{self._sim.channel}"
        return await self._sim.outbound.post(entry_id, url, headers, body)

    async def _answered(
        self, answer: bytes, entry_id: str, channel_id: str, *, thread: bool
    ) -> None:
        """What a callback's answer shows in the chat."""
        body = events.read(answer)
        if not body.get("text") and not body.get("attachments"):
            return
        comment = thread and body.get("response_type") == "comment"
        props: Json = {"from_webhook": "true", "attachments": body.get("attachments") or []}
        post = self._sim.store.add_post(
            channel_id=channel_id,
            user_id=self._sim.store.bot["id"],
            root_id=entry_id if comment else "",
            message=str(body.get("text") or ""),
            props=props,
        )
        self._sim.show(post, reply_to=entry_id, via="response")

    async def command_answer(self, request: web.Request) -> web.Response:
        """`POST /hooks/commands/{id}`: a command's response_url."""
        hook_id = request.match_info["id"]
        known = self._commands.get(hook_id)
        if known is None or self._sim.clock.time() - known[2] > COMMAND_SECONDS:
            error = AppError(404, "app.command_webhook.get.missing", "the hook is unknown")
            return error_answer(error)
        entry_id, channel_id, made_at, uses = known
        if uses >= COMMAND_USES:
            error = AppError(400, "app.command_webhook.try_use.invalid", "Invalid webhook.")
            return error_answer(error)
        self._commands[hook_id] = (entry_id, channel_id, made_at, uses + 1)
        await self._answered(await request.read(), entry_id, channel_id, thread=False)
        return answer_json({"status": "OK"})
