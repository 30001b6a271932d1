"""The signature of the webhook channel."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_engine.channels.webhook.crypto import sign, verify
from ai_engine.domain.errors import Forbidden, Refused, Unauthenticated

from support.signing import webhook_signature

NOW = 1_700_000_000
_VECTORS = json.loads(
    (Path(__file__).parents[1] / "fixtures/vectors/webhook_signatures.json").read_text("utf-8")
)["vectors"]
_SECRETS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)


@pytest.mark.parametrize("vector", _VECTORS)
def test_signatures_agree_with_openssl(vector: dict[str, str | int]):
    body, secret, at = str(vector["body"]).encode(), str(vector["secret"]), int(vector["at"])
    assert sign(body, secret, at) == vector["signature"]
    verify(str(vector["signature"]), body, secret, at)


@given(st.binary(max_size=200), _SECRETS, st.integers(0, 10**11), st.integers(-300, 300))
def test_what_was_signed_is_accepted_within_five_minutes(
    body: bytes, secret: str, at: int, off: int
):
    verify(sign(body, secret, at), body, secret, at + off)
    assert sign(body, secret, at) == webhook_signature(body, secret, at)


@given(st.binary(max_size=200), st.binary(max_size=200), _SECRETS)
def test_a_changed_body_is_refused(body: bytes, other: bytes, secret: str):
    if body != other:
        with pytest.raises(Unauthenticated):
            verify(sign(body, secret, NOW), other, secret, NOW)


@given(_SECRETS, _SECRETS)
def test_a_wrong_secret_is_refused(secret: str, other: str):
    if secret != other:
        with pytest.raises(Unauthenticated):
            verify(sign(b"x", other, NOW), b"x", secret, NOW)


@given(st.text(st.characters(codec=None), max_size=200))
def test_no_header_of_chance_is_accepted_or_fails_otherwise(header: str):
    with pytest.raises(Unauthenticated):
        verify(header, b"{}", "secret", NOW)


@pytest.mark.parametrize("off", [301, -301, 86_400])
def test_a_right_signature_of_another_time_is_stale(off: int):
    with pytest.raises(Forbidden):
        verify(sign(b"{}", "secret", NOW), b"{}", "secret", NOW + off)


def test_the_time_cannot_be_changed():
    header = sign(b"{}", "secret", NOW).replace(str(NOW), str(NOW + 400))
    with pytest.raises(Unauthenticated):
        verify(header, b"{}", "secret", NOW + 400)


def test_while_a_secret_is_changed_two_signatures_may_be_given():
    new = sign(b"{}", "new", NOW)
    both = f"{sign(b'{}', 'old', NOW)},{new.partition(',')[2]}"
    for secret in ("old", "new"):
        verify(both, b"{}", secret, NOW)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "t=1",
        "v1=aa",
        "t=x,v1=aa",
        "t=1,t=2,v1=aa",
        "t=1,v2=aa",
        "t=²,v1=aa",
        "t=1,v1=" + "a" * 2000,
    ],
)
def test_an_unreadable_header_is_no_proof(header: str):
    with pytest.raises(Unauthenticated):
        verify(header, b"{}", "secret", NOW)


def test_without_a_secret_nothing_is_accepted():
    with pytest.raises(Refused):
        verify(sign(b"{}", "", NOW), b"{}", "", NOW)
