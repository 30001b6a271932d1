"""The secret of Telegram's webhook."""

import hmac
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_engine.channels.telegram import crypto
from ai_engine.domain.errors import Unauthenticated

VECTOR = json.loads(
    (Path(__file__).parents[1] / "fixtures/vectors/simple_tokens.json").read_text("utf-8")
)["telegram"]


def holds(secret, header):
    headers = {} if header is None else {crypto.HEADER: header}
    try:
        crypto.verify(headers, secret)
    except Unauthenticated:
        return False
    return True


def test_the_published_cases_hold():
    assert VECTOR["header"].lower() == crypto.HEADER
    for case in VECTOR["cases"]:
        assert holds(case["secret"], case["header"]) is case["ok"]


@pytest.mark.parametrize("given", [None, "", "S3cret", "s3cret ", "s3cre", "s3crets", "s3cret\n"])
def test_a_missing_empty_or_altered_secret_is_no_proof(given):
    assert not holds("s3cret", given)


@pytest.mark.parametrize("given", [None, "", "anything"])
def test_without_a_configured_secret_nothing_is_proof(given):
    assert not holds("", given)


@given(st.text(st.characters(codec=None)))
def test_no_header_of_chance_is_accepted_or_fails_otherwise(given):
    assert not holds("s3cret_Token-1", given)


def test_the_comparison_takes_the_same_time_wherever_they_differ(monkeypatch):
    compared = []
    real = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: compared.append(1) or real(a, b))
    holds("s3cret", "s3cret")
    holds("s3cret", "wrong")
    assert compared == [1, 1]


def test_a_refusal_names_neither_secret():
    with pytest.raises(Unauthenticated) as caught:
        crypto.verify({crypto.HEADER: "guess-123"}, "s3cret_Token-1")
    assert "guess" not in str(caught.value)
    assert "s3cret" not in str(caught.value)
