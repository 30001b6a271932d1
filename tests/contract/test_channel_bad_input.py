"""What a connector's address withstands: forged, stale, replayed, altered and broken requests."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from support.channels import SETUPS, SetUp, inbound, watched
from support.shots import Shot, fired, last_shot, sealed

DOCS = Path(__file__).parents[2] / "docs" / "connectors"
CALLED = [setup for setup in SETUPS if setup.called]
STALE = {"dingtalk": 403, "wecom": 403, "wecom_aibot": 403, "feishu": 403, "slack": 403} | {
    "teams": 401
}
"""Telegram's and Mattermost's proofs have no time."""
COVERED = {"wecom", "wecom_aibot", "feishu", "slack"}
"""The proof covers the body. Of the others the page says that it does not."""
NOT_COVERED = {
    "dingtalk": "do not cover the body",
    "teams": "does not cover the body",
    "telegram": "covers neither time nor body",
    "mattermost": "no signature over the body",
}
NESTED = b"[" * 100_000 + b"]" * 100_000
DEEP = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
BROKEN = {
    "empty": b"",
    "truncated": b'{"msgtype":"text","text":{"content":"he',
    "an array": b"[1,2]",
    "a number": b"7",
    "null": b"null",
    "nested arrays": NESTED,
    "nested objects": DEEP,
    "not UTF-8": b'{"text":"\xff\xfe\x80"}',
    "lone surrogate": b'{"text":"\\ud800"}',
    "NUL": b"\x00",
    "a long number": b'{"update_id":' + b"9" * 5000 + b"}",
}
XML = {
    "document type": b"<!DOCTYPE xml><xml><MsgType>text</MsgType></xml>",
    "entity": b'<!DOCTYPE xml [<!ENTITY e SYSTEM "file:///etc/passwd">]><xml><a>&e;</a></xml>',
    "entities of entities": b'<!DOCTYPE xml [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><xml>&b;</xml>',
    "nested": b"<xml>" + b"<a>" * 20_000 + b"</a>" * 20_000 + b"</xml>",
    "nested and large": b"<xml>" + b"<a>" * 100_000 + b"</a>" * 100_000 + b"</xml>",
    "truncated": b"<xml><MsgType>text</Msg",
    "not UTF-8": b"<xml><Content>\xff\xfe</Content></xml>",
    "empty": b"",
}


@pytest.fixture(scope="module")
def anyio_backend():
    return ("asyncio", {"use_uvloop": True})


@pytest.fixture(scope="module", params=CALLED, ids=lambda setup: setup.id)
async def _shared(request):
    async with watched(request.param) as found:
        yield found


@pytest.fixture
async def channel(_shared):
    """Afterwards: nothing crashed, and a good message still comes through."""
    del _shared.logged[:]
    yield _shared
    _shared.world.faults.clear()
    after = _shared.world.last
    person = f"u{after}"  # not always the same one: platforms limit what one person is sent
    await _shared.world.simulator.say(person, "echo and on")
    await _shared.world.heard("You said: and on", after)
    assert not [line for line in _shared.logged if "Traceback" in line]


def counts(world):
    results = ("accepted", "refused:unauthenticated", "refused:forbidden")
    return [inbound(world, result) for result in results]


async def refused(channel, status):
    """The platform's last delivery was refused so, counted and audited, and nothing got in."""
    world, before = channel.world, counts(channel.world)
    message = await world.say("echo forged")
    await world.simulator.wait_settled(message, 20.0)
    check_refused(channel, last_shot(world)[1], status, before)


def check_refused(channel, found, status, before):
    assert found == status
    accepted, unauthenticated, forbidden = counts(channel.world)
    assert accepted == before[0]
    assert (unauthenticated > before[1], forbidden > before[2]) == (status == 401, status == 403)
    assert any("'audit': 'channel.refused'" in line for line in channel.logged)


async def genuine(world):
    """A message that was taken, as it was sent."""
    await world.ask("echo genuine", "You said: genuine")
    await asyncio.sleep(0)
    shots = [row for row in world.simulator.wire.rows(direction="out") if row["status"] < 300]
    assert shots
    return last_shot(world)[0]


async def test_a_wrong_proof_is_refused_audited_and_counted(channel):
    channel.world.faults.wrong_secret = True
    await refused(channel, 401)


@pytest.mark.parametrize("seconds", [-7200.0, 7200.0], ids=["old", "ahead"])
async def test_a_proof_of_another_time_is_refused_audited_and_counted(channel, seconds):
    status = STALE.get(channel.setup.type)
    if status is None:
        pytest.skip("the platform's proof has no time")
    channel.world.faults.clock_skew_seconds = seconds
    await refused(channel, status)


async def test_a_missing_proof_is_refused_audited_and_counted(channel):
    shot = (await genuine(channel.world)).without_proof()
    if channel.setup.type == "mattermost":  # its proof is a field of the form
        shot = replace(shot, body=shot.body.replace(b"token=", b"no="))
    before = counts(channel.world)
    status, _ = await fired(channel.world, shot)
    check_refused(channel, status, 401, before)


async def test_a_replayed_request_is_answered_once(channel):
    world = channel.world
    after = world.last
    shot = await genuine(world)
    before = inbound(world, "accepted"), inbound(world, "duplicate")
    answers = await asyncio.gather(*(fired(world, shot) for _ in range(3)))
    assert {status // 100 for status, _ in answers} == {2}
    assert inbound(world, "accepted") == before[0]
    if channel.setup.type != "wecom_aibot":  # the last that was sent asks for the stream
        assert inbound(world, "duplicate") == before[1] + 3
    await asyncio.sleep(0.1)
    said = [entry for entry in world.said_after(after) if "You said: genuine" in entry.text]
    assert len(said) == 1


async def test_a_body_that_was_altered_after_signing_is_refused_where_it_is_covered(channel):
    type_ = channel.setup.type
    if type_ not in COVERED:
        page = (DOCS / f"{type_}.md").read_text(encoding="utf-8")
        assert NOT_COVERED[type_] in page
        return
    shot = await genuine(channel.world)
    before = counts(channel.world)
    middle = len(shot.body) // 2
    other = b"A" if shot.body[middle : middle + 1] != b"A" else b"B"
    altered = shot.body[:middle] + other + shot.body[middle + 1 :]
    status, _ = await fired(channel.world, replace(shot, body=altered))
    check_refused(channel, status, 401, before)


def broken(world):
    if world.about.type == "wecom":
        return XML
    if world.about.type != "teams":
        return BROKEN
    # Its token names the service URL of the body: without one it is no proof of this body.
    bound = f'{{"serviceUrl":"{world.simulator.url}/","channelId":"msteams",'.encode()
    return {
        name: bound + body[1:] if body.startswith(b"{") else body for name, body in BROKEN.items()
    }


async def test_a_signed_body_that_is_broken_is_refused_and_gets_nowhere(channel):
    world, accepted = channel.world, inbound(channel.world, "accepted")
    found = {
        name: (await fired(world, sealed(world, body)))[0] for name, body in broken(world).items()
    }
    # WeCom's XML has a limit of its own, far below that of all bodies.
    assert found.pop("nested and large", 413) == 413
    assert {name: status for name, status in found.items() if status != 422} == {}
    assert inbound(world, "accepted") == accepted


async def test_a_broken_body_of_anybody_is_refused_and_gets_nowhere(channel):
    """Who has no proof learns at most that it was no body of the protocol's."""
    world, accepted = channel.world, inbound(channel.world, "accepted")
    for body in [*BROKEN.values(), *XML.values()]:
        for headers in ({}, {"Content-Type": "application/json"}):
            status, answer = await fired(world, Shot(body, headers))
            assert status in (401, 413, 422), body[:40]
            assert b"Traceback" not in answer
            assert b"root:" not in answer
    assert inbound(world, "accepted") == accepted


async def test_a_body_that_is_too_large_is_refused_before_it_is_looked_at(channel):
    world, accepted = channel.world, inbound(channel.world, "accepted")
    limit = world.engine.config.server.body_bytes_max
    before = inbound(world, "refused:too_large")
    status, _ = await fired(world, Shot(b"x" * (limit + 1)))
    assert status == 413
    assert (await fired(world, sealed(world, b'{"a":"' + b"x" * limit + b'"}')))[0] == 413
    assert inbound(world, "refused:too_large") == before + 2
    assert inbound(world, "accepted") == accepted


async def test_a_message_of_a_type_that_nobody_knows_does_no_harm(channel):
    channel.world.faults.unknown_msgtype = True
    message = await channel.world.say("echo what is this")
    entry = await channel.world.simulator.wait_settled(message)
    assert entry.status == "delivered", entry.detail


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_another_method_is_refused(channel, method):
    status, _ = await fired(channel.world, Shot(b"", method=method))
    asked_by_get = channel.setup.type in ("wecom", "wecom_aibot") and method == "GET"
    assert status == (401 if asked_by_get else 405)


TEAMS = [
    ({"no_authorization": True}, 401),
    ({"wrong_audience": True}, 401),
    ({"wrong_issuer": True}, 401),
    ({"wrong_service_claim": True}, 401),
    ({"unknown_kid": True}, 401),
    ({"algorithm": "none"}, 401),
    ({"algorithm": "HS256"}, 401),
    ({"clock_skew_seconds": -3600 - 360}, 401),
    ({"service_url": "https://smba.trafficmanager.net.evil.example/"}, 403),
    ({"tenant": "another-tenant"}, 403),
    ({"channel_id": "webchat"}, 403),
]


async def test_a_token_that_is_not_for_this_bot_is_refused_audited_and_counted():
    """Forged, for another bot, service, organisation or channel, or out of its time."""
    async with watched(SetUp("teams")) as channel:
        for knob, status in TEAMS:
            del channel.logged[:]
            channel.world.faults.change(knob)
            await refused(channel, status)
            channel.world.faults.clear()
        await channel.world.ask("echo and on", "You said: and on")


def as_from_a_bot(type_, body):
    """The same message, as the platform would tell of one that a bot has written."""
    if type_ == "slack":
        event = {**body["event"], "bot_id": "B9", "subtype": "bot_message", "ts": "1.000001"}
        return {**body, "event_id": "Ev9", "event": event}
    message = {**body["message"], "message_id": 990_099}
    message["from"] = {**message["from"], "is_bot": True}
    return {**body, "update_id": 990_099, "message": message}


async def test_a_message_that_a_bot_has_written_is_not_answered(channel):
    """Where bots hear each other; Mattermost's own posts are in `test_channels.py`."""
    world, type_ = channel.world, channel.setup.type
    before = inbound(world, "accepted")
    if type_ == "feishu":
        world.faults.from_bot = True
        await world.simulator.wait_settled(await world.say("echo beep"))
    elif type_ in ("slack", "telegram"):
        shot = await genuine(world)
        body = as_from_a_bot(type_, json.loads(shot.body))
        assert (await fired(world, sealed(world, json.dumps(body).encode())))[0] == 200
        before += 1
    else:
        pytest.skip("bots do not hear each other there")
    assert inbound(world, "accepted") == before
