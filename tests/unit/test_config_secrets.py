"""References to secrets: resolved, told when missing, never shown."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_engine.config.explain import as_data, masked, plain
from ai_engine.config.load import load
from ai_engine.config.schema import Config
from ai_engine.config.secrets import Resolver

from support.settings import MODEL, TYPES, read, tell, write

HUSH = "s3cr3t-value"


def prompt(tmp_path, text, **environ):
    path = write(tmp_path, {"assistant": {"system_prompt": text}})
    return load(path, environ=environ, channel_types=TYPES).config.assistant.system_prompt


def test_environment_variables_and_files_are_put_in(tmp_path):
    write(tmp_path, "from a file\r\n", "secret.txt")
    text = "${A}-${_B2}-${file:secret.txt}-${file:" + str(tmp_path / "secret.txt") + "}"
    found = prompt(tmp_path, text, A="1", _B2="${A}")
    assert found == "1-${A}-from a file-from a file"


def test_two_dollars_mean_the_characters_themselves(tmp_path):
    assert prompt(tmp_path, "cost: $5, $${NOT_READ}, $$x, {y}") == "cost: $5, ${NOT_READ}, $$x, {y}"


def test_an_empty_variable_is_a_value(tmp_path):
    assert prompt(tmp_path, "[${EMPTY}]", EMPTY="") == "[]"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("${GONE}", "the environment variable GONE is not set"),
        ("${file:gone.txt}", "gone.txt: there is no such file"),
        ("${file:}", "names no file"),
        ("${file:.}", "is a directory"),
        ("${a-b}", "is not a reference"),
        ("${}", "is not a reference"),
        ("${A", "has no end"),
        ("${BAD}", "is not UTF-8 text"),
    ],
)
def test_a_reference_that_leads_nowhere_is_told_with_its_place(tmp_path, text, words):
    path = write(tmp_path, {"models": {"m": {**MODEL, "api_key": text}}})
    (problem,) = read(path, environ={"BAD": "\udcff", "A": HUSH}).problems
    assert problem.where == "ai-engine.json: $.models.m.api_key"
    assert words in problem.what
    assert problem.fix


def test_a_whole_value_may_be_a_number_or_a_truth_value(tmp_path):
    content = {
        "server": {"turns_max": "${N}"},
        "session": {"idle_minutes": "${F}"},
        "plugins": {"auto_reload": "${B}"},
    }
    environ = {"N": "12", "F": "2", "B": "false"}
    config = load(write(tmp_path, content), environ=environ, channel_types=TYPES).config
    assert (config.server.turns_max, config.session.idle_minutes) == (12, 2.0)
    assert config.plugins.auto_reload is False


@pytest.mark.parametrize("value", ["many", "1.5", "true", "", "[1]", HUSH])
def test_a_reference_that_gives_no_number_is_told_without_its_value(tmp_path, value):
    path = write(tmp_path, {"server": {"turns_max": "${N}"}})
    (problem,) = read(path, environ={"N": value}).problems
    assert "must be a whole number; what its reference gives is something else" in problem.what
    assert HUSH not in tell(problem)


@pytest.mark.parametrize(
    "content",
    [
        {"log": {"level": "${S}"}},
        {"server": {"turns_max": "${S}"}},
        {"models": {"m": {**MODEL, "base_url": "${S}"}}},
        {"skills": {"weather": {"forecast_url": "x${S}"}}},
        {"channels": {"w": {"type": "webhook", "auth": {"secret": [HUSH]}}}},
        {"models": {"m": {**MODEL, "api_key": {"key": HUSH}}}},
    ],
)
def test_no_problem_shows_a_secret(tmp_path, content):
    tried = read(write(tmp_path, content), environ={"S": HUSH})
    assert tried.problems
    assert HUSH not in plain(tried.problems)
    assert HUSH not in json.dumps(as_data(tried.problems))


def test_a_secret_number_out_of_range_is_not_shown(tmp_path):
    tried = read(write(tmp_path, {"server": {"turns_max": "${S}"}}), environ={"S": "987654321"})
    assert "from 1 to 10000" in tried.problems[0].what
    assert "987654321" not in plain(tried.problems)


def test_what_is_shown_masks_secrets_and_keeps_references(tmp_path):
    content = {
        "channels": {"w": {"type": "webhook", "auth": {"secret": HUSH}}},
        "models": {
            "m": {**MODEL, "api_key": "${S}", "base_url": "http://me:pw@h:1/v1?token=abc&x=1"},
            "n": {**MODEL, "base_url": "http://${S}:pw2@h/v1", "model": "plain"},
        },
        "assistant": {"model": "m"},
    }
    loaded = load(write(tmp_path, content), environ={"S": HUSH}, channel_types=TYPES)
    shown = masked(loaded.config)
    assert shown["channels"]["w"]["auth"] == {
        "secret": "********",
        "token_expire": 7200,
    }
    assert shown["models"]["m"]["api_key"] == "${S}"
    assert shown["models"]["m"]["base_url"] == "http://********@h:1/v1?token=********&x=********"
    assert shown["models"]["n"]["base_url"] == "********${S}********"
    assert shown["models"]["n"]["model"] == "plain"
    assert HUSH not in json.dumps(shown)
    assert HUSH not in repr(loaded)


def test_the_masked_configuration_is_plain_json():
    assert json.loads(json.dumps(masked(Config())))["language"] == "zh"


@given(st.text(max_size=60))
def test_escaped_text_stays_what_it_is(text):
    resolver = Resolver(environ={}, folder=None)
    assert resolver.resolve(text.replace("${", "$${")) == text
    assert not resolver.faults
    assert not resolver.written
