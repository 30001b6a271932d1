"""How a command reaches the data: the API of the engine that runs on it, or its files."""

import fcntl
import http.client
import json
import os
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from ai_engine.cli.locate import locate
from ai_engine.domain.errors import EngineError, NotFound, Refused, Unauthenticated

if TYPE_CHECKING:
    from ai_engine.journal.base import Journal

LOCK_FILE: Final = "journal.db.lock"
RUN_FILE: Final = "engine.json"
"""In the data directory: `{"pid", "url"}` of the engine that runs on it."""
_SECONDS_MAX: Final = 10.0
_DIRECT: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Unreachable(EngineError):
    """An engine runs on this data directory, but its API does not answer."""

    code = "unreachable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What was found, and where."""

    value: Any
    source: str
    """Such as `engine at http://127.0.0.1:8000` or `files in ./data`."""


def running_url(data: Path) -> str | None:
    """The base URL of the engine that runs on this directory; None when none answers.

    A note that a killed engine left behind is not followed: whatever listens there now must not
    be given the admin token.
    """
    if not _owned(data):
        return None
    try:
        url = str(json.loads((data / RUN_FILE).read_text(encoding="utf-8"))["url"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    try:
        with _DIRECT.open(f"{url}/healthz", timeout=2.0):
            return url
    except (OSError, http.client.HTTPException):
        return None


def configuration(config: Path | None, data: Path | None) -> Path:
    """The configuration file: as named, else that of the engine which runs on `data`, else as
    `locate` finds it. Raises ConfigInvalid."""
    if config is None and data is not None and _owned(data):
        with suppress(OSError, ValueError, KeyError, TypeError):
            return Path(json.loads((data / RUN_FILE).read_text(encoding="utf-8"))["config"])
    return locate(config, data).config


def _owned(data: Path) -> bool:
    """Whether a process holds the journal's lock file, as a running engine does."""
    try:
        fd = os.open(data / LOCK_FILE, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def call(url: str, data: Path, path: str, *, method: str = "GET", body: Any = None) -> Any:
    """One request to the admin API. Raises Refused (NotFound, …) as the API says, Unreachable."""
    try:
        token = (data / "admin.token").read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        raise Unauthenticated(
            f"{data / 'admin.token'} cannot be read: {error}",
            hint="run the command as the user that the engine runs as",
        ) from error
    request = urllib.request.Request(  # noqa: S310 - the URL is the engine's own
        f"{url}/api/v1/{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    try:
        with _DIRECT.open(request, timeout=_SECONDS_MAX) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        raise _as_said(error) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Unreachable(
            f"the engine at {url} does not answer: {error}",
            hint="see its log; `ai-engine serve` starts it again",
        ) from error


def _as_said(error: urllib.error.HTTPError) -> EngineError:
    try:
        said = json.load(error)["error"]
        message, hint = str(said["message"]), str(said.get("hint", ""))
    except (ValueError, KeyError, TypeError):
        message, hint = f"the API answered {error.code}", ""
    kind = NotFound if error.code == 404 else Refused
    return kind(message, hint=hint)


def ask(
    data: Path,
    path: str,
    offline: "Callable[[Journal], Awaitable[Any]]",
    *,
    method: str = "GET",
    body: Any = None,
) -> Answer:
    """From the running engine when there is one, else from its files."""
    url = running_url(data)
    if url is not None:
        value = call(url, data, path, method=method, body=body)
        return Answer(value=value, source=f"engine at {url}")
    return Answer(value=_on_files(data, offline), source=f"files in {data}")


def _on_files(data: Path, offline: "Callable[[Journal], Awaitable[Any]]") -> Any:
    import asyncio

    from ai_engine.journal.sqlite import SqliteJournal

    path = data / "journal.db"
    if not path.exists():
        raise NotFound(
            f"there is no journal in {data}",
            hint="give the data directory by --data, or start the engine once",
        )

    async def work() -> Any:
        async with SqliteJournal(path) as journal:
            return await offline(journal)

    return asyncio.run(work())


def segment(text: str) -> str:
    """A path segment of the API."""
    return quote(text, safe="")
