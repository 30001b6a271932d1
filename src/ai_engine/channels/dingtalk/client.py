"""DingTalk's API as far as replies and Stream mode need it: tokens, sending, opening a connection.

Every failure becomes one of the engine's own errors, which say whether to try again and what an
administrator can do. A sessionWebhook is a bearer secret: it is in no message and in no log.
"""

import logging
from dataclasses import dataclass
from typing import Any, Final, NoReturn, cast

import aiohttp
import msgspec

from ai_engine.channels.backoff import retry_after_seconds
from ai_engine.channels.token import TokenCache
from ai_engine.config.schema import ChannelConfig
from ai_engine.domain.clock import Clock
from ai_engine.domain.errors import SendRefused, SendRetryable, Unauthenticated
from ai_engine.domain.message import Json
from ai_engine.security.egress import Egress, origin

log = logging.getLogger(__name__)

API: Final = "https://api.dingtalk.com"
OAPI: Final = "https://oapi.dingtalk.com"

_VENDOR: Final = frozenset({origin(API), origin(OAPI)})
_ANSWER_BYTES_MAX: Final = 65_536
_TIMEOUT: Final = aiohttp.ClientTimeout(total=15, sock_connect=5)
_THROTTLED: Final = frozenset({-1, 130101, 410100, 88, 90018})
"""errcodes: busy, too fast (old and new), too many calls of an API."""
_CONTENT_REFUSED: Final = frozenset({40035, 43004, 400105, 430101, 430102, 430103, 430104})
_CHAT_GONE: Final = frozenset({400013, 400106})
_PERMISSION: Final = "Forbidden.AccessDenied.AccessTokenPermissionDenied"
_BAD_TOKEN: Final = frozenset({"InvalidAuthentication", "invalidAccessToken"})
_BAD_CREDENTIALS: Final = frozenset(
    {
        "invalidClientIdOrSecret",
        "invalidParameter.idOrSecret.notFound",
        "authFailed",
        "InvalidAuthentication",
    }
)


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


class HookGone(Exception):
    """The sessionWebhook is over or unknown; the proactive API may still reach the chat."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    status: int
    body: Json
    retry_after: float | None

    @property
    def code(self) -> str:
        return str(self.body.get("code", ""))


class DingTalkClient:
    """One application's calls to DingTalk. Owns the token cache; `close` ends it."""

    def __init__(self, config: ChannelConfig, egress: Egress, clock: Clock) -> None:
        self._auth = config.auth
        self._egress = egress
        self._clock = clock
        self.api = config.endpoints.api.rstrip("/") or API
        configured = (config.endpoints.api, config.endpoints.oapi)
        self._trusted = tuple(base for base in configured if _usable(base))
        """Base URLs on whose hosts a sessionWebhook may be, beside DingTalk's own."""
        self.allowed = (*self._trusted, API, OAPI)
        """Base URLs whose origins a long connection may have."""
        self.tokens = TokenCache(self._fetch_token, config.auth.token_expire, clock)

    async def close(self) -> None:
        await self.tokens.close()

    async def send_by_session(self, url: str, body: Json, produced_by: str = "") -> None:
        """Post to a sessionWebhook.

        `produced_by` is told to configured endpoints only, such as a simulator's.

        Raises:
            HookGone: it does not work any more, or must not be followed. SendRetryable,
                SendRefused.
        """
        checked = self._followed(url)
        told = "" if origin(checked) in _VENDOR else produced_by
        answer = await self._post(checked, body, extra=_produced_by(told))
        if answer.status == 429 or answer.status >= 500:
            raise SendRetryable(
                f"DingTalk answered HTTP {answer.status} to the reply",
                retry_after_seconds=answer.retry_after,
            )
        if answer.status != 200:
            raise HookGone(f"HTTP {answer.status}")
        code = answer.body.get("errcode")
        if code == 0:
            return
        if code is None:
            raise SendRetryable("DingTalk's answer to the reply cannot be read")
        said = str(answer.body.get("errmsg", ""))[:200]
        if code in _THROTTLED:
            raise SendRetryable(
                f"DingTalk throttles this robot (errcode {code})",
                retry_after_seconds=answer.retry_after,
            )
        if code in _CONTENT_REFUSED or code in _CHAT_GONE:
            raise SendRefused(f"DingTalk refused the reply (errcode {code}: {said})")
        raise HookGone(f"errcode {code}: {said}")

    def _followed(self, url: str) -> str:
        """Raises HookGone for a host that is neither DingTalk's nor a configured endpoint's."""
        try:
            try:
                return Egress.check(url, (API, OAPI))
            except SendRefused:
                return Egress.check_host(url, self._trusted)
        except SendRefused as refused:
            log.warning("a sessionWebhook was not followed: %s", refused.message)
            raise HookGone("its host is not allowed") from refused

    async def send_private(self, user_id: str, robot_code: str, template: Json) -> None:
        """Proactive message to one person. Raises SendRetryable, SendRefused."""
        body: Json = {"robotCode": robot_code, "userIds": [user_id], **template}
        answer = await self._call("/v1.0/robot/oToMessages/batchSend", body)
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
        await self._call("/v1.0/robot/groupMessages/send", body)

    async def open_connection(self, body: Json) -> Json:
        """Stream mode: `{"endpoint","ticket"}`.

        Raises:
            Unauthenticated: app id or secret are wrong. SendRetryable, SendRefused.
        """
        answer = await self._post(
            f"{self.api}/v1.0/gateway/connections/open", {**self._credentials("clientId"), **body}
        )
        self._check_credentials(answer)
        if answer.status != 200:
            _raise_for(answer, "opening a Stream connection")
        return answer.body

    async def _call(self, path: str, body: Json) -> Json:
        """With an access token; a refused token is renewed once."""
        for last in (False, True):
            token = await self.tokens.get()
            answer = await self._post(self.api + path, body, token)
            if answer.status == 200:
                return answer.body
            if not last and (answer.status == 401 or answer.code in _BAD_TOKEN):
                self.tokens.invalidate(token)
                continue
            _raise_for(answer, path)
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def _fetch_token(self) -> tuple[str, float]:
        answer = await self._post(
            f"{self.api}/v1.0/oauth2/accessToken", self._credentials("appKey")
        )
        try:
            self._check_credentials(answer)
        except Unauthenticated as error:
            raise SendRefused(error.message, hint=error.hint) from error
        if answer.status != 200:
            _raise_for(answer, "asking for an access token")
        token, life = answer.body.get("accessToken"), answer.body.get("expireIn")
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
    def _check_credentials(answer: Answer) -> None:
        if answer.status == 401 or (answer.status < 500 and answer.code in _BAD_CREDENTIALS):
            raise Unauthenticated(
                f"DingTalk does not accept the app id and secret ({answer.code or answer.status})",
                hint="compare auth.app_id and auth.app_secret with the app's Credentials page",
            )

    async def _post(
        self, url: str, body: Json, token: str = "", extra: dict[str, str] | None = None
    ) -> Answer:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        headers.update(extra or {})
        if token:
            headers["x-acs-dingtalk-access-token"] = token
        data = msgspec.json.encode(body)
        try:
            async with self._egress.session.post(
                url,
                data=data,
                headers=headers,
                timeout=_TIMEOUT,
                allow_redirects=False,
            ) as response:
                answer = await _bounded(response)
                wait = response.headers.get("Retry-After")
                return Answer(
                    status=response.status,
                    body=_object(answer),
                    retry_after=retry_after_seconds(wait, self._clock.time()),
                )
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # Not chained: such an error's text may hold the URL, which may be a bearer secret.
            name = type(error).__name__
            raise SendRetryable(f"DingTalk could not be reached ({name})") from None


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    """The body; of one that is too long the beginning, which then is no JSON."""
    data = bytearray()
    while chunk := await response.content.readany():
        data += chunk
        if len(data) > _ANSWER_BYTES_MAX:
            break
    return bytes(data)


def _object(data: bytes) -> Json:
    try:
        found: Any = msgspec.json.decode(data)
    except (ValueError, RecursionError):
        return {}
    return cast("Json", found) if isinstance(found, dict) else {}


def _raise_for(answer: Answer, what: str) -> NoReturn:
    """The engine's error for an error of DingTalk's API (`code`, `message`, requiredScopes)."""
    code = answer.code
    said = f"{code or f'HTTP {answer.status}'}: {str(answer.body.get('message', ''))[:200]}"
    if "QpsLimit" in code or code == "send.too.fast":
        raise SendRetryable(f"DingTalk throttles the app ({code})", retry_after_seconds=1)
    if answer.status == 429 or answer.status >= 500:
        raise SendRetryable(f"DingTalk failed ({said})", retry_after_seconds=answer.retry_after)
    if code == _PERMISSION:
        scopes = _scopes(answer.body)
        raise SendRefused(
            f"the DingTalk app lacks the permission {scopes} ({what})",
            hint=f"request {scopes} on the app's page, Permissions, and publish a version",
        )
    if "ApiCountLimit" in code:
        raise SendRefused(
            f"the organisation's monthly quota of DingTalk API calls is used up ({code})",
            hint="extend it in DingTalk's console; then replay the dead letter",
        )
    if "IpNotInWhiteList" in code:
        raise SendRefused(
            f"DingTalk does not accept calls from this machine's address ({code})",
            hint="add the address on the app's page, Security settings",
        )
    raise SendRefused(f"DingTalk refused {what} ({said})")


def _scopes(body: Json) -> str:
    detail: Any = body.get("accessdenieddetail")
    found: Any = cast("Json", detail).get("requiredScopes") if isinstance(detail, dict) else None
    names = cast("list[Any]", found) if isinstance(found, list) else []
    return ", ".join(str(name) for name in names[:10]) or "(not named by DingTalk)"
