"""The rules of the simulated Teams that only a misbehaving client meets."""

import pytest

from ai_engine.domain.errors import Malformed, NotFound
from ai_engine.simulators.files import SharedFile
from ai_engine.simulators.teams import TeamsSimulator, build

from support.clock import ManualClock
from support.teams_world import world

APP, SECRET = "app", "s"


class Client:
    """Raw calls with a good token."""

    def __init__(self, sim, token):
        self.sim, self.headers = sim, {"Authorization": f"Bearer {token}"}

    async def call(self, method, path, body=None, **more):
        url = f"{self.sim.url}/v3/conversations{path}"
        async with self.sim.http.request(
            method, url, json=body, headers=self.headers, **more
        ) as answer:
            found = await answer.json(content_type=None) if answer.status != 204 else None
            return answer.status, found or {}

    async def post(self, body, chat="cid-private-alice"):
        return await self.call("POST", f"/{chat}/activities", body)

    async def stream(self, kind, text, sequence=None, stream=None, type_="typing", **more):
        info = {"type": "streaminfo", "streamType": kind}
        info |= {"streamSequence": sequence} if sequence is not None else {}
        info |= {"streamId": stream} if stream else {}
        return await self.post({"type": type_, "text": text, "entities": [info]}, **more)


async def login(sim, **changes):
    form = {
        "grant_type": "client_credentials",
        "client_id": APP,
        "client_secret": SECRET,
        "scope": "https://api.botframework.com/.default",
        **changes,
    }
    authority = form.pop("authority", sim.tenant)
    async with sim.http.post(f"{sim.url}/{authority}/oauth2/v2.0/token", data=form) as answer:
        return answer.status, await answer.json()


@pytest.fixture
async def sim():
    async with TeamsSimulator(app_id=APP, app_secret=SECRET, clock=ManualClock()) as running:
        yield running


@pytest.fixture
async def client(sim):
    return Client(sim, (await login(sim))[1]["access_token"])


@pytest.mark.parametrize(
    ("changes", "status", "error"),
    [
        ({}, 200, None),
        ({"authority": "botframework.com"}, 200, None),
        ({"authority": "elsewhere"}, 400, "invalid_request"),
        ({"client_secret": "x"}, 401, "invalid_client"),
        ({"scope": "x"}, 400, "invalid_scope"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
    ],
)
async def test_tokens_are_given_to_the_app_alone(sim, changes, status, error):
    found = await login(sim, **changes)
    assert (found[0], found[1].get("error")) == (status, error)


async def test_a_token_ends(sim, client):
    assert (await client.post({"type": "typing"}))[0] == 201
    await sim.clock.advance(3600)
    assert (await client.post({"type": "typing"}))[0] == 401


async def test_the_rules_of_streams(sim, client):
    status, found = await client.stream("informative", "…", 1)
    assert status == 201
    sim.faults.stream_gap_seconds = 0
    grow = lambda text, n: client.stream("streaming", text, n, found["id"])  # noqa: E731
    assert (await grow("You", 2))[0] == 202
    status, refused = await grow("You have", 2)
    assert refused["error"]["code"] == "ContentStreamSequenceOrderPreConditionFailed"
    status, refused = await grow("He", 3)
    assert (status, "previously streamed" in refused["error"]["message"]) == (403, True)
    assert (await grow("", 3))[0] == 400
    assert (await client.stream("streaming", "You", None, found["id"]))[0] == 400
    assert (await client.stream("final", "You", None, found["id"]))[0] == 400
    assert (await client.stream("streaming", "You", 4, "unknown"))[0] == 404
    sim.faults.stream_gap_seconds = 1
    assert (await grow("You have", 5))[0] == 429
    await sim.clock.advance(121)
    status, refused = await client.stream("final", "You have", None, found["id"], "message")
    assert (status, "exceeded streaming time" in refused["error"]["message"]) == (403, True)
    assert sim.transcript.get(found["id"]).state == "failed"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"kind": "informative", "text": "", "sequence": 1}, 400),
        ({"kind": "informative", "text": "x", "sequence": 2}, 400),
        ({"kind": "streaming", "text": "x", "sequence": 1, "chat": "cid-group-ops"}, 403),
        ({"kind": "streaming", "text": "x", "sequence": 1}, 201),
    ],
)
async def test_how_a_stream_may_begin(client, body, status):
    assert (await client.stream(**body))[0] == status


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"type": "message"}, 400),
        ({"type": "message", "text": 5}, 400),
        ({"type": "trace", "text": "x"}, 400),
        ({"type": "message", "text": "x" * 110_000}, 413),
        ({"type": "message", "attachments": [{"contentType": "x/y"}]}, 400),
        (
            {"type": "message", "attachments": [{"contentType": "image/png", "contentUrl": "x"}]},
            400,
        ),
        (
            {
                "type": "message",
                "attachments": [
                    {"contentType": "image/png", "contentUrl": "data:image/png;base64,*"}
                ],
            },
            400,
        ),
    ],
)
async def test_messages_that_teams_refuses(client, body, status):
    assert (await client.post(body))[0] == status


@pytest.mark.parametrize(
    ("card", "status"),
    [
        ({"type": "AdaptiveCard", "version": "1.5", "body": []}, 201),
        ({"type": "AdaptiveCard", "version": "2.0", "body": []}, 400),
        ({"type": "AdaptiveCard", "version": "1.5", "body": [{"type": "Zoo"}]}, 400),
        ({"type": "AdaptiveCard", "version": "1.5", "actions": [{"type": "Action.Zoo"}]}, 400),
        (
            {
                "type": "AdaptiveCard",
                "version": "1.5",
                "body": [{"type": "TextBlock", "text": "x" * 30_000}],
            },
            413,
        ),
    ],
)
async def test_cards_are_checked(client, card, status):
    kind = "application/vnd.microsoft.card.adaptive"
    body = {"type": "message", "attachments": [{"contentType": kind, "content": card}]}
    assert (await client.post(body))[0] == status


async def test_conversations_and_members_must_exist(sim, client):
    assert (await client.post({"type": "typing"}, "nowhere"))[0] == 404
    for path, status in (
        ("/cid-group-ops/members", 200),
        ("/cid-private-alice/members", 200),
        ("/cid-private-alice/members/29:alice", 200),
        ("/cid-private-alice/members/lisi", 404),
        ("/cid-group-ops/members/nobody", 404),
    ):
        assert (await client.call("GET", path))[0] == status, path
    member, tenant = [{"id": "alice"}], {"tenantId": sim.tenant}
    for body, status in (
        ({"members": member, **tenant}, 201),
        ({"members": member, "channelData": {"tenant": {"id": sim.tenant}}}, 201),
        ({"members": member, "tenantId": "x"}, 403),
        ({"members": [], **tenant}, 400),
        ({"members": member, "isGroup": True, **tenant}, 400),
    ):
        assert (await client.call("POST", "", body))[0] == status
    assert (await client.call("PUT", "/cid-private-alice/activities/1", {"text": "x"}))[0] == 404
    assert (await client.call("POST", "", None, data=b"["))[0] == 400


async def test_people_can_only_do_what_there_is_to_do(sim):
    for work in (
        lambda: sim.press("none"),
        lambda: sim.edit("none", "x"),
        lambda: sim.recall("none"),
        lambda: sim.rate("none", "good"),
        lambda: sim.callbacks.answer("none"),
        lambda: sim.resend("none"),
    ):
        with pytest.raises(NotFound):
            await work()
    for chat, text in (("elsewhere", "x"), ("private", "")):
        with pytest.raises(Malformed):
            await sim.say("alice", text, chat=chat)


async def test_without_an_engine_nothing_is_delivered(sim):
    sent = await sim.say("alice", "hello")
    assert (await sim.wait_settled(sent)).detail == "no engine URL is set"


def test_a_simulator_is_built_from_credentials():
    made = build(dict(TeamsSimulator.auth_defaults), engine="http://e", channel="t")
    assert (made.app_id, made.channel) == (TeamsSimulator.auth_defaults["app_id"], "t")


async def test_messages_are_sent_again_and_replayed_and_reordered():
    async with world() as (sim, engine):
        sent = await sim.say("alice", "one")
        first = await engine.next()
        for replay in (True, False):
            await sim.resend(sent, replay=replay)
            assert (await engine.next()).message_id == first.message_id
        sim.faults.reorder = 2
        await sim.say("alice", "two")
        await sim.say("alice", "three")
        assert [(await engine.next()).text for _ in range(2)] == ["three", "two"]


async def test_an_unreachable_engine_is_told(sim):
    sim.engine = "http://127.0.0.1:9"
    entry = await sim.wait_settled(await sim.say("alice", "hello"))
    assert (entry.status, "Error" in entry.detail) == ("undelivered", True)


async def test_an_upload_must_name_its_whole_range(sim):
    sim.uploads["u1"] = "a.txt"
    url = f"{sim.url}/uploads/u1"
    for status in (416, 404):  # a session is good for one attempt
        async with sim.http.put(url, data=b"abc", headers={"Content-Range": "bytes 0-1/2"}) as got:
            assert got.status == status


async def test_the_wire_log_and_the_page_know_the_simulator(sim):
    file = SharedFile(kind="file", name="a.txt", mime="text/plain", content=b"x")
    code = sim.shelf.put(file, "file")
    async with sim.http.get(f"{sim.url}/files/{code}") as answer:
        assert await answer.read() == b"x"
    async with sim.http.get(f"{sim.url}/files/none") as answer:
        assert answer.status == 404
    async with sim.http.get(f"{sim.url}/sim/info") as answer:
        info = await answer.json()
    assert info["endpoints"]["openid"].endswith("/.well-known/openidconfiguration")
    assert [row["path"] for row in sim.wire.rows(path="/files/")] == [
        f"/files/{code}",
        "/files/none",
    ]
