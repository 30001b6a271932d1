"""Runs `dingtalk_stream_bot.py`, a robot on the vendor's SDK, and reads what it says."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from ai_engine.simulators.dingtalk import DingTalkSimulator

BOT = Path(__file__).parent / "dingtalk_stream_bot.py"


class Bot:
    """The child process: what it said so far."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def next(self, what: str) -> dict[str, Any]:
        assert self._process.stdout is not None
        async with asyncio.timeout(20):
            while True:
                line = await self._process.stdout.readline()
                assert line, "the bot ended"
                if line.startswith(b'{"what"') and (said := json.loads(line))["what"] == what:
                    return said


@asynccontextmanager
async def sdk_bot(sim: DingTalkSimulator, secret: str = "s3cret") -> AsyncGenerator[Bot]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(BOT),
        sim.app_id,
        secret,
        env={**os.environ, "DINGTALK_OPENAPI_ENDPOINT": sim.url, "PYTHONWARNINGS": "ignore"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield Bot(process)
    finally:
        process.kill()
        await process.communicate()
