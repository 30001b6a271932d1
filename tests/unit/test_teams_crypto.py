"""Proof that an activity is Bot Framework's: every case of the published rules."""

import asyncio
import base64
import json
import time
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

from ai_engine.channels.http import Api
from ai_engine.channels.teams import crypto, keys
from ai_engine.channels.teams.crypto import Key
from ai_engine.channels.teams.urls import SERVICE, Trust
from ai_engine.domain.errors import Malformed, Overloaded, SendRefused, Unauthenticated

from support.clock import ManualClock

VECTORS = json.loads((Path(__file__).parents[1] / "fixtures/vectors/teams.json").read_text("utf-8"))
NOW = 1_700_000_000
APP = "app-1"
SERVICE_URL = "https://smba.trafficmanager.net/emea/"
BODY = json.dumps({"type": "message", "serviceUrl": SERVICE_URL, "channelId": "msteams"}).encode()


@cache
def private(name):
    return RSAKey.generate_key(2048, parameters={"kid": name})


def published(endorsements=("msteams",), name="k1"):
    public = RSAKey.import_key(private(name).as_dict(private=False))
    return Key(public=public, endorsements=frozenset(endorsements))


def claims(**changes):
    found = {
        "iss": VECTORS["claims_template"]["iss"],
        "aud": APP,
        "serviceurl": SERVICE_URL,
        "nbf": NOW,
        "exp": NOW + 3600,
        **changes,
    }
    return {name: value for name, value in found.items() if value is not None}


def signed(alg="RS256", kid="k1", signer=None, **changes):
    head = {**VECTORS["token_header"], "alg": alg, "kid": kid}
    return jwt.encode(head, claims(**changes), signer or private("k1"), algorithms=[alg])


def unsigned(alg="none", **changes):
    def part(found):
        return base64.urlsafe_b64encode(json.dumps(found).encode()).rstrip(b"=").decode()

    return f"{part({'alg': alg, 'kid': 'k1'})}.{part(claims(**changes))}."


def check(header, key=None, body=BODY, now=NOW, app=APP):
    """As the channel does it; raises what it would answer."""
    token, kid = crypto.read(header)
    found = {"k1": key or published()}.get(kid)
    crypto.verify(token, found, body, app, now)


def bearer(**changes):
    return f"Bearer {signed(**changes)}"


def hs256():
    secret = OctKey.import_key(private("k1").as_pem(private=False)[27:])
    return f"Bearer {signed('HS256', signer=secret)}"


CASES = {
    "no Authorization header": lambda: check(""),
    "aud is another app id": lambda: check(bearer(aud="other")),
    "iss is not https://api.botframework.com": lambda: check(bearer(iss="https://sts.example")),
    "expired by more than 5 min": lambda: check(bearer(), now=NOW + 3600 + 301),
    "expired by 4 min": lambda: check(bearer(), now=NOW + 3600 + 240),
    "serviceurl claim differs from activity.serviceUrl": lambda: check(
        bearer(serviceurl="https://smba.trafficmanager.net/amer/")
    ),
    "alg none / HS256": lambda: (refused(f"Bearer {unsigned()}"), check(hs256())),
    "kid not in the jwks": lambda: check(bearer(kid="k2")),
    "key has endorsements but not this channelId": lambda: check(bearer(), published(("skype",))),
}


def refused(header, **more):
    with pytest.raises(Unauthenticated) as caught:
        check(header, **more)
    return str(caught.value)


@pytest.mark.parametrize("case", VECTORS["negative_cases"], ids=lambda case: case["case"])
def test_the_published_negative_cases_are_refused(case):
    if case["expect"] == 401:
        with pytest.raises(Unauthenticated):
            CASES[case["case"]]()
    else:
        CASES[case["case"]]()


@pytest.mark.parametrize("alg", crypto.ALGORITHMS)
def test_a_good_token_is_taken(alg):
    check(bearer(alg=alg))
    check(bearer(alg=alg), published(()))


@pytest.mark.parametrize(
    "header",
    [
        "Basic abc",
        "Bearer",
        "Bearer ",
        "Bearer a.b.c",
        "Bearer " + "a" * 20_000,
        f"Bearer {unsigned('RS256')}",
        f"Bearer {unsigned('')}",
        f"Bearer {base64.urlsafe_b64encode(b'{}').decode()}.e30.x",
    ],
)
def test_what_is_no_token_is_refused(header):
    refused(header)


def test_every_refusal_says_the_same():
    said = {
        refused(""),
        refused(f"Bearer {unsigned()}"),
        refused(bearer(kid="k2")),
        refused(bearer(aud="x")),
        refused(bearer(), now=NOW + 9999),
    }
    assert len(said) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": None},
        {"exp": "soon"},
        {"exp": True},
        {"exp": float("1e300")},
        {"nbf": "x"},
        {"nbf": NOW + 301},
        {"aud": [APP]},
        {"serviceurl": None},
        {"iss": None},
    ],
)
def test_claims_that_are_missing_or_wrong_are_refused(changes):
    refused(bearer(**changes))


def test_an_altered_token_or_one_of_another_key_is_refused():
    head, body, signature = signed().split(".")
    other = base64.urlsafe_b64encode(json.dumps(claims(exp=NOW + 10**7)).encode()).decode()
    refused(f"Bearer {head}.{other.rstrip('=')}.{signature}")
    refused(f"Bearer {head}.{body}.{signature[:-8]}AAAAAAAA")
    refused(bearer(signer=private("k2")))
    refused(f"{bearer()}.x")


def test_a_body_with_another_service_url_is_refused_and_one_that_is_none_is_malformed():
    refused(bearer(), body=BODY.replace(b"emea", b"amer"))
    refused(bearer(), body=b"{}")
    for body in (b"", b"[]", b"{", b'{"serviceUrl": 1}'):
        with pytest.raises(Malformed):
            check(bearer(), body=body)


def test_without_an_app_id_nothing_is_accepted():
    refused(bearer(aud=""), app="")


def test_a_replayed_token_is_good_only_while_it_lasts():
    """The token covers neither body nor message: the gateway knows replays by the activity's id."""
    header = bearer()
    check(header, now=NOW + 3600)
    check(header, now=NOW + 3600)
    refused(header, now=NOW + 3900)


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(codec=None)), st.binary(max_size=60))
def test_no_header_of_chance_is_accepted_or_fails_otherwise(text, raw):
    for header in (text, f"Bearer {text}", f"Bearer {base64.urlsafe_b64encode(raw).decode()}.a.b"):
        refused(header)


# Keys


class Answering(Api):
    """Answers from a table, and counts."""

    def __init__(self, table):
        super().__init__("Teams", None, ManualClock())
        self.table, self.asked = table, []

    async def call(self, method, url, **_):
        from ai_engine.channels.http import Answer

        self.asked.append(url)
        body = self.table.get(url)
        status = 200 if body is not None else 500
        return Answer(status=status, headers={}, body=json.dumps(body).encode(), retry_after=None)


JWKS = "https://login.botframework.com/v1/.well-known/keys"


def served(*entries, address=JWKS):
    table = {keys.METADATA: {"jwks_uri": address}, address: {"keys": list(entries)}}
    api, clock = Answering(table), ManualClock()
    return keys.Keys("", Trust(""), api, clock), api, clock


def jwk(name="k1", **changes):
    public = private(name).as_dict(private=False)
    return {**VECTORS["jwk_template"], "n": public["n"], "e": public["e"], "kid": name, **changes}


async def test_a_published_key_is_found_and_its_endorsements_read():
    found, api, _ = served(jwk())
    key = await found.get("k1")
    assert key.endorsements == {"msteams"}
    crypto.verify(signed(), key, BODY, APP, NOW)
    assert len(api.asked) == 2


async def test_entries_that_are_no_usable_keys_are_passed_over():
    junk = [1, {}, jwk("k2", kty="EC"), jwk("k2", n="AQAB"), jwk("k2", n="*"), jwk("k2", e=5)]
    found, _, _ = served(*junk, {**jwk(), "kid": None}, jwk())
    assert await found.get("k2") is None
    assert await found.get("k1") is not None


@pytest.mark.parametrize("address", ["http://login.botframework.com/k", "https://evil.example/k"])
async def test_keys_are_only_fetched_from_the_vendor(address):
    found, api, _ = served(jwk(), address=address)
    with pytest.raises(Overloaded):
        await found.get("k1")
    assert api.asked == [keys.METADATA]


async def test_a_failed_refresh_keeps_good_keys_and_is_not_repeated_at_once():
    found, api, clock = served(jwk())
    await found.get("k1")
    api.table.clear()
    await clock.advance(3601)
    for _ in range(5):
        with pytest.raises(Overloaded):
            await found.get("k2")
        assert await found.get("k1") is not None
    assert len(api.asked) == 3
    await clock.advance(86_400)
    with pytest.raises(Overloaded):
        await found.get("k1")


async def test_many_who_wait_cause_one_fetch_and_closing_ends_it():
    found, api, _ = served(jwk())
    gate, answered = asyncio.Event(), api.call

    async def slow(*args, **more):
        await gate.wait()
        return await answered(*args, **more)

    api.call = slow
    waiting = [asyncio.create_task(found.get("k1")) for _ in range(20)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    gate.set()
    assert all(await asyncio.gather(*waiting[1:]))
    assert len(api.asked) == 2

    other, api, _ = served(jwk())
    gate.clear()
    api.call = slow
    waiter = asyncio.create_task(other.get("k1"))
    await asyncio.sleep(0)
    await other.close()
    with pytest.raises(Overloaded):  # told to come again: the call itself was not cancelled
        await waiter


# Addresses


@pytest.mark.parametrize(
    ("url", "good"),
    [
        ("https://smba.trafficmanager.net/teams/", True),
        ("https://SMBA.trafficmanager.net/amer", True),
        ("https://europe.api.botframework.com/", True),
        ("http://127.0.0.1:9000/x", True),
        ("http://127.0.0.1:9001/x", False),
        ("http://smba.trafficmanager.net/", False),
        ("https://smba.trafficmanager.net:8443/", False),
        ("https://user@smba.trafficmanager.net/", False),
        ("https://smba.trafficmanager.net.evil.example/", False),
        ("https://evilbotframework.com/", False),
        ("https://evil.example/?smba.trafficmanager.net", False),
        ("ftp://smba.trafficmanager.net/", False),
        ("https://[::1", False),
        ("", False),
    ],
)
def test_answers_go_to_the_vendor_or_the_configured_endpoint_only(url, good):
    trust = Trust("http://127.0.0.1:9000")
    if good:
        assert trust.service(url) == url.rstrip("/")
    else:
        with pytest.raises(SendRefused):
            trust.service(url)


def test_without_an_endpoint_the_vendor_s_address_is_the_default():
    assert Trust("").default == SERVICE
    assert Trust("not a url").default == SERVICE
    for url in ("https://contoso-my.sharepoint.com/a?tempauth=x", "https://x.sharepoint.com/"):
        assert Trust("").file(url) == url
    with pytest.raises(SendRefused):
        Trust("").file("https://smba.trafficmanager.net/")


def test_a_proof_takes_little_time():
    key, header = published(), bearer()
    check(header, key)
    began = time.process_time()
    for _ in range(50):
        check(header, key)
    assert (time.process_time() - began) / 50 < 0.005
