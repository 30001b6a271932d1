"""The client-server API of a Matrix homeserver, one call at a time.

Source: Matrix specification, "Client-Server API". The token goes into the Authorization header
only; failures are `{"errcode": "M_…", "error": words}`.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, NoReturn
from urllib.parse import quote

import msgspec

from ai_engine.channels.http import Answer, Api
from ai_engine.channels.matrix.fields import text
from ai_engine.domain.clock import Clock
from ai_engine.domain.errors import PermissionMissing, SendRefused, SendRetryable
from ai_engine.domain.message import Json, Media
from ai_engine.security.egress import Egress

SYNC_BYTES_MAX: Final = 16_777_216
MEMBERS_BYTES_MAX: Final = 4_194_304
THROTTLE_SECONDS_MAX: Final = 600.0
_UPLOAD_SECONDS: Final = 60.0
_TOKEN_CODES: Final = frozenset({"M_UNKNOWN_TOKEN", "M_MISSING_TOKEN", "M_USER_DEACTIVATED"})
_MXC: Final = re.compile(r"mxc://([A-Za-z0-9.:\[\]-]{1,255})/([A-Za-z0-9_=-]{1,255})")
_TOKEN_HINT: Final = "log the bot in again and set auth.access_token"  # noqa: S105 - a hint


class TokenRefused(SendRefused):
    """The homeserver does not accept the access token: only an administrator can help."""


def throttle_seconds(answer: Answer) -> float | None:
    """How long the homeserver wants us to wait; None when it does not throttle.

    Source: Client-Server API, "Rate limiting": 429 with Retry-After, or the older retry_after_ms.
    """
    if answer.status != 429:
        return None
    asked: Any = answer.json.get("retry_after_ms")
    if isinstance(asked, int | float) and not isinstance(asked, bool) and asked >= 0:
        return min(asked / 1000, THROTTLE_SECONDS_MAX)
    return 1.0 if answer.retry_after is None else answer.retry_after


def where(*parts: str) -> str:
    """A path of the API; ids may hold any character."""
    return "/_matrix/client/v3/" + "/".join(quote(part, safe="") for part in parts)


class MatrixClient:
    """One bot's calls."""

    def __init__(self, base: str, token: str, egress: Egress, clock: Clock) -> None:
        self._base = base.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"}
        self._api = Api("The Matrix homeserver", egress, clock)

    async def ask(
        self,
        method: str,
        path: str,
        body: Json | None = None,
        params: Mapping[str, str] | None = None,
        **more: Any,
    ) -> Answer:
        """One call, whatever its outcome. Raises SendRetryable: no answer came."""
        return await self._api.call(
            method, self._base + path, json=body, params=params, headers=self._headers, **more
        )

    async def call(
        self,
        method: str,
        path: str,
        body: Json | None = None,
        params: Mapping[str, str] | None = None,
        **more: Any,
    ) -> Json:
        """A call that must succeed. Raises SendRetryable, SendRefused, PermissionMissing."""
        answer = await self.ask(method, path, body, params, **more)
        if not 200 <= answer.status < 300:
            raise_for(answer)
        return _read(answer)

    async def found(self, path: str, **more: Any) -> Json | None:
        """What is there; None when it is not, or not for us. Raises SendRetryable, TokenRefused."""
        answer = await self.ask("GET", path, **more)
        if 200 <= answer.status < 300:
            return _read(answer)
        try:
            raise_for(answer)
        except TokenRefused:
            raise
        except SendRefused:
            return None

    async def whoami(self) -> Json:
        """`user_id` and `device_id` of the token. Raises TokenRefused, SendRetryable."""
        return await self.call("GET", where("account", "whoami"))

    async def sync(self, since: str, hold_ms: int, filters: Json, seconds_max: float) -> Answer:
        """What happened after `since`, whatever the outcome; held open while nothing did."""
        params = {"timeout": str(hold_ms), "filter": _json(filters)}
        if since:
            params["since"] = since
        # Else every poll would show the bot as active, and its presence would wake other clients.
        params["set_presence"] = "offline"
        return await self.ask(
            "GET", where("sync"), params=params, seconds_max=seconds_max, bytes_max=SYNC_BYTES_MAX
        )

    async def messages(self, room: str, before: str, until: str, filters: Json) -> Json:
        """Up to 100 earlier events, the newest first, and where to go on (`end`)."""
        params = {"dir": "b", "from": before, "to": until, "limit": "100"}
        return await self.call(
            "GET",
            where("rooms", room, "messages"),
            params={**params, "filter": _json(filters)},
            bytes_max=SYNC_BYTES_MAX,
        )

    async def event(self, room: str, event: str) -> Answer:
        """One event with what is known of its edits and its thread (`unsigned`)."""
        return await self.ask("GET", where("rooms", room, "event", event))

    async def send(self, room: str, kind: str, txn: str, content: Json) -> str:
        """The event's id; the same `txn` gives the same event, made once.

        Raises:
            SendRetryable, SendRefused, PermissionMissing.
        """
        said = await self.call("PUT", where("rooms", room, "send", kind, txn), content)
        return text(said, "event_id")

    async def account_data(self, me: str, kind: str, room: str = "") -> Json:
        """What the bot's account keeps under a name, of its own or of a room; {} when nothing."""
        return await self.found(_data_path(me, kind, room)) or {}

    async def keep(self, me: str, kind: str, content: Json, room: str = "") -> None:
        """Keep it in the bot's account. Raises SendRetryable, SendRefused."""
        await self.call("PUT", _data_path(me, kind, room), content)

    async def upload(self, media: Media) -> str:
        """The content's `mxc://` address. Raises SendRetryable, SendRefused."""
        answer = await self._api.call(
            "POST",
            f"{self._base}/_matrix/media/v3/upload",
            data=media.content,
            params={"filename": media.name},
            headers={**self._headers, "Content-Type": media.mime},
            seconds_max=_UPLOAD_SECONDS,
        )
        if not 200 <= answer.status < 300:
            raise_for(answer)
        return text(_read(answer), "content_uri")

    async def download(self, mxc: str, bytes_max: int) -> bytes:
        """The content behind an `mxc://` address, always from our own homeserver.

        Raises:
            SendRetryable, SendRefused: no such address, gone, or too large.
        """
        found = _MXC.fullmatch(mxc)
        if found is None:
            raise SendRefused("the file has no mxc:// address that can be followed")
        name = "/".join(quote(each, safe="") for each in found.groups())
        answer = await self._content(f"/_matrix/client/v1/media/download/{name}", bytes_max)
        if answer.status == 404 and text(answer.json, "errcode") == "M_UNRECOGNIZED":
            # Servers before 1.11 of the specification.
            answer = await self._content(f"/_matrix/media/v3/download/{name}", bytes_max)
        if answer.status != 200:
            raise_for(answer)
        return answer.body

    async def _content(self, path: str, bytes_max: int) -> Answer:
        return await self.ask("GET", path, seconds_max=_UPLOAD_SECONDS, bytes_max=bytes_max)


def _json(filters: Json) -> str:
    return msgspec.json.encode(filters).decode()


def _data_path(me: str, kind: str, room: str) -> str:
    return where("user", me, *(("rooms", room) if room else ()), "account_data", kind)


def _read(answer: Answer) -> Json:
    found = answer.json
    if not found and answer.body.strip() != b"{}":
        raise SendRetryable("the Matrix homeserver's answer cannot be read")
    return found


def raise_for(answer: Answer) -> NoReturn:
    """The engine's error for a refused call; what the homeserver says names no secret.

    Raises:
        SendRetryable, SendRefused, TokenRefused, PermissionMissing.
    """
    wait = throttle_seconds(answer)
    if wait is not None:
        raise SendRetryable("the Matrix homeserver throttles the bot", retry_after_seconds=wait)
    code, words = text(answer.json, "errcode"), text(answer.json, "error")[:200]
    if answer.status >= 500 or answer.status == 408:
        raise SendRetryable(
            f"the Matrix homeserver answered HTTP {answer.status}",
            retry_after_seconds=answer.retry_after,
        )
    if answer.status == 401 or code in _TOKEN_CODES:
        raise TokenRefused(
            "the Matrix homeserver does not accept the access token", hint=_TOKEN_HINT
        )
    if code == "M_FORBIDDEN":
        _forbidden(words)
    if code == "M_TOO_LARGE" or answer.status == 413:
        raise SendRefused(f"it is too large for the Matrix homeserver ({words})")
    raise SendRefused(f"the Matrix homeserver refused it ({answer.status} {code}: {words})")


def _forbidden(words: str) -> NoReturn:
    said = words.lower()
    if "power" in said or "level" in said or "permission to post" in said:
        raise PermissionMissing(
            f"the bot may not write in this room ({words})",
            permission="m.room.message",
            hint="Room settings → Roles & Permissions: raise the bot, or lower Send messages",
        )
    raise SendRefused(
        f"the bot is not allowed to do this in the room ({words})",
        hint="invite the bot into the room; it joins by itself",
    )
