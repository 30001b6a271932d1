"""docs/reference/rest-api.md, asked of a running engine."""

import json
import re
import urllib.error
import urllib.request

import pytest

from support.docs import ROOT, rows
from support.sandbox import SECRET, Sandbox

DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
PAGE = ROOT / "docs" / "reference" / "rest-api.md"
REQUESTS = [row[0].strip("`") for row in rows(PAGE) if row[0].startswith("`GET /")]
REQUESTS = [request for request in REQUESTS if "/people/" not in request]  # needs a platform


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    with Sandbox(tmp_path_factory.mktemp("rest") / "here") as sandbox:
        sandbox.prepare()
        yield sandbox


@pytest.fixture(scope="module")
def token(engine):
    return (engine.folder / "data" / "admin.token").read_text(encoding="ascii").strip()


def ask(engine, path, token="", *, method="GET", body=None):
    """(status, headers, JSON)"""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    data = None if body is None else json.dumps(body).encode()
    if data is not None:
        headers["content-type"] = "application/json"
    request = urllib.request.Request(engine.url + path, data, headers, method=method)
    try:
        with DIRECT.open(request, timeout=20) as response:
            return response.status, response.headers, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, error.headers, json.load(error)


def assert_refused(answer, status, code):
    assert answer[0] == status
    assert answer[2]["error"].keys() == {"code", "message", "hint"}
    assert answer[2]["error"]["code"] == code


@pytest.mark.parametrize("request_line", REQUESTS)
def test_every_documented_reading_request_answers(engine, token, request_line):
    path = request_line.removeprefix("GET ").split("?")[0]
    names = {"{session_id}": "SESSION_ID", "{message_id}": "MESSAGE_ID"}
    for placeholder, name in names.items():
        path = path.replace(placeholder, engine.names[name])
    assert ask(engine, f"/api/v1{path}", token)[0] == 200


def test_a_route_can_be_tried(engine, token):
    body = {"text": "@bot today", "chat": "group"}
    status, _, found = ask(engine, "/api/v1/routes/test", token, method="POST", body=body)
    assert status == 200
    assert found.keys() == {"action", "skill_id", "rule", "text", "why"}
    assert (found["action"], found["skill_id"]) == ("trigger_skill", "calendar_query")


def test_refusals_have_one_shape(engine, token):
    assert_refused(ask(engine, "/api/v1/status"), 401, "unauthenticated")
    assert_refused(ask(engine, "/api/v1/sessions/none", token), 404, "not_found")
    assert_refused(ask(engine, "/api/v1/deadletters?limit=0", token), 422, "malformed")
    replay = ask(engine, "/api/v1/deadletters/none/replay", token, method="POST")
    assert_refused(replay, 404, "not_found")
    unknown = ask(engine, "/api/message/none", method="POST", body={})
    assert_refused(unknown, 404, "not_found")
    assert_refused(ask(engine, "/api/message/bot", method="POST", body={}), 401, "unauthenticated")


def test_the_configuration_shows_no_secret(engine, token):
    _, _, config = ask(engine, "/api/v1/config", token)
    assert SECRET not in json.dumps(config)
    assert config["channels"]["bot"]["auth"]["secret"] == "${BOT_SECRET}"


def test_health_and_readiness_are_as_documented(engine):
    assert ask(engine, "/healthz")[2] == {"status": "ok"}
    status, _, found = ask(engine, "/readyz")
    assert status == 200
    assert found["ready"] is True
    assert found["channels"]["bot"]["state"] == "ready"


def test_ten_wrong_tokens_and_the_address_must_wait(tmp_path):
    with Sandbox(tmp_path / "here") as sandbox:
        sandbox.prepare()
        for _ in range(10):
            wrong = ask(sandbox, "/api/v1/status", "wrong")
            assert_refused(wrong, 401, "unauthenticated")
        throttled = ask(sandbox, "/api/v1/status", "wrong")
        assert_refused(throttled, 429, "throttled")
        assert re.fullmatch(r"\d+", throttled[1]["Retry-After"])
