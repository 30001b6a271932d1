"""`ai-engine simulate dingtalk` as a process."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from typer.testing import CliRunner

from ai_engine.channels.about import problems
from ai_engine.channels.types import about
from ai_engine.cli.simulate import app
from ai_engine.config.schema import ChannelConfig
from ai_engine.simulators.types import SIMULATED, build, simulator_class

ARGS = ("dingtalk", "--app-id", "dingapp", "--port", "0", "--json")


@asynccontextmanager
async def started(*args: str, **env: str) -> AsyncGenerator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", "from ai_engine.cli.simulate import app; app()"),
        *ARGS,
        *args,
        env={**os.environ, **env},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_it_prints_its_addresses_serves_and_ends_cleanly_on_sigterm():
    async with started("--app-secret-env", "SIM_SECRET", SIM_SECRET="s3cret") as process:
        assert process.stdout is not None
        async with asyncio.timeout(20):
            addresses = json.loads(await process.stdout.readline())
        app_keys = {"appKey": "dingapp", "appSecret": "s3cret"}
        async with aiohttp.ClientSession() as session:
            async with session.get(addresses["page"]) as answer:
                assert answer.status == 200
            url = f"{addresses['api']}/v1.0/oauth2/accessToken"
            async with session.post(url, json=app_keys) as answer:
                assert (await answer.json())["expireIn"] == 7200
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            _, errors = await process.communicate()
        assert (process.returncode, errors) == (0, b"")


async def test_a_port_in_use_is_a_sentence_and_not_a_trace():
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = str(server.sockets[0].getsockname()[1])
    async with started("--app-secret", "s", "--port", port) as process, asyncio.timeout(20):
        _, errors = await process.communicate()
    server.close()
    assert process.returncode == 1
    assert b"another --port" in errors
    assert b"Traceback" not in errors


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--app-secret", "a", "--app-secret-env", "B"), "at most one"),
        (("--app-secret-env", "AI_ENGINE_NOT_SET"), "not set"),
        (("--app-secret-file", "nowhere.txt"), "cannot be read"),
        (("--app-secret", "a", "--engine", "localhost:8080"), "http or https"),
    ],
)
def test_a_wrong_option_is_refused_with_what_is_wrong(args: tuple[str, ...], words: str):
    result = CliRunner().invoke(app, [*ARGS, *args])
    assert result.exit_code == 2
    assert words in " ".join(result.output.replace("│", " ").split())


def test_an_empty_secret_file_is_refused(tmp_path: Path):
    file = tmp_path / "secret"
    file.write_text("\n", encoding="utf-8")
    result = CliRunner().invoke(app, [*ARGS, "--app-secret-file", str(file)])
    assert result.exit_code == 2


@pytest.mark.parametrize("kind", SIMULATED)
def test_every_simulated_platform_takes_the_credentials_of_its_channel(kind: str):
    shown = CliRunner().invoke(app, [kind, "--help"], env={"COLUMNS": "200"}).output
    for name in simulator_class(kind).auth_defaults:
        assert f"--{name.replace('_', '-')}" in shown


@pytest.mark.parametrize("kind", SIMULATED)
async def test_every_simulated_platform_names_the_endpoints_of_its_channel(kind: str):
    async with build(kind, {}, engine="http://127.0.0.1:9", channel="here") as simulator:
        info = simulator.info()
        used = {
            name: url for name, url in info["endpoints"].items() if name in about(kind).endpoints
        }
        assert used, info
        auth = {**simulator.auth_defaults, **info.get("auth", {})}
        settings = ChannelConfig.model_validate({"type": kind, "auth": auth, "endpoints": used})
        assert problems(about(kind), settings) == []
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{simulator.url}/sim/info") as answer,
        ):
            assert (await answer.json())["endpoints"] == info["endpoints"]


@pytest.mark.parametrize(
    ("kind", "given", "expected"),
    [
        ("slack", ("--app-secret", "xoxb-mine"), "xoxb-mine"),
        ("wecom", ("--app-id", "wwmine"), "wwmine"),
        ("telegram", ("--app-secret", "1:mine"), "1:mine"),
        ("mattermost", ("--url", "http://mm.example"), "http://mm.example"),
    ],
)
def test_the_general_names_stand_in_for_the_platforms_own(monkeypatch, kind, given, expected):
    made = []

    async def serve(type_, simulator, *, as_json):
        del type_, as_json
        made.append(simulator)

    monkeypatch.setattr("ai_engine.cli.simulate._serve", serve)
    assert CliRunner().invoke(app, [kind, *given]).exit_code == 0
    [simulator] = made
    values = [*vars(simulator).values(), simulator.url]
    assert expected in [each for each in values if isinstance(each, str)]
