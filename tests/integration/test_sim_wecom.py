"""The simulated WeCom by itself: its callbacks, its API, its faults, its control API."""

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from ai_engine.domain.errors import Malformed, NotFound, Overloaded
from ai_engine.simulators.types import build as build_any
from ai_engine.simulators.wecom import SIMULATOR, WeComSimulator, build
from ai_engine.simulators.wecom.callbacks import Callbacks
from ai_engine.simulators.wecom.codec import read

from support.clock import ManualClock
from support.wecom import AUTH, shown, until

BUTTONS = {
    "card_type": "button_interaction",
    "main_title": {"title": "T"},
    "task_id": "t1",
    "button_list": [{"text": "A", "key": "a", "style": 1}],
}


class App:
    """An app that answers callbacks with what the test wants."""

    def __init__(self) -> None:
        self.status = 200
        self.seen: list[dict[str, str]] = []
        self.simulator: WeComSimulator

    async def handle(self, request: web.Request) -> web.Response:
        sealed = read(await request.text())["Encrypt"]
        self.seen.append(read(self.simulator.envelope.open(sealed)))
        return web.Response(status=self.status)


@asynccontextmanager
async def world(**more: Any) -> AsyncIterator[tuple[WeComSimulator, App]]:
    app = App()
    application = web.Application()
    application.router.add_post("/api/message/wecom", app.handle)
    server = TestServer(application)
    await server.start_server()
    try:
        async with build(AUTH, engine=str(server.make_url("")), **more) as simulator:
            simulator.faults.retry_seconds = 0.0
            app.simulator = simulator
            yield simulator, app
    finally:
        await server.close()


class Client:
    """Calls the simulated API as an app does."""

    def __init__(self, simulator: WeComSimulator) -> None:
        self.simulator = simulator
        self.token = simulator.tokens.issue()[0]

    async def call(self, path: str, body: Any = None, **query: str) -> dict[str, Any]:
        async with self.simulator.http.request(
            "GET" if body is None else "POST",
            f"{self.simulator.url}/cgi-bin{path}",
            params={"access_token": self.token, **query},
            json=body,
        ) as answer:
            return await answer.json()

    async def send(self, **body: Any) -> dict[str, Any]:
        base = {"touser": "zhangsan", "agentid": 1000002}
        return await self.call("/message/send", base | body)

    async def card(self, **changes: Any) -> dict[str, Any]:
        return await self.send(msgtype="template_card", template_card={**BUTTONS, **changes})


def test_the_simulator_is_known_by_its_type_and_by_general_names():
    auth = {"app_id": "ww9", "app_secret": "s9"}
    found = build_any("wecom", auth)
    assert isinstance(found, SIMULATOR)
    assert (found.corp_id, found.secret) == ("ww9", "s9")


@pytest.mark.parametrize(("any_status", "times"), [(True, 3), (False, 1)])
async def test_what_is_not_taken_is_sent_again_as_documented(any_status: bool, times: int):
    async with world() as (simulator, app):
        simulator.faults.retry_any_status = any_status
        app.status = 500
        entry = await simulator.wait_settled(await simulator.say("zhangsan", "hi"))
        assert (entry.status, entry.detail) == ("undelivered", "HTTP 500")
        assert len(app.seen) == times


async def test_an_app_that_is_away_is_tried_three_times():
    async with build(AUTH, engine="http://127.0.0.1:9") as simulator:
        simulator.faults.retry_seconds = 0.0
        entry = await simulator.wait_settled(await simulator.say("zhangsan", "hi"))
        assert entry.status == "undelivered"
        assert len(simulator.wire.rows(direction="out")) == 3
    async with build(AUTH) as simulator:
        entry = await simulator.wait_settled(await simulator.say("zhangsan", "hi"))
        assert entry.detail == "no engine URL is set"


async def test_messages_of_one_member_come_in_order_or_backwards_when_asked():
    async with world() as (simulator, app):
        for n in range(4):
            await simulator.say("zhangsan", str(n))
        await until(lambda: len(app.seen) == 4)
        simulator.faults.reorder = 2
        for n in range(4):
            await simulator.say("zhangsan", str(n))
        await until(lambda: len(app.seen) == 8)
        assert [row["Content"] for row in app.seen] == [*"0123", *"1032"]


async def test_what_makes_no_sense_is_refused(monkeypatch: pytest.MonkeyPatch):
    async with world() as (simulator, _):
        with pytest.raises(Malformed, match="one member at a time"):
            await simulator.say("zhangsan", "hi", chat="group")
        with pytest.raises(Malformed):
            await simulator.say("zhangsan")
        with pytest.raises(Malformed):
            await simulator.rate("x", "good")
        for unknown in (simulator.resend("x"), simulator.press("x")):
            with pytest.raises(NotFound):
                await unknown
        monkeypatch.setattr("ai_engine.simulators.wecom.callbacks.PENDING_MAX", 0)
        with pytest.raises(Overloaded):
            await simulator.say("zhangsan", "hi")
        assert isinstance(simulator.callbacks, Callbacks)


async def test_tokens_hold_until_they_end_and_are_the_same_meanwhile():
    clock = ManualClock()
    async with build(AUTH, clock=clock) as simulator:
        client = Client(simulator)
        query = {"corpid": AUTH["corp_id"], "corpsecret": AUTH["secret"]}
        found = await client.call("/gettoken", **query)
        assert (found["access_token"], found["expires_in"]) == (client.token, 7200)
        assert (await client.call("/gettoken", corpid="x"))["errcode"] == 40013
        assert (await client.call("/gettoken", **{**query, "corpsecret": "x"}))["errcode"] == 40001
        await clock.advance(7200)
        assert (await client.call("/agent/get", agentid="1000002"))["errcode"] == 42001
        client.token = "x"
        assert (await client.call("/agent/get", agentid="1000002"))["errcode"] == 40014
        async with simulator.http.get(f"{simulator.url}/cgi-bin/agent/get") as answer:
            assert (await answer.json())["errcode"] == 41001


@pytest.mark.parametrize(
    ("body", "errcode"),
    [
        ({"msgtype": "text", "text": {"content": ""}}, 44004),
        ({"msgtype": "text"}, 44004),
        ({"msgtype": "markdown", "markdown": {"content": "x" * 2049}}, 45002),
        ({"msgtype": "voice", "voice": {"media_id": "x"}}, 40007),
        ({"msgtype": "poem"}, 40008),
        ({"msgtype": "text", "text": {"content": "x"}, "agentid": 1}, 40056),
        ({"msgtype": "text", "text": {"content": "x"}, "touser": ""}, 40003),
        ({"msgtype": "text", "text": {"content": "x"}, "touser": "nobody"}, 81013),
        ({"msgtype": "template_card"}, 40058),
    ],
)
async def test_messages_that_wecom_would_refuse_are_refused(body: dict[str, Any], errcode: int):
    async with world() as (simulator, _):
        assert (await Client(simulator).send(**body))["errcode"] == errcode
        assert shown(simulator) == []


async def test_a_text_that_is_too_long_is_cut():
    async with world() as (simulator, _):
        await Client(simulator).send(msgtype="text", text={"content": "好" * 1000})
        assert shown(simulator)[-1].text == "好" * 682


@pytest.mark.parametrize(
    "changes",
    [
        {"card_type": "poem"},
        {"main_title": {}},
        {"task_id": "a b"},
        {"task_id": "a" * 129},
        {"button_list": []},
        {"button_list": [{"text": "A", "key": str(n)} for n in range(7)]},
        {"button_list": [{"text": "A", "key": "k" * 1025}]},
        {"button_list": [{"text": "A", "key": "k"}, {"text": "B", "key": "k"}]},
        {"button_list": [{"text": "A", "key": "k", "style": 9}]},
        {"button_list": [{"text": "A", "type": 1, "url": "javascript:x"}]},
        {"button_list": "A"},
        {"horizontal_content_list": [{"value": "no name"}]},
        {"horizontal_content_list": [{"keyname": "k"}] * 7},
        {"card_type": "text_notice"},
        {"card_type": "text_notice", "card_action": {"type": 2}},
        {"card_type": "news_notice", "card_action": {"type": 1, "url": "https://e.org"}},
    ],
)
async def test_cards_that_wecom_would_refuse_are_refused(changes: dict[str, Any]):
    async with world() as (simulator, _):
        assert (await Client(simulator).card(**changes))["errcode"] == 40058


async def test_a_card_gives_a_code_that_updates_it_once():
    async with world() as (simulator, app):
        client = Client(simulator)
        found = await client.card()
        assert found["response_code"]
        assert (await client.card(sub_title_text="other"))["errcode"] == 40058, "task id is used"
        entry = shown(simulator)[-1]
        await simulator.press(entry.id)
        await until(lambda: len(app.seen) == 1)
        event = app.seen[-1]
        assert (event["Event"], event["EventKey"], event["TaskId"]) == (
            "template_card_event",
            "a",
            "t1",
        )
        update = {"agentid": 1000002, "button": {"replace_name": "done"}}
        for body, errcode in (
            ({**update, "response_code": "x"}, 40058),
            ({**update, "response_code": event["ResponseCode"], "button": {}}, 40058),
            ({**update, "response_code": event["ResponseCode"], "agentid": 1}, 40056),
            ({**update, "response_code": event["ResponseCode"]}, 0),
            ({**update, "response_code": event["ResponseCode"]}, 40058),
        ):
            assert (await client.call("/message/update_template_card", body))["errcode"] == errcode
        assert shown(simulator)[-1].buttons == ({"label": "done", "disabled": True},)
        with pytest.raises(Malformed, match="calls nobody"):
            await simulator.press(entry.id)
        whole = {"agentid": 1000002, "response_code": found["response_code"]}
        card = {**BUTTONS, "main_title": {"title": "New"}}
        await client.call("/message/update_template_card", {**whole, "template_card": card})
        assert (shown(simulator)[-1].text, shown(simulator)[-1].edits) == ("New", 2)


async def test_equal_messages_are_held_back_when_the_app_asks_for_it():
    clock = ManualClock()
    async with build(AUTH, clock=clock) as simulator:
        client = Client(simulator)
        text = {"msgtype": "text", "text": {"content": "x"}}
        check = {"enable_duplicate_check": 1, "duplicate_check_interval": 60}
        for more in ({}, {}, check, check):
            assert (await client.send(**text, **more))["errcode"] == 0
        assert (len(shown(simulator)), simulator.outbox.repeats) == (2, 2)
        await clock.advance(61)
        await client.send(**text, **check)
        assert len(shown(simulator)) == 3


async def test_what_is_over_a_member_s_thirty_a_minute_is_dropped_without_a_word():
    async with world() as (simulator, _):
        client = Client(simulator)
        for n in range(31):
            found = await client.send(msgtype="text", text={"content": str(n)})
            assert found["errcode"] == 0
        assert (len(shown(simulator)), simulator.outbox.dropped) == (30, 1)


@pytest.mark.parametrize(
    ("kind", "content", "mime", "errcode"),
    [
        ("file", b"123456", "text/plain", 0),
        ("file", b"12345", "text/plain", 40006),
        ("image", b"123456", "image/gif", 40005),
        ("voice", b"x" * (2 * 1024 * 1024 + 1), "audio/amr", 40006),
        ("poem", b"123456", "text/plain", 40004),
    ],
)
async def test_uploads_are_checked(kind: str, content: bytes, mime: str, errcode: int):
    async with world() as (simulator, _):
        form = aiohttp.FormData()
        form.add_field("media", io.BytesIO(content), filename="a", content_type=mime)
        query = {"access_token": Client(simulator).token, "type": kind}
        url = f"{simulator.url}/cgi-bin/media/upload"
        async with simulator.http.post(url, params=query, data=form) as answer:
            assert (await answer.json())["errcode"] == errcode


async def test_the_control_api_does_what_people_do():
    async with world() as (simulator, app):

        async def post(path: str, **body: Any) -> dict[str, Any]:
            async with simulator.http.post(f"{simulator.url}/sim/{path}", json=body) as answer:
                return await answer.json()

        await post("send", user="zhangsan", text="hi")
        await post("enter", user="alice", name="Alice")
        await Client(simulator).card()
        assert (await post("press", entry=shown(simulator)[-1].id))["id"]
        await until(lambda: len(app.seen) == 3)
        assert {row["MsgType"] for row in app.seen} == {"text", "event"}
        async with simulator.http.get(f"{simulator.url}/sim/info") as answer:
            info = await answer.json()
        assert info["endpoints"] == {"api": simulator.url}
        assert info["callback_url"].endswith("/api/message/wecom")
        assert (await post("check-url"))["passed"] is False, "this app answers no GET"
