"""Routing: mistakes that are found before any message comes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_engine.config.schema import DefaultRoute, Rule
from ai_engine.routing.check import check_default, check_rules, unreachable_rules
from ai_engine.routing.match import RoutingTable


def drop(pattern: str, **settings) -> Rule:
    return Rule(pattern=pattern, action="drop", **settings)


def test_good_rules_have_no_problems():
    rules = [
        Rule(pattern="^/ai@", action="forward_to_engine", priority=10),
        Rule(pattern="^@bot", action="trigger_skill", skill_id="calendar_query"),
    ]
    assert check_rules(rules, skills={"calendar_query"}) == []


@pytest.mark.parametrize(
    ("pattern", "hint"),
    [
        ("a(?=b)", "look-ahead"),
        ("(?<!a)b", "look-behind"),
        ("(?>a)", "atomic"),
        (r"(a)\1", "back-references"),
        ("a++", "possessive"),
        ("*a", "backslash"),
        ("a{2000}", "1000"),
        ("(a", "syntax"),
        ("\ud800", "whole character"),
    ],
)
def test_a_pattern_that_is_not_re2_comes_with_advice(pattern, hint):
    ((at, what, fix),) = check_rules([drop("ok"), drop(pattern)])
    assert at == 1
    assert "pattern" in what
    assert hint in fix


@pytest.mark.parametrize(
    ("rule", "what"),
    [
        (Rule(pattern="a", action="trigger_skill"), "`trigger_skill` needs a `skill_id`."),
        (Rule(pattern="a", action="reply", text=" "), "`reply` needs a `text`."),
        (drop("a", skill_id="calendar_query"), "`skill_id` has no effect with action `drop`."),
        (drop("a", text="t"), "`text` has no effect with action `drop`."),
        (drop("a", channel="qq"), "`channel` 'qq' is not known."),
        (drop("a", role="boss"), "`role` 'boss' is not known."),
        (
            Rule(pattern="a", action="trigger_skill", skill_id="calender"),
            "`skill_id` 'calender' is not known.",
        ),
    ],
)
def test_each_mistake_is_named(rule, what):
    problems = check_rules(
        [rule], skills={"calendar_query"}, channels={"dingtalk"}, roles={"employee"}
    )
    assert [problem.what for problem in problems] == [what]


def test_names_are_unchecked_when_the_known_ones_are_not_given():
    assert check_rules([drop("a", channel="qq", role="boss")]) == []


def test_the_default_route_is_checked_too():
    assert check_default(DefaultRoute()) == []
    ((what, _),) = check_default(DefaultRoute(action="reply"))
    assert what == "`reply` needs a `text`."


@pytest.mark.parametrize(
    ("rules", "unreachable"),
    [
        ([drop("^a(b|c)"), drop("^a(b|c)")], [1]),
        ([drop(""), drop("x")], [1]),
        ([drop("x"), drop("", priority=1)], [0]),
        ([drop("^/ai"), drop("^/ai@")], [1]),
        ([drop("ai"), drop("^/ai@")], [1]),
        ([drop("^/ai@"), drop("^/ai")], []),
        ([drop("^ai"), drop("/ai")], []),
        ([drop("", channel="x"), drop("a")], []),
        ([drop("", channel="x"), drop("a", channel="x", role="r")], [1]),
    ],
)
def test_rules_that_can_never_win_are_found(rules, unreachable):
    assert [problem.at for problem in unreachable_rules(rules)] == unreachable


patterns = st.sampled_from(["", "^", ".*", "a", "^a", "ab", "^ab", "^abc", "b$", "a|b"])
rules_lists = st.lists(
    st.builds(
        drop,
        patterns,
        priority=st.integers(0, 1),
        channel=st.sampled_from(["", "x"]),
        chat=st.sampled_from(["", "group"]),
        name=st.uuids().map(str),
    ),
    max_size=6,
)


@given(
    rules=rules_lists,
    text=st.text("abc", max_size=5),
    channel=st.sampled_from(["x", "y"]),
    chat_kind=st.sampled_from(["private", "group"]),
)
def test_a_rule_called_unreachable_never_wins(rules, text, channel, chat_kind):
    never = {rules[problem.at].name for problem in unreachable_rules(rules)}
    table = RoutingTable(rules, DefaultRoute())
    decision = table.match(text, channel=channel, chat_kind=chat_kind, roles=())
    assert decision.rule not in never
