"""A real engine process: started, waited for by its own word, killed."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

AI_ENGINE = [sys.executable, "-m", "ai_engine"]


class EngineProcess:
    """`ai-engine serve --json` (or a program that prints the same ready line)."""

    def __init__(self, config: Path, data: Path, *, program=None, args=(), port=0, env=None):
        self._command = [
            *(program or [*AI_ENGINE, "serve"]),
            *("--config", str(config), "--data", str(data), "--port", str(port), "--json"),
            *args,
        ]
        self._env = {**os.environ, **(env or {})}
        self._log = data.parent / "engine.log"
        self.process: asyncio.subprocess.Process | None = None
        self.url = ""

    async def start(self, seconds=20.0):
        """Returns when the engine says that it is ready; raises with its log when it ends first."""
        with self._log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *self._command, stdout=asyncio.subprocess.PIPE, stderr=log, env=self._env
            )
        async with asyncio.timeout(seconds):
            while True:
                line = await self.process.stdout.readline()
                if not line:
                    code = await self.process.wait()
                    raise AssertionError(f"the engine ended with {code}:\n{self.log()[-4000:]}")
                if line.startswith(b"{") and (said := json.loads(line)).get("event") == "ready":
                    self.url = said["url"]
                    return self

    async def kill(self):
        """SIGKILL, and wait until it is gone."""
        if self.process.returncode is None:
            self.process.kill()
        await self._gone()

    async def stop(self, seconds=20.0):
        """SIGTERM; the exit code."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        return await self._gone(seconds)

    async def _gone(self, seconds=20.0):
        async with asyncio.timeout(seconds):
            await self.process.stdout.read()
            return await self.process.wait()

    async def ended(self, seconds=20.0):
        """Wait until it ends by itself; the exit code."""
        return await self._gone(seconds)

    def log(self):
        return self._log.read_text(encoding="utf-8", errors="replace")

    async def __aenter__(self):
        return await self.start()

    async def __aexit__(self, *_):
        if self.process is not None:
            await self.kill()
