"""Runs a local model as a child process for as long as a `with` block lasts."""

import asyncio
import contextlib
import os
import sys
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ai_engine.assistant.local import LocalModelFailed, known_model, settings

READY_SECONDS_MAX = 60.0
_STOP_SECONDS = 5.0
_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "SYSTEMROOT", "LD_LIBRARY_PATH")


class LocalModelProcess:
    """`async with LocalModelProcess(models_dir, "smollm2") as local: … local.base_url …`

    The child holds the other end of a pipe and ends when this process does, however it ends.
    """

    def __init__(self, models: Path, name: str, *, port: int = 0) -> None:
        self.name = known_model(name).name
        self.base_url = ""
        """Of the OpenAI-compatible API, ending in `/v1`; set once it is ready."""
        self._models = models
        self._port = port
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._said: deque[str] = deque(maxlen=20)

    @property
    def settings(self) -> dict[str, Any]:
        """The entry for `models` in the configuration."""
        return settings(self.name, self.base_url)

    @property
    def pid(self) -> int:
        """The child's process id."""
        assert self._process is not None
        return self._process.pid

    async def __aenter__(self) -> Self:
        """Start it and wait until it takes requests.

        Raises:
            LocalModelFailed: not pulled, or it ended or stayed silent instead.
        """
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "ai_engine.assistant.local_server", "--leash"),
            *("--models", str(self._models), "--name", self.name, "--port", str(self._port)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={key: os.environ[key] for key in _PASSED_ON if key in os.environ},
        )
        try:
            async with asyncio.timeout(READY_SECONDS_MAX):
                await self._wait_until_ready()
        except TimeoutError as error:
            await self._stop()
            raise LocalModelFailed(
                f"{self.name} was not ready within {READY_SECONDS_MAX:g} s: {self._tail()}"
            ) from error
        except BaseException:
            await self._stop()
            raise
        self._reader = asyncio.create_task(self._read_on())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stop()

    async def ended(self) -> str:
        """Returns when the child has ended, with its last words."""
        assert self._process is not None
        await self._process.wait()
        return self._tail()

    async def _wait_until_ready(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            text = line.decode("utf-8", "replace").strip()
            if text.startswith("ready "):
                self.base_url = text.removeprefix("ready ")
                return
            self._said.append(text)
        await self._process.wait()
        raise LocalModelFailed(f"{self.name} did not start: {self._tail()}")

    async def _read_on(self) -> None:
        """Keep the pipe empty, so that the child never waits for us."""
        assert self._process is not None
        assert self._process.stdout is not None
        while piece := await self._process.stdout.read(4096):
            self._said.append(piece.decode("utf-8", "replace").strip())

    async def _stop(self) -> None:
        process = self._process
        assert process is not None
        try:
            assert process.stdin is not None
            process.stdin.close()
            async with asyncio.timeout(_STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            pass
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
            if self._reader is not None:
                self._reader.cancel()

    def _tail(self) -> str:
        return " ".join(self._said)[-1000:] or "it said nothing"
