"""The simulated Mattermost: a team, its people, a bot, an outgoing webhook and a slash command."""

from collections import deque
from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec
from aiohttp import web

from ai_engine.domain.clock import Clock
from ai_engine.domain.errors import Malformed, NotFound
from ai_engine.domain.message import Json
from ai_engine.simulators.base import Handler, Simulator
from ai_engine.simulators.files import SharedFile
from ai_engine.simulators.mattermost import events
from ai_engine.simulators.mattermost.faults import MattermostFaults
from ai_engine.simulators.mattermost.gate import Gate
from ai_engine.simulators.mattermost.hub import Hub
from ai_engine.simulators.mattermost.integrations import COMMAND, Integrations
from ai_engine.simulators.mattermost.outbound import Outbound, Outcome
from ai_engine.simulators.mattermost.rest import Rest
from ai_engine.simulators.mattermost.store import Store, new_wire_id
from ai_engine.simulators.people import Conversation
from ai_engine.simulators.transcript import BOT, Entry

PRODUCED_BY_HEADER = "X-AI-Engine-Produced-By"
"""An engine that wants the page to say which part answered names it in this request header."""


class MattermostSimulator(Simulator):
    """A Mattermost server with one bot, which is the engine. Arguments: see `Simulator`, and

    token: the bot's access token.
    webhook_token: the token of the outgoing webhook (trigger word: the bot's @name, in the public
        channel) and of the slash command `/ask` (used for private chats while no connection is
        open).
    robot_name: the bot's display name; its username is `ai-assistant`.
    """

    platform = "mattermost"
    auth_defaults: ClassVar[Mapping[str, str]] = {
        "token": "simulatedbottokenabcdefghi",
        "webhook_token": "simulatedhooktokenabcdefgh",
    }

    def __init__(
        self,
        *,
        token: str = "simulatedbottokenabcdefghi",  # noqa: S107 - of the simulated server
        webhook_token: str = "simulatedhooktokenabcdefgh",  # noqa: S107 - likewise
        engine: str = "",
        channel: str = "mattermost",
        host: str = "127.0.0.1",
        port: int = 0,
        public_url: str = "",
        robot_name: str = "AI助手",
        clock: Clock | None = None,
    ) -> None:
        self.faults = MattermostFaults()
        super().__init__(
            faults=self.faults,
            host=host,
            port=port,
            public_url=public_url,
            engine=engine,
            channel=channel,
            clock=clock,
        )
        self.token = token
        self.webhook_token = webhook_token
        self.robot_name = robot_name
        self.store = Store(self.clock, self.directory, self.shelf, robot_name)
        for person in self.directory.staff:
            self.store.channel(self.directory.private(person.id))
        self.store.channel(self.directory.group())
        self.gate = Gate(self)
        self.hub = Hub(self)
        self.outbound = Outbound(self)
        self.integrations = Integrations(self)
        self._rest = Rest(self)
        self.reactions: dict[str, list[Json]] = {}
        self.typed: deque[tuple[str, str]] = deque(maxlen=1000)
        """(channel id, thread) of each typing sign."""

    def routes(self) -> list[tuple[str, str, Handler]]:
        return [
            *((m, path, self.logged(handler)) for m, path, handler in self._rest.routes()),
            ("GET", "/api/v4/websocket", self.hub.connect),
            ("POST", "/hooks/commands/{id}", self.logged(self.integrations.command_answer)),
            ("GET", "/files/{code}", self._picture),
        ]

    async def stopping(self) -> None:
        await self.hub.close()

    def state(self) -> Json:
        open_now = len(self.hub.connections)
        mode = "stream" if open_now else "http" if self.engine else "none"
        return {"engine": self.engine_state, "connections": open_now, "mode": mode}

    def info(self) -> Json:
        group = self.directory.group()
        base = f"{self.engine}/api/message/{self.channel}" if self.engine else ""
        return {
            "robot_name": self.robot_name,
            "username": self.username,
            "callback_url": base,
            "endpoints": {"api": self.url},
            "auth": {"url": self.url},
            "command": COMMAND,
            "group": {"id": self.store.channel(group)["id"], "title": group.title},
        }

    @property
    def username(self) -> str:
        """What people @ in channels."""
        return self.store.bot["username"]

    def user_id(self, person: str) -> str:
        """The account id of somebody of the directory."""
        return self.store.user(person)["id"]

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
        root: str = "",
        quote: str = "",
    ) -> str:
        """`root`: a post whose thread this is in. `quote`: a post that this one links to."""
        if chat not in ("private", "group"):
            raise Malformed(f"chat must be private or group, not {chat!r}")
        if not user or not (text or file):
            raise Malformed("a message needs a user, and a text or a file")
        self.outbound.check_room()
        person = self.directory.person(user, name)
        group = chat == "group"
        pick = self.directory.group(conversation) if group else None
        where = pick or self.directory.private(user, conversation)
        channel, words = self.store.channel(where), self._addressed(text, group, at)
        seen = not group or f"@{self.username}" in words
        by_hook = bool(self.engine) and not self.hub.connections
        infos = [self.store.add_file(file, channel["id"], self.user_id(user))] if file else []
        if by_hook and not group and file:
            raise Malformed("a slash command carries no file")
        post: Json = {"id": new_wire_id()}  # a slash command is no post
        if group or not by_hook:
            post = self._posted(user, channel, words, infos, root=root, quote=quote)
        code = self.store.file_code(infos[0]["id"]) if infos else ""
        self.transcript.add(
            id=post["id"],
            conversation=where.id,
            chat=chat,
            sender=user,
            name=person.name,
            text=text or (file.name if file else ""),
            kind=file.kind if file else "text",
            at=self.clock.time(),
            status="queued" if seen else "unseen",
            detail="" if seen else f"the bot only heeds what @{self.username} is in",
            url=f"/files/{code}" if code else "",
        )
        self._send(post, where, user, words, seen=seen, by_hook=by_hook)
        return post["id"]

    def _posted(
        self,
        user: str,
        channel: Json,
        words: str,
        infos: list[Json],
        *,
        root: str,
        quote: str,
    ) -> Json:
        """A person's post, as the fault knobs want it."""
        post = self.store.add_post(
            channel_id=channel["id"],
            user_id=self.user_id(user),
            root_id=root,
            message=words,
            file_ids=[info["id"] for info in infos],
        )
        if quote and (quoted := self.store.posts.get(quote)):
            post["metadata"] = {**post["metadata"], "embeds": [events.permalink(quoted)]}
        if self.faults.unknown_msgtype:
            mention = f"@{self.username}"
            post |= {"type": "custom_poll", "message": mention if mention in words else ""}
        if self.faults.oversized_bytes:
            post["message"] += "x" * self.faults.oversized_bytes
        return post

    def _send(
        self,
        post: Json,
        where: Conversation,
        user: str,
        words: str,
        *,
        seen: bool,
        by_hook: bool,
    ) -> None:
        """On its way, by the road that is open: event, outgoing webhook, or slash command."""
        hooks, entry_id = self.integrations, post["id"]
        if not by_hook:
            self.outbound.put(where.id, entry_id, lambda: self._tell(post, seen=seen))
        elif where.kind == "private":
            self.outbound.put(
                where.id, entry_id, lambda: hooks.command(entry_id, user, where, words)
            )
        elif seen:
            self.outbound.put(where.id, entry_id, lambda: hooks.hook(post))

    def _addressed(self, text: str, group: bool, at: bool | None) -> str:
        mention = f"@{self.username}"
        words = text.replace(f"@{self.robot_name}", mention)
        if group and at is not False and mention not in words:
            words = f"{mention} {words}"
        return words

    async def _tell(self, post: Json, *, seen: bool) -> Outcome:
        """The `posted` event."""
        channel, user = self.store.channels[post["channel_id"]], self.store.users[post["user_id"]]
        data = events.posted(post, channel, user, self.store.bot)
        broadcast = {"channel_id": channel["id"], "team_id": channel["team_id"]}
        reached = await self.hub.publish("posted", data, broadcast, cut=self.faults.malformed_json)
        if not seen:
            entry = self.transcript.get(post["id"])
            self.transcript.mark(post["id"], via="stream")
            return Outcome(taken=True, via="stream", detail=entry.detail if entry else "")
        detail = "" if reached else "no connection is open; it waits to be replayed or read"
        return Outcome(taken=reached, via="stream", detail=detail)

    def were_read(self, posts: list[Json]) -> None:
        """The engine read these posts itself."""
        for post in posts:
            entry = self.transcript.get(post["id"])
            if entry is not None and entry.status == "undelivered":
                self.transcript.mark(post["id"], status="delivered", via="api", detail="read later")

    async def edit(self, message_id: str, text: str) -> str:
        post = self._own_post(message_id)
        group = self.store.channels[post["channel_id"]]["type"] != "D"
        self.store.change(post, message=self._addressed(text, group, None))
        self.store.change(post, edit_at=post["update_at"])
        self.transcript.mark(message_id, text=text, edits=1)
        return await self._publish_post("post_edited", post)

    async def recall(self, message_id: str) -> str:
        post = self._own_post(message_id)
        self.store.change(post, delete_at=self.store.now_ms())
        self.transcript.mark(message_id, detail="deleted")
        return await self._publish_post("post_deleted", post)

    def _own_post(self, message_id: str) -> Json:
        found = self.store.posts.get(message_id)
        if found is None:
            raise NotFound(f"there is no post {message_id}")
        return found

    async def _publish_post(self, event: str, post: Json) -> str:
        data = {"post": msgspec.json.encode(post).decode()}
        await self.hub.publish(event, data, {"channel_id": post["channel_id"]})
        return f"{event}:{post['id']}"

    async def rate(self, entry_id: str, rating: str, *, text: str = "", user: str = "") -> str:
        post = self._own_post(entry_id)
        asked = self.directory.find(self.store.conversation_of(post["channel_id"]))
        who = self.user_id(user or (asked.user if asked and asked.user else "zhangsan"))
        emoji = "-1" if rating == "bad" else "+1"
        if rating == "none":
            mine = [r for r in self.reactions.get(entry_id, []) if r["user_id"] == who]
            for reaction in mine:
                self.reactions[entry_id].remove(reaction)
                bare = {k: reaction[k] for k in ("user_id", "post_id", "emoji_name")}
                await self.tell_reaction("reaction_removed", {**bare, "create_at": 0}, post)
            return f"reaction_removed:{entry_id}"
        await self.tell_reaction("reaction_added", self.reacted(post, who, emoji), post)
        return f"reaction_added:{entry_id}"

    def reacted(self, post: Json, user_id: str, emoji: str) -> Json:
        """Keep a reaction; the same one twice is one."""
        kept = self.reactions.setdefault(post["id"], [])
        for known in kept:
            if (known["user_id"], known["emoji_name"]) == (user_id, emoji):
                return known
        now = self.store.now_ms()
        kept.append(
            {
                "user_id": user_id,
                "post_id": post["id"],
                "emoji_name": emoji,
                "create_at": now,
                "update_at": now,
                "delete_at": 0,
                "channel_id": post["channel_id"],
            }
        )
        return kept[-1]

    async def tell_reaction(self, event: str, reaction: Json, post: Json) -> None:
        data = {"reaction": msgspec.json.encode(reaction).decode()}
        await self.hub.publish(event, data, {"channel_id": post["channel_id"]})

    async def enter(self, user: str, *, name: str = "") -> str:
        self.directory.person(user, name)
        channel = self.store.channel(self.directory.private(user))
        data = {"creator_id": self.user_id(user), "teammate_id": self.store.bot["id"]}
        await self.hub.publish("direct_added", data, {"channel_id": channel["id"]})
        return f"direct_added:{channel['id']}"

    async def press(self, entry_id: str, button: int = 0, *, user: str = "") -> str:
        return await self.integrations.press(self._own_post(entry_id), button, user)

    async def resend(self, message_id: str, *, replay: bool = False) -> None:
        await self.outbound.resend(message_id, replay=replay)

    # What the bot does.

    async def bot_posted(self, post: Json, request: web.Request) -> None:
        """Show it, and tell the connections: the bot hears itself too."""
        self.show(
            post,
            reply_to=self._asked(post),
            via="posts",
            produced_by=request.headers.get(PRODUCED_BY_HEADER, "")[:100],
        )
        await self._tell(post, seen=True)

    def _asked(self, post: Json) -> str | None:
        """In a thread: the newest message of a person's in it."""
        if not post["root_id"]:
            return None
        for other in self.store.of_channel(post["channel_id"]):
            in_thread = post["root_id"] in (other["id"], other["root_id"])
            if in_thread and other["user_id"] != post["user_id"]:
                return other["id"]
        return None

    async def bot_edited(self, post: Json) -> None:
        entry = self.transcript.get(post["id"])
        if entry is not None:
            self.transcript.mark(
                post["id"], edits=entry.edits + 1, **events.look(post, entry.state or "finished")
            )
        await self._publish_post("post_edited", post)

    def show(self, post: Json, *, reply_to: str | None, via: str, produced_by: str = "") -> Entry:
        """Put what the engine sent into the chat."""
        conversation = self.store.conversation_of(post["channel_id"])
        chat = self.directory.find(conversation)
        files = post["file_ids"]
        code = self.store.file_code(files[0]) if files else ""
        file = self.store.file(files[0]) if files else None
        look = events.look(post, "")
        if file is not None and not look["text"]:
            look |= {"text": file.name, "kind": file.kind}
        return self.transcript.add(
            id=post["id"],
            conversation=conversation,
            chat=chat.kind if chat else "private",
            sender=BOT,
            name=self.robot_name,
            at=self.clock.time(),
            reply_to=reply_to,
            via=via,
            produced_by=produced_by,
            url=f"/files/{code}" if code else "",
            **{"kind": "markdown", **look},
        )

    async def _picture(self, request: web.Request) -> web.Response:
        """For the page: a picture or file by its code."""
        file: Any = self.shelf.get(request.match_info["code"])
        if file is None:
            return web.Response(status=404)
        return web.Response(
            body=file.content,
            content_type="application/octet-stream" if "/" not in file.mime else file.mime,
            headers={"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox"},
        )
