"""The simulated Slack: its bot, its people, its API on one address."""

import itertools
import random
from collections import OrderedDict
from collections.abc import Mapping
from typing import ClassVar, Final

from aiohttp import web

from ai_engine.domain.clock import Clock
from ai_engine.domain.errors import Malformed, NotFound
from ai_engine.domain.message import Json
from ai_engine.simulators.base import Handler, Simulator
from ai_engine.simulators.files import SharedFile
from ai_engine.simulators.people import Conversation
from ai_engine.simulators.slack import codec
from ai_engine.simulators.slack.acts import Acts
from ai_engine.simulators.slack.chat import Posts
from ai_engine.simulators.slack.codec import Bot
from ai_engine.simulators.slack.delivery import Deliveries, DeliveryTimes, Parcel
from ai_engine.simulators.slack.faults import SlackFaults
from ai_engine.simulators.slack.filestore import FileStore
from ai_engine.simulators.slack.gate import SCOPES, Gate
from ai_engine.simulators.slack.sockets import Sockets, SocketTimes
from ai_engine.simulators.slack.webapi import WebApi
from ai_engine.simulators.transcript import BOT, Entry

PRODUCED_BY_HEADER: Final = "X-AI-Engine-Produced-By"
"""An engine that wants the page to say which part answered names it in this request header."""
GROUP: Final = "C0PROJECT"
KEPT_MAX: Final = 20_000


class SlackSimulator(Simulator):
    """Slack with one app, whose bot is the engine. Arguments: see `Simulator`, and

    bot_token, signing_secret, app_token: the app's credentials.
    robot_name: what people @ in channels.
    times, socket_times: periods of event deliveries and of Socket Mode, in seconds.
    seed: of the choice among Socket Mode connections.

    The app is subscribed to `app_mention` and to every `message.*` event: a post that mentions the
    bot is told twice, and the bot is also sent the posts of channels that do not mention it.
    """

    platform = "slack"
    auth_defaults: ClassVar[Mapping[str, str]] = {
        "bot_token": "xoxb-simulated",
        "signing_secret": "simulated-signing-secret",
        "app_token": "xapp-simulated",
    }

    def __init__(
        self,
        *,
        bot_token: str,
        signing_secret: str,
        app_token: str,
        engine: str = "",
        channel: str = "slack",
        host: str = "127.0.0.1",
        port: int = 0,
        public_url: str = "",
        robot_name: str = "AI助手",
        clock: Clock | None = None,
        times: DeliveryTimes | None = None,
        socket_times: SocketTimes | None = None,
        seed: int | None = None,
    ) -> None:
        self.faults = SlackFaults()
        super().__init__(
            faults=self.faults,
            host=host,
            port=port,
            public_url=public_url,
            engine=engine,
            channel=channel,
            clock=clock,
        )
        self.bot_token = bot_token
        self.signing_secret = signing_secret
        self.app_token = app_token
        self.bot = Bot(name=robot_name)
        self.gate = Gate(self)
        self.deliveries = Deliveries(self, times or DeliveryTimes())
        chance = random.Random(seed)  # noqa: S311 (a draw, no secret)
        self.sockets = Sockets(self, socket_times or SocketTimes(), chance)
        self.posts = Posts(self)
        self.webapi = WebApi(self)
        self.files = FileStore(self)
        self.acts = Acts(self)
        self._numbers = itertools.count(1)
        self._said: OrderedDict[str, Json] = OrderedDict()
        """People's posts by time stamp, as the event `message` told them."""
        self._asked: OrderedDict[tuple[str, str], str] = OrderedDict()
        """(channel, thread) → the newest post of a person there."""
        self.directory.group(GROUP)
        for person in self.directory.staff:
            self.private(person.id)

    def routes(self) -> list[tuple[str, str, Handler]]:
        logged = [
            *self.webapi.routes(),
            *self.posts.routes(),
            *self.files.routes(),
            *self.sockets.routes(),
            *self.acts.routes(),
        ]
        return [
            *((method, path, self.logged(handler)) for method, path, handler in logged),
            *self.sockets.unlogged_routes(),
            *self.acts.control_routes(),
        ]

    async def stopping(self) -> None:
        await self.sockets.close()

    def state(self) -> Json:
        connections = len(self.sockets.open)
        mode = "stream" if connections else "http" if self.engine else "none"
        return {"engine": self.engine_state, "connections": connections, "mode": mode}

    def info(self) -> Json:
        callback = f"{self.engine}/api/message/{self.channel}" if self.engine else ""
        return {
            "team_id": self.bot.team_id,
            "app_id": self.bot.app_id,
            "bot_user_id": self.bot.user_id,
            "robot_name": self.bot.name,
            "scopes": list(SCOPES),
            "callback_url": callback,
            "interactivity_url": f"{callback}/interactive" if callback else "",
            "commands_url": f"{callback}/commands" if callback else "",
            "endpoints": {"api": f"{self.url}/api"},
            "sdk": {"slack_sdk": {"base_url": f"{self.url}/api/"}},
            "group": {"id": GROUP, "title": "项目组 · Project team"},
        }

    def new_ts(self) -> str:
        """A time stamp that no other message has."""
        return f"{int(self.clock.time())}.{next(self._numbers):06d}"

    def private(self, user: str) -> Conversation:
        """The person's chat with the bot; Slack's ids of such chats begin with D."""
        return self.directory.private(user, f"D0{user.upper()}")

    def produced_by(self, request: web.Request) -> str:
        return request.headers.get(PRODUCED_BY_HEADER, "")[:100]

    # What people do.

    async def say(
        self,
        user: str,
        text: str = "",
        *,
        chat: str = "private",
        conversation: str = "",
        name: str = "",
        at: bool | None = None,
        file: SharedFile | None = None,
        thread: str = "",
        shared: str = "",
    ) -> str:
        """See `Simulator.say`. `thread`: time stamp of the thread's first message; `shared`: words
        of another message that is shared along."""
        if not user or not (text or file):
            raise Malformed("a message needs a user, and a text or a file")
        self.deliveries.check_room()
        person = self.directory.person(user, name)
        where = self.where(user, chat, conversation)
        called = f"@{self.bot.name}" in text
        if chat == "group" and at is not False and not called:
            text, called = f"@{self.bot.name} {text}", True
        code = self.shelf.put(file, "F") if file else ""
        ts = self.new_ts()
        event = codec.message_event(
            person=person,
            chat=where,
            ts=ts,
            text=codec.written(text, self.bot, self.directory.staff),
            thread_ts=thread,
            file=self.files.describe(code, file) if file else None,
        )
        if shared:
            event["attachments"] = [{"is_share": True, "text": codec.escaped(shared)}]
        self._remember(event, thread)
        seen = chat == "private" or called
        self.transcript.add(
            id=ts,
            conversation=where.id,
            chat=chat,
            sender=user,
            name=person.name,
            text=text or (file.name if file else ""),
            kind=file.kind if file else "text",
            at=self.clock.time(),
            status="queued" if seen else "unseen",
            detail="" if seen else "told to the bot, which it does not mention",
            url=f"/files/{code}" if code else "",
        )
        if chat == "group" and called:
            self._event(codec.mention_event(event), where.id, entry=ts)
        self._event(event, where.id, entry=ts if seen and chat == "private" else "")
        return ts

    def where(self, user: str, chat: str, conversation: str) -> Conversation:
        """The chat that these words name. Raises Malformed."""
        if chat == "group":
            return self.directory.group(conversation or GROUP)
        if chat != "private":
            raise Malformed(f"chat must be private or group, not {chat!r}")
        if conversation:
            return self.directory.private(user, conversation)
        return self.private(user)

    def _remember(self, event: Json, thread: str) -> None:
        ts, channel = event["ts"], event["channel"]
        self._said[ts] = event
        self._asked[channel, ts] = ts
        if thread:
            self._asked[channel, thread] = ts
        for table in (self._said, self._asked):
            while len(table) > KEPT_MAX:
                table.popitem(last=False)

    def _event(self, event: Json, conversation: str, *, entry: str = "") -> str:
        """Queue an `event_callback`; its event id."""
        payload = codec.envelope(event, self.bot, now=self.clock.time(), faults=self.faults)
        self.deliveries.put(
            Parcel(id=entry, conversation=conversation, kind="events_api", payload=payload)
        )
        return payload["event_id"]

    async def resend(self, message_id: str, *, replay: bool = False) -> None:
        await self.deliveries.resend(message_id, replay=replay)

    async def edit(self, message_id: str, text: str) -> str:
        old = self._post(message_id)
        words = codec.written(text, self.bot, self.directory.staff)
        event = codec.changed_event(old, words, self.new_ts())
        self._said[message_id] = {**old, "text": words}
        self.transcript.mark(message_id, text=text)
        return self._event(event, old["channel"])

    async def recall(self, message_id: str) -> str:
        old = self._post(message_id)
        del self._said[message_id]
        self.transcript.mark(message_id, detail="deleted by its sender")
        return self._event(codec.deleted_event(old, self.new_ts()), old["channel"])

    def _post(self, message_id: str) -> Json:
        found = self._said.get(message_id)
        if found is None:
            raise NotFound(f"no person's message {message_id} is kept")
        return found

    async def enter(self, user: str, *, name: str = "") -> str:
        person = self.directory.person(user, name)
        chat = self.private(user)
        return self._event(codec.opened_event(person, chat, self.new_ts()), chat.id)

    async def press(self, entry_id: str, button: int = 0, *, user: str = "") -> str:
        return self.acts.press(entry_id, button, user)

    async def rate(self, entry_id: str, rating: str, *, text: str = "", user: str = "") -> str:
        if text:
            raise Malformed("Slack's feedback buttons take no words")
        return self.acts.rate(entry_id, rating, user)

    async def slash(
        self,
        user: str,
        text: str = "",
        *,
        command: str = "/ask",
        chat: str = "private",
        conversation: str = "",
    ) -> str:
        """A person gives a slash command; its trigger id, also the id of its transcript entry."""
        return self.acts.slash(user, self.where(user, chat, conversation), command, text)

    # What the engine does.

    def show(
        self,
        *,
        channel: str,
        thread_ts: str,
        text: str,
        kind: str,
        via: str,
        request: web.Request,
        card: Json | None = None,
        buttons: tuple[Json, ...] = (),
        state: str = "",
        url: str = "",
    ) -> Entry:
        """Put what the engine sent into the chat. In a thread it answers the thread's newest post
        of a person; elsewhere Slack does not say what is answered."""
        chat = self.directory.find(channel)
        return self.transcript.add(
            id=self.new_ts(),
            conversation=channel,
            chat=chat.kind if chat else "private",
            sender=BOT,
            name=self.bot.name,
            text=text,
            kind=kind,
            at=self.clock.time(),
            reply_to=self._asked.get((channel, thread_ts)) if thread_ts else None,
            via=via,
            card=card,
            buttons=buttons,
            state=state,
            url=url,
            produced_by=self.produced_by(request),
        )
