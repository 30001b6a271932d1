"""The HTTP edge, spoken to as an ASGI server does and as a client on a socket does."""

import asyncio
import json
import time

import pytest
from starlette.responses import PlainTextResponse

from ai_engine import gateway
from ai_engine.channels.base import Accepted, WebhookResponse
from ai_engine.domain.errors import (
    EngineError,
    Forbidden,
    NotFound,
    Overloaded,
    Unauthenticated,
)
from ai_engine.gateway import LazyApp, MessageEndpoint, Operations, build_app
from ai_engine.observe.metrics import Metrics

from support.bench import FakeChannel

BODY_MAX = 64


class HookChannel(FakeChannel):
    """Keeps the requests; answers, or raises, what the test says."""

    def __init__(self):
        super().__init__()
        self.requests = []
        self.answer = WebhookResponse(body=b'{"ok":true}')
        self.waits = None
        self.cancelled = False

    async def webhook(self, request, accept):
        self.requests.append(request)
        if self.waits is not None:
            try:
                await self.waits.wait()
            except asyncio.CancelledError:
                self.cancelled = True
                raise
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Edge:
    """An application around one channel."""

    def __init__(self):
        self.name = "chat"
        self.channel = HookChannel()
        self.metrics = Metrics()
        self.ready = {"ready": True, "reasons": [], "channels": {"chat": {"state": "ready"}}}
        self.seen_by = True
        self.admin_built = 0

        async def accept(message):
            return Accepted(id="m1", duplicate=False)

        async def metrics():
            return b"figures 1\n"

        messages = MessageEndpoint(
            lambda: {self.name: self.channel}, accept, self.metrics, lambda: BODY_MAX
        )
        operations = Operations(lambda: self.ready, metrics, lambda _: self.seen_by)
        self.app = build_app(
            messages=messages, operations=operations, chat_routes=[], admin=self._admin
        )

    def _admin(self):
        self.admin_built += 1

        async def app(scope, receive, send):
            await PlainTextResponse("admin")(scope, receive, send)

        return app

    def counted(self, result, channel="chat"):
        labels = {"channel": channel, "result": result}
        return self.metrics.registry.get_sample_value("ai_engine_inbound_total", labels) or 0

    async def request(
        self,
        path="/api/message/chat",
        *pieces,
        method="POST",
        query=b"",
        headers=(),
        client=("9.9.9.9", 1),
    ):
        """(status, headers, body); the pieces of the body arrive one by one. None: it leaves."""
        arriving = [
            {"type": "http.disconnect"}
            if piece is None
            else {"type": "http.request", "body": piece, "more_body": at < len(pieces) - 1}
            for at, piece in enumerate(pieces or (b"",))
        ]
        sent = []

        async def receive():
            if arriving:
                return arriving.pop(0)
            return await asyncio.get_running_loop().create_future()

        async def send(message):
            sent.append(message)

        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": query,
            "headers": list(headers),
            "client": client,
            "server": ("127.0.0.1", 80),
            "scheme": "http",
            "root_path": "",
            "http_version": "1.1",
        }
        async with asyncio.timeout(5):
            await self.app(scope, receive, send)
        if not sent:
            return None
        body = b"".join(m.get("body", b"") for m in sent[1:])
        headers = {k.decode(): v.decode() for k, v in sent[0]["headers"]}
        return sent[0]["status"], headers, body


@pytest.fixture
def edge():
    return Edge()


def error_of(answer, status):
    assert answer[0] == status
    body = json.loads(answer[2])
    assert body.keys() == {"error"}
    assert body["error"].keys() == {"code", "message", "hint"}
    return body["error"]


async def test_a_request_reaches_its_channel_as_it_came(edge):
    headers = [(b"x-signature", b"abc"), (b"x-latin", b"\xe9")]
    answer = await edge.request(
        "/api/message/chat/deep/path",
        b"ab",
        b"cd",
        query=b"a=1&b=&a=2&c=%E4%BD%A0",
        headers=headers,
    )
    assert answer == (
        200,
        {"content-type": "application/json", "content-length": "11"},
        b'{"ok":true}',
    )
    (request,) = edge.channel.requests
    assert (request.method, request.path, request.body) == ("POST", "deep/path", b"abcd")
    assert dict(request.headers) == {"x-signature": "abc", "x-latin": "é"}
    assert dict(request.query) == {"a": "2", "b": "", "c": "你"}
    assert request.remote == "9.9.9.9"


async def test_hyphens_and_underscores_are_the_same_in_a_channels_name(edge):
    edge.name = "im_platform"
    assert (await edge.request("/api/message/im-platform", b"{}"))[0] == 200
    assert (await edge.request("/api/message/im_platform", b"{}"))[0] == 200
    assert (await edge.request("/api/message/implatform", b"{}"))[0] == 404


@pytest.mark.parametrize("path", ["/api/message/none", "/api/message/", "/api/message//chat"])
async def test_an_unknown_channel_is_not_found_and_makes_no_new_label(edge, path):
    assert error_of(await edge.request(path, b"{}"), 404)["code"] == "not_found"
    assert edge.counted("refused:not_found", "unknown") == 1


async def test_a_path_that_climbs_is_an_unknown_channel(edge):
    error_of(await edge.request("/api/message/../chat"), 404)
    assert edge.channel.requests == []


@pytest.mark.parametrize("pieces", [[b"x" * 65], [b"x" * 40, b"y" * 25], [b"x"] * 65])
async def test_an_oversized_body_is_refused_as_soon_as_it_is_too_large(edge, pieces):
    error = error_of(await edge.request("/api/message/chat", *pieces), 413)
    assert error["code"] == "too_large"
    assert edge.channel.requests == []
    assert (await edge.request("/api/message/chat", b"x" * 64))[0] == 200


async def test_a_body_that_does_not_arrive_in_time_is_refused(edge, monkeypatch):
    monkeypatch.setattr(gateway, "BODY_SECONDS_MAX", 0.02)
    answer = await edge.request("/api/message/chat", b"begun", b"")
    assert answer[0] == 200

    async def never():
        await asyncio.Event().wait()

    sent = []

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "path": "/api/message/chat",
        "method": "POST",
        "headers": [],
        "query_string": b"",
    }
    async with asyncio.timeout(5):
        await edge.app(scope, never, send)
    assert sent[0]["status"] == 400
    assert b"did not arrive in time" in sent[1]["body"]


async def test_a_client_that_leaves_amid_its_body_is_not_answered(edge):
    assert await edge.request("/api/message/chat", b"begun", None) is None
    assert edge.channel.requests == []


@pytest.mark.parametrize(
    ("raised", "status"),
    [
        (Unauthenticated("no signature"), 401),
        (Forbidden("too old"), 403),
        (NotFound("not here"), 404),
    ],
)
async def test_a_refusal_of_the_channel_is_told_and_counted(edge, raised, status, caplog):
    edge.channel.answer = raised
    assert error_of(await edge.request(), status)["message"] == raised.message
    assert edge.counted(f"refused:{raised.code}") == 1
    audited = [r for r in caplog.records if getattr(r, "audit", "") == "channel.refused"]
    assert len(audited) == 1


async def test_overload_says_when_to_come_again_and_is_not_counted_twice(edge):
    edge.channel.answer = Overloaded("full", retry_after_seconds=9)
    answer = await edge.request()
    error_of(answer, 503)
    assert answer[1]["retry-after"] == "9"
    assert edge.counted("refused:overloaded") == 0, "ingress has counted it"


async def test_a_fault_of_the_engine_s_own_asks_for_another_try_and_tells_nothing(edge):
    edge.channel.answer = EngineError("/secret/path is full")
    answer = await edge.request()
    assert "secret" not in str(error_of(answer, 503))
    assert int(answer[1]["retry-after"]) > 0


async def test_the_query_is_bounded(edge):
    many = b"&".join(b"a=1" for _ in range(51))
    assert error_of(await edge.request(query=many), 422)["code"] == "malformed"
    assert edge.channel.requests == []
    assert (await edge.request(query=many[4:]))[0] == 200
    for odd in (b"\xff\xfe=%zz", b"&&&", b"=;=", b"%00"):
        assert (await edge.request(query=odd))[0] == 200


@pytest.mark.parametrize("method", ["GET", "PUT", "HEAD", "OPTIONS", "BREW"])
async def test_any_method_is_the_channel_s_to_judge(edge, method):
    edge.channel.answer = WebhookResponse(status=405, headers={"Allow": "POST"})
    status, headers, _ = await edge.request(method=method)
    assert (status, headers["allow"]) == (405, "POST")


async def test_without_a_peer_address_it_works_too(edge):
    edge.channel.answer = Unauthenticated("no")
    assert (await edge.request(client=None))[0] == 401


# Waiting for the answer.


async def test_who_leaves_while_the_answer_is_made_is_not_waited_for(edge):
    edge.channel.waits = asyncio.Event()
    gone = asyncio.Event()
    arriving = [{"type": "http.request", "body": b"{}", "more_body": False}]

    async def receive():
        if arriving:
            return arriving.pop()
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message):
        raise AssertionError("nobody is there to be answered")

    scope = {
        "type": "http",
        "path": "/api/message/chat",
        "method": "POST",
        "headers": [],
        "query_string": b"wait=true",
    }
    serving = asyncio.create_task(edge.app(scope, receive, send))
    while not edge.channel.requests:
        await asyncio.sleep(0)
    gone.set()
    async with asyncio.timeout(5):
        await serving
    assert edge.channel.cancelled


async def test_who_waits_gets_the_answer_or_the_refusal(edge):
    assert (await edge.request(query=b"wait=true"))[0] == 200
    edge.channel.answer = Unauthenticated("no")
    assert (await edge.request(query=b"wait=true"))[0] == 401


# Operations.


async def test_health_and_readiness(edge):
    assert (await edge.request("/healthz", method="GET"))[0] == 200
    status, _, body = await edge.request("/readyz", method="GET")
    assert (status, json.loads(body)) == (200, edge.ready)
    edge.ready = {**edge.ready, "ready": False, "reasons": ["draining: …"]}
    assert (await edge.request("/readyz", method="GET"))[0] == 503


async def test_who_may_not_see_reads_only_whether_it_is_ready(edge):
    edge.seen_by = False
    _, _, body = await edge.request("/readyz", method="GET")
    assert json.loads(body) == {"ready": True}
    status, headers, body = await edge.request("/metrics", method="GET")
    assert (status, headers["www-authenticate"]) == (401, "Bearer")
    assert b"figures" not in body
    edge.seen_by = True
    assert b"figures 1" in (await edge.request("/metrics", method="GET"))[2]


async def test_the_front_door_leads_to_the_chat_and_the_rest_is_not_found(edge):
    status, headers, _ = await edge.request("/", method="GET")
    assert (status, headers["location"]) == (307, "/chat")
    assert (await edge.request("/nowhere", method="GET"))[0] == 404
    assert (await edge.request("/healthz", method="POST"))[0] == 405


async def test_the_admin_api_is_built_once_at_its_first_request(edge):
    assert edge.admin_built == 0
    answers = await asyncio.gather(
        *[edge.request("/api/v1/status", method="GET") for _ in range(3)]
    )
    assert {a[0] for a in answers} == {200}
    assert edge.admin_built == 1


async def test_an_app_that_cannot_be_built_is_tried_again_at_the_next_request():
    tried = []

    def build():
        tried.append(time.monotonic())
        if len(tried) == 1:
            raise OSError("out of files")
        return PlainTextResponse("built")

    lazy = LazyApp(build)
    with pytest.raises(OSError, match="out of files"):
        await lazy({"type": "http"}, None, None)
    sent = []

    async def send(message):
        sent.append(message)

    await lazy({"type": "http", "method": "GET"}, None, send)
    assert sent[0]["status"] == 200
