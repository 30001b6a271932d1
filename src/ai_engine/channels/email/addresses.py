"""Addresses, read strictly: what might be read in two ways is refused, not repaired."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from email.errors import HeaderParseError
from email.header import decode_header
from typing import Final

_FIELD_MAX: Final = 2000
_NAME_MAX: Final = 100
_ATOM: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ADDRESS: Final = rf"{_ATOM}(?:\.{_ATOM})*@{_LABEL}(?:\.{_LABEL})*"
_BARE: Final = re.compile(rf"<?({_ADDRESS})>?")
_QUOTED_NAME: Final = re.compile(rf'"((?:[^"\\\r\n]|\\[^\r\n])*)"\s*<({_ADDRESS})>')
_PLAIN_NAME: Final = re.compile(rf'([^"<>@,;:()\\\[\]\r\n]*)<({_ADDRESS})>')
_GENERIC: Final = frozenset({"com", "co", "net", "org", "gov", "edu", "ac", "ne", "or", "go"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Mailbox:
    """One address in lower case, and the name shown with it."""

    address: str
    name: str = ""

    @property
    def domain(self) -> str:
        return self.address.rpartition("@")[2]


def one_mailbox(field: str) -> Mailbox | None:
    """The only address of a From field (RFC 5322, 3.4); None when it is not exactly one, or is
    written so that programs differ in how they read it. The name is decoded after the address was
    found: an encoded word can hold no address that counts."""
    field = re.sub(r"\r?\n(?=[ \t])", "", field).strip()
    if len(field) > _FIELD_MAX or not field.isascii():
        return None
    if (bare := _BARE.fullmatch(field)) is not None and (field[0] == "<") == (field[-1] == ">"):
        return Mailbox(address=bare[1].lower()) if _fits(bare[1]) else None
    if (found := _QUOTED_NAME.fullmatch(field)) is not None:
        name = re.sub(r"\\(.)", r"\1", found[1])
    elif (found := _PLAIN_NAME.fullmatch(field)) is not None:
        name = words(found[1])
    else:
        return None
    return Mailbox(address=found[2].lower(), name=one_line(name)) if _fits(found[2]) else None


def _fits(address: str) -> bool:
    """RFC 5321, 4.5.3.1: 64 octets before the @, 255 after it."""
    local, _, domain = address.rpartition("@")
    return len(local) <= 64 and len(domain) <= 255


def is_address(text: str) -> bool:
    """Whether it is one plain address."""
    return re.fullmatch(_ADDRESS, text) is not None and _fits(text)


def allowed(address: str, allow: Sequence[str]) -> bool:
    """Whether the list names the address, or its domain as `@example.org`. Not its subdomains."""
    listed = {each.strip().lower() for each in allow}
    return address in listed or f"@{address.rpartition('@')[2]}" in listed


def aligned(domain: str, other: str) -> bool:
    """Equal, or one is below the other (RFC 7489, 3.1: relaxed alignment, without a list of public
    suffixes: two sisters below one parent do not count)."""
    one, two = domain.lower().rstrip("."), other.lower().rstrip(".")
    if "." not in one or "." not in two:
        return one == two and one != ""
    return one == two or one.endswith(f".{two}") or two.endswith(f".{one}")


def same_organisation(host: str, other: str) -> bool:
    """Whether two hosts share the domain that somebody registered, as far as names tell."""
    one, two = _registered(host), _registered(other)
    return one != "" and one == two


def _registered(host: str) -> str:
    labels = host.lower().strip().rstrip(".").split(".")
    if labels[-1].isdigit() or "" in labels:
        return ""
    deep = len(labels) > 2 and len(labels[-1]) == 2 and labels[-2] in _GENERIC
    return ".".join(labels[-3:] if deep else labels[-2:])


def words(field: str) -> str:
    """A header's text with its encoded words (RFC 2047) read; unreadable ones are left."""
    field = field.encode("utf-8", "replace").decode("utf-8")
    try:
        parts = decode_header(field)
    except (HeaderParseError, ValueError):
        return one_line(field)
    found: list[str] = []
    for part, charset in parts:
        if isinstance(part, str):
            found.append(part)
        else:
            found.append(decoded(part, charset or "utf-8"))
    return one_line("".join(found))


def decoded(content: bytes, charset: str) -> str:
    """By its charset; by UTF-8 with replacements when that is unknown or wrong."""
    try:
        return content.decode(charset)
    except (LookupError, ValueError):
        return content.decode("utf-8", "replace")


def one_line(text: str, size: int = _NAME_MAX) -> str:
    """Without line breaks and other control characters, which could begin a header; at most
    `size` characters."""
    plain = "".join(c if c.isprintable() else " " for c in text[: size * 4])
    return " ".join(plain.split())[:size]
