"""WeCom's callback signature and encryption, against the published examples."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_engine.channels import callback_crypto
from ai_engine.channels.wecom import crypto, parsing
from ai_engine.domain.errors import Forbidden, Unauthenticated
from ai_engine.simulators.wecom.crypto import Envelope

VECTORS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "fixtures/vectors/wecom_callback_crypto.json").read_text("utf-8")
)["vectors"]
TOKEN, KEY, CORP = "QDG6eK", VECTORS[0]["encodingAesKey"], "wx5823bf96d3bd56c7"
NOW = 1_700_000_000


def query(**changes: str) -> dict[str, str]:
    vector = VECTORS[1]
    known = {name: vector[name] for name in ("msg_signature", "timestamp", "nonce")}
    return known | changes


def signed(encrypted: str, timestamp: str) -> dict[str, str]:
    signature = callback_crypto.signature(TOKEN, timestamp, "n", encrypted)
    return {"msg_signature": signature, "timestamp": timestamp, "nonce": "n"}


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: v["name"])
def test_the_published_examples_are_verified_and_opened(vector: dict[str, Any]):
    crypto.verify(vector, vector["encrypt"], TOKEN, float(vector["timestamp"]))
    assert crypto.opened(KEY, vector["encrypt"], CORP).decode() == vector["plaintext"]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: v["name"])
def test_the_simulator_agrees_with_the_published_examples(vector: dict[str, Any]):
    envelope = Envelope(TOKEN, KEY, CORP)
    sign = envelope.sign(vector["timestamp"], vector["nonce"], vector["encrypt"])
    assert sign == vector["msg_signature"]
    assert envelope.open(vector["encrypt"]) == vector["plaintext"]


def test_the_published_message_is_read():
    fields = parsing.fields(VECTORS[1]["plaintext"].encode())
    assert fields["Content"] == "hello"
    assert fields["MsgId"] == "4561255354251345929"


@pytest.mark.parametrize(
    "changes",
    [
        {"msg_signature": ""},
        {"msg_signature": "0" * 40},
        {"msg_signature": "签名"},
        {"timestamp": ""},
        {"timestamp": "1409659814"},
        {"nonce": ""},
        {"nonce": "1"},
    ],
)
def test_what_is_missing_or_wrong_is_refused_alike(changes: dict[str, str]):
    vector = VECTORS[1]
    with pytest.raises(Unauthenticated) as error:
        crypto.verify(query(**changes), vector["encrypt"], TOKEN, float(vector["timestamp"]))
    assert error.value.message == "the signature is missing or wrong"


def test_an_altered_body_is_refused():
    vector = VECTORS[1]
    for altered in ("", vector["encrypt"][:-4] + "AAA=", vector["encrypt"] + "A"):
        with pytest.raises(Unauthenticated):
            crypto.verify(query(), altered, TOKEN, float(vector["timestamp"]))


def test_without_a_token_nothing_is_taken():
    timestamp = str(NOW)
    signature = callback_crypto.signature("", timestamp, "n", "x")
    given_ = {"msg_signature": signature, "timestamp": timestamp, "nonce": "n"}
    with pytest.raises(Unauthenticated):
        crypto.verify(given_, "x", "", NOW)


@pytest.mark.parametrize("seconds", [-301, 301, 86_400])
def test_a_stale_signature_is_forbidden(seconds: int):
    with pytest.raises(Forbidden, match="5 minutes"):
        crypto.verify(signed("x", str(NOW + seconds)), "x", TOKEN, NOW)
    crypto.verify(signed("x", str(NOW + 300)), "x", TOKEN, NOW)


@pytest.mark.parametrize("timestamp", ["soon", "-1", "１２３", "9" * 13])
def test_a_signed_time_that_is_none_is_refused(timestamp: str):
    with pytest.raises(Unauthenticated):
        crypto.verify(signed("x", timestamp), "x", TOKEN, NOW)


@pytest.mark.parametrize("sealed", ["", "AAAA", "not base64!", VECTORS[0]["encrypt"][:24]])
def test_what_cannot_be_opened_says_nothing_of_why(sealed: str):
    with pytest.raises(Unauthenticated) as error:
        crypto.opened(KEY, sealed, CORP)
    other = VECTORS[0]["encrypt"]
    for key, corp in ((KEY, "another"), ("", CORP), ("A" * 43, CORP)):
        with pytest.raises(Unauthenticated) as wrong:
            crypto.opened(key, other, corp)
        assert wrong.value.message == error.value.message


@given(st.text(st.characters(codec="utf-8"), max_size=200))
def test_connector_and_simulator_understand_each_other(message: str):
    envelope = Envelope(TOKEN, KEY, CORP)
    assert crypto.opened(KEY, envelope.seal(message), CORP).decode() == message
    assert envelope.open(callback_crypto.encrypt(KEY, message, CORP)) == message
