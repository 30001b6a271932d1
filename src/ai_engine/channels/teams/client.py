"""The connector API: an access token, calls with it, and what its refusals mean.

Source: Microsoft, "Bot Framework REST: authentication" and "API reference"; Teams, "Optimize your
bot with rate limiting" (429, 412, 502, 503 and 504 are to be tried again).
"""

import logging
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import quote

from ai_engine.channels.http import ANSWER_BYTES_MAX, Answer, Api
from ai_engine.channels.teams.fields import part, text
from ai_engine.channels.teams.urls import Trust
from ai_engine.channels.token import TokenCache
from ai_engine.domain.clock import Clock
from ai_engine.domain.errors import (
    PermissionMissing,
    SendRefused,
    SendRetryable,
    Unauthenticated,
)
from ai_engine.domain.message import Json

log = logging.getLogger(__name__)

LOGIN: Final = "https://login.microsoftonline.com"
SCOPE: Final = "https://api.botframework.com/.default"
_RETRYABLE: Final = frozenset({408, 412})
_ABSENT: Final = frozenset(
    {"BotNotInConversationRoster", "BotDisabledByAdmin", "ForbiddenOperationException"}
)
"""Codes of 403 for a bot that is not installed where it writes, or that an administrator blocks."""
_PERMISSION: Final = "bots.scopes: personal"
_INSTALL: Final = (
    "admin.teams.microsoft.com, Teams apps, Manage apps: allow the app; Setup policies: install it "
    "for these people, or add it to the chat or team"
)


def throttle_seconds(answer: Answer) -> float | None:
    """How long the platform wants us to wait; None when it does not throttle."""
    if answer.status != 429:
        return None
    return answer.retry_after if answer.retry_after is not None else 2.0


def error_of(answer: Answer) -> tuple[str, str]:
    """(code, message) of a refusal: `{"error": {"code", "message"}}`."""
    found = part(answer.json, "error")
    return text(found, "code"), text(found, "message", 4096)


class TeamsClient:
    """One bot's calls. Owns the token cache; `close` ends it."""

    def __init__(
        self,
        *,
        app_id: str,
        app_secret: str,
        authority: str,
        login: str,
        token_life_max: float,
        trust: Trust,
        api: Api,
        clock: Clock,
        lacks: Callable[[PermissionMissing], PermissionMissing],
        granted: Callable[[str], None],
    ) -> None:
        self._app_id = app_id
        self._secret = app_secret
        self._token_url = (
            f"{login.rstrip('/') or LOGIN}/{quote(authority, safe='')}/oauth2/v2.0/token"
        )
        self._trust = trust
        self._lacks = lacks
        self._granted = granted
        self.api = api
        self.tokens = TokenCache(self._fetch_token, token_life_max, clock)

    async def close(self) -> None:
        await self.tokens.close()

    async def ask(
        self,
        method: str,
        service: str,
        path: tuple[str, ...],
        body: Json | None = None,
        *,
        produced_by: str = "",
    ) -> Answer:
        """One call, whatever the status but 401: a refused token is renewed once. `produced_by` is
        told to the configured endpoint only, such as a simulator's.

        Raises:
            SendRefused: the service URL is not allowed, or the credentials are wrong.
            SendRetryable: no answer came.
        """
        base = self._trust.service(service)
        url = base + "/v3/" + "/".join(quote(step, safe="") for step in path)
        told = produced_by if produced_by and self._trust.is_own(base) else ""
        return await self._with_token(method, url, body, extra=_produced_by(told))

    async def download(self, url: str, bytes_max: int) -> Answer:
        """A picture kept by the connector. Raises SendRefused, SendRetryable."""
        answer = await self._with_token("GET", self._trust.service(url), None, bytes_max=bytes_max)
        self.refuse(answer, "a download")
        return answer

    async def _with_token(
        self,
        method: str,
        url: str,
        body: Json | None,
        *,
        bytes_max: int = ANSWER_BYTES_MAX,
        extra: Mapping[str, str] | None = None,
    ) -> Answer:
        for last in (False, True):
            token = await self.tokens.get()
            headers = {"Authorization": f"Bearer {token}", **(extra or {})}
            answer = await self.api.call(
                method, url, json=body, headers=headers, bytes_max=bytes_max
            )
            if answer.status != 401 or last:
                return answer
            self.tokens.invalidate(token)
        raise AssertionError("unreachable: the last attempt returns")

    async def call(
        self, method: str, service: str, path: tuple[str, ...], body: Json | None = None
    ) -> Json:
        """One call that must succeed. Raises SendRetryable, SendRefused, PermissionMissing."""
        answer = await self.ask(method, service, path, body)
        self.refuse(answer, "/".join(path[:1]))
        self._granted(_PERMISSION)
        return answer.json

    def refuse(self, answer: Answer, what: str) -> None:
        """Raises for every answer but 2xx: SendRetryable, PermissionMissing, SendRefused."""
        if 200 <= answer.status < 300:
            return
        wait = throttle_seconds(answer)
        if wait is not None:
            raise SendRetryable("Teams throttles this bot", retry_after_seconds=wait)
        code, message = error_of(answer)
        said = f"Teams answered HTTP {answer.status} to {what} ({code}: {message[:200]})"
        if answer.status in _RETRYABLE or answer.status >= 500:
            raise SendRetryable(said, retry_after_seconds=answer.retry_after)
        if answer.status == 403 and code in _ABSENT:
            raise self._lacks(PermissionMissing(said, permission=_PERMISSION, hint=_INSTALL))
        raise SendRefused(said, hint=_hint(answer.status, code))

    async def token(self) -> str:
        """A new access token, asked for at once.

        Raises:
            Unauthenticated: app id, secret or tenant are wrong. SendRetryable.
        """
        try:
            return (await self._fetch_token())[0]
        except SendRefused as error:
            raise Unauthenticated(error.message, hint=error.hint) from error

    async def _fetch_token(self) -> tuple[str, float]:
        form = {
            "grant_type": "client_credentials",
            "client_id": self._app_id,
            "client_secret": self._secret,
            "scope": SCOPE,
        }
        answer = await self.api.call("POST", self._token_url, data=form)
        if answer.status in (400, 401, 403, 404):
            code = text(answer.json, "error") or str(answer.status)
            raise SendRefused(
                f"Microsoft does not accept the app id and secret ({code})",
                hint="compare auth.app_id, auth.app_secret and auth.tenant with the app "
                "registration in the Azure portal; a secret may have expired",
            )
        self.api.refuse_failure(answer, "a request for an access token")
        token, life = answer.json.get("access_token"), answer.json.get("expires_in")
        if isinstance(life, str) and life.isdigit():
            life = int(life)
        if not isinstance(token, str) or not token or not isinstance(life, int | float):
            raise SendRetryable("Microsoft's answer holds no access token")
        return token, float(life)


def _produced_by(part_: str) -> dict[str, str]:
    """A header for a simulator's page, which shows which part of the engine answered."""
    shown = "".join(char for char in part_[:100] if char.isascii() and char.isprintable())
    return {"X-AI-Engine-Produced-By": shown} if shown else {}


def _hint(status: int, code: str) -> str:
    if status == 401:
        return "the bot's registration may be single-tenant: set auth.tenant to its directory id"
    if status == 413 or code == "MessageSizeTooBig":
        return "the message is larger than Teams takes"
    if code in ("ConversationBlockedByUser", "MessageWritesBlocked"):
        return "the person has blocked the bot"
    return ""
