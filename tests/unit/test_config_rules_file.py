"""The YAML file of rules: every fault has its line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_engine.config.rules_file import parse_rules

from support.settings import read, tell, write


def told(tmp_path, text, **options) -> list[str]:
    write(tmp_path, text, "rules.yaml")
    return [
        tell(p) for p in read(write(tmp_path, {"routing_rules": "rules.yaml"}), **options).problems
    ]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("routing_rules:\n  - pattern: 'x\n", 3, "not valid YAML"),
        ("routing_rules:\n  - action: drop\n   bad: 1\n", 3, "not valid YAML"),
        ("routing_rules:\n  - action: drop\n    action: reply\n", 3, "'action' is written twice"),
        ("routing_rules:\n  - action: drop\n    prioritty: 3\n", 3, "Did you mean 'priority'?"),
        ("routing_rules:\n  - action: drop\n    priority: high\n", 3, "must be a whole number"),
        ("routing_rules:\n  - action: drop\n    pattern: yes\n", 3, "found true"),
        ("routing_rules:\n  - action: drop\n    name: 2024-01-01\n", 3, "timestamp"),
        ("routing_rules:\n  - action: drop\n    priority: .inf\n", 3, "finite"),
        ("routing_rules:\n  - action: drop\n    ? [a]\n    : b\n", 3, "a key must be a word"),
        ("routing_rules:\n\n  - just text\n", 3, "must be an object"),
        ("routing_rules:\n  - action: drop\nrules: []\n", 3, "no key 'rules'"),
        ("# none\n\nrouting_rules: 5\n", 3, "must be a list"),
        ("- action: drop\n", 1, '"routing_rules:"'),
        ("", 1, "not where they are looked for"),
        ("other: 1\n", 1, "there are no rules"),
        ("routing_rules: [&a {action: drop}, *a]\n", 1, "aliases"),
        ("routing_rules:\n  - !!python/name:os.system x\n", 2, "double quotes"),
        ("routing_rules: []\n---\na: 1\n", 2, "not valid YAML"),
        ("a: 1\nb: \x07\n", 2, "forbids"),
        ("routing_rules: " + "[" * 5000 + "]" * 5000, 1, "nested too deeply"),
    ],
)
def test_a_fault_is_told_with_its_line(tmp_path, text, line, words):
    problems = told(tmp_path, text)
    matching = [p for p in problems if words in p]
    assert matching, problems
    assert matching[0].startswith(f"rules.yaml:{line}: ")


def test_a_missing_rules_file_is_told(tmp_path):
    (problem,) = read(write(tmp_path, {"routing_rules": "none.yaml"})).problems
    assert tell(problem).startswith("none.yaml: there is no such file.")


def test_a_faulty_rule_does_not_move_the_others(tmp_path):
    seen = []

    def check(rules):
        seen.extend(rule.pattern for rule in rules)
        return [(2, "the pattern does not compile.", "Close the bracket.")]

    text = (
        "routing_rules:\n  - action: fly\n  - action: drop\n    pattern: b\n"
        "  - action: drop\n    pattern: '['\n"
    )
    first, second = told(tmp_path, text, check_rules=check)
    assert seen == ["", "b", "["]
    assert first.startswith("rules.yaml:2: action: must be one of")
    assert second == "rules.yaml:5: the pattern does not compile. Close the bracket."


def test_a_rule_at_fault_is_not_checked_further(tmp_path):
    problems = told(
        tmp_path,
        "routing_rules:\n  - action: fly\n",
        check_rules=lambda _: [(0, "again", "again")],
    )
    assert len(problems) == 1


def test_a_rule_that_only_warns_does_not_refuse_the_configuration(tmp_path):
    write(tmp_path, "routing_rules:\n  - action: drop\n", "rules.yaml")
    path = write(tmp_path, {"routing_rules": "rules.yaml"})
    tried = read(path, check_rules=lambda _: [], warn_rules=lambda _: [(0, "idle.", "Remove.")])
    assert [p.where for p in tried.loaded.warnings] == ["rules.yaml:2"]


def test_a_rule_for_an_unknown_channel_is_a_warning(tmp_path):
    rule = {"action": "drop", "channel": "dingtlk"}
    (warning,) = read(write(tmp_path, {"routing_rules": [rule]})).loaded.warnings
    assert "Did you mean 'dingtalk'?" in warning.fix


def test_without_a_hook_the_actions_are_checked_in_the_file_too(tmp_path):
    (problem,) = told(tmp_path, "routing_rules:\n  - action: reply\n    name: x\n")
    assert problem.startswith("rules.yaml:2: text: reply needs a text.")


@given(st.text(max_size=200))
def test_any_text_is_either_rules_or_told(text):
    read_ = parse_rules(text)
    assert read_.faults or isinstance(read_.rules, list)
    assert all(line >= 1 and what and fix for line, what, fix in read_.faults)
