"""The file that holds the admin token: made once, readable by its owner only."""

import os
import secrets
import stat
from pathlib import Path

from ai_engine.domain.errors import ConfigInvalid, Problem

TOKEN_BYTES = 32
"""Random bytes of a token; base64url makes 43 characters of them."""
_FILE_BYTES_MAX = 4096


def read_or_create(path: Path) -> str:
    """The token in `path`; a new random one is written there when the file is missing.

    Raises:
        ConfigInvalid: unreadable, not a regular file, open to others, or too short.
    """
    try:
        try:
            return _create(path)
        except FileExistsError:
            return read(path)
    except OSError as error:
        raise _invalid(
            path,
            f"cannot be used: {error.strerror}.",
            "Make the data directory writable for the user that runs the engine.",
        ) from error


def read(path: Path) -> str:
    """The token in an existing file. Raises ConfigInvalid, OSError."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(handle, encoding="ascii", errors="replace") as file:
        facts = os.fstat(handle)
        if not stat.S_ISREG(facts.st_mode):
            raise _invalid(path, "is not a regular file.", "Remove it and start again.")
        mode = stat.S_IMODE(facts.st_mode)
        if mode & 0o077:
            raise _invalid(
                path,
                f"has mode {mode:04o}: others can read or change the admin token.",
                f"Run: chmod 600 {path}; if others may have read it, delete it and start again.",
            )
        token = file.read(_FILE_BYTES_MAX).strip()
    if len(token) < TOKEN_BYTES:
        raise _invalid(path, "holds no token.", "Delete it; the next start makes a new one.")
    return token


def _create(path: Path) -> str:
    """Complete before it is visible: a concurrent start reads the whole token or none."""
    if path.is_symlink() or path.exists():
        raise FileExistsError
    token = secrets.token_urlsafe(TOKEN_BYTES)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(token + "\n")
            file.flush()
            os.fsync(handle)
        os.link(draft, path)
    finally:
        draft.unlink()
    return token


def _invalid(path: Path, what: str, fix: str) -> ConfigInvalid:
    return ConfigInvalid([Problem(where=str(path), what=what, fix=fix)])
