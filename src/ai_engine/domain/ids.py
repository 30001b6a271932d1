"""Identifiers: short, sortable by time where that helps, and never guessable where that matters."""

import hashlib
import secrets
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [a + b for a in _ALPHABET for b in _ALPHABET]


def _base32(number: int, length: int) -> str:
    """Two digits at a time: every message needs several ids. `length` is even."""
    shifts = range(5 * length - 10, -1, -10)
    return "".join([_PAIRS[number >> shift & 1023] for shift in shifts])


def new_id(prefix: str) -> str:
    """`<prefix>_` + 10 characters of time (milliseconds) + 16 random ones (80 bits), as in ULID."""
    at_ms = time.time_ns() // 1_000_000
    return f"{prefix}_{_base32(at_ms, 10)}{_base32(secrets.randbits(80), 16)}"


def derived_id(prefix: str, *parts: str) -> str:
    """The same id for the same parts, for steps that may be repeated and must not be doubled."""
    digest = hashlib.sha256("\x1f".join(parts).encode()).digest()
    return f"{prefix}_{_base32(int.from_bytes(digest[:16], 'big'), 26)}"
