"""Writes a file that holds secrets: mode 0600 from its first byte, whole or not at all."""

import errno
import os
import secrets
from pathlib import Path

# File systems without hard links answer a link() with one of these.
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


def write_private(path: Path, text: str, *, replace: bool = False) -> None:
    """Write `text` to `path` atomically and durably.

    Raises:
        FileExistsError: there is such a file and `replace` is false.
        OSError: it cannot be written; nothing was changed.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        _put(draft, path, replace=replace)
    finally:
        draft.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _put(draft: Path, path: Path, *, replace: bool) -> None:
    if replace:
        os.replace(draft, path)
        return
    try:
        os.link(draft, path)  # unlike a rename, it never overwrites
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        os.replace(draft, path)


def _sync_folder(folder: Path) -> None:
    """Make the new name durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
