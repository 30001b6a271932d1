"""What WeCom's API answers, against the simulated WeCom: tokens, limits, refusals, directory."""

import asyncio
from typing import Any

import pytest

from ai_engine.domain.errors import (
    Malformed,
    PermissionMissing,
    SendRefused,
    SendRetryable,
    Unauthenticated,
)

from support.wecom import AUTH, CARD, shown, to, world

PNG = b"\x89PNG\r\n\x1a\n" + b"picture" * 3


async def test_two_hundred_answers_at_once_need_one_token():
    async with world() as (simulator, engine):
        simulator.faults.member_per_minute = 0
        async with asyncio.TaskGroup() as group:
            for n in range(200):
                simulator.directory.person(f"u{n}")
                group.create_task(engine.answer(to(f"u{n}"), f"answer {n}", reply_id=f"r{n}"))
        assert len(shown(simulator)) == 200
        assert len(simulator.wire.rows(path="/gettoken")) == 1


async def test_an_expired_token_is_renewed_once_and_the_answer_arrives():
    async with world() as (simulator, engine):
        await engine.answer(to(), "one")
        simulator.faults.expired_token = 1
        await engine.answer(to(), "two", reply_id="r2")
        assert [entry.text for entry in shown(simulator)] == ["one", "two"]
        assert len(simulator.wire.rows(path="/gettoken")) == 2
        simulator.faults.expired_token = 9
        with pytest.raises(SendRefused, match="42001"):
            await engine.answer(to(), "three", reply_id="r3")


async def test_throttling_is_tried_later_and_keeps_the_order():
    async with world() as (simulator, engine):
        simulator.faults.change({"throttle_after": 1, "throttle_times": 1})
        text = "一" * 600 + "\n\n" + "二" * 600
        with pytest.raises(SendRetryable) as error:
            await engine.answer(to(), text)
        assert error.value.retry_after_seconds == 5.0
        await engine.answer(to(), text)
        assert [entry.text[0] for entry in shown(simulator)] == ["一", "二"]


async def test_nobody_gets_more_than_wecom_lets_through():
    async with world() as (simulator, engine):
        for n in range(30):
            await engine.answer(to(), f"answer {n}", reply_id=f"r{n}")
        with pytest.raises(SendRetryable) as error:
            await engine.answer(to(), "one too many", reply_id="r30")
        assert 0 < (error.value.retry_after_seconds or 0) <= 60
        await engine.answer(to("lisi"), "hello", reply_id="r31")
        assert simulator.outbox.dropped == 0


@pytest.mark.parametrize(
    ("knob", "error", "said"),
    [
        ({"error_burst": 1}, SendRetryable, "HTTP 503"),
        ({"malformed_answer": 1}, SendRetryable, "cannot be read"),
        ({"drop_answer": 1}, SendRetryable, "could not be reached"),
        ({"send_errcode": -1}, SendRetryable, "busy"),
        ({"send_errcode": 45033}, SendRetryable, "throttles"),
        ({"send_errcode": 81013}, SendRefused, "81013.*可见范围"),
        ({"send_errcode": 40056}, SendRefused, "errcode 40056"),
        ({"send_errcode": 48002}, PermissionMissing, "接口权限"),
        ({"no_license": True}, SendRefused, "接口许可"),
    ],
)
async def test_refusals_of_the_api_say_what_to_do(
    knob: dict[str, Any], error: type[Exception], said: str
):
    async with world() as (simulator, engine):
        await engine.channel.check()
        simulator.faults.change(knob)
        with pytest.raises(error, match=said):
            await engine.answer(to(), "hi")


async def test_a_receiver_whom_wecom_does_not_know_is_refused():
    async with world() as (_, engine):
        with pytest.raises(SendRefused, match="可见范围"):
            await engine.answer(to("nobody"), "hi")
        with pytest.raises(SendRefused, match="可见范围"):
            await engine.answer(to("nobody|zhangsan"), "hi")
        with pytest.raises(SendRefused, match="names nobody"):
            await engine.answer({}, "hi")


async def test_an_address_that_is_not_trusted_is_named_with_the_page_until_it_is():
    async with world() as (simulator, engine):
        simulator.faults.ip_refused = "192.0.2.7"
        with pytest.raises(PermissionMissing) as error:
            await engine.answer(to(), "hi")
        assert error.value.permission == "企业可信IP"
        assert "add 192.0.2.7 at https://work.weixin.qq.com" in error.value.hint
        assert "企业可信IP" in engine.channel.status().detail
        simulator.faults.clear()
        await engine.answer(to(), "hi")
        assert engine.channel.status().detail == ""


async def test_secrets_are_in_no_error_and_no_log(caplog: pytest.LogCaptureFixture):
    async with world() as (simulator, engine):
        token = simulator.tokens.issue()[0]
        caplog.set_level("DEBUG", "ai_engine")
        said: list[str] = []
        for knob in ("error_burst", "drop_answer", "expired_token"):
            simulator.faults.change({knob: 9})
            with pytest.raises((SendRetryable, SendRefused)) as error:
                await engine.answer(to(), "hi")
            said.append(repr(error.value) + str(error.value))
            simulator.faults.clear()
        for secret in (token, AUTH["secret"], AUTH["aes_key"], AUTH["token"]):
            assert secret not in caplog.text + "".join(said)


# Proactive, directory, check


async def test_people_and_the_app_s_groups_can_be_written_to_first():
    async with world() as (simulator, engine):
        found = engine.channel.address("user:lisi")
        assert (found.chat.kind, found.user_id, found.tenant) == (
            "private",
            "lisi",
            AUTH["corp_id"],
        )
        await engine.answer(found.target, "reminder")
        group = simulator.directory.group()
        found = engine.channel.address(f"group:{group.id}")
        assert (found.chat.kind, found.user_id) == ("group", "")
        await engine.answer(found.target, "to all", card=CARD, feedback="x")
        first, second = shown(simulator)
        assert (first.chat, first.text) == ("private", "reminder")
        assert (second.chat, second.via) == ("group", "appchat/send")
        assert "请假审批" in second.text
        with pytest.raises(SendRefused, match="86001"):
            await engine.answer(engine.channel.address("group:none").target, "hi")
        for wrong in ("mail:lisi", "user:", "user:@all", "user:lisi|zhangsan"):
            with pytest.raises(Malformed):
                engine.channel.address(wrong)


async def test_the_directory_tells_name_departments_and_leader():
    async with world() as (simulator, engine):
        found = await engine.channel.profile("zhangsan")
        assert found is not None
        assert (found.name, found.departments, found.manager) == (
            "张三",
            ("产品部 Product",),
            "lisi",
        )
        await engine.channel.profile("zhangsan")
        assert len(simulator.wire.rows(path="/department/get")) == 1
        assert await engine.channel.profile("nobody") is None
        simulator.faults.no_directory = True
        with pytest.raises(PermissionMissing, match="接口权限"):
            await engine.channel.profile("zhangsan")


async def test_a_check_proves_the_credentials_and_names_what_is_wrong():
    async with world() as (_, engine):
        assert "AI助手" in await engine.channel.check()
    for name, error, said in (
        ("secret", Unauthenticated, "auth.secret"),
        ("corp_id", Unauthenticated, "auth.corp_id"),
        ("agent_id", PermissionMissing, "301002"),
    ):
        async with world({**AUTH, name: "1"}) as (_, engine):
            with pytest.raises(error, match=said):
                await engine.channel.check()


async def test_general_names_of_credentials_stand_in():
    auth = {name: AUTH[name] for name in ("agent_id", "token", "aes_key")}
    auth |= {"app_id": AUTH["corp_id"], "app_secret": AUTH["secret"]}
    async with world(auth) as (simulator, engine):
        assert engine.channel.status().state == "ready"
        asked = await simulator.say("zhangsan", "hello")
        await engine.answer(await engine.next(), "hi")
        assert (await simulator.wait_reply(asked)).text == "hi"
