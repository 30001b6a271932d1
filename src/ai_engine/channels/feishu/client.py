"""Feishu's API as far as a bot needs it. Every failure becomes one of the engine's own errors."""

from collections.abc import Mapping
from typing import Any, Final, cast
from urllib.parse import quote

import aiohttp

from ai_engine.channels.feishu import refusals
from ai_engine.channels.http import Answer, Api
from ai_engine.channels.token import TokenCache
from ai_engine.config.schema import ChannelConfig
from ai_engine.domain.clock import Clock
from ai_engine.domain.errors import SendRefused, SendRetryable, Unauthenticated
from ai_engine.domain.message import Json, Media
from ai_engine.security.egress import Egress

API: Final = "https://open.feishu.cn"
"""Lark, outside China, is https://open.larksuite.com: `endpoints.api`."""
SEND_SCOPE: Final = "im:message:send_as_bot"
CARD_SCOPE: Final = "cardkit:card:write"
REACTION_SCOPE: Final = "im:message.reactions:write_only"
READ_SCOPE: Final = "im:message:readonly"
UPLOAD_SCOPE: Final = "im:resource"
CONTACT_SCOPE: Final = "contact:user.base:readonly"
IMAGE_BYTES_MAX: Final = 10_000_000
"""Larger pictures are sent as files."""


class FeishuClient:
    """One application's calls. Owns the token cache; `close` ends it."""

    def __init__(self, config: ChannelConfig, egress: Egress, clock: Clock) -> None:
        self._auth = config.auth
        self._api = Api("Feishu", egress, clock)
        self.base = config.endpoints.api.rstrip("/") or API
        self.tokens = TokenCache(self._fetch_token, config.auth.token_expire, clock)

    async def close(self) -> None:
        await self.tokens.close()

    # Proof of the app itself.

    def _credentials(self, id_key: str, secret_key: str) -> Json:
        secret = self._auth.app_secret.get_secret_value()
        return {id_key: self._auth.app_id, secret_key: secret}

    async def new_token(self) -> tuple[str, float]:
        """A tenant access token and its life in seconds.

        Raises:
            Unauthenticated: app id or secret are wrong. SendRetryable, SendRefused.
        """
        answer = await self._api.call(
            "POST",
            f"{self.base}/open-apis/auth/v3/tenant_access_token/internal",
            json=self._credentials("app_id", "app_secret"),
        )
        code = refusals.code_of(answer)
        if code in refusals.BAD_CREDENTIALS:
            raise Unauthenticated(
                f"Feishu does not accept the app id and secret ({code})",
                hint="compare auth.app_id and auth.app_secret with the app's page Credentials & "
                "Basic Info (凭证与基础信息)",
            )
        if code != 0:
            refusals.raise_for(answer, "asking for an access token")
        token, life = answer.json.get("tenant_access_token"), answer.json.get("expire")
        if not isinstance(token, str) or not token or not isinstance(life, int | float):
            raise SendRetryable("Feishu's answer holds no access token")
        return token, float(life)

    async def _fetch_token(self) -> tuple[str, float]:
        try:
            return await self.new_token()
        except Unauthenticated as error:
            raise SendRefused(error.message, hint=error.hint) from error

    async def connection_endpoint(self) -> Json:
        """`{"URL","ClientConfig"}` of a long connection.

        Raises:
            Unauthenticated: app id or secret are wrong. SendRetryable, SendRefused.
        """
        answer = await self._api.call(
            "POST",
            f"{self.base}/callback/ws/endpoint",
            json=self._credentials("AppID", "AppSecret"),
            headers={"locale": "zh"},
        )
        code = refusals.code_of(answer)
        if code in (403, 514, 1000040344, *refusals.BAD_CREDENTIALS):
            raise Unauthenticated(
                f"Feishu does not let the app open a long connection ({code})",
                hint="compare auth.app_id and auth.app_secret, and choose the long connection "
                "(使用长连接接收) on the app's page Events & Callbacks",
            )
        if code in (1, 1000040343):
            raise SendRetryable(f"Feishu's long connections are busy ({code})")
        if code != 0:
            refusals.raise_for(answer, "opening a long connection")
        return _part(answer.json, "data")

    # Calls with a token.

    async def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        form: Mapping[str, Any] | None = None,
        params: Mapping[str, str] | None = None,
        bytes_max: int = 1_048_576,
    ) -> Answer:
        """Whatever Feishu answers; a refused token is renewed once. `form` is multipart.

        Raises:
            SendRetryable, SendRefused.
        """
        for last in (False, True):
            token = await self.tokens.get()
            answer = await self._api.call(
                method,
                f"{self.base}/open-apis{path}",
                json=json,
                data=None if form is None else _multipart(form),
                params=params,
                headers={"Authorization": f"Bearer {token}"},
                bytes_max=bytes_max,
            )
            stale = answer.status == 401 or refusals.code_of(answer) in refusals.BAD_TOKEN
            if last or not stale:
                return answer
            self.tokens.invalidate(token)
        raise AssertionError("unreachable: the last attempt returns")

    async def _data(self, method: str, path: str, what: str, scope: str = "", **more: Any) -> Json:
        answer = await self.request(method, path, **more)
        if refusals.code_of(answer) != 0:
            refusals.raise_for(answer, what, scope)
        return _part(answer.json, "data")

    async def send(self, receive_id: str, id_type: str, body: Json) -> Json:
        """A message (`msg_type`, `content`, `uuid`) to a chat or person; the sent message."""
        return await self._data(
            "POST",
            "/im/v1/messages",
            "a message",
            SEND_SCOPE,
            json={"receive_id": receive_id, **body},
            params={"receive_id_type": id_type},
        )

    async def reply(self, message_id: str, body: Json) -> Json:
        """A message that answers another."""
        path = f"/im/v1/messages/{_segment(message_id)}/reply"
        return await self._data("POST", path, "a reply", SEND_SCOPE, json=body)

    async def react(self, message_id: str, emoji: str) -> None:
        """A reaction under a message."""
        path = f"/im/v1/messages/{_segment(message_id)}/reactions"
        body = {"reaction_type": {"emoji_type": emoji}}
        await self._data("POST", path, "a reaction", REACTION_SCOPE, json=body)

    async def bot(self) -> Json:
        """`app_name`, `open_id`, `activate_status` of the bot itself."""
        answer = await self.request("GET", "/bot/v3/info")
        if refusals.code_of(answer) != 0:
            refusals.raise_for(answer, "asking who the bot is")
        return _part(answer.json, "bot")

    async def user(self, open_id: str) -> Json:
        """A person of the directory."""
        data = await self._data(
            "GET",
            f"/contact/v3/users/{_segment(open_id)}",
            "looking up a person",
            CONTACT_SCOPE,
            params={"user_id_type": "open_id", "department_id_type": "open_department_id"},
        )
        return _part(data, "user")

    async def department(self, department_id: str) -> str:
        """A department's name."""
        data = await self._data(
            "GET",
            f"/contact/v3/departments/{_segment(department_id)}",
            "looking up a department",
            "contact:department.base:readonly",
            params={"department_id_type": "open_department_id"},
        )
        return str(_part(data, "department").get("name", ""))

    # Files.

    async def upload_image(self, media: Media) -> str:
        """Its image_key."""
        form = {"image_type": "message", "image": media}
        data = await self._data("POST", "/im/v1/images", "an upload", UPLOAD_SCOPE, form=form)
        return str(data.get("image_key", ""))

    async def upload_file(self, media: Media, file_type: str) -> str:
        """Its file_key. `file_type`: opus | mp4 | pdf | doc | xls | ppt | stream."""
        form = {"file_type": file_type, "file_name": media.name, "file": media}
        data = await self._data("POST", "/im/v1/files", "an upload", UPLOAD_SCOPE, form=form)
        return str(data.get("file_key", ""))

    async def resource(self, message_id: str, key: str, kind: str, bytes_max: int) -> Answer:
        """The content of a message's picture or file."""
        path = f"/im/v1/messages/{_segment(message_id)}/resources/{_segment(key)}"
        answer = await self.request("GET", path, params={"type": kind}, bytes_max=bytes_max)
        if answer.status != 200:
            refusals.raise_for(answer, "a download", READ_SCOPE)
        return answer

    # Cards that change.

    async def create_card(self, card: str) -> str:
        """The id of a new card; it can be sent once and lives 14 days."""
        data = await self._data(
            "POST",
            "/cardkit/v1/cards",
            "a streaming card",
            CARD_SCOPE,
            json={"type": "card_json", "data": card},
        )
        return str(data.get("card_id", ""))

    async def write_element(self, card_id: str, element: str, body: Json) -> Answer:
        """`content`, `sequence`, `uuid`: the whole text of one element."""
        path = f"/cardkit/v1/cards/{_segment(card_id)}/elements/{element}/content"
        return await self.request("PUT", path, json=body)

    async def card_settings(self, card_id: str, body: Json) -> Answer:
        """`settings` (a JSON text), `sequence`, `uuid`."""
        return await self.request(
            "PATCH", f"/cardkit/v1/cards/{_segment(card_id)}/settings", json=body
        )

    async def replace_card(self, card_id: str, card: str, sequence: int, uuid: str) -> Answer:
        """The whole card anew, whether it streams or not."""
        body = {"card": {"type": "card_json", "data": card}, "sequence": sequence, "uuid": uuid}
        return await self.request("PUT", f"/cardkit/v1/cards/{_segment(card_id)}", json=body)


def _segment(part: str) -> str:
    """An id as one segment of a path: it must not reach another address."""
    if part in ("", ".", ".."):
        raise SendRefused(f"{part!r} is no id of Feishu's")
    return quote(part, safe="")


def _part(body: Json, name: str) -> Json:
    found: Any = body.get(name)
    return cast("Json", found) if isinstance(found, dict) else {}


def _multipart(fields: Mapping[str, Any]) -> aiohttp.FormData:
    form = aiohttp.FormData()
    for name, value in fields.items():
        if isinstance(value, Media):
            form.add_field(name, value.content, filename=value.name or "file")
        else:
            form.add_field(name, str(value))
    return form
