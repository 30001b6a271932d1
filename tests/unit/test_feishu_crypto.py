"""Feishu's proofs: published and computed vectors, and every way in which they are wrong."""

import json
from pathlib import Path
from typing import Any

import pytest

from ai_engine.channels.feishu import crypto
from ai_engine.channels.feishu.envelope import Keys, opened
from ai_engine.domain.errors import Forbidden, Malformed, Unauthenticated
from ai_engine.simulators.feishu import crypto as theirs

VECTORS = {
    each["name"]: each
    for each in json.loads(
        (Path(__file__).parents[1] / "fixtures/vectors/feishu.json").read_text(encoding="utf-8")
    )["vectors"]
}
KEY = "kudryavka"
NOW = 1_700_000_000.0
KEYS = Keys(encrypt_key=KEY, token="v")
EVENT = {"schema": "2.0", "header": {"token": "v"}, "event": {}}


def sealed(event: Any = EVENT, *, key: str = KEY, at: float = NOW, sign_key: str = KEY):
    body = json.dumps({"encrypt": theirs.encrypt(json.dumps(event).encode(), key)}).encode()
    timestamp = str(int(at))
    headers = {
        crypto.TIMESTAMP: timestamp,
        crypto.NONCE: "n",
        crypto.SIGNATURE: crypto.sign(timestamp, "n", sign_key, body),
    }
    return headers, body


@pytest.mark.parametrize("name", ["event_aes_published", "event_aes_fixed_iv"])
def test_published_ciphertexts_are_read(name: str):
    vector = VECTORS[name]
    found = crypto.decrypt(vector["encrypt"], vector["encrypt_key"])
    assert found.decode() == vector["plaintext"]


def test_the_simulator_writes_the_fixed_ciphertext():
    vector = VECTORS["event_aes_fixed_iv"]
    iv = bytes.fromhex(vector["iv_hex"])
    plain = vector["plaintext"].encode()
    assert theirs.encrypt(plain, vector["encrypt_key"], iv) == vector["encrypt"]


def test_the_signature_is_the_vendor_s():
    v = VECTORS["event_signature"]
    for sign in (crypto.sign, theirs.signature):
        found = sign(v["timestamp"], v["nonce"], v["encrypt_key"], v["body"].encode())
        assert found == v["expected_hex"]


def test_a_signed_and_encrypted_event_is_opened():
    assert opened(*sealed(), KEYS, NOW) == EVENT


@pytest.mark.parametrize("away", [-301, 301])
def test_a_stale_signature_is_forbidden(away: int):
    with pytest.raises(Forbidden):
        opened(*sealed(at=NOW + away), KEYS, NOW)
    opened(*sealed(at=NOW + away), KEYS, NOW + away * 0.5)


def without(name: str):
    headers, body = sealed()
    del headers[name]
    return headers, body


def altered():
    headers, body = sealed()
    return headers, body.replace(b'"encrypt"', b'"Encrypt"')


def no_time():
    headers, body = sealed()
    headers[crypto.TIMESTAMP] = "now"
    headers[crypto.SIGNATURE] = crypto.sign("now", "n", KEY, body)
    return headers, body


def plain_signed():
    body = json.dumps(EVENT).encode()
    sign = crypto.sign(str(int(NOW)), "n", KEY, body)
    headers = {crypto.TIMESTAMP: str(int(NOW)), crypto.NONCE: "n", crypto.SIGNATURE: sign}
    return headers, body


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        sealed(sign_key="wrong"),
        sealed(key="wrong"),
        sealed({**EVENT, "header": {"token": "w"}}),
        sealed({**EVENT, "header": {}}),
        without(crypto.SIGNATURE),
        without(crypto.TIMESTAMP),
        without(crypto.NONCE),
        altered(),
        no_time(),
        plain_signed(),
        ({}, json.dumps(EVENT).encode()),
        ({}, b"{"),
        ({}, json.dumps({"encrypt": "AAAA"}).encode()),
        ({}, json.dumps({"encrypt": "ü"}).encode()),
        ({crypto.SIGNATURE: "ü", crypto.TIMESTAMP: "1"}, b"{}"),
    ],
)
def test_everything_unproven_gets_the_same_answer(headers: dict[str, str], body: bytes):
    with pytest.raises(Unauthenticated) as caught:
        opened(headers, body, KEYS, NOW)
    assert caught.value.message == crypto.unproven().message


def test_only_the_check_of_the_address_may_come_unsigned():
    challenge = {"challenge": "c", "token": "v", "type": "url_verification"}
    _, body = sealed(challenge)
    assert opened({}, body, KEYS, NOW) == challenge
    _, body = sealed({**challenge, "token": "w"})
    with pytest.raises(Unauthenticated):
        opened({}, body, KEYS, NOW)


def test_without_an_encrypt_key_the_token_is_needed():
    keys = Keys(encrypt_key="", token="v")
    assert opened({}, json.dumps(EVENT).encode(), keys, NOW) == EVENT
    for token in ("w", "", None, 5, "ü"):
        body = json.dumps({**EVENT, "header": {"token": token}}).encode()
        with pytest.raises(Unauthenticated):
            opened({}, body, keys, NOW)


def test_with_no_key_at_all_nothing_gets_in():
    keys = Keys(encrypt_key="", token="")
    for event in (EVENT, {**EVENT, "header": {"token": ""}}, []):
        with pytest.raises(Unauthenticated):
            opened({}, json.dumps(event).encode(), keys, NOW)


def test_what_is_signed_and_no_event_is_malformed():
    headers, body = sealed([1])
    with pytest.raises(Malformed):
        opened(headers, body, KEYS, NOW)


def test_the_keys_are_not_shown_with_what_holds_them():
    shown = repr(Keys(encrypt_key="k-secret", token="t-secret"))
    assert "secret" not in shown
