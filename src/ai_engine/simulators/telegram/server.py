"""The simulated Telegram: one bot, its people and groups, the Bot API on one address."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from ai_engine.domain.clock import Clock
from ai_engine.domain.errors import Malformed, NotFound
from ai_engine.domain.message import Json
from ai_engine.simulators.base import Handler, Simulator
from ai_engine.simulators.files import SharedFile
from ai_engine.simulators.people import Conversation
from ai_engine.simulators.telegram.api import Api, next_callback
from ai_engine.simulators.telegram.faults import TelegramFaults
from ai_engine.simulators.telegram.numbers import Numbers
from ai_engine.simulators.telegram.objects import (
    Kept,
    Messages,
    bot_object,
    chat_object,
    content_of,
    user_object,
)
from ai_engine.simulators.telegram.updates import RetryTimes, Updates
from ai_engine.simulators.telegram.wire import MaskedWireLog

PRESSES_MAX = 10_000
REACTIONS = {"good": "👍", "bad": "👎"}


class TelegramSimulator(Simulator):
    """Telegram with one bot, which is the engine. Arguments: see `Simulator`, and

    token: the bot's, `<bot id>:<secret>`.
    secret_token: what the webhook was given, when `engine` is set (from the start or later): then
        a webhook leads to the engine, until the bot sets or deletes one, or asks by getUpdates.
    robot_name, username: the bot's name, and what people @ in groups (either is understood).
    retry: of updates that the webhook did not take.
    """

    platform = "telegram"
    auth_defaults: ClassVar[Mapping[str, str]] = {
        "token": "123456789:simulated-bot-token",
        "secret_token": "simulated-secret",
    }

    def __init__(
        self,
        *,
        token: str,
        secret_token: str = "",
        engine: str = "",
        channel: str = "telegram",
        host: str = "127.0.0.1",
        port: int = 0,
        public_url: str = "",
        robot_name: str = "AI助手",
        username: str = "ai_engine_bot",
        clock: Clock | None = None,
        retry: RetryTimes | None = None,
    ) -> None:
        self.faults = TelegramFaults()
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
        self.secret_token = secret_token
        self.robot_name = robot_name
        self.username = username
        number = token.partition(":")[0]
        self.bot = bot_object(int(number) if number.isdigit() else 1, robot_name, username)
        self.wire = MaskedWireLog(
            {token: "<token>", secret_token: "<secret>"}, changed=self.feed.publish
        )
        self.numbers = Numbers(self.directory)
        self.messages = Messages()
        self.updates = Updates(self, retry or RetryTimes())
        self.api = Api(self)
        self.actions: deque[tuple[str, str]] = deque(maxlen=1_000)
        """(conversation, action) of every sendChatAction."""
        self.presses: OrderedDict[str, Json | None] = OrderedDict()
        """What was shown to who pressed a button, by the callback's id; None: nothing yet."""
        self.new_id_of_groups = 0
        """The id of the default group as a supergroup, once it was asked for."""
        self._started: set[str] = set()

    def routes(self) -> list[tuple[str, str, Handler]]:
        return [(method, path, self.logged(handler)) for method, path, handler in self.api.routes()]

    async def stopping(self) -> None:
        """A getUpdates that waits is answered."""
        self.updates.close()
        await asyncio.sleep(0)

    def state(self) -> Json:
        hooked = self.updates.hook is not None
        return {
            "engine": self.engine_state,
            "connections": 0,
            "mode": "http" if hooked else "poll",
        }

    def info(self) -> Json:
        group = self.directory.group()
        return {
            "robot_name": self.robot_name,
            "username": self.username,
            "bot_id": self.bot["id"],
            "callback_url": self.updates.hook.url if self.updates.hook else "",
            "endpoints": {"api": self.url},
            "sdk": {
                "python-telegram-bot": {
                    "base_url": f"{self.url}/bot",
                    "base_file_url": f"{self.url}/file/bot",
                },
                "aiogram": {"from_base": self.url},
            },
            "numbers": {person.id: self.numbers.user(person.id) for person in self.directory.staff},
            "group": {
                "id": group.id,
                "title": group.title,
                "chat_id": self.numbers.group(group.id),
            },
        }

    # Who and where.

    def has_started(self, user: str) -> bool:
        """Bots cannot write to people who have never written to them."""
        return user in self._started

    def chat_of(self, where: Conversation) -> Json:
        """The Chat object."""
        number = self.numbers.chat(where)
        if where.kind == "group" and self.faults.migrated:
            number = self.migrate(where)
        person = self.directory.person(where.user) if where.kind == "private" else None
        return chat_object(number, where, person)

    def migrate(self, where: Conversation) -> int:
        """The supergroup's id of a group."""
        self.new_id_of_groups = self.numbers.group(where.id) - 1
        return self.new_id_of_groups

    def entry_id(self, body: Json) -> str:
        """How the transcript names a message."""
        return f"{body['chat']['id']}:{body['message_id']}"

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
        reply_to: str = "",
        topic: int = 0,
        album: str = "",
    ) -> str:
        """See `Simulator.say`. `reply_to`: id of the message that is answered; `topic`: a forum
        topic; `album`: messages with the same one belong together. Commands and replies to the bot
        need no @."""
        if chat not in ("private", "group"):
            raise Malformed(f"chat must be private or group, not {chat!r}")
        if not user or not (text or file):
            raise Malformed("a message needs a user, and a text or a file")
        self.updates.check_room()
        group = chat == "group"
        person = self.directory.person(user, name)
        where = (
            self.directory.group(conversation)
            if group
            else self.directory.private(user, conversation)
        )
        self._started.add(user)
        asked = self.messages.of_entry(reply_to) if reply_to else None
        to_bot = asked is not None and asked.body["from"]["id"] == self.bot["id"]
        said, named = self._addressed(text, group=group and not to_bot, at=at)
        seen = not group or named or to_bot or self.faults.privacy_off
        code = self.shelf.put(file, "tg") if file else ""
        body = self._begun(where, user) | content_of(said, file, code)
        body |= _around(asked, topic, album)
        entry = self.transcript.add(
            id=self.entry_id(body),
            conversation=where.id,
            chat=chat,
            sender=user,
            name=person.name,
            text=text or (file.name if file else ""),
            kind=file.kind if file else "text",
            at=self.clock.time(),
            status="queued" if seen else "unseen",
            detail="" if seen else f"privacy mode: the bot only sees what @{self.username} is in",
            url=f"/files/{code}" if code else "",
        )
        self.messages.add(Kept(body=body, entry=entry.id, conversation=where.id))
        if seen:
            await self.updates.put(
                "message", body, conversation=where.id, entry=entry.id, album=album
            )
        return entry.id

    async def say_album(
        self, user: str, files: Sequence[SharedFile], text: str = "", *, chat: str = "private"
    ) -> list[str]:
        """Several files at once; each is a message, the first one has the words."""
        album = next_callback()
        with self.updates.together():
            return [
                await self.say(
                    user,
                    "" if n else text,
                    chat=chat,
                    at=None if n == 0 else False,
                    file=file,
                    album=album,
                )
                for n, file in enumerate(files)
            ]

    def _begun(self, where: Conversation, user: str) -> Json:
        chat = self.chat_of(where)
        return {
            "message_id": self.messages.next_number(chat["id"]),
            "from": self.user_of(user),
            "chat": chat,
            "date": int(self.clock.time()),
        }

    def user_of(self, user: str) -> Json:
        """The User object."""
        return user_object(self.numbers.user(user), self.directory.person(user))

    def _addressed(self, text: str, *, group: bool, at: bool | None) -> tuple[str, bool]:
        """The text with the bot's user name in place of its name, and whether it is addressed."""
        mention = f"@{self.username}"
        said = text.replace(f"@{self.robot_name}", mention)
        if not group:
            return said, False
        command = said.startswith("/")
        if mention in said or (command and at is not True):
            return said, True
        if at is False:
            return said, False
        return (f"{said}{mention}" if command else f"{mention} {said}".strip()), True

    async def resend(self, message_id: str, *, replay: bool = False) -> None:
        await self.updates.resend(message_id, replay=replay)

    async def press(self, entry_id: str, button: int = 0, *, user: str = "") -> str:
        kept = self._shown(entry_id)
        buttons = [each for row in kept.keyboard for each in row]
        if not 0 <= button < len(buttons):
            raise NotFound(f"the message {entry_id} has no button {button}")
        data = buttons[button].get("callback_data")
        if data is None:
            raise Malformed("this button opens an address; the bot hears nothing of it")
        query = next_callback()
        self.presses[query] = None
        while len(self.presses) > PRESSES_MAX:
            self.presses.popitem(last=False)
        body: Json = {
            "id": query,
            "from": self.user_of(user or self._reader(kept)),
            "message": kept.body,
            "chat_instance": "1",
            "data": data,
        }
        await self.updates.put("callback_query", body, conversation=kept.conversation)
        return query

    def _shown(self, entry_id: str) -> Kept:
        kept = self.messages.of_entry(entry_id)
        if kept is None:
            raise NotFound(f"no message {entry_id} is kept")
        return kept

    def _reader(self, kept: Kept) -> str:
        """Who was answered: the person of the private chat, or who asked in the group."""
        asked: Any = kept.body.get("reply_to_message") or {}
        number = asked.get("from", {}).get("id") or kept.body["chat"]["id"]
        return self.numbers.person(number) or self.directory.staff[0].id

    async def edit(self, message_id: str, text: str) -> str:
        kept = self._shown(message_id)
        if kept.body["from"]["is_bot"]:
            raise Malformed("only the sender edits a message")
        words = content_of(text.replace(f"@{self.robot_name}", f"@{self.username}"), None, "")
        if "text" not in kept.body:
            words = {
                name.replace("text", "caption").replace("entities", "caption_entities"): value
                for name, value in words.items()
            }
        kept.body = {**kept.body, **words, "edit_date": int(self.clock.time())}
        entry = self.transcript.get(kept.entry)
        self.transcript.mark(kept.entry, text=text, edits=entry.edits + 1 if entry else 1)
        number = await self.updates.put("edited_message", kept.body, conversation=kept.conversation)
        return f"update:{number}"

    async def rate(self, entry_id: str, rating: str, *, text: str = "", user: str = "") -> str:
        kept = self._shown(entry_id)
        if text:
            raise Malformed("a reaction has no words")
        who = user or self._reader(kept)
        old = kept.reactions.get(who, [])
        new: list[Json] = (
            [{"type": "emoji", "emoji": REACTIONS[rating]}] if rating in REACTIONS else []
        )
        kept.reactions[who] = new
        if kept.body["chat"]["id"] < 0 and self.faults.not_administrator:
            return "unseen"
        body: Json = {
            "chat": kept.body["chat"],
            "message_id": kept.body["message_id"],
            "user": self.user_of(who),
            "date": int(self.clock.time()),
            "old_reaction": old,
            "new_reaction": new,
        }
        number = await self.updates.put("message_reaction", body, conversation=kept.conversation)
        return f"update:{number}"

    async def enter(self, user: str, *, name: str = "") -> str:
        """The person opens the chat and presses Start."""
        return await self.say(user, "/start", name=name)

    async def add_to_group(self, user: str, conversation: str = "") -> str:
        """Somebody adds the bot to a group; the update's name."""
        where = self.directory.group(conversation)
        body: Json = {
            "chat": self.chat_of(where),
            "from": self.user_of(user),
            "date": int(self.clock.time()),
            "old_chat_member": {"user": self.bot, "status": "left"},
            "new_chat_member": {"user": self.bot, "status": "member"},
        }
        number = await self.updates.put("my_chat_member", body, conversation=where.id)
        return f"update:{number}"


def _around(asked: Kept | None, topic: int, album: str) -> Json:
    """What a message says of its place: the one that it answers, its topic, its album."""
    body: Json = {}
    if asked is not None:
        body["reply_to_message"] = {
            key: value for key, value in asked.body.items() if key != "reply_to_message"
        }
    if topic:
        body |= {"message_thread_id": topic, "is_topic_message": True}
    if album:
        body["media_group_id"] = album
    return body
