"""Follows the configuration's files; a new configuration counts only when all of it is right."""

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import TypeAlias, Unpack

from ai_engine.config.load import Attempt, Loaded, LoadOptions, attempt
from ai_engine.domain.errors import ConfigInvalid, Problem

_log = logging.getLogger(__name__)
# It reports each change of any file in the folders, be it the log that its own report goes to.
logging.getLogger("watchfiles").setLevel(logging.WARNING)

POLL_SECONDS = 5.0
"""How often the files are looked at even when the kernel reports nothing (network mounts)."""
DEBOUNCE_SECONDS = 0.2
"""Changes within this time count as one: editors and Kubernetes write in several steps."""

_Mark: TypeAlias = tuple[int, ...] | None


class LiveConfig:
    """The configuration in force, and the last attempt to change it.

    `current` is replaced as a whole, and only by a configuration without errors.

    Raises:
        ConfigInvalid: when made, for a configuration with errors.
    """

    def __init__(self, path: Path, **options: Unpack[LoadOptions]) -> None:
        self._path = path
        self._options = options
        before = _marks((path,))
        first = attempt(path, **options)
        if first.loaded is None:
            raise ConfigInvalid(list(first.problems))
        self.current: Loaded = first.loaded
        self.problems: tuple[Problem, ...] = ()
        """Why the files as they are now are not in force; empty when they are."""
        self._files = first.files
        # As they were when they were read: what changes before `watch` begins is a change too.
        self._read = {**_marks(first.files), **before}
        self._reading = asyncio.Lock()

    @property
    def path(self) -> Path:
        """The configuration file."""
        return self._path

    @property
    def last_error(self) -> str:
        """The problems in one text, for `/readyz`; empty when there are none."""
        return "\n".join(f"{p.where}: {p.what} {p.fix}" for p in self.problems)

    @property
    def files(self) -> tuple[Path, ...]:
        """What to watch: the files of `current` and those that the last attempt looked for."""
        return tuple(dict.fromkeys((*self.current.files, *self._files)))

    async def reload(self) -> Loaded | None:
        """Read the files again. None, with `problems` filled, when the old one stays in force."""
        async with self._reading:
            tried = await asyncio.to_thread(self._attempt)
            self._files = tried.files
            self.problems = tried.problems
            if tried.loaded is None:
                _log.error(
                    "the changed configuration is wrong, the last one stays in force: %s",
                    self.last_error,
                )
            else:
                self.current = tried.loaded
            return tried.loaded

    async def watch(
        self, on_change: Callable[[], Awaitable[object]], *, poll_seconds: float = POLL_SECONDS
    ) -> None:
        """Call `on_change` (which calls `reload`) after each change of a file, until cancelled."""
        await watch(lambda: self.files, on_change, poll_seconds=poll_seconds, seen=self._read)

    def _attempt(self) -> Attempt:
        options = self._options.copy()
        # An overlay that vanishes under a running engine is a fault, or a lost mount would put
        # the settings of another environment into force.
        options["needs_overlay"] = self.current.overlay or options.get("needs_overlay", False)
        return attempt(self._path, **options)


async def watch(
    files: Callable[[], Sequence[Path]],
    on_change: Callable[[], Awaitable[object]],
    *,
    poll_seconds: float = POLL_SECONDS,
    debounce_seconds: float = DEBOUNCE_SECONDS,
    seen: dict[Path, _Mark] | None = None,
) -> None:
    """Call `on_change` after each change of one of `files()`, until cancelled.

    Folders are watched, not files: a file that is replaced by a rename, or behind a link that is
    turned (a Kubernetes ConfigMap), is another file under the same name. Whether something did
    change is told by what the names lead to, so other files in the folders do not matter.
    `seen`: what they led to when they were read; None takes what they lead to now.
    """
    if seen is None:
        seen = await asyncio.to_thread(_marks, files())
    while True:
        folders = await asyncio.to_thread(_folders, files())
        async with aclosing(_ticks(folders, poll_seconds, debounce_seconds)) as ticks:
            async for _ in ticks:
                marks = await asyncio.to_thread(_marks, files())
                if marks != seen:
                    await on_change()
                    # What changed meanwhile is seen at the next tick; files that came to be
                    # watched by this change have just been read.
                    seen = {**await asyncio.to_thread(_marks, files()), **marks}
                    seen = {path: seen[path] for path in files()}
                if await asyncio.to_thread(_folders, files()) != folders:
                    break  # watch the present ones


async def _ticks(
    folders: Sequence[Path], poll_seconds: float, debounce_seconds: float
) -> AsyncGenerator[None]:
    """One tick at once, one after changes in the folders, and one each `poll_seconds`."""
    # Imported when used: not every command watches.
    from watchfiles import awatch  # pyright: ignore[reportUnknownVariableType]

    yield

    changes = awatch(
        *folders,
        watch_filter=None,
        recursive=False,
        debounce=int(debounce_seconds * 1000),
        rust_timeout=max(int(poll_seconds * 1000), 1),
        yield_on_timeout=True,
        ignore_permission_denied=True,
    )
    try:
        async with aclosing(changes):
            async for _ in changes:
                yield
    except (OSError, RuntimeError):
        # The machine's limit of watches is reached, or a folder vanished: polling remains.
        yield
    while True:
        await asyncio.sleep(poll_seconds)
        yield


def _marks(files: Iterable[Path]) -> dict[Path, _Mark]:
    """What each name leads to now; None for nothing."""
    marks: dict[Path, _Mark] = {}
    for path in files:
        try:
            status = path.stat()
        except (OSError, ValueError):
            marks[path] = None
            continue
        marks[path] = (
            status.st_dev,
            status.st_ino,
            status.st_size,
            status.st_mtime_ns,
            status.st_ctime_ns,
        )
    return marks


def _folders(files: Iterable[Path]) -> list[Path]:
    """The existing folders of the names and of what they lead to, sorted."""
    wanted = {folder for path in files for folder in (path.parent, path.resolve().parent)}
    return sorted(folder.absolute() for folder in wanted if os.path.isdir(folder)) or [Path("/")]
