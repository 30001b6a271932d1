"""The simulated Teams as the engine meets it: keys, login, connector API, chats."""

import hmac
from collections import OrderedDict, deque
from collections.abc import Mapping
from typing import ClassVar

from ai_engine.domain.clock import Clock
from ai_engine.domain.message import Json
from ai_engine.simulators.base import Handler, Simulator
from ai_engine.simulators.files import SharedFile
from ai_engine.simulators.people import Conversation
from ai_engine.simulators.teams.callbacks import Callbacks
from ai_engine.simulators.teams.codec import TENANT, Bot, Shown
from ai_engine.simulators.teams.connector_api import ConnectorApi
from ai_engine.simulators.teams.faults import TeamsFaults
from ai_engine.simulators.teams.gate import Gate
from ai_engine.simulators.teams.login import METADATA_PATH, Login, Tokens
from ai_engine.simulators.teams.streams import Streams
from ai_engine.simulators.transcript import BOT, Entry

UPLOADS_MAX = 200


class TeamsPlatform(Simulator):
    """Keys, login, connector API and chats; `TeamsSimulator` adds what people do. Arguments: see
    `Simulator`, and

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
