"""The whole road in one process: a signed request in, the answer out, through every part."""

import asyncio
import json
import time

import pytest

from support.road import SECRET, road


@pytest.mark.requirement(
    "routing:webhook-in", "routing:reply", "verify:text", "bot:webhook-address"
)
async def test_a_dingtalk_message_is_answered_by_the_model_through_its_session_webhook(tmp_path):
    async with road(tmp_path) as r:
        r.model.reply("Forty-two.")
        assert await r.dingtalk("m1", "What is six times seven?") == 200
        assert "Forty-two." in await r.dingtalk_reply_to("m1")
        assert r.model.requests[0]["messages"][-1]["content"] == "What is six times seven?"


@pytest.mark.requirement("bot:credentials")
async def test_an_unsigned_request_is_refused_and_counted(tmp_path):
    async with road(tmp_path) as r:
        async with r.http.post(f"{r.url}/api/message/dingtalk", data=b"{}") as answer:
            assert answer.status == 401
        async with r.http.get(f"{r.url}/metrics") as answer:
            text = await answer.text()
        assert (
            'ai_engine_inbound_total{channel="dingtalk",result="refused:unauthenticated"} 1.0'
            in text
        )


@pytest.mark.requirement("routing:match")
async def test_rules_choose_the_part_that_answers(tmp_path):
    async with road(tmp_path) as r:
        await r.hook("m1", "ping")
        assert await r.reply_to("m1") == "pong"
        await r.hook("m2", "/ai@ hello")
        assert await r.reply_to("m2") == "stub answer"
        assert r.model.requests[0]["messages"][-1]["content"] == "hello"
        await r.hook("m3", "@bot today")
        await r.reply_to("m3")
        assert len(r.model.requests) == 1, "a triggered skill needs no model"


async def test_a_dropped_message_is_handled_without_an_answer(tmp_path):
    async with road(tmp_path) as r:
        await r.hook("m1", "hush now")
        await r.hook("m2", "ping")
        await r.reply_to("m2")
        assert r.receiver.answers("m1") == {}
        _, story = await r.api("messages/m1/trace")
        assert story["state"] == "handled"


async def test_a_repeated_message_is_a_duplicate_and_answered_once(tmp_path):
    async with road(tmp_path) as r:
        assert (await r.hook("m1", "ping"))[1]["status"] == "accepted"
        assert (await r.hook("m1", "ping"))[1]["status"] == "duplicate"
        await r.reply_to("m1")
        await r.hook("m2", "ping")
        await r.reply_to("m2")
        assert len(r.receiver.answers("m1")) == 1


async def test_the_model_sees_the_conversation_but_not_after_new(tmp_path):
    async with road(tmp_path) as r:
        for at, text in enumerate(("first", "second", "/new", "third")):
            await r.hook(f"m{at}", text)
            await r.reply_to(f"m{at}")
        contents = [[m["content"] for m in q["messages"][1:]] for q in r.model.requests]
        assert contents == [["first"], ["first", "stub answer", "second"], ["third"]]


@pytest.mark.requirement("session:shape")
async def test_the_session_has_the_guides_shape(tmp_path):
    async with road(tmp_path) as r:
        await r.hook("m1", "@bot today")
        await r.reply_to("m1")
        _, sessions = await r.api("sessions")
        status, session = await r.api(f"sessions/{sessions[0]['session_id']}")
        assert status == 200
        assert session["user_id"] == "zhangsan"
        assert session["context"]["last_skill"] == "calendar_query"
        assert isinstance(session["context"]["params"], dict)
        assert 890 <= session["expire_at"] - time.time() <= 901


@pytest.mark.requirement("config:text-template")
async def test_the_text_template_frames_every_answer(tmp_path):
    hook = {
        "type": "webhook",
        "auth": {"secret": SECRET},
        "message_format": {"text_template": "AI助手: {message}"},
    }
    async with road(tmp_path, channels={"hook": hook}) as r:
        status, answer = await r.hook("m1", "ping", query="?wait=true")
        assert status == 200
        assert answer["replies"][0]["text"] == "AI助手: pong"


async def test_stop_overtakes_the_queue_and_ends_the_answer_in_progress(tmp_path):
    async with road(tmp_path) as r:
        gate = asyncio.Event()
        r.model.reply("never seen", gate=gate)
        await r.hook("m1", "tell me a long story")
        await r.hook("m2", "and another")
        async with asyncio.timeout(5):
            await r.model.wait_for_requests(1)
        await r.hook("m3", "/stop")
        assert "(stopped)" in await r.reply_to("m1")
        await r.hook("m4", "ping")
        await r.reply_to("m4")
        assert r.receiver.answers("m2") == {}, "what was queued before it is cancelled"
        _, story = await r.api("messages/m2/trace")
        assert story["state"] == "cancelled"
        gate.set()


@pytest.mark.requirement("verify:faults")
async def test_when_no_model_answers_the_user_reads_an_honest_sentence(tmp_path):
    models = {"main": {"base_url": "http://127.0.0.1:9/v1", "model": "m", "retries": 0}}
    async with road(tmp_path, models=models) as r:
        await r.hook("m1", "hello?")
        text = await r.reply_to("m1")
        assert "cannot be reached" in text
        assert "模型暂时无法连接" in text
        assert "“@bot what's on tomorrow”" in text, "words that a rule does take"
        assert "lunch with Ann" not in text, "no rule starts this skill, so nothing is promised"


async def test_help_names_the_skills_in_the_language_of_the_message(tmp_path):
    async with road(tmp_path) as r:
        await r.hook("m1", "/help")
        await r.hook("m2", "/帮助")
        assert "/stop" in await r.reply_to("m1")
        assert "我会的技能" in await r.reply_to("m2")


async def test_a_reply_is_retried_until_the_receiver_takes_it_with_the_same_key(tmp_path):
    async with road(tmp_path) as r:
        r.receiver.status = 503
        await r.hook("m1", "ping")
        async with asyncio.timeout(10), r.receiver.changed:
            await r.receiver.changed.wait()
        r.receiver.status = 200
        assert await r.reply_to("m1") == "pong"


async def test_a_trace_tells_the_whole_story_by_either_id(tmp_path):
    async with road(tmp_path) as r:
        await r.hook("m1", "hello")
        await r.reply_to("m1")
        _, story = await r.api("messages/m1/trace")
        steps = [step["step"] for step in story["steps"]]
        for step in ("accepted", "started", "routed", "model", "answered", "committed"):
            assert step in steps, step
        _, again = await r.api(f"messages/{story['id']}/trace")
        assert again["message_id"] == "m1"
        assert "hello" not in json.dumps(story), "a trace holds no message text"


@pytest.mark.requirement("monitor:latency")
async def test_the_engines_own_latency_is_measured_apart_from_the_model(tmp_path):
    async with road(tmp_path) as r:
        r.model.reply("slow", delay_seconds=0.3)
        await r.hook("m1", "hello")
        await r.reply_to("m1")
        async with r.http.get(f"{r.url}/metrics") as answer:
            lines = (await answer.text()).splitlines()
        p99 = next(x for x in lines if x.startswith('ai_engine_latency_seconds{quantile="0.99"}'))
        assert float(p99.split()[-1]) < 0.25, "the model's 0.3 s are not the engine's"


async def test_admin_api_is_closed_without_the_token(tmp_path):
    async with road(tmp_path) as r, r.http.get(f"{r.url}/api/v1/sessions") as answer:
        assert answer.status == 401


async def test_a_changed_configuration_comes_into_force_and_a_broken_one_does_not(tmp_path):
    async with road(tmp_path) as r:
        path = tmp_path / "ai-engine.json"
        config = json.loads(path.read_text(encoding="utf-8"))
        config["routing_rules"][2]["text"] = "changed"
        path.write_text(json.dumps(config), encoding="utf-8")
        await r.engine.reload()
        await r.hook("m1", "ping")
        assert await r.reply_to("m1") == "changed"
        path.write_text('{"channels": 7}', encoding="utf-8")
        await r.engine.reload()
        await r.hook("m2", "ping")
        assert await r.reply_to("m2") == "changed"
