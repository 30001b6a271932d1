"""The admin API: closed without proof, closed without the permission, one shape for everything."""

import pytest

from ai_engine.api.admin import Admin, build
from ai_engine.domain.errors import EngineError, SendRefused
from ai_engine.journal.memory import MemoryJournal
from ai_engine.policy.authorize import BUILTIN_ROLES, Grant, Policy
from ai_engine.security.access import Access, Identity

from support.asgi import ask
from support.bench import FakeChannel, bench, tool
from support.clock import ManualClock

ROUTES = [
    ("GET", "/openapi.json", "status.read"),
    ("GET", "/status", "status.read"),
    ("GET", "/sessions", "session.read"),
    ("GET", "/sessions/s1", "session.read"),
    ("GET", "/sessions/s1/events", "session.read"),
    ("GET", "/messages/m1/trace", "trace.read"),
    ("GET", "/deadletters", "deadletter.read"),
    ("POST", "/deadletters/d1/replay", "deadletter.replay"),
    ("GET", "/channels", "channel.read"),
    ("POST", "/channels/chat/check", "channel.check"),
    ("POST", "/channels/chat/register", "channel.register"),
    ("GET", "/channels/chat/people/anna", "people.read"),
    ("POST", "/messages", "message.send"),
    ("GET", "/config", "config.read"),
    ("POST", "/routes/test", "route.read"),
]


BODY = {"text": "x", "channel": "chat", "to": "anna"}
BODIES = {"/channels/chat/register": {"url": "https://ai.example.com"}}


class Doorman:
    """An `Access` that knows tokens by the role that they give."""

    def __init__(self, data, clock):
        self._real = Access(data, clock)

    def authenticate(self, headers, remote=""):
        token = headers.get("authorization", "").removeprefix("Bearer ")
        if token.startswith("role:"):
            return Identity(user_id=token, roles=(token.removeprefix("role:"),))
        return self._real.authenticate(headers, remote)


class Place:
    """The API on the road's parts."""

    def __init__(self, made, app):
        self.bench = made
        self.app = app

    async def get(self, path, token="role:owner", **more):
        return await ask(self.app, "GET", path, token=token, **more)

    async def post(self, path, body=None, token="role:owner"):
        return await ask(self.app, "POST", path, token=token, body=body)


@pytest.fixture
async def place(tmp_path):
    clock = ManualClock()
    async with (
        MemoryJournal(clock=clock) as journal,
        bench(journal, clock, channel=FakeChannel(), tools=[tool()]) as made,
    ):
        app = build(
            Admin(
                journal=journal,
                access=Doorman(tmp_path, clock),
                plan=lambda: made.plan,
                readiness=lambda: {"ready": True, "reasons": [], "channels": {}},
                accept=made.ingress.accept,
            )
        )
        yield Place(made, app)


def error_of(answer, status, code):
    assert answer[0] == status
    assert answer[2].keys() == {"error"}
    assert answer[2]["error"].keys() == {"code", "message", "hint"}
    assert answer[2]["error"]["code"] == code
    return answer[2]["error"]


async def test_every_route_is_in_this_list(place):
    _, _, described = await place.get("/openapi.json")
    found = {(m.upper(), path) for path, methods in described["paths"].items() for m in methods}
    assert len(found) == len(ROUTES)
    for method, path, _ in ROUTES:
        assert any(m == method and _fits(p, path) for m, p in found), path


def _fits(described, path):
    one, other = described.split("/"), path.split("/")
    return len(one) == len(other) and all(
        a == b or a.startswith("{") for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize(("method", "path", "_"), ROUTES)
@pytest.mark.parametrize("token", ["", "wrong"])
async def test_without_the_token_nothing_is_told(place, method, path, _, token):
    answer = await ask(place.app, method, path, token=token, body=BODIES.get(path, BODY))
    error_of(answer, 401, "unauthenticated")
    assert answer[1]["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(("method", "path", "action"), ROUTES)
async def test_a_role_without_the_permission_is_refused_and_one_with_it_is_not(
    place, method, path, action
):
    others = tuple({a for _, _, a in ROUTES} - {action})
    roles = {
        "other": [Grant(action=other) for other in others],
        "just": [Grant(action=action)],
    }
    object.__setattr__(place.bench.plan, "policy", Policy(roles))
    refused = await ask(place.app, method, path, token="role:other", body=BODIES.get(path, BODY))
    assert action in error_of(refused, 403, "forbidden")["message"]
    answer = await ask(place.app, method, path, token="role:just", body=BODIES.get(path, BODY))
    assert answer[0] in (200, 202, 404)


async def test_an_employee_may_read_nothing_of_others(place):
    assert "employee" in BUILTIN_ROLES
    for method, path, _ in ROUTES:
        answer = await ask(
            place.app, method, path, token="role:employee", body=BODIES.get(path, BODY)
        )
        error_of(answer, 403, "forbidden")


async def test_ten_wrong_tokens_and_the_address_must_wait(place):
    for _ in range(10):
        await place.get("/status", token="wrong")
    answer = await place.get("/status", token="wrong")
    error_of(answer, 429, "throttled")
    assert 0 < int(answer[1]["retry-after"]) <= 61
    error_of(await place.get("/status", token="wrong", remote="8.8.8.8"), 401, "unauthenticated")


async def test_every_refusal_is_described(place):
    _, _, described = await place.get("/openapi.json")
    for methods in described["paths"].values():
        for operation in methods.values():
            answered = {"202"} if "202" in operation["responses"] else {"200"}
            refused = {"401", "403", "404", "422", "429", "503"}
            assert answered | refused <= operation["responses"].keys()
            for status in ("401", "403", "404", "422", "429", "503"):
                content = operation["responses"][status]["content"]["application/json"]
                assert content["schema"]["$ref"].endswith("/Refusal"), status
            assert operation["description"]
    shape = described["components"]["schemas"]["Fault"]
    assert set(shape["required"]) == {"code", "message", "hint"}


@pytest.mark.parametrize("path", ["/nowhere", "/sessions/a/b/c", "/docs", "/redoc"])
async def test_an_unknown_path_is_refused_in_the_same_shape(place, path):
    error_of(await place.get(path), 404, "not_found")


async def test_a_wrong_method_is_refused_in_the_same_shape(place):
    answer = await place.post("/sessions")
    assert error_of(answer, 405, "not_found")
    assert answer[1]["allow"] == "GET"


@pytest.mark.parametrize(
    "path",
    [
        "/sessions?limit=0",
        "/sessions?limit=1001",
        "/sessions?limit=x",
        "/sessions/s/events?after=x",
    ],
)
async def test_a_wrong_parameter_is_named(place, path):
    error = error_of(await place.get(path), 422, "malformed")
    assert error["message"].startswith(("query.limit", "query.after"))


async def test_a_wrong_body_is_named(place):
    assert (
        "body.text" in error_of(await place.post("/routes/test", {}), 422, "malformed")["message"]
    )
    long = {"text": "x" * 20_001}
    error_of(await place.post("/routes/test", long), 422, "malformed")


async def test_a_journal_that_cannot_be_read_asks_for_another_try(place):
    async def broken(*_):
        raise EngineError("the journal could not be read", hint="check the disk")

    place.bench.journal.sessions = broken
    answer = await place.get("/sessions")
    assert error_of(answer, 503, "overloaded")["hint"] == "check the disk"
    assert "retry-after" in answer[1]


async def test_a_session_has_the_guide_s_shape_and_its_log(place):
    b = place.bench
    await b.ask("!look around")
    _, _, (session,) = await place.get("/sessions")
    assert list(session)[:4] == ["session_id", "user_id", "context", "expire_at"]
    assert session["context"] == {"last_skill": "look", "params": {"what": "around"}}
    assert isinstance(session["expire_at"], int)
    path = f"/sessions/{session['session_id']}"
    assert (await place.get(path))[2] == session
    _, _, events = await place.get(f"{path}/events")
    assert [(e["n"], e["kind"]) for e in events] == [(1, "message"), (2, "reply")]
    _, _, rest = await place.get(f"{path}/events?after=1&limit=1")
    assert [e["n"] for e in rest] == [2]
    error_of(await place.get("/sessions/none"), 404, "not_found")
    error_of(await place.get("/sessions/none/events"), 404, "not_found")


async def test_a_message_s_story_is_found_by_ids_with_slashes_too(place):
    await place.bench.ask("ping", id="odd/id with space")
    status, _, story = await place.get("/messages/odd/id with space/trace")
    assert (status, story["message_id"]) == (200, "odd/id with space")
    error_of(await place.get("/messages/none/trace"), 404, "not_found")


async def test_a_dead_letter_is_listed_without_its_text_and_replayed(place):
    b = place.bench
    b.channel.failures = [SendRefused("the conversation is gone")]
    message = await b.say("ping")
    await b.until(lambda: b.metric("ai_engine_replies_total", channel="chat", result="dead"))
    _, _, (dead,) = await place.get("/deadletters")
    assert (dead["kind"], dead["message_id"], dead["chars"]) == ("delivery", message, 4)
    assert "text" not in dead
    status, _, answer = await place.post(f"/deadletters/{dead['id']}/replay")
    assert (status, answer) == (200, {"id": dead["id"], "status": "replayed"})
    assert await b.answer_to(message) == "pong"
    error_of(await place.post(f"/deadletters/{dead['id']}/replay"), 404, "not_found")


async def test_status_channels_configuration_and_routes(place):
    _, _, status = await place.get("/status")
    assert status["ready"] is True
    assert status["journal"]["owner"] is True
    _, _, channels = await place.get("/channels")
    assert [(c["name"], c["type"], c["state"]) for c in channels] == [("chat", "fake", "ready")]
    _, _, config = await place.get("/config")
    assert config["channels"].keys() == {"chat"}
    _, _, route = await place.post("/routes/test", {"text": "ping", "chat": "group"})
    assert (route["action"], route["rule"]) == ("reply", "#1")


async def test_a_message_that_answers_nothing_is_sent_once(place):
    note = {"channel": "chat", "to": "anna", "text": "the lift is broken", "id": "lift-1"}
    status, _, first = await place.post("/messages", note)
    assert (status, first["duplicate"]) == (202, False)
    assert await place.bench.answer_to("note/lift-1") == "the lift is broken"
    assert place.bench.channel.sent[0].target == {"to": "anna"}
    _, _, again = await place.post("/messages", note)
    assert again == {**first, "duplicate": True}


async def test_a_channel_is_tried_and_a_person_looked_up(place):
    assert (await place.post("/channels/chat/check"))[2]["ok"] is True
    assert (await place.get("/channels/chat/people/anna"))[2]["name"] == "Anna"
    error_of(await place.post("/channels/gone/check"), 404, "not_found")


async def test_a_channel_is_registered_below_the_address_that_is_given(place):
    async def register(url, name="chat"):
        return await place.post(f"/channels/{name}/register", {"url": url})

    status, _, said = await register("https://ai.example.com/bots/")
    assert (status, said["ok"]) == (200, True)
    assert said["said"] == "https://ai.example.com/bots/api/message/chat"
    assert (await register("http://127.0.0.1:8080"))[2]["ok"] is True
    for url in ("http://ai.example.com", "nowhere", "https://a:b@c.example", "https://a.example?x"):
        assert "body.url" in error_of(await register(url), 422, "malformed")["message"], url
    error_of(await register("https://ai.example.com", "gone"), 404, "not_found")


async def test_where_the_console_takes_the_address_it_is_named(place):
    from ai_engine.channels.wecom.channel import build as wecom
    from ai_engine.config.schema import ChannelConfig

    from support.hosts import make_host

    place.bench.plan.channels["wecom"] = wecom("wecom", ChannelConfig(), make_host())
    answer = await place.post("/channels/wecom/register", {"url": "https://ai.example.com"})
    assert answer[0] == 200
    assert answer[2]["ok"] is False
    assert "console: https://work.weixin.qq.com" in answer[2]["said"]
    assert "https://ai.example.com/api/message/wecom" in answer[2]["hint"]
