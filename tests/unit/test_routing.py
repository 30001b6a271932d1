"""Routing: which rule takes a message."""

import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ai_engine.config.schema import DefaultRoute, Rule
from ai_engine.domain.errors import ConfigInvalid
from ai_engine.routing.match import Decision, RoutingTable

GUIDE_RULES = """
routing_rules:
  - pattern: "^/ai@"
    action: forward_to_engine
    priority: 10
  - pattern: "^@bot"
    action: trigger_skill
    skill_id: "calendar_query"
"""


def table(*rules: Rule, default: DefaultRoute | None = None) -> RoutingTable:
    return RoutingTable(rules, default or DefaultRoute())


def guide_table() -> RoutingTable:
    return table(*[Rule(**rule) for rule in yaml.safe_load(GUIDE_RULES)["routing_rules"]])


def ask(
    routes: RoutingTable,
    text: str,
    channel: str = "dingtalk",
    chat_kind: str = "private",
    roles: frozenset[str] = frozenset({"employee"}),
) -> Decision:
    return routes.match(text, channel=channel, chat_kind=chat_kind, roles=roles)


def reply_rule(text: str, pattern: str = "", priority: int = 0, **conditions: str) -> Rule:
    return Rule(pattern=pattern, action="reply", text=text, priority=priority, **conditions)


def test_the_guides_first_rule_forwards_without_its_prefix():
    decision = ask(guide_table(), "/ai@ 帮我写一封邮件")
    assert (decision.action, decision.rule) == ("forward_to_engine", "#0")
    assert decision.text == "帮我写一封邮件"
    assert "'^/ai@' matches" in decision.why


def test_the_guides_second_rule_triggers_the_calendar_skill():
    decision = ask(guide_table(), "  @bot 明天有什么安排?\n")
    assert (decision.action, decision.skill_id) == ("trigger_skill", "calendar_query")
    assert decision.rule == "#1"
    assert decision.text == "明天有什么安排?"


def test_a_message_that_no_rule_matches_takes_the_default_route():
    decision = ask(guide_table(), " hello /ai@ ")
    assert (decision.action, decision.rule) == ("forward_to_engine", "default")
    assert decision.text == "hello /ai@"


def test_the_default_route_can_be_a_reply():
    routes = table(default=DefaultRoute(action="reply", text="closed"))
    assert ask(routes, "hi").action == "reply"
    assert ask(routes, "hi").reply == "closed"


def test_higher_priority_comes_before_file_order():
    routes = table(reply_rule("low", "a"), reply_rule("high", "a", priority=5))
    assert ask(routes, "a").reply == "high"


def test_file_order_decides_between_equal_priorities():
    routes = table(reply_rule("first", "a"), reply_rule("second", "a"))
    assert ask(routes, "a").reply == "first"


@pytest.mark.parametrize(
    ("condition", "met", "unmet"),
    [
        ({"channel": "dingtalk"}, {"channel": "dingtalk"}, {"channel": "webhook"}),
        ({"chat": "group"}, {"chat_kind": "group"}, {"chat_kind": "private"}),
        ({"role": "owner"}, {"roles": frozenset({"owner"})}, {"roles": frozenset({"employee"})}),
    ],
)
def test_a_condition_must_hold_for_its_rule_to_win(condition, met, unmet):
    routes = table(reply_rule("yes", "x", **condition))
    assert ask(routes, "x", **met).reply == "yes"
    assert ask(routes, "x", **unmet).rule == "default"


def test_a_rule_without_pattern_takes_every_message_that_meets_its_conditions():
    routes = table(Rule(action="drop", chat="group", name="quiet"))
    assert ask(routes, "any", chat_kind="group").action == "drop"
    assert ask(routes, "any", chat_kind="group").rule == "quiet"
    assert ask(routes, "any").rule == "default"


@pytest.mark.parametrize(
    ("pattern", "text", "passed_on"),
    [
        ("^/ai", "/ai  hello ", "hello"),
        ("weather", "the weather today", "the weather today"),
        ("天气", "天气 北京", "北京"),
        (".*", "whole text", "whole text"),
        ("^今天有什么安排$", "今天有什么安排", "今天有什么安排"),
        ("(?i)^ASK (?P<text>.+) please$", "ask what time is it please", "what time is it"),
        ("^a(?P<text>b)?", "ac", "ac"),
    ],
)
def test_what_is_passed_on_of_a_matched_text(pattern, text, passed_on):
    assert ask(table(Rule(pattern=pattern, action="forward_to_engine")), text).text == passed_on


def test_a_pattern_that_stalls_a_backtracking_engine_is_linear_here():
    routes = table(Rule(pattern="^(a+)+$", action="drop"))
    assert ask(routes, "a" * 100_000 + "b").rule == "default"


def test_half_a_surrogate_pair_in_a_text_is_no_failure():
    assert ask(guide_table(), "/ai@ \ud83d hi").text == "? hi"


def test_a_pattern_that_is_not_re2_names_its_rule():
    with pytest.raises(ConfigInvalid) as caught:
        table(reply_rule("ok", "a"), reply_rule("bad", "a(?=b)"))
    (problem,) = caught.value.problems
    assert problem.where == "routing_rules[1].pattern"
    assert "look-ahead" in problem.fix


def test_patterns_too_large_for_one_automaton_are_asked_one_by_one():
    big = [reply_rule(f"r{n}", rf"^\pL{{300}}{n}") for n in range(2)]
    routes = table(*big, reply_rule("found", "^needle"))
    assert ask(routes, "needle").reply == "found"
    assert ask(routes, "中" * 300 + "1").reply == "r1"


def test_explain_says_for_every_rule_why_it_won_or_did_not():
    routes = table(
        reply_rule("a", "hello", name="greeting"),
        reply_rule("b", "hell", priority=3, name="loud"),
        reply_rule("c", "hello", priority=9, channel="webhook"),
        reply_rule("d", "bye", priority=1),
    )
    verdicts = routes.explain("hello", channel="dingtalk", chat_kind="private", roles=())
    assert [(v.rule, v.won) for v in verdicts] == [
        ("#2", False),
        ("loud", True),
        ("#3", False),
        ("greeting", False),
    ]
    assert verdicts[0].why == "only on channel 'webhook', this is 'dingtalk'"
    assert verdicts[1].why.startswith("wins: ")
    assert verdicts[2].why == "pattern 'bye' is not in the text"
    assert verdicts[3].why == "matches too, but loud comes first"


some_rules = st.lists(
    st.builds(
        reply_rule,
        text=st.uuids().map(str),
        pattern=st.sampled_from(["", "a", "^a", "b$", "ab", "[ab]c", "^$", "中"]),
        priority=st.integers(-2, 2),
        channel=st.sampled_from(["", "x", "y"]),
        chat=st.sampled_from(["", "private", "group"]),
        role=st.sampled_from(["", "r"]),
    ),
    max_size=12,
)


@given(
    rules=some_rules,
    text=st.text("abc中 ", max_size=6),
    channel=st.sampled_from(["x", "y"]),
    chat_kind=st.sampled_from(["private", "group"]),
    roles=st.sampled_from([frozenset(), frozenset({"r"})]),
)
def test_the_winner_is_the_first_that_matches_by_priority_and_file_order(
    rules, text, channel, chat_kind, roles
):
    """The oracle is the plain reading of the rules with Python's own regular expressions."""
    expected = next(
        (
            f"#{rules.index(rule)}"
            for rule in sorted(rules, key=lambda rule: -rule.priority)
            if re.search(rule.pattern, text.strip())
            and rule.channel in ("", channel)
            and rule.chat in ("", chat_kind)
            and (not rule.role or rule.role in roles)
        ),
        "default",
    )
    routes = table(*rules)
    assert ask(routes, text, channel, chat_kind, roles).rule == expected
    verdicts = routes.explain(text, channel=channel, chat_kind=chat_kind, roles=roles)
    assert [v.rule for v in verdicts if v.won] == [expected] * (expected != "default")


@given(text=st.text(st.characters(), max_size=50))
def test_no_text_makes_routing_fail(text):
    decision = ask(guide_table(), text)
    assert decision.text == decision.text.strip()
    decision.text.encode("utf-8")
