"""What a log line must not hold: secrets, and characters that forge or hide text."""

import re
from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise

HIDDEN = "***"

_SECRET_WORDS = frozenset(
    {
        "authorization",
        "cookie",
        "credential",
        "credentials",
        "passphrase",
        "passwd",
        "password",
        "secret",
        "secrets",
        "sign",
        "signature",
        "token",
    }
)
_SECRET_PAIRS = frozenset(
    {"api_key", "access_key", "private_key", "session_webhook", "set_cookie", "client_key"}
)
_HARMLESS_ENDINGS = frozenset({"age", "count", "expire", "expires", "seconds", "total", "ttl"})
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_NO_WORD = re.compile(r"[^a-z0-9]+")

# Bounded repetitions and no nesting: linear on the bounded lines they are used on.
_ASSIGNED = re.compile(
    r"""(?ix) (
          (?: token | secret | password | passwd | api[_-]?key | private_?key | signature
            | \bsign | \bsession(?==) )
          ["']? \s{0,2} [=:] \s{0,2} ["']?
        ) [^\s"'&,;}<>)]{3,}"""
)
_SCHEME = re.compile(r"(?i)\b(bearer|basic)\s+[a-z0-9._~+/=-]{6,}")
_SUSPICIOUS = re.compile(r"[=:]|[Bb][Ee][Aa][Rr][Ee][Rr]|[Bb][Aa][Ss][Ii][Cc]")
"""One cheap look that spares most lines the three thorough ones."""
_SHORTEST_SECRET = 6
_USERINFO = re.compile(r"(?i)(\b[a-z][a-z0-9+.-]{1,20}://)[^\s/@:]{0,100}:[^\s/@]{1,200}@")

_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
_UNSAFE_BUT_NEWLINE = re.compile(_UNSAFE.pattern.replace("\x00-\x1f", "\x00-\x09\x0b-\x1f"))


@lru_cache(maxsize=1024)
def is_secret_name(name: str) -> bool:
    """Whether a field of this name (snake, kebab or camel case) holds a secret."""
    words = _NO_WORD.sub("_", _HUMP.sub("_", name).lower()).strip("_").split("_")
    if words[-1] in _HARMLESS_ENDINGS:
        return False
    if not _SECRET_WORDS.isdisjoint(words):
        return True
    return any("_".join(pair) in _SECRET_PAIRS for pair in pairwise(words))


class Redactor:
    """Hides secrets inside text: by their look, and by their exact value where it is known."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        known = sorted({s for s in secrets if len(s) >= _SHORTEST_SECRET}, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, known))) if known else None

    def __call__(self, text: str) -> str:
        if self._known is not None:
            text = self._known.sub(HIDDEN, text)
        if len(text) < _SHORTEST_SECRET or not _SUSPICIOUS.search(text):
            return text
        text = _SCHEME.sub(rf"\1 {HIDDEN}", text)
        text = _USERINFO.sub(rf"\1{HIDDEN}@", text)
        return _ASSIGNED.sub(rf"\1{HIDDEN}", text)


def escaped(text: str, *, keep_newlines: bool = False) -> str:
    r"""Control, direction and zero-width characters as `\u....`, so that nothing looks like a
    line of ours that is none."""
    if text.isprintable():
        return text
    pattern = _UNSAFE_BUT_NEWLINE if keep_newlines else _UNSAFE
    return pattern.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def shortened(text: str, chars_max: int) -> str:
    """The text, or its beginning and a mark that some is missing."""
    return text if len(text) <= chars_max else f"{text[:chars_max]}…(cut)"
