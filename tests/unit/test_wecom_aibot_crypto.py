"""WeCom AI bots: the proof of a callback, and files."""

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ai_engine.channels import callback_crypto
from ai_engine.channels.wecom_aibot import crypto
from ai_engine.domain.errors import Forbidden, SendRefused, Unauthenticated
from ai_engine.simulators.wecom_aibot import crypto as platform

VECTORS = Path(__file__).parents[1] / "fixtures" / "vectors" / "wecom_callback_crypto.json"
FOUND = json.loads(VECTORS.read_text(encoding="utf-8"))["vectors"]
KEY = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"


def query(vector, **changes):
    return {
        "timestamp": vector["timestamp"],
        "nonce": vector["nonce"],
        "msg_signature": vector["msg_signature"],
        **changes,
    }


@pytest.mark.parametrize("vector", FOUND, ids=lambda v: v["name"])
def test_the_vendors_own_signatures_hold_within_ten_minutes(vector):
    at = int(vector["timestamp"])
    for now in (at, at - 600, at + 600):
        crypto.verify(query(vector), vector["encrypt"], vector["token"], now)
    for now in (at - 601, at + 601):
        with pytest.raises(Forbidden):
            crypto.verify(query(vector), vector["encrypt"], vector["token"], now)


@pytest.mark.parametrize("vector", FOUND, ids=lambda v: v["name"])
@pytest.mark.parametrize("part", ["timestamp", "nonce", "msg_signature", "encrypt", "token"])
def test_a_part_that_is_altered_or_missing_is_refused(vector, part):
    for altered in ("", "1409659590"):
        given_query, encrypted, token = query(vector), vector["encrypt"], vector["token"]
        if part == "encrypt":
            encrypted = altered
        elif part == "token":
            token = altered
        else:
            given_query[part] = altered
        with pytest.raises(Unauthenticated):
            crypto.verify(given_query, encrypted, token, int(vector["timestamp"]))
    with pytest.raises(Unauthenticated):
        crypto.verify({}, vector["encrypt"], vector["token"], 0)


@pytest.mark.parametrize("timestamp", ["", "-1", "1e9", "١٤٠٩٦٥٩٥٨٩", "9" * 13])
def test_a_time_that_is_none_is_no_proof_even_when_signed(timestamp):
    signed = callback_crypto.signature("t", timestamp, "n", "e")
    given_query = {"timestamp": timestamp, "nonce": "n", "msg_signature": signed}
    with pytest.raises(Unauthenticated):
        crypto.verify(given_query, "e", "t", 0)


@pytest.mark.parametrize("size", [0, 1, 31, 32, 1000, 300_000])
async def test_what_the_platform_seals_is_opened_and_the_other_way_round(size):
    plain = b"x" * size
    assert await crypto.opened(KEY, platform.seal(KEY, plain)) == plain
    sealed = await crypto.sealed(KEY, "t", plain, 1_700_000_000.9)
    assert platform.unseal(KEY, sealed["encrypt"]) == plain
    assert sealed["timestamp"] == 1_700_000_000
    signed = platform.sign("t", "1700000000", sealed["nonce"], sealed["encrypt"])
    assert sealed["msgsignature"] == signed


async def test_a_message_for_another_receiver_is_refused():
    with pytest.raises(Unauthenticated):
        await crypto.opened(KEY, callback_crypto.encrypt(KEY, b"{}", "wwcorp"))


@given(st.binary(max_size=200))
@settings(max_examples=50)
async def test_files_are_opened_with_or_without_the_key_s_last_sign(content):
    sealed = platform.seal_file(KEY, content)
    assert await crypto.media_opened(KEY, sealed) == content
    assert await crypto.media_opened(KEY + "=", sealed) == content


@pytest.mark.parametrize("key", ["", "short", KEY[:-1] + "!", "!" * 43])
async def test_files_with_a_wrong_key_are_refused(key):
    sealed = platform.seal_file(KEY, hashlib.sha256(b"x").digest())
    with pytest.raises(SendRefused):
        await crypto.media_opened(key, sealed)
    with pytest.raises(SendRefused):
        await crypto.media_opened(KEY, sealed[:-1])
