"""How an engine starts: soon, small, and without the parts that nobody has asked for yet."""

import asyncio
import json
import sys
import time
from pathlib import Path

import pytest

from support.process import EngineProcess
from support.settings import DINGTALK, MODEL, write

READY_SECONDS_MAX = 10.0
"""A bound for a busy machine; docs/benchmarks.md has what it really takes."""
RESIDENT_MB_MAX = 200
LATER = ("alembic", "dateparser", "fastapi", "icalendar", "mcp", "opentelemetry", "pandas")
"""Large parts of which a start needs none."""
SERVING = """
import asyncio, json, sys
from pathlib import Path
from ai_engine.cli.server import Listener, serving
from ai_engine.cli.settings import live_config
from ai_engine.engine import Options

async def main(config, data):
    options = Options(live=live_config(Path(config)), data=Path(data))
    async with serving(options, Listener(host="127.0.0.1", port=0)):
        print(json.dumps(sorted(sys.modules)))

asyncio.run(main(*sys.argv[1:]))
"""
COMMAND = """
import contextlib, io, json, sys
from ai_engine.cli import main
sys.argv = ["ai-engine", *sys.argv[1:]]
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    main.main()
print(json.dumps(sorted(sys.modules)))
"""


async def modules_of(program, *arguments):
    """Which top-level modules a child has imported when it prints them."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program, *map(str, arguments)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(30):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
    assert process.returncode == 0, err.decode()
    return {name.partition(".")[0] for name in json.loads(out.splitlines()[-1])}


def everything_on(tmp_path):
    channels = {"dingtalk": DINGTALK, "hook": {"type": "webhook", "auth": {"secret": "s" * 20}}}
    rules = [{"pattern": "^@bot", "action": "trigger_skill", "skill_id": "calendar_query"}]
    content = {"channels": channels, "models": {"main": MODEL}, "routing_rules": rules}
    return write(tmp_path, content)


async def test_an_engine_is_ready_soon_and_small(tmp_path):
    began = time.monotonic()
    async with EngineProcess(everything_on(tmp_path), tmp_path / "data") as engine:
        seconds = time.monotonic() - began
        status = Path(f"/proc/{engine.process.pid}/status").read_text(encoding="ascii")
        resident = int(status.split("VmRSS:")[1].split()[0]) / 1024
        print(f"ready after {seconds:.2f} s with {resident:.0f} MB resident")
        assert await engine.stop() == 0
        assert engine.log() == "", "a start and a stop in order have nothing to report"
    assert seconds < READY_SECONDS_MAX
    assert resident < RESIDENT_MB_MAX


async def test_serving_imports_no_part_that_nobody_has_asked_for_yet(tmp_path):
    loaded = await modules_of(SERVING, everything_on(tmp_path), tmp_path / "data")
    assert {"aiohttp", "uvicorn", "starlette"} <= loaded, "the child did serve"
    assert loaded.isdisjoint(LATER)


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["serve", "--help"]])
async def test_help_and_version_import_no_server_and_no_client(words):
    loaded = await modules_of(COMMAND, *words)
    assert "typer" in loaded
    assert loaded.isdisjoint({*LATER, "aiohttp", "starlette", "uvicorn", "uvloop"})
