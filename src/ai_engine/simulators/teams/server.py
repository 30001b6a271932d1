"""The simulated Teams: Bot Framework's keys and login, the connector API, and people."""

import hmac
from collections import OrderedDict, deque
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, ClassVar

import msgspec

from ai_engine.domain.clock import Clock
from ai_engine.domain.errors import Malformed, NotFound
from ai_engine.domain.message import Json
from ai_engine.simulators.base import Handler, Simulator
from ai_engine.simulators.files import SharedFile
from ai_engine.simulators.people import Conversation, Person
from ai_engine.simulators.teams import codec
from ai_engine.simulators.teams.callbacks import Callbacks
from ai_engine.simulators.teams.codec import TENANT, Bot, Envelope, Shown
from ai_engine.simulators.teams.connector_api import ConnectorApi
from ai_engine.simulators.teams.faults import TeamsFaults
from ai_engine.simulators.teams.gate import Gate
from ai_engine.simulators.teams.login import METADATA_PATH, Login, Tokens
from ai_engine.simulators.teams.streams import Streams
from ai_engine.simulators.transcript import BOT, Entry

UPLOADS_MAX = 200


class TeamsSimulator(Simulator):
    """Teams with one bot, which is the engine. Arguments: see `Simulator`, and

    app_id, app_secret: of the bot's app registration.
    tenant: the directory of the simulated company.
    robot_name: what people @ in groups.
    """

    platform = "teams"
    auth_defaults: ClassVar[Mapping[str, str]] = {
        "app_id": "00000000-0000-4000-8000-000000000b07",
        "app_secret": "simulated-secret",
        "tenant": TENANT,
    }

    def __init__(
        self,
        *,
        app_id: str,
        app_secret: str,
        tenant: str = TENANT,
        engine: str = "",
        channel: str = "teams",
        host: str = "127.0.0.1",
        port: int = 0,
        public_url: str = "",
        robot_name: str = "AI助手",
        clock: Clock | None = None,
    ) -> None:
        self.faults = TeamsFaults()
        super().__init__(
            faults=self.faults,
            host=host,
            port=port,
            public_url=public_url,
            engine=engine,
            channel=channel,
            clock=clock,
        )
        self.app_id, self.app_secret, self.tenant = app_id, app_secret, tenant
        self.authorities = frozenset({tenant, "botframework.com"})
        self.bot = Bot(app_id=app_id, name=robot_name)
        self.tokens = Tokens(self)
        self.gate = Gate(self)
        self.callbacks = Callbacks(self)
        self.streams = Streams(self)
        self.typed: deque[str] = deque(maxlen=1000)
        """Conversations in which the bot was shown as typing."""
        self.uploads: OrderedDict[str, str] = OrderedDict()
        """Open upload sessions: code → file name."""
        self.uploaded: deque[SharedFile] = deque(maxlen=100)
        self._login = Login(self)
        self._api = ConnectorApi(self)
        self._last_id = 0

    def is_app(self, app_id: str, secret: str) -> bool:
        """Whether these are the app's credentials."""
        same_id = hmac.compare_digest(app_id.encode(), self.app_id.encode())
        same_secret = hmac.compare_digest(secret.encode(), self.app_secret.encode())
        return same_id and same_secret

    def new_id(self) -> str:
        """As Teams' ids of messages: milliseconds, never twice the same."""
        self._last_id = max(self._last_id + 1, int(self.clock.time() * 1000))
        return str(self._last_id)

    def routes(self) -> list[tuple[str, str, Handler]]:
        found = [*self._login.routes(), *self._api.routes()]
        return [(method, path, self.logged(handler)) for method, path, handler in found]

    async def stopping(self) -> None:
        """There are no long connections."""

    def info(self) -> Json:
        openid = f"{self.url}{METADATA_PATH}"
        return {
            "app_id": self.app_id,
            "tenant": self.tenant,
            "robot_name": self.bot.name,
            "callback_url": f"{self.engine}/api/message/{self.channel}" if self.engine else "",
            "service_url": f"{self.url}/",
            "endpoints": {"api": self.url, "login": self.url, "openid": openid},
            "sdk": {
                "botbuilder": {
                    "to_channel_from_bot_login_url": f"{self.url}/{self.tenant}",
                    "to_channel_from_bot_oauth_scope": "https://api.botframework.com",
                    "to_bot_from_channel_token_issuer": "https://api.botframework.com",
                    "to_bot_from_channel_open_id_metadata_url": openid,
                }
            },
            "group": {"id": self.directory.group().id, "title": self.directory.group().title},
        }

    # What people do.

    def envelope(self, person: Person, where: Conversation) -> Envelope:
        now = datetime.fromtimestamp(self.clock.time(), UTC)
        return Envelope(
            bot=self.bot,
            person=person,
            conversation=where,
            service_url=self.faults.service_url or f"{self.url}/",
            tenant=self.faults.tenant or self.tenant,
            channel_id=self.faults.channel_id or codec.CHANNEL,
            timestamp=now.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        )

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
        quote: str = "",
    ) -> str:
        """See `Simulator.say`; `quote`: the text of the message that this one answers. A group
        whose id holds `@thread.tacv2` is a channel of a team."""
        if chat not in ("private", "group"):
            raise Malformed(f"chat must be private or group, not {chat!r}")
        if not user or not (text or file):
            raise Malformed("a message needs a user, and a text or a file")
        self.callbacks.check_room()
        group = chat == "group"
        person = self.directory.person(user, name)
        private = partial(self.directory.private, user)
        where = (self.directory.group if group else private)(conversation)
        code = self.shelf.put(file, "file") if file else ""
        seen = not group or at is not False or f"@{self.bot.name}" in text
        entry = self.transcript.add(
            id=self.new_id(),
            conversation=where.id,
            chat=chat,
            sender=user,
            name=person.name,
            text=text or (file.name if file else ""),
            kind=file.kind if file else "text",
            at=self.clock.time(),
            status="queued" if seen else "unseen",
            detail="" if seen else f"the bot only sees what @{self.bot.name} is in",
            url=f"/files/{code}" if code else "",
        )
        if seen:
            parts = codec.words(text, self.bot, at=group)
            parts["attachments"] = [
                *([self._attached(file, code)] if file else []),
                *([codec.quoted(quote)] if quote else []),
            ]
            made = self.envelope(person, where).activity("message", entry.id, **parts)
            self.callbacks.put(made)
        return entry.id

    def _attached(self, file: SharedFile, code: str) -> Json:
        if file.kind == "picture":
            url = f"{self.url}/v3/attachments/{code}/views/original"
            return {"contentType": "image/*", "contentUrl": url}
        extension = file.name.rpartition(".")[2]
        content = {
            "downloadUrl": f"{self.url}/files/{code}",
            "uniqueId": code,
            "fileType": extension,
        }
        url = f"https://contoso.sharepoint.example/{file.name}"
        return {
            "contentType": codec.DOWNLOAD,
            "contentUrl": url,
            "name": file.name,
            "content": content,
        }

    async def resend(self, message_id: str, *, replay: bool = False) -> None:
        await self.callbacks.resend(message_id, replay=replay)

    def _event(self, type_: str, of: Entry, id_: str = "", user: str = "", **more: Any) -> str:
        """An activity about an entry, by whom it concerns."""
        where = self.directory.find(of.conversation)
        who = user or (of.sender if of.sender != BOT else where.user if where else "")
        if where is None or not who:
            raise NotFound("nobody is known who could do this", hint="name the user")
        envelope = self.envelope(self.directory.person(who), where)
        made = envelope.activity(type_, id_ or f"f:{self.new_id()}")
        extra = more.pop("channelData", {})
        return self.callbacks.put({**made, **more, "channelData": {**made["channelData"], **extra}})

    def _entry(self, id_: str, *, by_bot: bool) -> Entry:
        entry = self.transcript.get(id_)
        if entry is None or (entry.sender == BOT) != by_bot:
            raise NotFound(f"no such message: {id_}")
        return entry

    async def press(self, entry_id: str, button: int = 0, *, user: str = "") -> str:
        entry = self._entry(entry_id, by_bot=True)
        if not 0 <= button < len(entry.buttons):
            raise NotFound(f"the message has no button {button}")
        pressed, asked = entry.buttons[button], self.transcript.get(entry.reply_to or "")
        user = user or (asked.sender if asked is not None else "")
        if "consent" in pressed:
            return self._consent(entry, pressed, user)
        if "execute" in pressed and not self.faults.old_client:
            action = {
                "type": "Action.Execute",
                "title": pressed["label"],
                "verb": pressed["verb"],
                "data": pressed["execute"],
            }
            value: Json = {"action": action, "trigger": "manual"}
            name = "adaptiveCard/action"
            return self._event(
                "invoke", entry, user=user, name=name, value=value, replyToId=entry.id
            )
        if "submit" in pressed:
            return self._event(
                "message", entry, user=user, value=pressed["submit"], replyToId=entry.id
            )
        raise Malformed("this button opens an address")

    def _consent(self, entry: Entry, pressed: Json, user: str) -> str:
        value: Json = {
            "type": "fileUpload",
            "action": pressed["consent"],
            "context": pressed["context"],
        }
        if pressed["consent"] == "accept":
            code = f"up{self.new_id()}"
            self.uploads[code] = entry.title
            while len(self.uploads) > UPLOADS_MAX:
                self.uploads.popitem(last=False)
            value["uploadInfo"] = {
                "contentUrl": f"https://contoso.sharepoint.example/{entry.title}",
                "name": entry.title,
                "uploadUrl": f"{self.url}/uploads/{code}",
                "uniqueId": code,
                "fileType": entry.title.rpartition(".")[2],
            }
        return self._event(
            "invoke",
            entry,
            user=user,
            name="fileConsent/invoke",
            value=value,
            replyToId=entry.id,
        )

    async def edit(self, message_id: str, text: str) -> str:
        entry = self._entry(message_id, by_bot=False)
        self.transcript.mark(message_id, text=text, edits=entry.edits + 1)
        parts = codec.words(text, self.bot, at=entry.chat == "group")
        return self._event(
            "messageUpdate", entry, entry.id, channelData={"eventType": "editMessage"}, **parts
        )

    async def recall(self, message_id: str) -> str:
        entry = self._entry(message_id, by_bot=False)
        data = {"eventType": "softDeleteMessage"}
        return self._event("messageDelete", entry, entry.id, channelData=data)

    async def rate(self, entry_id: str, rating: str, *, text: str = "", user: str = "") -> str:
        """👍 and 👎 beneath the message where the bot asked for them, else a reaction to it."""
        entry = self._entry(entry_id, by_bot=True)
        asks = any(button.get("feedback") for button in entry.buttons)
        if asks and rating != "none":
            reaction = "like" if rating == "good" else "dislike"
            given = msgspec.json.encode({"feedbackText": text}).decode()
            value: Json = {
                "actionName": "feedback",
                "actionValue": {"reaction": reaction, "feedback": given},
            }
            return self._event(
                "invoke",
                entry,
                user=user,
                name="message/submitAction",
                value=value,
                replyToId=entry.id,
            )
        changed = "reactionsRemoved" if rating == "none" else "reactionsAdded"
        name = "sad" if rating == "bad" else "like"
        more: Json = {changed: [{"type": name}], "replyToId": entry.id}
        return self._event("messageReaction", entry, "", user, **more)

    async def enter(self, user: str, *, name: str = "") -> str:
        """Installs the app: Teams tells of it twice."""
        person = self.directory.person(user, name)
        where = self.directory.private(user)
        envelope = self.envelope(person, where)
        added = [self.bot.account, codec.account(person)]
        self.callbacks.put(
            envelope.activity("conversationUpdate", f"f:{self.new_id()}", membersAdded=added)
        )
        return self.callbacks.put(
            envelope.activity("installationUpdate", f"f:{self.new_id()}", action="add")
        )

    # What the bot does.

    def show(self, shown: Shown, where: Conversation, *, reply_to: str | None) -> Entry:
        """Put a message of the engine into the chat."""
        return self.transcript.add(
            id=self.new_id(),
            conversation=where.id,
            chat=where.kind,
            sender=BOT,
            name=self.bot.name,
            at=self.clock.time(),
            reply_to=reply_to,
            via="connector",
            **self._bubble(shown),
        )

    def _bubble(self, shown: Shown) -> Json:
        url = shown.url
        if shown.picture is not None:
            mime, content = shown.picture
            file = SharedFile(kind="picture", name="picture", mime=mime, content=content)
            url = f"/files/{self.shelf.put(file, 'file')}"
        buttons = shown.buttons
        if shown.feedback:
            buttons = (*buttons, {"label": "👍 👎", "feedback": True})
        return {
            "text": shown.text,
            "title": shown.title,
            "kind": shown.kind,
            "card": shown.card,
            "buttons": buttons,
            "url": url,
        }

    def show_stream(self, id_: str, conversation: str, text: str, reply_to: str | None) -> None:
        """The beginning of a streamed message."""
        self.transcript.add(
            id=id_,
            conversation=conversation,
            chat="private",
            sender=BOT,
            name=self.bot.name,
            text=text,
            kind="markdown",
            at=self.clock.time(),
            reply_to=reply_to,
            via="stream",
            state="streaming",
        )

    def replace_shown(self, id_: str, shown: Shown) -> None:
        """A message in place of what stands there: the end of a stream, or an edit."""
        entry = self.transcript.get(id_)
        edits = entry.edits + 1 if entry is not None else 1
        state = "finished" if entry is not None and entry.state else ""
        self.transcript.mark(id_, state=state, edits=edits, **self._bubble(shown))
