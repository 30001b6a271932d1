"""`ai-engine routes` on files as people write them."""

import json
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from ai_engine.cli.routes import app

GUIDE_RULES = """\
routing_rules:
  - pattern: "^/ai@"
    action: forward_to_engine
    priority: 10
  - pattern: "^@bot"
    action: trigger_skill
    skill_id: "calendar_query"
"""


@pytest.fixture
def guide(tmp_path: Path) -> Path:
    (tmp_path / "routing_rules.yaml").write_text(GUIDE_RULES, encoding="utf-8")
    return configured(tmp_path, {"routing_rules": "routing_rules.yaml"})


def configured(folder: Path, config: dict) -> Path:
    path = folder / "ai-engine.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    path.chmod(0o600)
    return path


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "200"})


def test_the_guides_calendar_rule_wins_and_the_json_has_the_stable_keys(guide: Path):
    result = run("test", "--config", guide, "--json", "@bot 明天有什么安排")
    assert result.exit_code == 0, result.output
    decision = json.loads(result.output)
    assert list(decision) == ["action", "skill_id", "rule", "text", "why"]
    assert (decision["action"], decision["skill_id"]) == ("trigger_skill", "calendar_query")
    assert (decision["rule"], decision["text"]) == ("#1", "明天有什么安排")


def test_the_guides_prefix_rule_forwards_the_rest(guide: Path):
    decision = json.loads(run("test", "--config", guide, "--json", "/ai@ hello").output)
    assert (decision["action"], decision["rule"]) == ("forward_to_engine", "#0")
    assert decision["text"] == "hello"


def test_people_are_told_why_each_rule_did_or_did_not_win(guide: Path):
    result = run("test", "--config", guide, "@bot today")
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[0] == "trigger_skill calendar_query"
    assert any("passed on" in line and line.endswith("today") for line in lines)
    (loser,) = [line for line in lines if "#0" in line]
    assert "pattern '^/ai@' is not in the text" in loser
    assert any(line.lstrip().startswith("→") and "#1" in line for line in lines)


def test_conditions_are_tried_as_given(tmp_path: Path):
    rules = [
        {"pattern": "^x", "action": "reply", "text": "for the boss", "role": "owner"},
        {"pattern": "^x", "action": "drop", "channel": "webhook", "chat": "group"},
    ]
    path = configured(
        tmp_path,
        {
            "routing_rules": rules,
            "channels": {"webhook": {"auth": {"secret": "0123456789abcdef0123456789abcdef"}}},
        },
    )
    boss = run("test", "--config", path, "--role", "owner", "x")
    assert "for the boss" in boss.output
    group = run("test", "--config", path, "--json", "--channel", "webhook", "--chat", "group", "x")
    assert json.loads(group.output)["action"] == "drop"
    plain = run("test", "--config", path, "--json", "x")
    assert json.loads(plain.output)["rule"] == "default"


def test_a_kind_of_chat_that_does_not_exist_is_wrong_usage(guide: Path):
    result = run("test", "--config", guide, "--chat", "channel", "x")
    assert result.exit_code == 2
    assert "private or group" in result.output


def test_rules_are_listed_in_the_order_in_which_they_are_asked(tmp_path: Path):
    rules = [
        {"pattern": "a[bc]", "action": "drop", "name": "low"},
        {"pattern": "[/red]", "action": "drop", "priority": 5, "chat": "group"},
    ]
    path = configured(tmp_path, {"routing_rules": rules})
    listed = json.loads(run("list", "--config", path, "--json").output)
    assert [(rule["rule"], rule["index"]) for rule in listed["rules"]] == [("#1", 1), ("low", 0)]
    assert listed["default"]["action"] == "forward_to_engine"
    shown = run("list", "--config", path).output
    assert shown.index("[/red]") < shown.index("a[bc]") < shown.index("default")
    assert "chat=group" in shown


def test_a_rule_that_can_never_win_is_pointed_out(tmp_path: Path):
    rules = [{"pattern": "^/ai", "action": "drop"}, {"pattern": "^/ai@", "action": "drop"}]
    path = configured(tmp_path, {"routing_rules": rules})
    listed = json.loads(run("list", "--config", path, "--json").output)
    assert [rule["reachable"] for rule in listed["rules"]] == [True, False]
    assert (
        "warning: routing_rules[1]: rule #1 can never win" in run("list", "--config", path).stderr
    )


def test_a_pattern_that_is_not_re2_is_refused_with_its_line(tmp_path: Path):
    (tmp_path / "rules.yaml").write_text(
        'routing_rules:\n  - action: drop\n    pattern: "a(?=b)"\n', encoding="utf-8"
    )
    path = configured(tmp_path, {"routing_rules": "rules.yaml"})
    result = run("test", "--config", path, "x")
    assert result.exit_code == 2
    assert "rules.yaml:2" in result.output
    assert "look-ahead" in result.output


def test_no_configuration_is_an_error_that_says_what_to_do(tmp_path: Path):
    result = run("test", "--config", tmp_path / "none.json", "x")
    assert result.exit_code == 2
    assert "ai-engine init" in result.output
