"""HTTP mode, reply URLs, faults and the control API, against an engine that the test plays."""

import asyncio
import base64
import json
import urllib.parse
from collections.abc import AsyncGenerator
from typing import Any

import aiohttp
import pytest

from ai_engine.domain.errors import Malformed, NotFound
from ai_engine.simulators.dingtalk import DingTalkSimulator
from ai_engine.simulators.dingtalk.crypto import sign, signature_holds

from support.callback_engine import CallbackEngine
from support.watched_clock import WatchedClock


@pytest.fixture
def clock() -> WatchedClock:
    return WatchedClock()


@pytest.fixture
async def engine() -> AsyncGenerator[CallbackEngine]:
    async with CallbackEngine() as running:
        yield running


@pytest.fixture
async def sim(engine: CallbackEngine, clock: WatchedClock) -> AsyncGenerator[DingTalkSimulator]:
    async with DingTalkSimulator(
        app_id="dingapp", app_secret="s3cret", engine=engine.url, clock=clock
    ) as running:
        yield running


async def call(
    sim: DingTalkSimulator, method: str, path: str, body: Any = None, **more: Any
) -> tuple[int, Any]:
    url = path if path.startswith("http") else sim.url + path
    if body is not None:
        more["json"] = body
    async with aiohttp.ClientSession() as session, session.request(method, url, **more) as answer:
        text = await answer.text()
        return answer.status, json.loads(text) if text else None


async def reply(sim: DingTalkSimulator, hook: str, text: str = "answer", **more: Any) -> Any:
    body = {"msgtype": "text", "text": {"content": text}}
    status, answer = await call(sim, "POST", hook, body, **more)
    assert status == 200
    return answer


async def test_a_callback_is_signed_and_names_where_to_reply(
    sim: DingTalkSimulator, engine: CallbackEngine, clock: WatchedClock
):
    asked = await sim.say("zhangsan", "hello")
    await engine.wait(1)
    headers, _ = engine.requests[0]
    now_ms = int(clock.time() * 1000)
    assert signature_holds(headers["timestamp"], headers["sign"], "s3cret", now_ms=now_ms)
    body = engine.bodies[0]
    assert (body["msgId"], body["senderStaffId"], body["robotCode"]) == (
        *(asked, "zhangsan", "dingapp"),
    )
    assert body["sessionWebhookExpiredTime"] == now_ms + 5_400_000
    assert await reply(sim, body["sessionWebhook"]) == {"errcode": 0, "errmsg": "ok"}
    shown = await sim.wait_reply(asked)
    assert (shown.text, shown.reply_to, shown.conversation) == (
        *("answer", asked, "cid-private-zhangsan"),
    )
    settled = await sim.wait_settled(asked)
    assert (settled.status, settled.via, settled.detail) == ("delivered", "http", "HTTP 200")


@pytest.mark.parametrize("status", [401, 403, 500, 503])
async def test_a_refused_callback_is_undelivered_and_sent_only_once(
    sim: DingTalkSimulator, engine: CallbackEngine, status: int
):
    engine.status = status
    first = await sim.say("zhangsan", "lost")
    assert (await sim.wait_settled(first)).status == "undelivered"
    engine.status = 200
    second = await sim.say("zhangsan", "next")
    assert (await sim.wait_settled(second)).status == "delivered"
    assert engine.texts == ["lost", "next"]


async def test_without_engine_and_stream_a_message_is_undelivered_and_says_why():
    async with DingTalkSimulator(app_id="a", app_secret="s") as sim:
        settled = await sim.wait_settled(await sim.say("zhangsan", "anybody?"))
        assert settled.status == "undelivered"
        assert "no engine URL" in settled.detail


async def test_an_engine_that_is_down_leaves_the_message_undelivered(engine: CallbackEngine):
    async with DingTalkSimulator(app_id="a", app_secret="s", engine="http://127.0.0.1:9") as sim:
        settled = await sim.wait_settled(await sim.say("zhangsan", "anybody?"))
        assert settled.status == "undelivered"
        assert "Connect" in settled.detail


async def test_a_conversation_is_in_order_and_a_slow_one_holds_up_nobody_else(
    sim: DingTalkSimulator, engine: CallbackEngine
):
    engine.gate.clear()
    held = [await sim.say("zhangsan", f"z{n}") for n in range(3)]
    await engine.wait(1)
    await sim.say("lisi", "other")
    await engine.wait(2)
    assert engine.texts == ["z0", "other"]
    engine.gate.set()
    await sim.wait_settled(held[-1])
    assert [text for text in engine.texts if text != "other"] == ["z0", "z1", "z2"]


async def test_in_a_group_the_robot_sees_only_what_mentions_it(
    sim: DingTalkSimulator, engine: CallbackEngine
):
    unseen = await sim.say("zhangsan", "lunch?", chat="group", at=False)
    await sim.say("zhangsan", "@AI助手 北京天气", chat="group", at=False)
    await sim.say("lisi", "@bot 明天有什么安排", chat="group")
    await engine.wait(2)
    assert engine.texts == [" 北京天气", " @bot 明天有什么安排"]
    entry = sim.transcript.get(unseen)
    assert entry is not None
    assert entry.status == "unseen"


async def test_a_reply_session_ends_when_it_was_said_to_end(
    sim: DingTalkSimulator, engine: CallbackEngine, clock: WatchedClock
):
    await sim.say("zhangsan", "hello")
    await engine.wait(1)
    hook = engine.bodies[0]["sessionWebhook"]
    await clock.advance(5399)
    assert (await reply(sim, hook))["errcode"] == 0
    await clock.advance(1)
    assert (await reply(sim, hook))["errcode"] == 300001
    unknown = f"{sim.url}/robot/sendBySession?session=guess"
    assert (await reply(sim, unknown))["errcode"] == 300001


async def test_a_session_may_be_issued_expired_or_refused_before_its_time(
    sim: DingTalkSimulator, engine: CallbackEngine, clock: WatchedClock
):
    sim.faults.change({"session_webhook_seconds": -1})
    await sim.say("zhangsan", "one")
    sim.faults.clear()
    await engine.wait(1)
    assert engine.bodies[0]["sessionWebhookExpiredTime"] < clock.time() * 1000
    sim.faults.change({"session_webhook_expired": True})
    await sim.say("zhangsan", "two")
    await engine.wait(2)
    assert engine.bodies[1]["sessionWebhookExpiredTime"] > clock.time() * 1000
    assert (await reply(sim, engine.bodies[1]["sessionWebhook"]))["errcode"] != 0


@pytest.mark.parametrize(
    ("data", "content_type", "errcode"),
    [
        (b"{", "application/json", 40035),
        (b"[]", "application/json", 40035),
        (b'{"msgtype":"text","text":{"content":"x"}}', "text/plain", 43004),
        (b'{"msgtype":"voice","voice":{}}', "application/json", 400105),
    ],
)
async def test_a_wrong_reply_gets_http_200_and_its_errcode(
    sim: DingTalkSimulator, engine: CallbackEngine, data: bytes, content_type: str, errcode: int
):
    await sim.say("zhangsan", "hello")
    await engine.wait(1)
    status, answer = await call(
        sim,
        *("POST", engine.bodies[0]["sessionWebhook"]),
        data=data,
        headers={"Content-Type": content_type},
    )
    assert (status, answer["errcode"]) == (200, errcode)


async def test_faults_on_the_way_to_the_engine(
    sim: DingTalkSimulator, engine: CallbackEngine, clock: WatchedClock
):
    now_ms = int(clock.time() * 1000)
    sim.faults.change({"wrong_secret": True})
    await sim.say("zhangsan", "forged")
    await engine.wait(1)
    headers, _ = engine.requests[0]
    assert not signature_holds(headers["timestamp"], headers["sign"], "s3cret", now_ms=now_ms)
    sim.faults.clear()
    sim.faults.change({"clock_skew_seconds": -7200})
    await sim.say("zhangsan", "stale")
    await engine.wait(2)
    headers, _ = engine.requests[1]
    assert int(headers["timestamp"]) == now_ms - 7_200_000
    assert headers["sign"] == sign(headers["timestamp"], "s3cret")
    sim.faults.clear()
    sim.faults.change({"malformed_json": True})
    await sim.say("zhangsan", "cut")
    await engine.wait(3)
    with pytest.raises(json.JSONDecodeError):
        json.loads(engine.requests[2][1])


async def test_a_duplicate_has_the_same_message_id_and_its_own_signature_time(
    sim: DingTalkSimulator, engine: CallbackEngine
):
    sim.faults.change({"duplicate": 2})
    asked = await sim.say("zhangsan", "thrice")
    await engine.wait(3)
    assert [body["msgId"] for body in engine.bodies] == [asked] * 3


async def test_resending_signs_anew_and_replaying_repeats_every_byte(
    sim: DingTalkSimulator, engine: CallbackEngine, clock: WatchedClock
):
    asked = await sim.say("zhangsan", "hello")
    await sim.wait_settled(asked)
    await clock.advance(60)
    await sim.resend(asked)
    await sim.resend(asked, replay=True)
    (first, body), (again, _), (replayed, same) = engine.requests
    assert again["timestamp"] != first["timestamp"]
    assert (replayed["timestamp"], replayed["sign"], same) == (
        *(again["timestamp"], again["sign"], body),
    )
    with pytest.raises(NotFound):
        await sim.resend("unknown")


async def test_reordering_turns_a_run_of_one_conversation_around(
    sim: DingTalkSimulator, engine: CallbackEngine
):
    sim.faults.change({"reorder": 3})
    for n in range(3):
        await sim.say("zhangsan", str(n))
    await engine.wait(3)
    assert engine.texts == ["2", "1", "0"]


async def test_delay_waits_on_the_clock_before_sending(
    sim: DingTalkSimulator, engine: CallbackEngine, clock: WatchedClock
):
    sim.faults.change({"delay_seconds": 30})
    await sim.say("zhangsan", "later")
    await clock.asleep(lambda seconds: seconds == 30)
    await clock.advance(29)
    assert engine.requests == []
    await clock.advance(1)
    await engine.wait(1)


async def test_an_answer_may_be_lost_although_the_reply_is_shown(
    sim: DingTalkSimulator, engine: CallbackEngine
):
    asked = await sim.say("zhangsan", "hello")
    await engine.wait(1)
    hook = engine.bodies[0]["sessionWebhook"]
    sim.faults.change({"drop_answer": 1})
    with pytest.raises(aiohttp.ClientError):
        await reply(sim, hook, "first")
    assert (await reply(sim, hook, "second"))["errcode"] == 0
    assert [entry.text for entry in sim.transcript.replies_to(asked)] == ["first", "second"]


async def test_bursts_throttling_and_chosen_errcodes_refuse_without_effect(
    sim: DingTalkSimulator, engine: CallbackEngine
):
    asked = await sim.say("zhangsan", "hello")
    await engine.wait(1)
    hook = engine.bodies[0]["sessionWebhook"]
    sim.faults.change({"error_burst": 2})
    body = {"msgtype": "text", "text": {"content": "x"}}
    assert [(await call(sim, "POST", hook, body))[0] for _ in range(3)] == [503, 503, 200]
    sim.faults.change({"throttle_after": 1, "throttle_times": 1})
    assert [(await reply(sim, hook))["errcode"] for _ in range(3)] == [0, 410100, 0]
    sim.faults.change({"reply_errcode": 310000})
    assert (await reply(sim, hook))["errcode"] == 310000
    sim.faults.clear()
    sim.faults.change({"malformed_answer": 1})
    with pytest.raises(json.JSONDecodeError):
        await reply(sim, hook)
    assert len(sim.transcript.replies_to(asked)) == 4


async def test_a_custom_robot_checks_its_signature_deduplicates_and_is_throttled(
    sim: DingTalkSimulator, clock: WatchedClock
):
    robot = sim.webhooks.custom

    def url(secret: str = robot.secret, token: str = robot.token) -> str:
        stamp = str(int(clock.time() * 1000))
        query = {"access_token": token, "timestamp": stamp, "sign": sign(stamp, secret)}
        return f"{sim.url}/robot/send?{urllib.parse.urlencode(query)}"

    body = {"msgtype": "text", "text": {"content": "deployed"}, "msgUuid": "one"}
    assert (await call(sim, "POST", url(), body))[1]["errcode"] == 0
    assert (await call(sim, "POST", url(), body))[1]["errcode"] == 0
    assert len(sim.transcript.list()) == 1
    assert (await reply(sim, url(secret="wrong")))["errcode"] == 310000
    assert (await reply(sim, url(token="")))["errcode"] == 400101
    codes = [(await reply(sim, url(), str(n)))["errcode"] for n in range(20)]
    assert codes == [0] * 19 + [410100]
    await clock.advance(599)
    assert (await reply(sim, url()))["errcode"] == 410100
    await clock.advance(1)
    assert (await reply(sim, url()))["errcode"] == 0


async def test_both_older_ways_to_a_token_give_the_same_one(sim: DingTalkSimulator):
    query = {"appkey": "dingapp", "appsecret": "s3cret"}
    old = (await call(sim, "GET", "/gettoken", params=query))[1]
    assert (old["errcode"], old["expires_in"]) == (0, 7200)
    corp = {
        "client_id": "dingapp",
        "client_secret": "s3cret",
        "grant_type": "client_credentials",
    }
    path = f"/v1.0/oauth2/{sim.info()['corp_id']}/token"
    assert (await call(sim, "POST", path, corp))[1]["access_token"] == old["access_token"]
    assert (await call(sim, "POST", path, corp | {"client_secret": "x"}))[0] == 400
    assert (await call(sim, "GET", "/gettoken", params=query | {"appsecret": ""}))[1]["errcode"]


async def test_an_uploaded_file_can_be_sent_and_looked_at(sim: DingTalkSimulator):
    app = {"appKey": "dingapp", "appSecret": "s3cret"}
    token = (await call(sim, "POST", "/v1.0/oauth2/accessToken", app))[1]["accessToken"]
    form = aiohttp.FormData()
    form.add_field("type", "file")
    form.add_field("media", b"%PDF", filename="plan.pdf", content_type="application/pdf")
    path = f"/media/upload?access_token={token}"
    status, uploaded = await call(sim, "POST", path, data=form)
    assert (status, uploaded["errcode"]) == (200, 0)
    param = {"mediaId": uploaded["media_id"], "fileName": "plan.pdf", "fileType": "pdf"}
    send = {
        "robotCode": "dingapp",
        "userIds": ["alice"],
        "msgKey": "sampleFile",
        "msgParam": json.dumps(param),
    }
    headers = {"x-acs-dingtalk-access-token": token}
    path = "/v1.0/robot/oToMessages/batchSend"
    assert (await call(sim, "POST", path, send, headers=headers))[0] == 200
    (shown,) = sim.transcript.list()
    async with sim.http.get(sim.url + shown.url) as answer:
        assert await answer.read() == b"%PDF"
    wrong = await call(sim, "POST", "/media/upload?access_token=x", data=aiohttp.FormData())
    assert wrong[1]["errcode"] == 40014


async def test_the_control_api_sends_and_shows_the_transcript(
    sim: DingTalkSimulator, engine: CallbackEngine
):
    async def answer(body: Any) -> None:
        await reply(sim, body["sessionWebhook"], "hi")

    engine.answer = answer
    sent = {"user": "u9", "text": "hello", "chat": "private", "conversation": "c9"}
    status, told = await call(sim, "POST", "/sim/send", sent)
    assert status == 200
    await sim.wait_reply(told["message_id"])
    _, entries = await call(sim, "GET", "/sim/transcript?conversation=c9")
    assert [(e["from"], e["text"], e["kind"], e["reply_to"]) for e in entries] == [
        ("u9", "hello", "text", None),
        ("bot", "hi", "text", told["message_id"]),
    ]
    assert (await call(sim, "GET", "/sim/transcript?conversation=c9&after=1"))[1] == entries[1:]
    assert (await call(sim, "GET", "/sim/transcript?conversation=other"))[1] == []


async def test_the_transcript_can_be_waited_for(sim: DingTalkSimulator):
    waiting = asyncio.ensure_future(
        call(sim, "GET", "/sim/transcript?conversation=cw&after=0&wait=5")
    )
    async with asyncio.timeout(5):
        while not sim.transcript._waiting:
            await asyncio.sleep(0)
    await sim.say("zhangsan", "at last", conversation="cw")
    assert [entry["text"] for entry in (await waiting)[1]] == ["at last"]
    assert (await call(sim, "GET", "/sim/transcript?conversation=cx&wait=0.01"))[1] == []


@pytest.mark.parametrize(
    "body",
    [
        {"text": "no user"},
        {"user": "u"},
        {"user": "u", "text": "x", "chat": "channel"},
        {"user": "u", "text": "x", "colour": "red"},
        {"user": "u", "file": {"base64": "%%%"}},
    ],
)
async def test_a_wrong_send_is_refused_with_a_reason(sim: DingTalkSimulator, body: Any):
    status, problem = await call(sim, "POST", "/sim/send", body)
    assert (status, problem["error"]) == (422, "malformed")
    assert problem["message"]
    assert sim.transcript.list() == []


async def test_a_page_of_another_site_cannot_use_the_control_api(sim: DingTalkSimulator):
    sent = {"user": "u", "text": "x"}
    headers = {"Origin": "https://evil.example"}
    assert (await call(sim, "POST", "/sim/send", sent, headers=headers))[0] == 403
    assert sim.transcript.list() == []
    same = {"Origin": sim.url}
    assert (await call(sim, "POST", "/sim/send", sent, headers=same))[0] == 200


async def test_faults_are_set_shown_and_cleared_over_the_control_api(sim: DingTalkSimulator):
    status, knobs = await call(sim, "POST", "/sim/faults", {"duplicate": 2, "no_staff_id": True})
    assert (status, knobs["duplicate"], knobs["no_staff_id"]) == (200, 2, True)
    assert (await call(sim, "GET", "/sim/faults"))[1] == knobs
    status, problem = await call(sim, "POST", "/sim/faults", {"duplicat": 1})
    assert status == 422
    assert "duplicate" in problem["hint"]
    assert (await call(sim, "DELETE", "/sim/faults"))[1]["duplicate"] == 0


async def test_every_request_is_kept_as_a_line_with_its_signature(
    sim: DingTalkSimulator, engine: CallbackEngine
):
    asked = await sim.say("zhangsan", "hello")
    await sim.wait_settled(asked)
    await reply(sim, engine.bodies[0]["sessionWebhook"])
    async with sim.http.get(f"{sim.url}/sim/requests") as answer:
        rows = [json.loads(line) for line in (await answer.text()).splitlines()]
    assert [(row["direction"], row["path"], row["status"]) for row in rows] == [
        ("out", "/api/message/dingtalk", 200),
        ("in", "/robot/sendBySession", 200),
    ]
    assert rows[0]["headers"]["sign"]
    assert json.loads(rows[1]["body"])["text"]["content"] == "answer"
    async with sim.http.get(f"{sim.url}/sim/requests?direction=in") as answer:
        assert len((await answer.text()).splitlines()) == 1


async def test_events_tell_of_entries_states_and_requests_as_they_come(sim: DingTalkSimulator):
    kinds: list[str] = []
    async with sim.http.get(f"{sim.url}/sim/events") as stream, asyncio.timeout(5):
        assert stream.content_type == "text/event-stream"
        async for line in stream.content:
            if not line.startswith(b"event: "):
                continue
            kinds.append(line.decode().split()[1])
            if kinds == ["hello", "state"]:
                await sim.say("zhangsan", "hello")
            if kinds[-1] == "status":
                break
    assert kinds == ["hello", "state", "entry", "request", "status"]


async def test_info_names_what_sdks_and_the_engine_need(sim: DingTalkSimulator):
    _, info = await call(sim, "GET", "/sim/info")
    assert info["endpoints"] == {"api": sim.url, "oapi": sim.url}
    assert info["callback_url"].endswith("/api/message/dingtalk")
    assert info["state"] == {"engine": "ready", "connections": 0, "mode": "http"}


async def test_the_page_and_its_files_are_served_under_a_strict_policy(sim: DingTalkSimulator):
    for path in ("/", "/page/chat.js", "/page/chat.css", "/page/markdown.js"):
        async with sim.http.get(sim.url + path) as answer:
            assert answer.status == 200
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert (await call(sim, "GET", "/page/..%2Fbase.py"))[0] == 404


async def test_nothing_to_say_is_refused(sim: DingTalkSimulator):
    with pytest.raises(Malformed):
        await sim.say("zhangsan")


async def test_a_file_of_a_nonsense_type_is_served_as_plain_bytes(sim: DingTalkSimulator):
    file = {"kind": "picture", "mime": "text/html; x\r\ny", "base64": "aGVsbG8="}
    await call(sim, "POST", "/sim/send", {"user": "zhangsan", "file": file})
    (entry,) = sim.transcript.list()
    async with sim.http.get(sim.url + entry.url) as answer:
        assert (answer.content_type, await answer.read()) == ("application/octet-stream", b"hello")


async def test_a_file_is_announced_by_its_download_code(
    sim: DingTalkSimulator, engine: CallbackEngine
):
    given = {"kind": "file", "name": "a.txt", "mime": "text/plain"}
    file = given | {"base64": base64.b64encode(b"hello").decode()}
    await call(sim, "POST", "/sim/send", {"user": "zhangsan", "file": file})
    await engine.wait(1)
    body = engine.bodies[0]
    assert (body["msgtype"], body["content"]["fileName"]) == ("file", "a.txt")
    async with sim.http.get(f"{sim.url}/files/{body['content']['downloadCode']}") as answer:
        assert await answer.read() == b"hello"
