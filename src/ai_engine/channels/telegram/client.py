"""Telegram's Bot API, one call at a time. The token is part of each URL: no error or log holds it.

Source: Bot API, "Making requests": `POST <base>/bot<token>/<method>`, answered by
`{"ok": true, "result": …}` or `{"ok": false, "error_code", "description", "parameters"}`.
"""

import logging
import re
from dataclasses import dataclass
from typing import Any, Final, NoReturn
from urllib.parse import quote

import aiohttp
import msgspec

from ai_engine.channels.http import ANSWER_BYTES_MAX, CALL_SECONDS_MAX, Api
from ai_engine.channels.pace import Bucket
from ai_engine.channels.telegram.content import record, text, whole
from ai_engine.domain.clock import Clock
from ai_engine.domain.errors import PermissionMissing, SendRefused, SendRetryable, Unauthenticated
from ai_engine.domain.message import Json
from ai_engine.security.egress import Egress

log = logging.getLogger(__name__)

API: Final = "https://api.telegram.org"
SENDS_PER_SECOND: Final = 30
"""Of one bot, over all chats (Bots FAQ, "Broadcasting to users")."""

_FILE_PATH: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*")
_RIGHTS: Final = {
    "text messages": "can_send_messages",
    "photos": "can_send_photos",
    "documents": "can_send_documents",
    "audios": "can_send_audios",
    "music": "can_send_audios",
    "videos": "can_send_videos",
    "voice": "can_send_voice_notes",
}
_NO_RIGHT: Final = re.compile(
    r"not enough rights|have no rights|CHAT_WRITE_FORBIDDEN|CHAT_ADMIN_REQUIRED"
    r"|CHAT_SEND_\w+_FORBIDDEN|need administrator rights",
    re.IGNORECASE,
)
_MARKS_REFUSED: Final = "can't parse entities"
_SAME: Final = "message is not modified"


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What Telegram said to one call."""

    status: int
    body: Json
    retry_after: float | None = None
    """Seconds, from the Retry-After header."""

    @property
    def ok(self) -> bool:
        return self.body.get("ok") is True

    @property
    def result(self) -> Json:
        """The result, where it is an object."""
        return record(self.body, "result")

    @property
    def description(self) -> str:
        return str(self.body.get("description", ""))[:200]

    @property
    def marks_refused(self) -> bool:
        """The text's marks could not be read."""
        return self.status == 400 and _MARKS_REFUSED in self.description

    @property
    def same(self) -> bool:
        """An edit that changes nothing: what was wanted is there."""
        return self.status == 400 and _SAME in self.description


def throttle_seconds(answer: Said) -> float | None:
    """How long Telegram wants us to wait; None when it does not throttle.

    Source: Bot API, ResponseParameters.retry_after.
    """
    if answer.status != 429:
        return None
    asked = whole(record(answer.body, "parameters").get("retry_after"))
    return float(asked) if asked is not None else (answer.retry_after or 1.0)


class TelegramClient:
    """One bot's calls. `token` is `<bot id>:<secret>`."""

    def __init__(self, token: str, base: str, egress: Egress, clock: Clock) -> None:
        self._token = token
        self._base = base.rstrip("/") or API
        self._api = Api("Telegram", egress, clock)
        self._bucket = Bucket(SENDS_PER_SECOND, clock, burst=SENDS_PER_SECOND)

    @property
    def bot_id(self) -> int:
        """The bot's user id, which its token begins with; 0 when the token is none."""
        number = self._token.partition(":")[0]
        return int(number) if number.isascii() and number.isdigit() and len(number) < 19 else 0

    async def ask(
        self,
        method: str,
        params: Json | None = None,
        *,
        file: tuple[str, str, str, bytes] | None = None,
        seconds_max: float = CALL_SECONDS_MAX,
        bytes_max: int = ANSWER_BYTES_MAX,
    ) -> Said:
        """One call, whatever its outcome. `file`: (field, name, MIME type, content).

        A group that became a supergroup has a new id: the call is repeated there.

        Raises:
            SendRetryable: no answer came, or none that can be read.
            SendRefused: the answer has more than `bytes_max` bytes.
        """
        said = await self._once(method, params or {}, file, seconds_max, bytes_max)
        moved = whole(record(said.body, "parameters").get("migrate_to_chat_id"))
        if said.ok or moved is None:
            return said
        log.info("a Telegram group has become a supergroup; its new id is %s", moved)
        params = {**(params or {}), "chat_id": moved}
        return await self._once(method, params, file, seconds_max, bytes_max)

    async def _once(
        self,
        method: str,
        params: Json,
        file: tuple[str, str, str, bytes] | None,
        seconds_max: float,
        bytes_max: int,
    ) -> Said:
        if method.startswith(("send", "edit")) and method != "sendChatAction":
            await self._bucket.take()
        answer = await self._api.call(
            "POST",
            f"{self._base}/bot{quote(self._token, safe=':')}/{method}",
            json=None if file else params,
            data=_form(params, file) if file else None,
            seconds_max=60.0 if file else seconds_max,
            bytes_max=bytes_max,
        )
        said = Said(status=answer.status, body=answer.json, retry_after=answer.retry_after)
        if "ok" not in said.body and said.status < 500:
            raise SendRetryable(f"Telegram's answer to {method} cannot be read")
        return said

    async def call(self, method: str, params: Json | None = None, **more: Any) -> Said:
        """A call that must succeed. Raises SendRetryable, SendRefused, PermissionMissing."""
        said = await self.ask(method, params, **more)
        if not said.ok:
            raise_for(said, method)
        return said

    async def get_me(self) -> Json:
        """The bot itself. Raises Unauthenticated: the token is wrong; SendRetryable."""
        said = await self.ask("getMe")
        if said.status in (401, 404):
            raise Unauthenticated("Telegram does not know this bot token", hint=_TOKEN_HINT)
        if not said.ok:
            raise_for(said, "getMe")
        return said.result

    async def download(self, file_id: str, bytes_max: int) -> bytes:
        """A file's content: getFile, then its path on the API's host.

        Raises:
            SendRetryable, SendRefused: gone, too large, or a path that is none.
        """
        said = await self.call("getFile", {"file_id": file_id})
        if (whole(said.result.get("file_size")) or 0) > bytes_max:
            raise SendRefused(f"the file has more than {bytes_max} bytes")
        path = text(said.result, "file_path")
        if not _FILE_PATH.fullmatch(path):
            raise SendRefused("Telegram gave no path of the file that can be followed")
        url = f"{self._base}/file/bot{quote(self._token, safe=':')}/{path}"
        answer = await self._api.download(url, allowed=(self._base,), bytes_max=bytes_max)
        return answer.body


_TOKEN_HINT: Final = "compare auth.token with the one that @BotFather shows"  # noqa: S105 - a hint


def _form(params: Json, file: tuple[str, str, str, bytes]) -> aiohttp.FormData:
    """Multipart: other values than texts are JSON (Bot API, "Sending files")."""
    form = aiohttp.FormData(quote_fields=False)
    for name, value in params.items():
        form.add_field(
            name, value if isinstance(value, str) else msgspec.json.encode(value).decode()
        )
    field, name, mime, content = file
    # Telegram shows the name as it is: not percent-encoded, and no character may end the header.
    shown = "".join(char for char in name if char.isprintable())
    form.add_field(field, content, filename=shown or "file", content_type=mime)
    return form


def raise_for(said: Said, method: str) -> NoReturn:
    """The engine's error for a refused call; what Telegram says names no secret.

    Raises:
        SendRetryable, SendRefused, PermissionMissing.
    """
    wait = throttle_seconds(said)
    if wait is not None:
        raise SendRetryable("Telegram throttles this bot", retry_after_seconds=wait)
    if said.status >= 500 or said.status == 408:
        raise SendRetryable(
            f"Telegram answered HTTP {said.status} to {method}",
            retry_after_seconds=said.retry_after,
        )
    if said.status == 401:
        raise SendRefused("Telegram does not accept the bot's token", hint=_TOKEN_HINT)
    if _NO_RIGHT.search(said.description):
        right = _right(said.description)
        raise PermissionMissing(
            f"the bot lacks the right {right} in this chat ({said.description})",
            permission=right,
            hint="the group's page in Telegram: Permissions, or Administrators → the bot",
        )
    if said.status == 403:
        raise SendRefused(
            f"Telegram does not let the bot write there ({said.description})",
            hint="the person must open the chat and press Start; a group must have the bot in it",
        )
    raise SendRefused(f"Telegram refused {method} ({said.status}: {said.description})")


def _right(description: str) -> str:
    said = description.lower().replace("_", " ")
    for words, right in _RIGHTS.items():
        if words in said:
            return right
    return "administrator" if "admin" in said else "can_send_messages"
