"""Proof of sender: tokens of webhooks and commands, MACs of buttons."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_engine.channels.mattermost import crypto
from ai_engine.domain.errors import Unauthenticated

_VECTORS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "fixtures/vectors/simple_tokens.json").read_text("utf-8")
)["mattermost"]["cases"]


def refused(given_token: str, expected: tuple[str, ...]) -> bool:
    try:
        crypto.verify(given_token, expected)
    except Unauthenticated:
        return True
    return False


@pytest.mark.parametrize("case", _VECTORS)
def test_tokens_are_taken_and_refused_as_published(case: dict[str, Any]):
    assert refused(case["token"] or "", (case["expected"],)) is not case["ok"]


@pytest.mark.parametrize(
    ("token", "expected"),
    [("", ("t",)), ("t", ()), ("", ("",)), ("", ()), ("T", ("t",)), ("t ", ("t",)), ("é", ("e",))],
)
def test_a_missing_altered_or_unconfigured_token_is_no_proof(token: str, expected: tuple[str, ...]):
    assert refused(token, expected)


def test_several_integrations_may_have_their_own_tokens():
    known = crypto.tokens(" one,two  three ,")
    assert known == ("one", "two", "three")
    assert not any(refused(token, known) for token in known)
    assert refused("one,two", known)


@given(st.text(st.characters(codec=None)), st.text(st.characters(codec=None)))
def test_no_token_of_chance_is_accepted_or_fails_otherwise(token: str, other: str):
    assert refused(token, (other,)) is (
        not token or token.encode("utf-8", "replace") != other.encode("utf-8", "replace")
    )


def test_a_buttons_mac_depends_on_the_secret_and_on_every_part_where_it_stands():
    key = crypto.button_key("secret")
    parts = ("channel", "reply", "private", "", "0", "{}")
    macs = {crypto.button_mac(key, *parts), crypto.button_mac(crypto.button_key("other"), *parts)}
    for n in range(len(parts)):
        macs.add(crypto.button_mac(key, *parts[:n], parts[n] + "x", *parts[n + 1 :]))
    macs.add(crypto.button_mac(key, "channelreply", "", *parts[2:]))
    assert len(macs) == len(parts) + 3
    assert "secret" not in "".join(macs)
