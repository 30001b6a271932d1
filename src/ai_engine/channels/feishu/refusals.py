"""What Feishu's API answers when it does not do what was asked, as the engine's own errors.

Source: Feishu, "Common error codes", "How to fix the 99991672 error", the error tables of the
message and card pages; the codes of CardKit's streams are those that its users report.
"""

from typing import Any, Final, NoReturn, cast

from ai_engine.channels.feishu.about import PAGE
from ai_engine.channels.http import Answer
from ai_engine.domain.errors import PermissionMissing, SendRefused, SendRetryable
from ai_engine.domain.message import Json

THROTTLED: Final = frozenset({99991400, 230020, 11232, 1061045})
"""Gateway limit; too many messages to one chat or person; uploads."""
BAD_TOKEN: Final = frozenset({99991661, 99991663, 99991664, 99991665, 99991668, 99991671})
BAD_CREDENTIALS: Final = frozenset({10003, 10014, 10013})
"""Unknown app id, wrong secret."""
MESSAGE_GONE: Final = frozenset({230011, 230019, 230071, 230072, 231003, 230110})
"""The message to reply to was recalled or deleted, or its thread is gone."""
CARD_INVALID: Final = frozenset({230099, 230025, 200621, 200550})
"""The card's content is not what clients can show; or too long."""
STREAM_CLOSED: Final = frozenset({200850, 300309})
"""Streaming mode has ended, by itself (10 minutes, or idle) or since it was switched off."""
SEQUENCE_OLD: Final = 300317
_STREAM_OVER: Final = frozenset({200740, 200750, 200770, 300313, SEQUENCE_OLD}) | STREAM_CLOSED
_NEEDS_SCOPE: Final = 99991672
_FALLBACK_SECONDS: Final = 1.0
_HINTS: Final = {
    230002: "add the bot to the group",
    230006: "switch on the bot ability on the app's page, Add Features (添加应用能力)",
    230013: "widen the app's availability range so that it includes the person, and publish",
    230027: f"request the right on {PAGE}",
    230035: "let the bot speak in this group's settings",
}


def code_of(answer: Answer) -> int:
    """Feishu's own code; -1 when the answer holds none."""
    code = answer.json.get("code")
    return code if isinstance(code, int) else -1


def throttle_seconds(answer: Answer) -> float | None:
    """How long to wait when the answer says "too fast"; None when it does not say so."""
    if answer.status != 429 and code_of(answer) not in THROTTLED:
        return None
    reset = answer.headers.get("x-ogw-ratelimit-reset", "")
    if reset.isascii() and reset.isdigit():
        return min(float(reset[:6]), 600.0)
    return answer.retry_after if answer.retry_after is not None else _FALLBACK_SECONDS


def stream_over(code: int) -> bool:
    """Whether this answer to a write says that the card cannot be written any more."""
    return code in _STREAM_OVER


class ApiRefused(SendRefused):
    """Feishu says no; `number` is its code."""

    def __init__(self, message: str, number: int, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.number = number


def raise_for(answer: Answer, what: str, scope: str = "") -> NoReturn:
    """The engine's error for an answer that is not a success. `scope`: the right that the call
    needs, for codes that do not name it."""
    code = code_of(answer)
    said = f"{code if code >= 0 else f'HTTP {answer.status}'}: {_text(answer.json)}"
    wait = throttle_seconds(answer)
    if wait is not None:
        raise SendRetryable(f"Feishu throttles {what} ({said})", retry_after_seconds=wait)
    if answer.status in (408, 500, 502, 503, 504) or (code < 0 and answer.status == 200):
        raise SendRetryable(
            f"Feishu failed at {what} ({said})", retry_after_seconds=answer.retry_after
        )
    if code == _NEEDS_SCOPE or (code == 230027 and scope):
        names, url = _scopes(answer.json)
        # Feishu names all that would do, the broad ones too: ours is the narrowest.
        named = scope if scope in names or not names else names[0]
        permission = named or "(not named by Feishu)"
        raise PermissionMissing(
            f"the Feishu app lacks the permission {permission} ({what})",
            permission=permission,
            hint=f"request {permission} on {url or PAGE}",
        )
    raise ApiRefused(f"Feishu refused {what} ({said})", code, hint=_HINTS.get(code, ""))


def _text(body: Json) -> str:
    return str(body.get("msg", ""))[:200]


def _scopes(body: Json) -> tuple[list[str], str]:
    """(the rights, any of which would do; the page that grants them) of a 99991672."""
    error: Any = body.get("error")
    if not isinstance(error, dict):
        return [], ""
    detail = cast("Json", error)
    found: Any = detail.get("permission_violations")
    rows = cast("list[Any]", found) if isinstance(found, list) else []
    names = [str(cast("Json", row).get("subject", "")) for row in rows if isinstance(row, dict)]
    helps: Any = detail.get("helps")
    first: Any = cast("list[Any]", helps)[0] if isinstance(helps, list) and helps else None
    url = str(cast("Json", first).get("url", ""))[:500] if isinstance(first, dict) else ""
    return [name for name in names if name], url
