"""Identifiers: short, sortable by time where that helps, and never guessable where that matters."""

import hashlib
import secrets
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def _base32(number: int, length: int) -> str:
    digits = bytearray(length)
    for at in range(length - 1, -1, -1):
        digits[at] = ord(_ALPHABET[number & 31])
        number >>= 5
    return digits.decode("ascii")


def new_id(prefix: str) -> str:
    """`<prefix>_` + 10 characters of time (milliseconds) + 16 random ones (80 bits), as in ULID."""
    at_ms = time.time_ns() // 1_000_000
    return f"{prefix}_{_base32(at_ms, 10)}{_base32(secrets.randbits(80), 16)}"


def derived_id(prefix: str, *parts: str) -> str:
    """The same id for the same parts, for steps that may be repeated and must not be doubled."""
    digest = hashlib.sha256("\x1f".join(parts).encode()).digest()
    return f"{prefix}_{_base32(int.from_bytes(digest[:16], 'big'), 26)}"
