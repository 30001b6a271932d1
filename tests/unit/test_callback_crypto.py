"""The envelope of DingTalk's and WeCom's callbacks, against the vendors' published vectors."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_engine.channels.callback_crypto import decrypt, encrypt, key_of, signature, verify
from ai_engine.domain.errors import Unauthenticated

VECTORS = Path(__file__).parents[1] / "fixtures" / "vectors"
KEY = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"


def vectors():
    for name in ("wecom_callback_crypto", "dingtalk_event_crypto"):
        found = json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))["vectors"]
        for vector in found:
            if "msg_signature" in vector:
                yield pytest.param(vector, id=vector["name"])


def owner_of(vector):
    return vector.get("receiveid", vector.get("ownerKey"))


@pytest.mark.parametrize("vector", list(vectors()))
def test_the_vendors_own_envelopes_are_verified_and_opened(vector):
    parts = (vector["token"], vector["timestamp"], vector["nonce"], vector["encrypt"])
    assert signature(*parts) == vector["msg_signature"]
    verify(*parts, vector["msg_signature"])
    opened = decrypt(vector["encodingAesKey"], vector["encrypt"], owner_of(vector))
    assert opened.decode() == vector["plaintext"]


@pytest.mark.parametrize("changed", range(5))
def test_a_change_of_any_part_is_refused(changed):
    parts = ["token", "1700000000", "nonce", "encrypted"]
    parts.append(signature(*parts))
    verify(*parts)
    parts[changed] += "x"
    with pytest.raises(Unauthenticated):
        verify(*parts)


def test_without_a_token_nothing_is_verified():
    parts = ("", "1700000000", "nonce", "encrypted")
    with pytest.raises(Unauthenticated):
        verify(*parts, signature(*parts))


@given(st.binary(max_size=300), st.text(max_size=40))
def test_what_was_encrypted_is_what_is_opened(message, owner):
    assert decrypt(KEY, encrypt(KEY, message, owner), owner) == message


@given(st.text(max_size=200))
def test_garbage_is_refused_in_one_way(garbage):
    with pytest.raises(Unauthenticated, match="cannot be decrypted"):
        decrypt(KEY, garbage, "owner")


def test_another_owners_message_is_refused():
    with pytest.raises(Unauthenticated, match="cannot be decrypted"):
        decrypt(KEY, encrypt(KEY, "hello", "corp-a"), "corp-b")


def test_a_key_of_another_length_is_named():
    with pytest.raises(ValueError, match="43 characters"):
        key_of("short")
