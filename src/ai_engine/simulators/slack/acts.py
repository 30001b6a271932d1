"""Pressed buttons, ratings and slash commands, and the response addresses that they bring."""

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

import msgspec
from aiohttp import web

from ai_engine.domain.errors import Malformed, NotFound
from ai_engine.domain.ids import new_id
from ai_engine.domain.message import Json
from ai_engine.simulators.base import Handler
from ai_engine.simulators.control import answer_json, guarded, read_json
from ai_engine.simulators.people import Conversation
from ai_engine.simulators.slack import codec
from ai_engine.simulators.slack.delivery import Parcel
from ai_engine.simulators.slack.gate import Refusal
from ai_engine.simulators.transcript import BOT, Entry

if TYPE_CHECKING:
    from ai_engine.simulators.slack.server import SlackSimulator

HOOKS_MAX: Final = 20_000
HOOK_SECONDS: Final = 1800.0
HOOK_USES: Final = 5


class SlashIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    user: str
    text: str = ""
    command: str = "/ask"
    chat: str = "private"
    conversation: str = ""


class Hook(msgspec.Struct):
    """What a response address stands for."""

    channel: str
    until: float
    uses: int = HOOK_USES


class Acts:
    """What people do besides writing."""

    def __init__(self, simulator: "SlackSimulator") -> None:
        self._sim = simulator
        self._hooks: OrderedDict[str, Hook] = OrderedDict()

    def routes(self) -> list[tuple[str, str, Handler]]:
        return [("POST", "/response/{code}", self._respond)]

    def control_routes(self) -> list[tuple[str, str, Handler]]:
        return [("POST", "/sim/slash", guarded(self._control_slash))]

    def press(self, entry_id: str, button: int, user: str) -> str:
        """See `Simulator.press`."""
        entry = self._entry(entry_id)
        if not 0 <= button < len(entry.buttons):
            raise NotFound(f"message {entry_id} has no button {button}")
        return self._act(entry, entry.buttons[button]["action"], user)

    def rate(self, entry_id: str, rating: str, user: str) -> str:
        """See `Simulator.rate`."""
        names = {"good": "positive_button", "bad": "negative_button"}
        if rating not in names:
            raise Malformed("Slack's feedback buttons know 👍 and 👎 only")
        entry, post = self._entry(entry_id), self._sim.posts.find(entry_id)
        element = post.shown.feedback if post is not None else None
        if element is None:
            raise NotFound(f"message {entry_id} has no feedback buttons")
        action: Json = {
            "type": "feedback_buttons",
            "action_id": element.get("action_id", ""),
            **element[names[rating]],
        }
        return self._act(entry, action, user)

    def _entry(self, entry_id: str) -> Entry:
        entry = self._sim.transcript.get(entry_id)
        if entry is None or entry.sender != BOT:
            raise NotFound(f"no message {entry_id} of the bot is kept")
        return entry

    def _act(self, entry: Entry, action: Json, user: str) -> str:
        """Queue a `block_actions`; its trigger id."""
        sim = self._sim
        asked = sim.transcript.get(entry.reply_to or "")
        chat = sim.directory.find(entry.conversation)
        chosen = user or (asked.sender if asked else "") or (chat.user if chat else "")
        post = sim.posts.find(entry.id)
        payload = codec.block_actions(
            person=sim.directory.person(chosen or sim.directory.staff[0].id),
            bot=sim.bot,
            entry=entry,
            action={**action, "action_ts": sim.new_ts(), "block_id": "b1"},
            thread_ts=post.thread_ts if post is not None else "",
            response_url=self._hook(entry.conversation),
        )
        sim.deliveries.put(
            Parcel(id="", conversation=entry.conversation, kind="interactive", payload=payload)
        )
        return payload["trigger_id"]

    def slash(self, user: str, where: Conversation, command: str, text: str) -> str:
        """Queue a slash command; its trigger id."""
        sim, trigger = self._sim, new_id("trigger")
        person = sim.directory.person(user)
        payload: Json = {
            "token": "deprecated",
            "team_id": sim.bot.team_id,
            "team_domain": "simulated",
            "channel_id": where.id,
            "channel_name": "directmessage" if where.kind == "private" else "project",
            "user_id": user,
            "user_name": person.name,
            "command": command,
            "text": codec.escaped(text),
            "api_app_id": sim.bot.app_id,
            "response_url": self._hook(where.id),
            "trigger_id": trigger,
        }
        sim.transcript.add(
            id=trigger,
            conversation=where.id,
            chat=where.kind,
            sender=user,
            name=person.name,
            text=f"{command} {text}".strip(),
            kind="text",
            at=sim.clock.time(),
            status="queued",
        )
        sim.deliveries.put(
            Parcel(id=trigger, conversation=where.id, kind="slash_commands", payload=payload)
        )
        return trigger

    async def _control_slash(self, request: web.Request) -> web.Response:
        body: SlashIn = await read_json(request, SlashIn)
        where = self._sim.where(body.user, body.chat, body.conversation)
        found = self.slash(body.user, where, body.command, body.text)
        return answer_json({"message_id": found})

    def _hook(self, channel: str) -> str:
        code = new_id("hook")
        self._hooks[code] = Hook(channel, self._sim.clock.time() + HOOK_SECONDS)
        while len(self._hooks) > HOOKS_MAX:
            self._hooks.popitem(last=False)
        return f"{self._sim.url}/response/{code}"

    async def _respond(self, request: web.Request) -> web.Response:
        """A response address works for 30 minutes, five times."""
        sim, hook = self._sim, self._hooks.get(request.match_info["code"])
        if hook is None or hook.uses < 1 or sim.clock.time() >= hook.until:
            return web.Response(status=404, text="used_url")
        try:
            text, shown = await sim.posts.read_response(request)
        except Refusal as refusal:
            return web.Response(status=400, text=str(refusal))
        hook.uses -= 1
        sim.show(
            channel=hook.channel,
            thread_ts="",
            text=text,
            kind="markdown",
            via="response_url",
            request=request,
            card=shown.card or None,
            buttons=tuple(shown.buttons),
        )
        return web.Response(text="ok")
