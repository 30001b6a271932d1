"""`ai-engine config` and `ai-engine init`, as people and programs use them."""

import json
import os
import stat
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from ai_engine.cli.config import app as config_app
from ai_engine.cli.init import init
from ai_engine.cli.output import Exit, count, failing
from ai_engine.config.schema import json_schema
from ai_engine.domain.errors import EngineError, Problem

from support.settings import GUIDE, write

HUSH = "s3cr3t-value"

root = typer.Typer()
root.add_typer(config_app, name="config")
root.command("init")(init)


@pytest.fixture(autouse=True)
def world(tmp_path, monkeypatch):
    """An empty folder and an environment that names no configuration and no language."""
    monkeypatch.chdir(tmp_path)
    for name in ("AI_ENGINE_CONFIG", "AI_ENGINE_DATA", "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("ai_engine.cli.locate.SYSTEM_CONFIG", tmp_path / "none")
    return tmp_path


def run(*args, stdin=None):
    return CliRunner().invoke(root, list(args), input=stdin)


def test_check_takes_the_guides_configuration_with_a_warning(tmp_path):
    write(tmp_path, (GUIDE / "ai-engine.json").read_bytes())
    done = run("config", "check")
    assert done.exit_code == Exit.OK
    assert "ai-engine.json is valid: 1 warning." in done.stdout
    assert "warning: ai-engine.json: $.channels.im_platform: " in done.stderr
    assert "Install a connector plugin" in done.stderr


def test_check_tells_all_problems_and_ends_with_two(tmp_path):
    path = write(tmp_path, {"chanels": {}, "log": {"level": "loud"}})
    done = run("config", "check", "--config", str(path))
    assert done.exit_code == Exit.INVALID
    assert "Did you mean 'channels'?" in done.stderr
    assert "error: ai-engine.json: $.log.level: " in done.stderr
    assert "is not valid: 2 errors." in done.stdout


def test_check_speaks_json_to_programs(tmp_path):
    write(tmp_path, {"log": {"level": "loud"}})
    done = run("config", "check", "--json")
    assert done.exit_code == Exit.INVALID
    assert done.stderr == ""
    said = json.loads(done.stdout)
    assert said["valid"] is False
    (problem,) = said["problems"]
    assert problem["where"] == "ai-engine.json: $.log.level"
    assert set(problem) == {"severity", "where", "what", "fix"}
    write(tmp_path, {})
    done = run("config", "check", "--json")
    assert (done.exit_code, json.loads(done.stdout)["valid"]) == (Exit.OK, True)


def test_check_tells_a_pattern_that_does_not_compile_with_its_line(tmp_path):
    write(tmp_path, "routing_rules:\n  - action: drop\n    pattern: '(['\n", "r.yaml")
    write(tmp_path, {"routing_rules": "r.yaml"})
    done = run("config", "check")
    assert done.exit_code == Exit.INVALID
    assert "error: r.yaml:2: " in done.stderr


def test_a_rule_that_never_wins_is_a_warning(tmp_path):
    rules = [
        {"pattern": ".*", "action": "reply", "text": "maintenance", "priority": 9},
        {"pattern": "^/ai", "action": "forward_to_engine"},
    ]
    write(tmp_path, {"routing_rules": rules})
    done = run("config", "check")
    assert done.exit_code == Exit.OK
    assert "can never win" in done.stderr


def test_check_without_any_configuration_says_what_to_do():
    done = run("config", "check")
    assert done.exit_code == Exit.INVALID
    assert "ai-engine init" in done.stderr
    done = run("config", "check", "--json")
    assert json.loads(done.stdout)["error"]["code"] == "config_invalid"


def test_check_finds_the_configuration_that_the_environment_names(tmp_path, monkeypatch):
    path = write(tmp_path, {}, "elsewhere.json")
    monkeypatch.setenv("AI_ENGINE_CONFIG", str(path))
    assert "elsewhere.json is valid" in run("config", "check").stdout


def test_a_group_may_read_only_when_that_is_allowed(tmp_path):
    write(tmp_path).chmod(0o640)
    assert run("config", "check").exit_code == Exit.INVALID
    assert run("config", "check", "--allow-group-read").exit_code == Exit.OK


def test_show_gives_every_value_with_its_source_and_no_secret(tmp_path, monkeypatch):
    monkeypatch.setenv("THE_KEY", HUSH)
    auth = {"app_id": "ding1", "app_secret": HUSH}
    model = {"base_url": "http://127.0.0.1/v1", "model": "m", "api_key": "${THE_KEY}"}
    write(tmp_path, {"channels": {"dingtalk": {"auth": auth}}, "models": {"m": model}})
    write(tmp_path, {"language": "en"}, "ai-engine.dev.json")
    done = run("config", "show", "--env", "dev")
    assert done.exit_code == Exit.OK
    lines = done.stdout.splitlines()
    assert '$.channels.dingtalk.auth.app_id = "ding1"  # ai-engine.json' in lines
    assert '$.channels.dingtalk.auth.app_secret = "********"  # ai-engine.json' in lines
    assert '$.models.m.api_key = "${THE_KEY}"  # ai-engine.json, ${THE_KEY}' in lines
    assert '$.language = "en"  # ai-engine.dev.json' in lines
    assert "$.session.idle_minutes = 15  # default" in lines
    assert HUSH not in done.output
    said = json.loads(run("config", "show", "--env", "dev", "--json").stdout)
    assert said["config"]["models"]["m"]["api_key"] == "${THE_KEY}"
    assert said["origins"]["$.language"] == "ai-engine.dev.json"
    assert HUSH not in json.dumps(said)


def test_what_is_shown_cannot_steer_the_terminal(tmp_path):
    write(tmp_path, {"assistant": {"system_prompt": "\x1b[2Jgone"}})
    assert "\x1b" not in run("config", "show").stdout


def test_a_text_is_not_read_as_markup(tmp_path):
    write(tmp_path, {"assistant": {"system_prompt": "[red]x[/nope]"}})
    assert "[red]x[/nope]" in run("config", "show").stdout


def test_the_schema_is_json_schema():
    assert json.loads(run("config", "schema").stdout) == json_schema()


def written(path="ai-engine.json"):
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def test_init_without_questions_makes_a_web_chat():
    done = run("init", "--yes")
    assert done.exit_code == Exit.OK
    assert written() == {"language": "en", "channels": {"webchat": {"enabled": True}}}
    assert "ai-engine serve" in done.stdout
    assert run("config", "check").exit_code == Exit.OK


def test_init_asks_in_the_language_that_was_chosen():
    app = ["dingtalk", "", "ding1", "${hush}"]
    answers = ["zh", "nowhere", *app, "http://127.0.0.1:9/v1", "qwen", ""]
    done = run("init", stdin="\n".join([*answers, ""]))
    assert done.exit_code == Exit.OK, done.output
    assert "请输入其中之一" in done.output
    assert "下一步" in done.stdout
    assert "${hush}" not in done.output
    assert written() == {
        "language": "zh",
        "channels": {
            "dingtalk": {
                "enabled": True,
                "mode": "stream",
                "auth": {"app_id": "ding1", "app_secret": "$${hush}"},
            }
        },
        "models": {"main": {"base_url": "http://127.0.0.1:9/v1", "model": "qwen"}},
        "assistant": {"model": "main"},
    }
    assert run("config", "check").exit_code == Exit.OK


def test_init_asks_only_for_what_the_flags_leave_open(monkeypatch):
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    done = run("init", "--channel", "webhook", "--model-url", "", stdin="\nhttp://127.0.0.1/cb\n")
    assert done.exit_code == Exit.OK, done.output
    made = written()
    assert made["language"] == "zh"
    assert made["channels"]["webhook"]["callback_url"] == "http://127.0.0.1/cb"
    assert len(made["channels"]["webhook"]["auth"]["secret"]) >= 40
    assert made["channels"]["webhook"]["auth"]["secret"] not in done.output


def test_init_refers_to_secrets_instead_of_copying_them(tmp_path, monkeypatch):
    monkeypatch.setenv("THE_SECRET", HUSH)
    key = write(tmp_path, HUSH, "key.txt")
    flags = ["--channel", "dingtalk", "--app-id", "ding1", "--app-secret-env", "THE_SECRET"]
    model = ["--model-url", "http://127.0.0.1/v1", "--model-name", "m", "--model-key-file"]
    done = run("init", "--yes", *flags, *model, "key.txt")
    assert done.exit_code == Exit.OK, done.output
    made = written()
    assert made["channels"]["dingtalk"]["auth"]["app_secret"] == "${THE_SECRET}"
    assert made["models"]["main"]["api_key"] == f"${{file:{key}}}"
    assert HUSH not in json.dumps(made) + done.output


def test_init_takes_a_secret_from_standard_input():
    flags = ["--channel", "dingtalk", "--app-id", "ding1", "--app-secret-stdin"]
    assert run("init", "--yes", *flags, stdin=f"{HUSH}\n").exit_code == Exit.OK
    assert written()["channels"]["dingtalk"]["auth"]["app_secret"] == HUSH


def test_init_writes_before_the_secret_is_there_and_says_so():
    flags = ["--channel", "dingtalk", "--app-id", "ding1", "--app-secret-env", "NOT_YET"]
    done = run("init", "--yes", *flags)
    assert done.exit_code == Exit.OK
    assert "still needed" in done.stdout
    assert "NOT_YET is not set" in done.stderr
    assert written()["channels"]["dingtalk"]["auth"]["app_secret"] == "${NOT_YET}"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--channel", "dingtalk"], "--app-id"),
        (["--channel", "dingtalk", "--app-id", "x"], "--app-secret-env"),
        (["--model-url", "http://127.0.0.1/v1"], "--model-name"),
        (["--model-url", "nowhere", "--model-name", "m"], "http or https URL"),
        (["--channel", "dingtlk"], "no such channel"),
        (["--lang", "fr"], "must be one of 'zh', 'en'"),
        (["--app-id", "x"], "no effect with channel webchat"),
        (["--app-secret-env", "A"], "no effect with channel webchat"),
        (["--callback-url", "http://a"], "no effect with channel webchat"),
        (["--app-secret-env", "my-secret!"], "never write the secret"),
        (["--app-secret-env", "A", "--app-secret-file", "b"], "two sources"),
        (["--app-secret-env", "A", "--app-secret-stdin"], "two sources"),
        (["--channel", "webhook", "--mode", "poll"], "no such mode"),
        (["--mode", "stream"], "no effect with channel webchat"),
        (["--set", "agent_id=1"], "no effect with channel webchat"),
        (["--channel", "slack", "--set", "tenant=x"], "There are bot_token"),
        (["--channel", "slack", "--set", "bot_token=xoxb"], "--secret-env bot_token=VARIABLE"),
        (["--channel", "slack", "--set", "bot_token"], "NAME=…"),
        (["--channel", "slack", "--secret-env", "bot_token=xoxb-1"], "never write the secret"),
        (
            ["--channel", "slack", "--app-secret-env", "A", "--secret-env", "bot_token=B"],
            "two sources",
        ),
        (["--channel", "feishu", "--mode", "webhook"], "--secret-env verification_token=VARIABLE"),
        (["--channel", "mattermost", "--app-secret-env", "A"], "--set url=VALUE"),
        (["--channel", "mattermost", "--app-secret-env", "A", "--set", "url=a"], "http or https"),
        (["--channel", "dingtalk_robot"], "no such channel"),
        (["--output", "no/such/folder/x.json"], "cannot be written"),
    ],
)
def test_init_writes_nothing_when_something_is_wrong(tmp_path, flags, words):
    done = run("init", "--yes", *flags)
    assert done.exit_code == Exit.INVALID, done.output
    assert words.lower() in done.stderr.lower()
    assert list(tmp_path.iterdir()) == []


def test_init_overwrites_only_by_force(tmp_path):
    write(tmp_path, {"language": "zh"})
    done = run("init", "--yes")
    assert done.exit_code == Exit.INVALID
    assert "--force" in done.stderr
    assert written() == {"language": "zh"}
    assert run("init", "--yes", "--force").exit_code == Exit.OK
    assert written()["language"] == "en"


def test_init_without_answers_writes_nothing(tmp_path):
    done = run("init", stdin="")
    assert done.exit_code == Exit.FAILED
    assert "Nothing was written." in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_command_that_fails_ends_with_the_status_of_its_error():
    class Unreachable(EngineError):
        code = "unreachable"

    app = typer.Typer()

    @app.command()
    @failing
    def fail(kind: str, as_json: bool = False) -> None:
        raise Unreachable("no answer", hint="start it") if kind == "far" else EngineError("broken")

    done = CliRunner().invoke(app, ["far"])
    assert (done.exit_code, done.stderr) == (Exit.UNREACHABLE, "error: no answer\n    start it\n")
    assert CliRunner().invoke(app, ["near"]).exit_code == Exit.FAILED
    said = json.loads(CliRunner().invoke(app, ["far", "--as-json"]).stdout)
    assert said == {"error": {"code": "unreachable", "message": "no answer", "hint": "start it"}}


def test_problems_are_counted_in_words():
    error = Problem(where="", what="", fix="")
    warning = Problem(where="", what="", fix="", severity="warning")
    assert count([error, error, warning]) == "2 errors and 1 warning"
    assert count([]) == "no problems"


def test_the_commands_load_nothing_heavy_before_they_run():
    script = (
        "import sys, ai_engine.cli.config, ai_engine.cli.init\n"
        "heavy = {'pydantic', 'yaml', 'watchfiles', 'aiohttp', 're2', 'uvicorn', 'starlette'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, encoding="utf-8", check=True
    )
    assert done.stdout == "[]\n"
