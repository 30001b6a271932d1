"""DingTalk's signatures and event encryption against published vectors, on both sides of the wire.

The simulator's implementation is another one than the connector's: each is held to the vectors.
"""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_engine.channels import callback_crypto
from ai_engine.channels.base import WebhookRequest
from ai_engine.channels.dingtalk import crypto, events
from ai_engine.channels.dingtalk_robot import crypto as robot_crypto
from ai_engine.domain.errors import Forbidden, Malformed, Unauthenticated
from ai_engine.simulators.dingtalk import crypto as simulated

VECTORS = Path(__file__).parents[1] / "fixtures" / "vectors"
HMAC = {
    v["name"].split(" ")[0]: v
    for v in json.loads((VECTORS / "dingtalk_hmac.json").read_text("utf-8"))["vectors"]
}
EVENTS = [
    v
    for v in json.loads((VECTORS / "dingtalk_event_crypto.json").read_text("utf-8"))["vectors"]
    if "token" in v and "plaintext" in v
]
NOW_MS = 1_700_000_000_000
KEY = "Yue0EfdN5900c1ce5cf6A152c63DDe1808a60c5ecd7"


def test_the_robot_signature_is_the_published_one():
    vector = HMAC["robot_http_callback_sign"]
    for sign in (crypto.sign, simulated.sign):
        assert sign(vector["timestamp"], vector["appSecret"]) == vector["sign"]


def test_the_custom_robot_signature_is_the_published_one():
    vector = HMAC["custom_robot_webhook_sign"]
    for sign in (robot_crypto.sign, simulated.sign):
        assert sign(vector["timestamp"], vector["secret"]) == vector["sign"]


def test_the_card_callback_signature_is_the_documented_one():
    vector = HMAC["card_http_callback_sign"]
    for sign in (crypto.sign_card, simulated.sign_card):
        assert sign(vector["timestamp"], vector["apiSecret"]) == vector["signature"]
    headers = {
        "x-ddpaas-signature-timestamp": vector["timestamp"],
        "x-ddpaas-signature": vector["signature"],
    }
    crypto.verify_card(headers, vector["apiSecret"], int(vector["timestamp"]))


@pytest.mark.parametrize(
    ("changes", "off", "error"),
    [
        ({"x-ddpaas-signature": "wrong"}, 0, Unauthenticated),
        ({"x-ddpaas-signature": ""}, 0, Unauthenticated),
        ({"x-ddpaas-signature": "签名"}, 0, Unauthenticated),
        ({"x-ddpaas-signature-timestamp": ""}, 0, Unauthenticated),
        ({"x-ddpaas-signature-timestamp": "now"}, 0, Unauthenticated),
        ({"x-ddpaas-signature-timestamp": str(NOW_MS + 1)}, 0, Unauthenticated),
        ({}, crypto.WINDOW_MS + 1, Forbidden),
        ({}, -crypto.WINDOW_MS - 1, Forbidden),
    ],
)
def test_a_card_callback_without_a_right_and_fresh_signature_is_refused(
    changes: dict[str, str], off: int, error: type[Exception]
):
    headers = {
        "x-ddpaas-signature-timestamp": str(NOW_MS),
        "x-ddpaas-signature": crypto.sign_card(str(NOW_MS), "secret"),
    }
    with pytest.raises(error):
        crypto.verify_card(headers | changes, "secret", NOW_MS + off)


def test_each_channel_and_app_has_a_card_secret_of_its_own():
    found = {crypto.card_secret(secret, name) for secret in "ab" for name in "xy"}
    assert len(found) == 4
    assert all(len(each) == 64 for each in found)


def pushed(vector: dict[str, Any]) -> WebhookRequest:
    return WebhookRequest(
        method="POST",
        path="events",
        headers={},
        query={
            "signature": vector["msg_signature"],
            "timestamp": vector["timestamp"],
            "nonce": vector["nonce"],
        },
        body=json.dumps({"encrypt": vector["encrypt"]}).encode(),
    )


def at(vector: dict[str, Any]) -> int:
    stamp = vector["timestamp"]
    return int(stamp) * (1000 if len(stamp) < 12 else 1)


@pytest.mark.parametrize("vector", EVENTS, ids=lambda v: v["name"])
def test_published_events_are_read_by_both_sides(vector: dict[str, Any]):
    token, key, owner = (vector[k] for k in ("token", "encodingAesKey", "ownerKey"))
    far = simulated.EventCrypto(token, key, owner)
    parts = (vector["timestamp"], vector["nonce"], vector["encrypt"])
    assert far.sign(*parts) == vector["msg_signature"]
    assert far.decrypt(vector["encrypt"]).decode() == vector["plaintext"]
    assert callback_crypto.decrypt(key, vector["encrypt"], owner).decode() == vector["plaintext"]
    if vector["plaintext"].startswith("{"):
        found = events.opened(pushed(vector), token, key, owner, at(vector))
        assert found == json.loads(vector["plaintext"])


def test_the_answer_to_an_event_is_an_encrypted_success():
    answer = msgspec.json.decode(events.success("token", KEY, "dingapp", "n1", NOW_MS).body)
    assert simulated.EventCrypto("token", KEY, "dingapp").opened(answer) == b"success"
    assert simulated.EventCrypto("other", KEY, "dingapp").opened(answer) is None
    assert simulated.EventCrypto("token", KEY, "other").opened(answer) is None


def good(message: bytes = b'{"EventType":"check_url"}') -> dict[str, Any]:
    far = simulated.EventCrypto("token", KEY, "dingapp")
    encrypt = far.encrypt(message)
    stamp = str(NOW_MS)
    signature = far.sign(stamp, "n1", encrypt)
    return {"msg_signature": signature, "timestamp": stamp, "nonce": "n1", "encrypt": encrypt}


@pytest.mark.parametrize(
    ("changes", "off", "error"),
    [
        ({"msg_signature": ""}, 0, Unauthenticated),
        ({"msg_signature": "0" * 40}, 0, Unauthenticated),
        ({"nonce": "n2"}, 0, Unauthenticated),
        ({"timestamp": str(NOW_MS + 1)}, 0, Unauthenticated),
        ({"encrypt": "AAAA"}, 0, Unauthenticated),
        ({}, crypto.WINDOW_MS + 1, Forbidden),
        ({}, -crypto.WINDOW_MS - 1, Forbidden),
    ],
)
def test_an_event_without_a_right_and_fresh_proof_is_refused(
    changes: dict[str, str], off: int, error: type[Exception]
):
    with pytest.raises(error):
        events.opened(pushed(good() | changes), "token", KEY, "dingapp", NOW_MS + off)


def test_an_event_for_another_app_or_that_is_no_json_is_refused():
    with pytest.raises(Unauthenticated):
        events.opened(pushed(good()), "token", KEY, "another", NOW_MS)
    with pytest.raises(Malformed):
        events.opened(pushed(good(b"[]")), "token", KEY, "dingapp", NOW_MS)
    with pytest.raises(Malformed):
        events.opened(pushed(good() | {"encrypt": 7}), "token", KEY, "dingapp", NOW_MS)


@given(st.binary(max_size=200))
def test_what_one_side_encrypts_the_other_reads(message: bytes):
    far = simulated.EventCrypto("token", KEY, "dingapp")
    assert callback_crypto.decrypt(KEY, far.encrypt(message), "dingapp") == message
    assert far.decrypt(callback_crypto.encrypt(KEY, message, "dingapp")) == message
