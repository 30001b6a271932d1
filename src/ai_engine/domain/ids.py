"""Identifiers: short, sortable by time where that helps, and never guessable where that matters."""

import hashlib
import os
import struct
import time
from collections.abc import Iterator

_BYTES = 10
_AT_ONCE = 256
_random: Iterator[tuple[bytes]] = iter(())


def _ten_random_bytes() -> bytes:
    """From the system, for many ids in one call; taking one is atomic, so threads may share."""
    global _random
    found = next(_random, None)
    while found is None:
        _random = struct.iter_unpack(f"{_BYTES}s", os.urandom(_BYTES * _AT_ONCE))
        found = next(_random, None)
    return found[0]


def _forget() -> None:
    """A forked child must not give the ids that its parent gives."""
    global _random
    _random = iter(())


os.register_at_fork(after_in_child=_forget)


def new_id(prefix: str) -> str:
    """`<prefix>_` + 11 hexadecimal digits of time (milliseconds) + 20 random ones (80 bits)."""
    return f"{prefix}_{time.time_ns() // 1_000_000:011x}{_ten_random_bytes().hex()}"


def derived_id(prefix: str, *parts: str) -> str:
    """The same id for the same parts, for steps that may be repeated and must not be doubled."""
    digest = hashlib.sha256("\x1f".join(parts).encode()).hexdigest()
    return f"{prefix}_{digest[:32]}"
