"""Policy: who may do what."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_engine.policy.authorize import BUILTIN_ROLES, Actor, Effect, Grant, Policy

RANK = [Effect.DENY, Effect.ASK, Effect.ALLOW]


def actor(*roles: str) -> Actor:
    return Actor(id="dingtalk:zhangsan", roles=frozenset(roles))


def effect(policy: Policy, roles: set[str], action: str, resource: str = "") -> Effect:
    return policy.authorize(actor(*roles), action, resource).effect


def test_an_employee_may_chat_and_use_the_shipped_skills():
    policy = Policy.default()
    for action in (
        "chat.use",
        "skill:calendar_query.use",
        "skill:calendar_add.use",
        "skill:weather_query.use",
    ):
        assert policy.authorize(actor("employee"), action).allowed, action


@pytest.mark.parametrize(
    "action", ["chat.moderate", "skill:delete_everything.use", "config.write", "", "*", "chat.use "]
)
def test_an_employee_may_nothing_else(action):
    decision = Policy.default().authorize(actor("employee"), action)
    assert decision.effect is Effect.DENY
    assert decision.reason == f"no role allows {action} (held: employee)"


def test_an_administrator_runs_the_engine_but_does_not_write_its_configuration():
    policy = Policy.default()
    assert policy.authorize(actor("administrator"), "chat.moderate").allowed
    assert policy.authorize(actor("administrator"), "deadletter.replay").allowed
    assert not policy.authorize(actor("administrator"), "config.write").allowed


def test_the_owner_may_everything():
    assert Policy.default().authorize(actor("owner"), "anything.at.all", "any").allowed


def test_unknown_roles_and_no_roles_allow_nothing():
    policy = Policy.default()
    assert policy.authorize(actor("king"), "chat.use").effect is Effect.DENY
    assert policy.authorize(actor(), "chat.use").effect is Effect.DENY


def test_ask_is_between_deny_and_allow():
    policy = Policy(
        {
            "careful": [Grant(action="skill:pay.use", effect=Effect.ASK)],
            "trusted": [Grant(action="skill:pay.use", resource="small:*")],
        }
    )
    asked = policy.authorize(actor("careful"), "skill:pay.use", "small:1")
    assert (asked.effect, asked.reason) == (Effect.ASK, "role careful asks before skill:pay.use")
    assert not asked.allowed
    assert effect(policy, {"careful", "trusted"}, "skill:pay.use", "small:1") is Effect.ALLOW
    assert effect(policy, {"careful", "trusted"}, "skill:pay.use", "large:1") is Effect.ASK


words = st.text("ab.:*", max_size=8)
grants = st.builds(
    Grant, action=words, resource=words | st.just("*"), effect=st.sampled_from(list(Effect))
)
tables = st.dictionaries(st.sampled_from("rstuv"), st.lists(grants, max_size=4), max_size=5)


@given(table=tables, some=st.sets(st.sampled_from("rstuv")), more=st.sets(st.sampled_from("rstuv")))
def test_a_further_role_never_takes_anything_away(table, some, more):
    policy = Policy(table)
    for action in {g.action for grants in table.values() for g in grants} | {"a.b"}:
        less = effect(policy, some, action, "a")
        assert RANK.index(effect(policy, some | more, action, "a")) >= RANK.index(less)


@given(table=tables, roles=st.sets(st.sampled_from("rstuv")), action=words, resource=words)
def test_whatever_is_not_denied_has_a_grant_that_matches(table, roles, action, resource):
    """The oracle reads the patterns as regular expressions."""

    def covers(pattern: str, value: str) -> bool:
        return bool(re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), value, re.S))

    matching = [
        grant.effect
        for role in roles
        for grant in table.get(role, [])
        if covers(grant.action, action) and covers(grant.resource, resource)
    ]
    expected = max(matching, key=RANK.index, default=Effect.DENY)
    assert effect(Policy(table), roles, action, resource) is expected


@given(action=words)
def test_an_empty_table_denies_everything(action):
    assert effect(Policy({}), {"owner"}, action) is Effect.DENY


def test_the_builtin_roles_are_the_documented_three():
    assert Policy.default().roles == {"employee", "administrator", "owner"} == set(BUILTIN_ROLES)
