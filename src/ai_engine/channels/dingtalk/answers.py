"""What DingTalk answered to a call, and the engine's error for it.

Source: DingTalk's error code pages. `api.dingtalk.com` answers HTTP 4xx/5xx with `code`, `message`
and `accessdenieddetail.requiredScopes`; `oapi.dingtalk.com` answers HTTP 200 with `errcode`,
`errmsg` and, for 88, `sub_code` and `sub_msg`.
"""

import re
from dataclasses import dataclass
from typing import Any, Final, cast

from ai_engine.channels.dingtalk.about import PAGE
from ai_engine.domain.errors import PermissionMissing, SendFailed, SendRefused, SendRetryable
from ai_engine.domain.message import Json

THROTTLED: Final = frozenset({-1, 130101, 410100, 90018})
"""errcodes: busy, too fast (old and new), too many calls of an API."""
_BAD_TOKENS: Final = frozenset({"InvalidAuthentication", "invalidAccessToken"})
_BAD_TOKEN_ERRCODES: Final = frozenset({40001, 40014, 42001})
_NO_RIGHT: Final = 60011
_AUTH_FAILED: Final = 88
_DENIED: Final = "Forbidden.AccessDenied.AccessTokenPermissionDenied"
_SCOPES_IN_TEXT: Final = re.compile(r"[\[【]([A-Za-z][\w.]*(?:\s*,\s*[A-Za-z][\w.]*)*)[\]】]")


class ApiRefused(SendRefused):
    """A refusal with the platform's own word for it in `reason`."""

    def __init__(self, message: str, *, reason: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One answer, of either API."""

    status: int
    body: Json
    retry_after: float | None

    @property
    def code(self) -> str:
        """Of `api.dingtalk.com`; empty when there is none."""
        return str(self.body.get("code", ""))

    @property
    def errcode(self) -> int | None:
        """Of `oapi.dingtalk.com`, where the code that really matters may stand in `sub_code`."""
        code, sub = _number(self.body.get("errcode")), _number(self.body.get("sub_code"))
        return sub if code == _AUTH_FAILED and sub is not None else code

    @property
    def fine(self) -> bool:
        return self.status == 200 and self.errcode in (None, 0)

    @property
    def bad_token(self) -> bool:
        """The access token is over or unknown: a new one may help."""
        return (
            self.status == 401
            or self.code in _BAD_TOKENS
            or (self.status == 200 and self.errcode in _BAD_TOKEN_ERRCODES)
        )

    @property
    def words(self) -> str:
        """Code and message, shortened."""
        text = str(self.body.get("message") or self.body.get("errmsg") or "")[:200]
        name = self.code or (f"errcode {self.errcode}" if self.errcode else f"HTTP {self.status}")
        return f"{name}: {text}" if text else name


def refusal(said: Said, what: str, permission: str = "") -> SendFailed:
    """The error for an answer that is not fine. `permission`: what the call needs, for answers
    that do not name it."""
    code = said.code
    if said.status >= 500:
        return SendRetryable(
            f"DingTalk failed at {what} ({said.words})", retry_after_seconds=said.retry_after
        )
    if code == _DENIED or said.errcode == _NO_RIGHT:
        names = _scopes(said.body) or ([permission] if permission else [])
        listed = ", ".join(names) or "(not named by DingTalk)"
        return PermissionMissing(
            f"the DingTalk app lacks the permission {listed} ({what})",
            permission=names[0] if names else "(unnamed)",
            hint=f"request {listed} at {PAGE}, and publish a version",
        )
    hint = ""
    if "ApiCountLimit" in code:
        hint = "the organisation's monthly quota of API calls is used up: extend it in DingTalk's "
        hint += "console, then replay the dead letter"
    elif "IpNotInWhiteList" in code or said.errcode == 60020:
        hint = "add this machine's address on the app's page, Security settings (安全设置)"
    return ApiRefused(
        f"DingTalk refused {what} ({said.words})",
        reason=code or str(said.errcode or said.status),
        hint=hint,
    )


def _scopes(body: Json) -> list[str]:
    detail: Any = body.get("accessdenieddetail")
    found: Any = cast("Json", detail).get("requiredScopes") if isinstance(detail, dict) else None
    if isinstance(found, list):
        return [str(name) for name in cast("list[Any]", found)[:10]]
    named = _SCOPES_IN_TEXT.search(str(body.get("sub_msg") or body.get("errmsg") or ""))
    return [name.strip() for name in named[1].split(",")] if named else []


def _number(found: object) -> int | None:
    if isinstance(found, bool) or not isinstance(found, int | str):
        return None
    try:
        return int(found)
    except ValueError:
        return None
