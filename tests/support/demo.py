"""`ai-engine demo` as a real process, and a simulated chat used by its control API."""

import asyncio
import json
import os
import signal
from contextlib import suppress
from pathlib import Path

import aiohttp

from support.process import AI_ENGINE

ROOT = Path(__file__).parents[2]
MODELS = Path(os.environ.get("AI_ENGINE_MODELS") or ROOT / ".cache" / "models")
"""One place for all tests, so that the local model is fetched once."""
_MODEL_VARIABLES = ("MODEL_BASE_URL", "MODEL_NAME", "MODEL_API_KEY")


class DemoProcess:
    """`async with DemoProcess(data) as demo`: `demo.url`, `demo.page`, `demo.chat`, `demo.sim`."""

    def __init__(self, data, *, args=(), env=None):
        self.data = data
        self._command = [*AI_ENGINE, "demo", "--json", "--port", "0", "--simulator-port", "0"]
        self._command += ["--data", str(data), *args]
        inherited = {k: v for k, v in os.environ.items() if k not in _MODEL_VARIABLES}
        self._env = {**inherited, "AI_ENGINE_MODELS": str(MODELS), **(env or {})}
        self._log = data.parent / "demo.log"
        self.printed = ""
        """Standard output up to the ready line."""

    async def __aenter__(self):
        with self._log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *self._command,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env=self._env,
                start_new_session=True,
            )
        try:
            await self._until_ready()
        except BaseException:
            await self.kill()
            raise
        self.sim = SimulatedChat(self.page)
        await self.sim.__aenter__()
        return self

    async def _until_ready(self, seconds=90.0):
        async with asyncio.timeout(seconds):
            while line := (await self.process.stdout.readline()).decode():
                self.printed += line
                if line.startswith("{") and (said := json.loads(line))["event"] == "ready":
                    self.url, self.page, self.chat = said["url"], said["page"], said["chat"]
                    return
        raise AssertionError(f"the demo ended:\n{self.printed}\n{self.log()[-4000:]}")

    async def __aexit__(self, *_):
        await self.sim.__aexit__()
        await self.kill()

    async def stop(self):
        """SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return await self.gone()

    async def kill(self):
        """SIGKILL to it and to whatever it started."""
        if self.process.returncode is None:
            for pid in (*descendants(self.process.pid), self.process.pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        await self.gone()

    async def gone(self, seconds=30.0):
        """Wait until it has ended; the exit code."""
        async with asyncio.timeout(seconds):
            self.printed += (await self.process.stdout.read()).decode()
            return await self.process.wait()

    def log(self):
        return self._log.read_text(encoding="utf-8", errors="replace")


class SimulatedChat:
    """A person who writes on a simulator's page and reads what comes."""

    def __init__(self, page):
        self._page = page

    async def __aenter__(self):
        self._http = aiohttp.ClientSession()
        return self

    async def __aexit__(self, *_):
        await self._http.close()

    async def say(self, text, *, user="zhangsan", chat="private", **more):
        """Send it; the platform's message id."""
        body = {"user": user, "text": text, "chat": chat, **more}
        return (await self._post("sim/send", body))["message_id"]

    async def ask(self, text, *, seconds=60.0, **more):
        """Send it and wait for the answer: an entry of the transcript."""
        return await self.answer(await self.say(text, **more), seconds=seconds)

    async def answer(self, message_id, *, seconds=60.0):
        """The first answer to this message."""
        seen = 0
        async with asyncio.timeout(seconds):
            while True:
                for entry in await self.transcript(after=seen, wait=10):
                    seen = entry["n"]
                    if entry["reply_to"] == message_id:
                        return entry

    async def transcript(self, **query):
        async with self._http.get(f"{self._page}sim/transcript", params=query) as answer:
            assert answer.status == 200
            return await answer.json()

    async def faults(self, **knobs):
        await self._post("sim/faults", knobs)

    async def _post(self, path, body):
        async with self._http.post(self._page + path, json=body) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()


def descendants(pid):
    """Process ids of everything that this process has started, deepest first."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*"):
        try:
            children = (task / "children").read_text(encoding="ascii").split()
        except OSError:
            continue
        for child in map(int, children):
            found += [*descendants(child), child]
    return found


def alive(pid):
    """Whether this process runs (a zombie does not)."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
