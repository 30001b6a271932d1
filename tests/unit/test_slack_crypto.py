"""Slack's request signature."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slack_sdk.signature import Clock, SignatureVerifier

from ai_engine.channels.slack import crypto
from ai_engine.domain.errors import Forbidden, Unauthenticated
from ai_engine.simulators.slack.crypto import signature

_VECTORS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "fixtures/vectors/slack.json").read_text("utf-8")
)["vectors"]
NOW = 1_700_000_000
BODY = b'{"type":"event_callback"}'


def headers(secret: str = "s", body: bytes = BODY, at: int = NOW) -> dict[str, str]:
    return {
        "x-slack-request-timestamp": str(at),
        "x-slack-signature": crypto.sign(str(at), body, secret),
    }


@pytest.mark.parametrize("vector", _VECTORS, ids=lambda vector: vector["name"])
def test_the_signature_agrees_with_the_published_examples(vector: dict[str, Any]):
    at, secret, body = vector["timestamp"], vector["signing_secret"], vector["body"].encode()
    assert crypto.sign(at, body, secret) == vector["expected"]
    assert signature(secret, int(at), body) == vector["expected"]
    given_headers = {"x-slack-request-timestamp": at, "x-slack-signature": vector["expected"]}
    crypto.verify(given_headers, body, secret, float(at))


@given(
    st.binary(max_size=200),
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=20).filter(str.strip),
)
def test_slack_s_own_verifier_takes_what_we_take(body: bytes, secret: str):
    class Fixed(Clock):
        def now(self) -> float:
            return float(NOW)

    text = body.decode("utf-8", "replace")
    verifier = SignatureVerifier(secret, Fixed())
    right = headers(secret, text.encode())
    assert verifier.is_valid(text, right["x-slack-request-timestamp"], right["x-slack-signature"])
    crypto.verify(right, text.encode(), secret, NOW)


@pytest.mark.parametrize("off", [-300, 0, 300])
def test_a_right_signature_is_good_for_five_minutes(off: int):
    crypto.verify(headers(), BODY, "s", NOW + off)


@pytest.mark.parametrize("off", [-301, 301, 86_400])
def test_a_right_signature_of_another_time_is_stale(off: int):
    with pytest.raises(Forbidden):
        crypto.verify(headers(), BODY, "s", NOW + off)


@pytest.mark.parametrize("missing", ["x-slack-request-timestamp", "x-slack-signature"])
def test_a_missing_header_is_no_proof(missing: str):
    found = headers()
    del found[missing]
    with pytest.raises(Unauthenticated):
        crypto.verify(found, BODY, "s", NOW)


@pytest.mark.parametrize(
    ("found", "body", "secret"),
    [
        (headers("other"), BODY, "s"),
        (headers(), BODY + b" ", "s"),
        (headers() | {"x-slack-request-timestamp": str(NOW + 1)}, BODY, "s"),
        (headers() | {"x-slack-signature": headers()["x-slack-signature"].upper()}, BODY, "s"),
        (headers() | {"x-slack-signature": headers()["x-slack-signature"][3:]}, BODY, "s"),
        (headers(""), BODY, ""),
    ],
)
def test_what_was_altered_or_signed_otherwise_is_refused(
    found: dict[str, str], body: bytes, secret: str
):
    with pytest.raises(Unauthenticated):
        crypto.verify(found, body, secret, NOW)


@given(st.text(st.characters(codec=None)), st.text(st.characters(codec=None)))
def test_no_headers_of_chance_are_accepted_or_fail_otherwise(timestamp: str, given_sign: str):
    found = {"x-slack-request-timestamp": timestamp, "x-slack-signature": given_sign}
    with pytest.raises(Unauthenticated):
        crypto.verify(found, BODY, "secret", NOW)
