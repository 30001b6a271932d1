"""Reading the files of a configuration: regular, private, bounded, clean UTF-8, or a clear no."""

import os
import stat
from pathlib import Path

BYTES_MAX = 4 * 1024 * 1024
"""The largest configuration or rules file."""

_BOMS = (
    (b"\xef\xbb\xbf", "begins with a byte order mark (BOM)"),
    (b"\xff\xfe", "is UTF-16, not UTF-8"),
    (b"\xfe\xff", "is UTF-16, not UTF-8"),
)


class Unreadable(Exception):
    """A file that cannot be taken; `what` and `fix` make its `Problem`."""

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(what)
        self.what = what
        self.fix = fix


class Absent(Unreadable):
    """There is no such file."""


def read_text(path: Path, *, forbidden_mode: int, bytes_max: int = BYTES_MAX) -> str:
    """The text of a file none of whose permission bits are in `forbidden_mode`.

    Symbolic links are followed (Kubernetes mounts are links); type and mode are those of the
    opened file itself, so nothing can be swapped between the look and the reading.

    Raises:
        Unreadable: with what is wrong and what to do.
    """
    try:
        # Not blocking: opening a named pipe must be refused, not waited for.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise Absent("there is no such file.", "Check the path.") from error
    except PermissionError as error:
        raise Unreadable(
            "this user may not read it.", "Give the file to the user that runs the engine (chown)."
        ) from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a possible path"
        raise Unreadable(f"it cannot be opened: {reason}.", "Check the path.") from error
    # A descriptor, not yet a file object: that cannot be made of a directory.
    try:
        _check_kind(os.fstat(fd), path, forbidden_mode)
    except Unreadable:
        os.close(fd)
        raise
    with os.fdopen(fd, "rb") as file:
        try:
            raw = file.read(bytes_max + 1)
        except OSError as error:
            raise Unreadable(
                f"it cannot be read: {error.strerror}.", "Check the disk and the mount."
            ) from error
    if len(raw) > bytes_max:
        raise Unreadable(
            f"it is larger than {bytes_max} bytes.", "Check that it is the right file."
        )
    return _decode(raw)


def _check_kind(status: os.stat_result, path: Path, forbidden_mode: int) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise Unreadable("it is a directory.", "Name the file inside it.")
    if not stat.S_ISREG(status.st_mode):
        raise Unreadable("it is not a regular file.", "Name a regular file.")
    if not (excess := stat.S_IMODE(status.st_mode) & forbidden_mode):
        return
    mode = stat.S_IMODE(status.st_mode)
    if forbidden_mode == 0o002:
        raise Unreadable(f"every user may write it (mode {mode:04o}).", f"Run: chmod o-w {path}")
    fix = f"Run: chmod 600 {path}"
    if excess == 0o040:
        fix += " (or pass --allow-group-read, for a Kubernetes Secret mounted with fsGroup)"
    raise Unreadable(f"other users have access to it (mode {mode:04o}); it holds secrets.", fix)


def _decode(raw: bytes) -> str:
    for mark, what in _BOMS:
        if raw.startswith(mark):
            raise Unreadable(f"it {what}.", "Save it as UTF-8 without a byte order mark.")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise Unreadable(f"line {line} is not UTF-8.", "Save the file as UTF-8.") from error
