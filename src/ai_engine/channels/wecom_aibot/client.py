"""What WeCom answers, one-time reply addresses, and downloads. URLs are bearer secrets: in no log.

Source: WeCom, "Active replies" (101138): `response_url` takes one POST within an hour. Errors come
as HTTP 200 with `errcode`.
"""

import logging
import mimetypes
import re
from collections.abc import Iterable
from email.message import Message
from typing import Final
from urllib.parse import unquote, urlsplit

import msgspec

from ai_engine.channels.http import Api, json_object
from ai_engine.channels.wecom_aibot import crypto
from ai_engine.domain.errors import SendRefused, SendRetryable
from ai_engine.domain.message import Attachment, Json, Media
from ai_engine.security.egress import Egress

log = logging.getLogger(__name__)

API: Final = "https://qyapi.weixin.qq.com"
_MEDIA_HOST: Final = re.compile(r"ww-aibot-img-1258476243\.cos\.[a-z0-9-]+\.myqcloud\.com")
"""The store that WeCom's documentation shows for files; the number is its account's."""
_BUSY: Final = -1
_THROTTLED: Final = {45009: 20.0, 45033: 2.0}
"""Too often (30 a minute, 1000 an hour in one chat), too many at once → seconds to wait. WeCom
names no time."""
_OVERHEAD: Final = 64
"""Padding of an encrypted file, and more."""


def throttle_seconds(answer: Json) -> float | None:
    """How long to wait when WeCom says "too often"; None when it does not."""
    return _THROTTLED.get(code_of(answer))


def code_of(answer: Json) -> int:
    """`errcode`; 0 is well. An answer without one counts as busy: what it means is unknown."""
    code = answer.get("errcode", _BUSY)
    return code if isinstance(code, int) else _BUSY


def settled(answer: Json) -> int:
    """The errcode of an answer. Raises SendRetryable: it asks to come again later."""
    wait = throttle_seconds(answer)
    if wait is not None:
        raise SendRetryable("WeCom throttles this chat", retry_after_seconds=wait)
    code = code_of(answer)
    if code == _BUSY:
        raise SendRetryable("WeCom is busy")
    return code


class AibotClient:
    """Calls that need no WebSocket. `trusted`: configured base URLs beside WeCom's own."""

    def __init__(self, api: Api, trusted: Iterable[str]) -> None:
        self._api = api
        self._trusted = tuple(trusted)

    async def answer(self, response_url: str, body: Json) -> None:
        """Use up a `response_url`.

        Raises:
            SendRefused: host not allowed, used, expired, or content refused. SendRetryable.
        """
        checked = Egress.check(response_url, (API, *self._trusted))
        answer = await self._api.call("POST", checked, json=body)
        self._api.refuse_failure(answer, "the reply")
        code = settled(answer.json)
        if code:
            raise SendRefused(
                f"WeCom refused the reply (errcode {code})",
                hint="a reply address works once and for an hour; the stream mode can write later",
            )

    async def fetch(self, attachment: Attachment, aes_key: str, bytes_max: int) -> Media:
        """Download and decrypt; `aes_key` is the callback's, for files without a key of their own.

        Raises:
            SendRefused: host not allowed, gone, too large, not to be decrypted. SendRetryable.
        """
        ref = json_object(attachment.ref)
        url, own_key = str(ref.get("url", "")), str(ref.get("aeskey", ""))
        answer = await self._api.download(
            url, allowed=self._media_hosts(url), bytes_max=bytes_max + _OVERHEAD
        )
        content = await crypto.media_opened(own_key or aes_key, answer.body)
        if len(content) > bytes_max:
            raise SendRefused(f"the {attachment.kind} has more than {bytes_max} bytes")
        name = attachment.name or _file_name(answer.headers.get("content-disposition", ""))
        return Media(
            kind=attachment.kind,
            content=content,
            name=name or attachment.kind,
            mime=_mime(name, content, attachment.kind),
        )

    def _media_hosts(self, url: str) -> tuple[str, ...]:
        host = urlsplit(url).hostname or ""
        store = (f"https://{host}",) if _MEDIA_HOST.fullmatch(host) else ()
        return (API, *self._trusted, *store)


def _file_name(disposition: str) -> str:
    """The name in a Content-Disposition header, without any folder."""
    if not disposition.isprintable():
        return ""
    header = Message()
    header["Content-Disposition"] = disposition
    found = header.get_filename() or ""
    return unquote(found).replace("\\", "/").rpartition("/")[2][:200]


def _mime(name: str, content: bytes, kind: str) -> str:
    for magic, mime in (
        (b"\x89PNG\r\n", "image/png"),
        (b"\xff\xd8\xff", "image/jpeg"),
        (b"GIF8", "image/gif"),
    ):
        if content.startswith(magic):
            return mime
    guessed = mimetypes.guess_type(name)[0] if name else None
    return guessed or ("image/jpeg" if kind == "image" else "application/octet-stream")


def origins(*bases: str) -> tuple[str, ...]:
    """Configured base URLs as http(s) ones; a WebSocket's host may give files as well."""
    plain = [base.replace("ws://", "http://", 1).replace("wss://", "https://", 1) for base in bases]
    return tuple(base for base in plain if urlsplit(base).hostname)


def encoded(body: Json) -> bytes:
    return msgspec.json.encode(body)
