"""DingTalk's API: access tokens, calls to both hosts, sending, opening a Stream connection.

Every failure becomes one of the engine's own errors, which say whether to try again and what an
administrator can do. A sessionWebhook is a bearer secret: it is in no message and in no log.
"""

import logging
from collections.abc import Mapping
from typing import Any, Final, Protocol

from ai_engine.channels.dingtalk.about import SEND
from ai_engine.channels.dingtalk.answers import THROTTLED, Said, refusal
from ai_engine.channels.http import Answer, Api
from ai_engine.channels.token import TokenCache
from ai_engine.config.schema import ChannelConfig
from ai_engine.domain.clock import Clock
from ai_engine.domain.errors import PermissionMissing, SendRefused, SendRetryable, Unauthenticated
from ai_engine.domain.message import Json
from ai_engine.security.egress import Egress, origin

log = logging.getLogger(__name__)

API: Final = "https://api.dingtalk.com"
OAPI: Final = "https://oapi.dingtalk.com"

_VENDOR: Final = frozenset({origin(API), origin(OAPI)})
_ANSWER_BYTES_MAX: Final = 262_144
_CONTENT_REFUSED: Final = frozenset({40035, 43004, 400105, 430101, 430102, 430103, 430104})
_CHAT_GONE: Final = frozenset({400013, 400106})
_BAD_CREDENTIALS: Final = frozenset(
    {
        "invalidClientIdOrSecret",
        "invalidParameter.idOrSecret.notFound",
        "authFailed",
        "InvalidAuthentication",
    }
)


class HookGone(Exception):
    """The sessionWebhook is over or unknown; the proactive API may still reach the chat."""


class Rights(Protocol):
    """Who remembers what the app may not do: the channel."""

    def lacks(self, error: PermissionMissing) -> PermissionMissing: ...

    def granted(self, *permissions: str) -> None: ...


def throttle_seconds(answer: Said) -> float | None:
    """How long to wait before the next call; None when this answer does not ask for a pause.

    Source: error code pages; "QpsLimit" is counted by the second.
    """
    if answer.status == 429:
        return answer.retry_after if answer.retry_after is not None else 1.0
    if "QpsLimit" in answer.code or answer.code == "send.too.fast":
        return 1.0
    if answer.status == 200 and answer.errcode in THROTTLED:
        return answer.retry_after if answer.retry_after is not None else 2.0
    return None


def _produced_by(part: str) -> dict[str, str]:
    """A header for a simulator's page, which shows which part of the engine answered."""
    shown = part[:100]
    if not (shown.isascii() and shown.isprintable()):
        shown = "".join(char for char in shown if char.isascii() and char.isprintable())
    return {"X-AI-Engine-Produced-By": shown} if shown else {}


def _usable(base: str) -> bool:
    """A base URL that is none is reported by `channel.problems`, and allows nothing."""
    try:
        origin(base)
    except ValueError:
        return False
    return True


class DingTalkClient:
    """One application's calls to DingTalk. Owns the token cache; `close` ends it."""

    def __init__(self, config: ChannelConfig, egress: Egress, clock: Clock, rights: Rights) -> None:
        self._auth = config.auth
        self.http = Api("DingTalk", egress, clock)
        self._rights = rights
        self.api = config.endpoints.api.rstrip("/") or API
        self.oapi = config.endpoints.oapi.rstrip("/") or OAPI
        configured = (config.endpoints.api, config.endpoints.oapi)
        self.trusted = tuple(base for base in configured if _usable(base))
        """Base URLs on whose hosts a URL of DingTalk's may be, beside its own."""
        self.allowed = (*self.trusted, API, OAPI)
        """Base URLs whose origins a long connection may have."""
        self.tokens = TokenCache(self._fetch_token, config.auth.token_expire, clock)

    async def close(self) -> None:
        await self.tokens.close()

    async def fresh_token(self) -> str:
        """A new token, which proves the credentials. Raises SendRefused, SendRetryable."""
        return (await self._fetch_token())[0]

    async def call(
        self, method: str, path: str, body: Json | None, *, what: str, permission: str
    ) -> Json:
        """`api.dingtalk.com` with an access token; a refused token is renewed once.

        Raises:
            SendRetryable, SendRefused, PermissionMissing.
        """

        async def attempt(token: str) -> Said:
            headers = {"x-acs-dingtalk-access-token": token}
            return await self._ask(method, self.api + path, json=body, headers=headers)

        return await self._with_token(attempt, what, permission)

    async def old(
        self, path: str, body: Any, *, what: str, permission: str, seconds_max: float = 15.0
    ) -> Json:
        """`oapi.dingtalk.com`, POST: a dict goes as JSON, a form (made anew by calling `body`) as
        it is. Raises as `call`."""

        async def attempt(token: str) -> Said:
            sent: dict[str, Any] = {"data": body()} if callable(body) else {"json": body}
            return await self._ask(
                "POST",
                self.oapi + path,
                params={"access_token": token},
                seconds_max=seconds_max,
                **sent,
            )

        return await self._with_token(attempt, what, permission)

    async def _with_token(self, attempt: Any, what: str, permission: str) -> Json:
        token = await self.tokens.get()
        said: Said = await attempt(token)
        if said.bad_token:
            self.tokens.invalidate(token)
            said = await attempt(await self.tokens.get())
        if said.fine:
            self._rights.granted(permission)
            return said.body
        error = refusal(said, what, permission)
        raise self._rights.lacks(error) if isinstance(error, PermissionMissing) else error

    async def send_by_session(self, url: str, body: Json, produced_by: str = "") -> None:
        """Post to a sessionWebhook.

        `produced_by` is told to configured endpoints only, such as a simulator's.

        Raises:
            HookGone: it does not work any more, or must not be followed. SendRetryable,
                SendRefused.
        """
        checked = self._followed(url)
        told = "" if origin(checked) in _VENDOR else produced_by
        said = await self._ask("POST", checked, json=body, headers=_produced_by(told))
        if said.status >= 500:
            raise SendRetryable(f"DingTalk answered HTTP {said.status} to the reply")
        if said.status != 200:
            raise HookGone(f"HTTP {said.status}")
        code = said.errcode
        if code is None:
            raise SendRetryable("DingTalk's answer to the reply cannot be read")
        if code in _CONTENT_REFUSED or code in _CHAT_GONE:
            raise SendRefused(f"DingTalk refused the reply ({said.words})")
        if code != 0:
            raise HookGone(said.words)

    def _followed(self, url: str) -> str:
        """Raises HookGone for a host that is neither DingTalk's nor a configured endpoint's."""
        try:
            try:
                return Egress.check(url, (API, OAPI))
            except SendRefused:
                return Egress.check_host(url, self.trusted)
        except SendRefused as refused:
            log.warning("a sessionWebhook was not followed: %s", refused.message)
            raise HookGone("its host is not allowed") from refused

    async def send_private(self, user_id: str, robot_code: str, template: Json) -> None:
        """Proactive message to one person. Raises SendRetryable, SendRefused."""
        body: Json = {"robotCode": robot_code, "userIds": [user_id], **template}
        path = "/v1.0/robot/oToMessages/batchSend"
        answer = await self.call("POST", path, body, what=path, permission=SEND)
        if user_id in (answer.get("invalidStaffIdList") or ()):
            raise SendRefused(
                "DingTalk does not know the receiver as a member of the organisation",
                hint="the person may have left, or the app's visible range leaves them out",
            )
        if user_id in (answer.get("flowControlledStaffIdList") or ()):
            raise SendRetryable("DingTalk throttles messages to this person", retry_after_seconds=1)

    async def send_group(self, conversation_id: str, robot_code: str, template: Json) -> None:
        """Proactive message to a group. Raises SendRetryable, SendRefused."""
        body: Json = {"robotCode": robot_code, "openConversationId": conversation_id, **template}
        path = "/v1.0/robot/groupMessages/send"
        await self.call("POST", path, body, what=path, permission=SEND)

    async def open_connection(self, body: Json) -> Json:
        """Stream mode: `{"endpoint","ticket"}`.

        Raises:
            Unauthenticated: app id or secret are wrong. SendRetryable, SendRefused.
        """
        url = f"{self.api}/v1.0/gateway/connections/open"
        said = await self._ask("POST", url, json={**self._credentials("clientId"), **body})
        self._check_credentials(said)
        if said.status != 200:
            raise refusal(said, "opening a Stream connection")
        return said.body

    async def _fetch_token(self) -> tuple[str, float]:
        url = f"{self.api}/v1.0/oauth2/accessToken"
        said = await self._ask("POST", url, json=self._credentials("appKey"))
        try:
            self._check_credentials(said)
        except Unauthenticated as error:
            raise SendRefused(error.message, hint=error.hint) from error
        if said.status != 200:
            raise refusal(said, "asking for an access token")
        token, life = said.body.get("accessToken"), said.body.get("expireIn")
        if not isinstance(token, str) or not token or not isinstance(life, int | float):
            raise SendRetryable("DingTalk's answer holds no access token")
        return token, float(life)

    def _credentials(self, id_key: str) -> Json:
        secret_key = "clientSecret" if id_key == "clientId" else "appSecret"
        return {
            id_key: self._auth.app_id,
            secret_key: self._auth.app_secret.get_secret_value(),
        }

    @staticmethod
    def _check_credentials(said: Said) -> None:
        if said.status == 401 or (said.status < 500 and said.code in _BAD_CREDENTIALS):
            raise Unauthenticated(
                f"DingTalk does not accept the app id and secret ({said.code or said.status})",
                hint="compare auth.app_id and auth.app_secret with the app's Credentials page",
            )

    async def _ask(
        self,
        method: str,
        url: str,
        *,
        json: Json | None = None,
        data: Any = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        seconds_max: float = 15.0,
    ) -> Said:
        """Raises SendRetryable: no answer, or the platform asks for a pause."""
        answer: Answer = await self.http.call(
            method,
            url,
            json=json,
            data=data,
            params=params,
            headers={"Accept": "application/json", **(headers or {})},
            seconds_max=seconds_max,
            bytes_max=_ANSWER_BYTES_MAX,
        )
        said = Said(status=answer.status, body=answer.json, retry_after=answer.retry_after)
        wait = throttle_seconds(said)
        if wait is not None:
            raise SendRetryable(
                f"DingTalk throttles the app ({said.words})", retry_after_seconds=wait
            )
        return said
