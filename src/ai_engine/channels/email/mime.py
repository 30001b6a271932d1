"""A mail's bytes as headers and parts; what anybody may send, so each step has a limit."""

import re
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from email.policy import compat32
from typing import Any, Final, cast

from ai_engine.channels.email.addresses import one_line, words
from ai_engine.domain.errors import Malformed

_FIELDS_MAX: Final = 1000
_VALUE_MAX: Final = 32_768
_NESTED_MAX: Final = 30
_PARTS_MAX: Final = 100
_NESTING: Final = re.compile(rb"^content-type:\s*(?:multipart|message)/", re.I | re.M)
_NAME: Final = re.compile(r"[!-9;-~]{1,100}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One leaf of a mail."""

    mime: str
    content: bytes
    charset: str = ""
    name: str = ""
    attached: bool = False
    """Shown below the mail, not within it."""
    forwarded: bool = False
    """It belongs to a mail within this mail."""


def headers(raw: bytes) -> list[tuple[str, str]]:
    """The header fields as they stand, topmost first, names in lower case, values unfolded."""
    block = re.split(rb"\r?\n\r?\n", raw, maxsplit=1)[0]
    found: list[tuple[str, str]] = []
    for line in re.split(rb"\r?\n(?![ \t])", block):
        name, colon, value = line.partition(b":")
        key = name.decode("ascii", "replace").strip().lower()
        if colon and _NAME.fullmatch(key):
            found.append((key, re.sub(r"\r?\n", "", _text(value[:_VALUE_MAX])).strip()))
    return found[:_FIELDS_MAX]


def _text(raw: bytes) -> str:
    """UTF-8 (RFC 6532), or GB 18030, which older programs write without saying so."""
    for charset in ("utf-8", "gb18030"):
        try:
            return raw.decode(charset)
        except UnicodeDecodeError:
            continue
    return raw.decode("utf-8", "replace")


def parts(raw: bytes) -> list[Part]:
    """The leaves in their order, at most 100. For a thread: a large mail takes a while.

    Raises:
        Malformed: nested so deeply that nobody has written it by hand.
    """
    if len(_NESTING.findall(raw)) > _NESTED_MAX:
        raise Malformed("the mail is nested too deeply")
    found: list[Part] = []
    waiting = [(message_from_bytes(raw, policy=compat32), False)]
    while waiting and len(found) < _PARTS_MAX:
        message, forwarded = waiting.pop()
        if message.is_multipart():
            inner: Any = message.get_payload()
            within = forwarded or message.get_content_maintype() == "message"
            children = cast("list[Message]", inner)
            waiting += [(each, within) for each in reversed(children)]
        else:
            found.append(_part(message, forwarded))
    return found


def _part(message: Message, forwarded: bool) -> Part:
    try:
        payload: Any = message.get_payload(decode=True)
        content = payload if isinstance(payload, bytes) else b""
    except (ValueError, LookupError, AssertionError):
        content = b""  # a coding that the library cannot even try to read
    return Part(
        mime=message.get_content_type(),
        content=content,
        charset=_parameter(message, "charset"),
        name=_parameter(message, "filename", "content-disposition") or _parameter(message, "name"),
        attached=_disposition(message) == "attachment",
        forwarded=forwarded,
    )


def _disposition(message: Message) -> str:
    return str(message.get("content-disposition", "")).partition(";")[0].strip().lower()


def _parameter(message: Message, name: str, header: str = "content-type") -> str:
    """A parameter's text (RFC 2231, or RFC 2047 as many write it); empty when unreadable."""
    try:
        found: Any = message.get_param(name, header=header)
        if isinstance(found, tuple):
            charset, _, value = cast("tuple[str | None, str | None, str]", found)
            raw = value.encode("latin-1", "replace")
            return one_line(raw.decode(charset or "utf-8", "replace"))
    except (ValueError, LookupError, TypeError, AttributeError):
        return ""
    return words(str(found)) if found else ""
