"""Slack's Web API: one call, and what its failures mean.

Source: docs.slack.dev, "Using the Slack Web API": HTTP 200 with `ok` and `error`; HTTP 429 with
`Retry-After` when too many calls are made. Bot tokens are long-lived: nothing is refreshed.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from ai_engine.channels.http import Answer, Api
from ai_engine.channels.slack.about import BY_NAME, SCOPES_PAGE
from ai_engine.domain.errors import PermissionMissing, SendRefused, SendRetryable
from ai_engine.domain.message import Json
from ai_engine.security.egress import origin

BASE: Final = "https://slack.com/api"
FILES: Final = "https://files.slack.com"
HOOKS: Final = "https://hooks.slack.com"
PRODUCED_BY_HEADER: Final = "X-AI-Engine-Produced-By"

_BAD_TOKEN: Final = frozenset(
    ("invalid_auth", "not_authed", "token_revoked", "token_expired", "account_inactive")
)
_LATER: Final = frozenset(
    ("internal_error", "fatal_error", "service_unavailable", "request_timeout")
)
_RETRY_SECONDS: Final = 1.0
"""Slack's limits are per second or per minute; what is waited when it does not say how long."""
_SCOPE_OF: Final = {
    "chat.postMessage": "chat:write",
    "chat.startStream": "chat:write",
    "chat.stopStream": "chat:write",
    "chat.update": "chat:write",
    "files.info": "files:read",
    "users.info": "users:read",
    "reactions.add": "reactions:write",
    "assistant.threads.setStatus": "assistant:write",
    "files.getUploadURLExternal": "files:write",
    "conversations.open": "im:write",
    "conversations.history": "im:history",
    "apps.connections.open": "connections:write",
}


class SlackRefused(SendRefused):
    """Slack's `error` is a final no."""

    def __init__(self, message: str, *, error: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.error = error


class TokenRefused(SlackRefused):
    """Slack does not accept the token at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who the bot token is."""

    user_id: str = ""
    bot_id: str = ""
    team_id: str = ""
    team: str = ""
    user: str = ""
    scopes: frozenset[str] = frozenset()
    """Empty when Slack did not say."""


def api_base(configured: str) -> str:
    """The base of method names, from `endpoints.api` with or without `/api/`."""
    base = configured.rstrip("/")
    if not base:
        return BASE
    return base if base.endswith("/api") else f"{base}/api"


def throttle_seconds(answer: Answer) -> float | None:
    """How long Slack wants us to wait; None when it does not throttle."""
    if answer.status != 429 and answer.json.get("error") not in ("ratelimited", "rate_limited"):
        return None
    return _RETRY_SECONDS if answer.retry_after is None else answer.retry_after


class SlackClient:
    """One app's calls. `lacks` and `granted` are the channel's notes of missing scopes."""

    def __init__(
        self,
        api: Api,
        configured: str,
        bot_token: str,
        *,
        lacks: Callable[[PermissionMissing], PermissionMissing],
        granted: Callable[..., None],
    ) -> None:
        self.api = api
        self.base = api_base(configured)
        self._token = bot_token
        self._lacks = lacks
        self._granted = granted
        self._identity: Identity | None = None
        self._asking = asyncio.Lock()
        self.configured: tuple[str, ...] = (self.base,) if _usable(configured) else ()
        """Base URLs, beside Slack's own, on whose hosts files and connections may be."""

    @property
    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}"}

    async def call(
        self,
        method: str,
        body: Json | None = None,
        *,
        form: dict[str, str] | None = None,
        token: str = "",
        produced_by: str = "",
    ) -> Json:
        """One method. Those that read take a form only; those that write take JSON.

        Raises:
            SendRetryable, SlackRefused, PermissionMissing.
        """
        answer = await self._post(method, body, form, token or self._token, produced_by)
        return self.checked(answer, method)

    async def _post(
        self,
        method: str,
        body: Json | None,
        form: dict[str, str] | None,
        token: str,
        produced_by: str,
    ) -> Answer:
        headers = {"Authorization": f"Bearer {token}"}
        if produced_by and self.configured and produced_by.isascii() and produced_by.isprintable():
            headers[PRODUCED_BY_HEADER] = produced_by[:100]
        url = f"{self.base}/{method}"
        json = body if form is None else None
        return await self.api.call("POST", url, json=json, data=form, headers=headers)

    def checked(self, answer: Answer, method: str) -> Json:
        """The answer when `ok`. Raises SendRetryable, SlackRefused, PermissionMissing."""
        wait = throttle_seconds(answer)
        if wait is not None:
            raise SendRetryable(f"Slack throttles {method}", retry_after_seconds=wait)
        found = answer.json
        if answer.status == 200 and found.get("ok") is True:
            if (scope := _SCOPE_OF.get(method)) is not None:
                self._granted(scope)
            return found
        error = str(found.get("error", ""))[:100]
        if answer.status >= 500 or error in _LATER or (answer.status == 200 and not error):
            raise SendRetryable(
                f"Slack failed at {method} ({error or f'HTTP {answer.status}'})",
                retry_after_seconds=answer.retry_after,
            )
        if error == "missing_scope":
            raise self._lacks(_missing(found, method))
        if error in _BAD_TOKEN:
            raise TokenRefused(
                f"Slack does not accept the token ({error})",
                error=error,
                hint="copy it again from the app's page, OAuth & Permissions; then replay the "
                "dead letters",
            )
        raise SlackRefused(
            f"Slack refused {method} ({error or f'HTTP {answer.status}'})",
            error=error,
            hint=_HINTS.get(error, ""),
        )

    def lacking(self, missing: PermissionMissing) -> PermissionMissing:
        """Note a scope that Slack did not name itself; to be raised by the caller."""
        return self._lacks(missing)

    def granted(self, scope: str) -> None:
        """A request outside of the Web API, which needs this scope, has worked."""
        self._granted(scope)

    async def identity(self, *, fresh: bool = False) -> Identity:
        """`auth.test`, asked once however many wait. Raises SendRetryable, SlackRefused."""
        async with self._asking:
            if self._identity is None or fresh:
                answer = await self._post("auth.test", None, {}, self._token, "")
                self._identity = _identity(answer, self.checked(answer, "auth.test"))
            return self._identity


def _usable(base: str) -> bool:
    """A base URL that is none is reported by `channel.problems`, and allows nothing."""
    try:
        origin(base)
    except ValueError:
        return False
    return True


def _identity(answer: Answer, found: Json) -> Identity:
    def text(name: str) -> str:
        value: Any = found.get(name)
        return value if isinstance(value, str) else ""

    scopes = answer.headers.get("x-oauth-scopes", "").split(",")
    return Identity(
        user_id=text("user_id"),
        bot_id=text("bot_id"),
        team_id=text("team_id"),
        team=text("team"),
        user=text("user"),
        scopes=frozenset(name.strip() for name in scopes if name.strip()),
    )


def _missing(found: Json, method: str) -> PermissionMissing:
    """`needed` names the scopes, the first of which is enough."""
    named = [name.strip() for name in str(found.get("needed", "")).split(",") if name.strip()]
    scope = named[0] if named else _SCOPE_OF.get(method, "(not named by Slack)")
    return missing_scope(scope, method)


def missing_scope(scope: str, method: str) -> PermissionMissing:
    """What an administrator should do about a scope that the app lacks."""
    page = BY_NAME[scope].page if scope in BY_NAME else SCOPES_PAGE
    return PermissionMissing(
        f"the Slack app lacks the scope {scope} ({method})",
        permission=scope,
        hint=f"add {scope}: {page}",
    )


_HINTS: Final = {
    "not_in_channel": "invite the app to the channel: /invite @its name",
    "channel_not_found": "the channel is gone, or private and the app is not in it",
    "is_archived": "the channel is archived",
    "restricted_action": "the workspace's settings keep apps from posting there",
}
