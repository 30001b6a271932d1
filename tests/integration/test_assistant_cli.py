"""`ai-engine model`, on a stub server and without any local model."""

import asyncio
import json

import pytest
from typer.testing import CliRunner

from ai_engine.cli.model import app

from support.stub_model import StubModel


@pytest.fixture(autouse=True)
def empty_place(tmp_path, monkeypatch):
    """A folder without a configuration, and no variable that names another."""
    monkeypatch.chdir(tmp_path)
    for name in ("AI_ENGINE_CONFIG", "AI_ENGINE_DATA", "AI_ENGINE_MODELS"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def run(*words):
    return CliRunner().invoke(app, list(words))


def configure(folder, models, **assistant):
    path = folder / "ai-engine.json"
    path.write_text(json.dumps({"models": models, "assistant": assistant}), encoding="utf-8")
    path.chmod(0o600)


def test_the_list_shows_who_answers_in_which_order_and_what_is_pulled(empty_place, monkeypatch):
    models = {
        name: {"base_url": f"http://{name}.test/v1", "model": name, "api_key": "sk-secret"}
        for name in ("spare", "main", "idle")
    }
    configure(empty_place, models, model="main", fallbacks=["spare"])
    done = run("list", "--json")
    rows = json.loads(done.output)
    assert [(row["name"], row["role"]) for row in rows] == [
        ("main", "answers"),
        ("spare", "fallback 1"),
        ("idle", "unused"),
        ("smollm2", "not pulled"),
    ]
    assert "sk-secret" not in done.output
    monkeypatch.setenv("COLUMNS", "200")
    assert "http://main.test/v1" in run("list").output


def test_without_a_configuration_only_local_models_are_listed():
    done = run("list")
    assert done.exit_code == 0
    assert "only local models are listed" in done.output


async def test_a_configured_model_is_tried_and_measured(empty_place):
    async with StubModel() as stub:
        configure(empty_place, {"main": {"base_url": stub.base_url, "model": "m"}})
        stub.reply(["One", " two"], chunk_delay_seconds=0.01)
        done = await asyncio.to_thread(run, "test", "main", "--prompt", "count", "--json")
    assert done.exit_code == 0, done.output
    trial = json.loads(done.output)
    assert (trial["answer"], trial["finish"]) == ("One two", "stop")
    assert (trial["prompt_tokens"], trial["completion_tokens"]) == (7, 2)
    assert 0 < trial["first_token_seconds"] < trial["seconds"]
    assert trial["tokens_per_second"] > 0
    assert stub.requests[0]["messages"] == [{"role": "user", "content": "count"}]


async def test_a_failing_model_ends_the_command_with_what_to_do(empty_place):
    async with StubModel() as stub:
        configure(empty_place, {"main": {"base_url": stub.base_url, "model": "m"}})
        stub.reply_error(401, "who are you?")
        done = await asyncio.to_thread(run, "test", "main", "--json")
    assert done.exit_code == 1
    error = json.loads(done.output)["error"]
    assert error["code"] == "model_failed"
    assert "models.main.api_key" in error["hint"]


def test_an_unknown_model_is_told_with_the_known_ones():
    done = run("test", "nothing", "--json")
    assert done.exit_code == 1
    assert json.loads(done.output)["error"]["hint"] == "known: smollm2"


def test_a_model_that_was_not_pulled_is_not_served():
    done = run("serve", "smollm2", "--json")
    assert done.exit_code == 1
    assert "ai-engine model pull smollm2" in json.loads(done.output)["error"]["hint"]
