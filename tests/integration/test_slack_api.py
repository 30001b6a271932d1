"""The Slack channel on the simulated Slack: files, refusals, what people see beside answers."""

import asyncio
from typing import Any

import pytest

from ai_engine.domain.errors import PermissionMissing, SendRefused, SendRetryable, Unauthenticated
from ai_engine.domain.message import Attachment, MessageKind
from ai_engine.simulators.files import SharedFile

from support.slack_world import bot_entries, out, to, world

PNG = b"\x89PNG\r\n\x1a\n"


# Media


async def test_pictures_and_files_of_people_are_read_with_the_bot_s_token():
    async with world() as (simulator, engine):
        file = SharedFile(kind="picture", name="a b.png", mime="image/png", content=PNG)
        await simulator.say("zhangsan", file=file)
        message = await engine.next()
        [attachment] = message.attachments
        assert (message.kind, message.text) == (MessageKind.TEXT, "")
        assert (attachment.kind, attachment.bytes_size) == ("image", len(PNG))
        media = await engine.channel.fetch(attachment, message.target)
        assert (media.content, media.mime, media.name) == (PNG, "image/png", "a b.png")
        by_id = Attachment(kind="image", ref="id:" + attachment.ref.split("-")[-1].split("/")[0])
        assert (await engine.channel.fetch(by_id, message.target)).content == PNG


async def test_a_voice_clip_without_its_words_is_named():
    async with world() as (simulator, engine):
        file = SharedFile(kind="audio", name="v.m4a", mime="audio/mp4", content=b"x")
        await simulator.say("zhangsan", file=file)
        message = await engine.next()
        assert (message.kind, message.attachments[0].kind) == (MessageKind.UNSUPPORTED, "audio")
        assert "voice" in message.text


@pytest.mark.parametrize(
    ("ref", "size", "said"),
    [
        ("https://evil.example/x", 1, "not allowed|host"),
        ("file:///etc/passwd", 1, "refused a URL"),
        ("https://files.slack.com@evil.example/x", 1, "refused a URL"),
        ("https://files.slack.com/x", 30_000_000, "more than"),
    ],
)
async def test_the_token_goes_to_no_other_host_and_large_files_are_not_read(
    ref: str, size: int, said: str
):
    async with world() as (_, engine):
        with pytest.raises(SendRefused, match=said):
            await engine.channel.fetch(Attachment(kind="file", ref=ref, bytes_size=size), {})


async def test_a_file_that_is_larger_than_it_says_is_not_read():
    async with world() as (simulator, engine):
        file = SharedFile(kind="file", name="a.bin", mime="a/b", content=b"x" * 20_000_001)
        await simulator.say("zhangsan", file=file)
        attachment = (await engine.next()).attachments[0]
        lying = Attachment(kind="file", ref=attachment.ref, bytes_size=5)
        with pytest.raises(SendRefused, match="more than"):
            await engine.channel.fetch(lying, {})


async def test_pictures_and_files_are_sent_after_the_text():
    async with world() as (simulator, engine):
        asked = await simulator.say("zhangsan", "draw", chat="group")
        message = await engine.next()
        ref = await engine.channel.host.media.put(PNG, name="p.png", mime="image/png")
        media = (
            Attachment(kind="image", url=ref, name="p.png"),
            Attachment(kind="file", url="data:text/plain;base64,aGk=", name="a.txt"),
        )
        await engine.channel.send(out(message, "here", media=media))
        text, picture, file = bot_entries(simulator)
        assert [text.kind, picture.kind, file.kind] == ["markdown", "picture", "file"]
        assert picture.reply_to == asked
        gone = (Attachment(kind="image", url="blob:gone"),)
        with pytest.raises(SendRefused):
            await engine.channel.send(out(message, media=gone))


# Refusals


@pytest.mark.parametrize(
    ("knob", "error", "said"),
    [
        ({"missing_scope": "chat:write"}, PermissionMissing, "chat:write"),
        ({"token_revoked": True}, SendRefused, "token_revoked"),
        ({"throttle_after": 0}, SendRetryable, "throttles"),
        ({"error_burst": 9}, SendRetryable, "Slack"),
        ({"drop_answer": 9}, SendRetryable, "could not be reached"),
        ({"malformed_answer": 9}, SendRetryable, "Slack failed"),
        ({"not_in_channel": True}, SendRefused, "/invite"),
    ],
)
async def test_refusals_say_what_to_do(knob: dict[str, Any], error: type[Exception], said: str):
    async with world() as (simulator, engine):
        await simulator.say("zhangsan", "hello", chat="group")
        message = await engine.next()
        simulator.faults.change(knob)
        with pytest.raises(error, match=said):
            await engine.channel.send(out(message, "hi"))


async def test_throttled_answers_wait_as_long_as_slack_says_and_stay_in_order():
    async with world() as (simulator, engine):
        await simulator.say("zhangsan", "hello")
        message = await engine.next()
        simulator.faults.change(
            {"throttle_after": 1, "throttle_times": 2, "retry_after_seconds": 7}
        )
        waits: list[float | None] = []
        for n in range(3):
            while True:
                try:
                    await engine.channel.send(out(message, f"part {n}"))
                except SendRetryable as error:
                    waits.append(error.retry_after_seconds)
                else:
                    break
        assert waits == [7.0, 7.0]
        assert [entry.text for entry in bot_entries(simulator)] == ["part 0", "part 1", "part 2"]


async def test_a_missing_scope_is_shown_until_a_call_has_worked():
    async with world() as (simulator, engine):
        await simulator.say("zhangsan", "hello")
        message = await engine.next()
        for scope, work in (
            ("chat:write", lambda: engine.channel.send(out(message, "hi"))),
            ("reactions:write", lambda: engine.channel.seen(message.target)),
            ("users:read", lambda: engine.channel.profile("lisi")),
        ):
            simulator.faults.missing_scope = scope
            with pytest.raises(PermissionMissing) as caught:
                await work()
            assert caught.value.permission == scope
            assert "api.slack.com" in caught.value.hint
            assert f"permission {scope} is missing" in engine.channel.status().detail
            simulator.faults.missing_scope = ""
            await work()
            assert scope not in engine.channel.status().detail


async def test_files_that_need_a_scope_name_it():
    async with world() as (simulator, engine):
        file = SharedFile(kind="file", name="a.txt", mime="text/plain", content=b"x")
        await simulator.say("zhangsan", file=file)
        message = await engine.next()
        simulator.faults.missing_scope = "files:read"
        with pytest.raises(PermissionMissing) as caught:
            await engine.channel.fetch(message.attachments[0], message.target)
        assert caught.value.permission == "files:read"
        simulator.faults.missing_scope = "files:write"
        media = (Attachment(kind="file", url="data:text/plain,hi", name="a.txt"),)
        with pytest.raises(PermissionMissing, match="files:write"):
            await engine.channel.send(out(message, media=media))


# What else people see


async def test_what_was_noticed_is_shown_by_eyes_or_in_a_thread_by_a_status():
    async with world() as (simulator, engine):
        asked = await simulator.say("zhangsan", "hello")
        message = await engine.next()
        await engine.channel.seen(message.target)
        await engine.channel.seen(message.target)
        assert simulator.webapi.reactions[asked] == ["eyes"]
        await simulator.say("zhangsan", "more", thread=asked)
        await engine.channel.seen((await engine.next()).target)
        assert simulator.webapi.reactions[asked] == ["eyes"]
        assert "thinking" in simulator.webapi.statuses["D0ZHANGSAN", asked]


async def test_people_and_channels_can_be_written_to_first():
    async with world() as (simulator, engine):
        for to_whom, text in (("user:lisi", "one"), ("group:C0PROJECT", "two")):
            await engine.channel.send(to(engine.channel.address(to_whom).target, text))
        one, two = bot_entries(simulator)
        assert (one.conversation, one.chat, two.conversation) == ("D0LISI", "private", "C0PROJECT")
        assert engine.channel.address("user:lisi").user_id == "lisi"


async def test_the_directory_knows_names_and_addresses():
    async with world() as (_, engine):
        found = await engine.channel.profile("alice")
        assert found is not None
        assert (found.name, found.email) == ("Alice Wang", "alice@example.com")
        assert await engine.channel.profile("nobody") is None


@pytest.mark.parametrize("mode", ["webhook", "stream"])
async def test_the_live_check_says_who_the_bot_is_or_what_is_wrong(mode: str):
    async with world(mode) as (simulator, engine):
        assert "@AI助手" in await engine.channel.check()
        simulator.faults.missing_scope = "im:history"
        with pytest.raises(PermissionMissing, match="im:history"):
            await engine.channel.check()
        simulator.faults.change({"missing_scope": "", "token_revoked": True})
        with pytest.raises(Unauthenticated, match="token_revoked"):
            await engine.channel.check()


async def test_names_that_cannot_be_asked_for_hold_up_no_message():
    async with world() as (simulator, engine):
        simulator.faults.missing_scope = "users:read"
        for text in ("one", "two"):
            await simulator.say("zhangsan", text)
            message = await engine.next()
            assert (message.text, message.sender.name) == (text, "")
        assert len(simulator.wire.rows(path="users.info")) == 1


async def test_when_slack_does_not_answer_mentions_are_still_taken_and_nobody_is_greeted():
    async with world() as (simulator, engine):
        simulator.faults.change({"no_authorizations": True, "error_burst": 100})
        await simulator.enter("alice")
        await simulator.say("zhangsan", "hello", chat="group")
        message = await engine.next()
        assert message.text == "@U0SIMBOT hello"
        assert message.kind is MessageKind.TEXT
        await engine.statuses_are(3)
        assert engine.inbox.empty()


async def test_a_response_address_of_another_host_is_never_called():
    async with world() as (simulator, engine):
        simulator.faults.not_in_channel = True
        await simulator.slash("zhangsan", "weather", chat="group")
        target = (await engine.next()).target
        await engine.channel.send(to({**target, "response_url": "https://evil.example"}, "x"))
        [entry] = bot_entries(simulator)
        assert entry.chat == "private"


async def test_two_hundred_messages_at_once_ask_once_who_the_bot_is():
    async with world() as (simulator, engine):
        simulator.faults.no_authorizations = True
        async with asyncio.TaskGroup() as group:
            for n in range(200):
                group.create_task(
                    simulator.say(f"u{n}", f"m{n}", chat="group", conversation=f"C{n % 20}")
                )
        texts = {(await engine.next()).text for _ in range(200)}
        assert len(texts) == 200
        assert len(simulator.wire.rows(path="/api/auth.test")) == 1


async def test_no_secret_is_in_logs_or_errors(caplog: pytest.LogCaptureFixture):
    caplog.set_level("DEBUG", "ai_engine")
    async with world() as (simulator, engine):
        await simulator.say("zhangsan", "hello")
        message = await engine.next()
        said: list[str] = []
        for knob in ({"token_revoked": True}, {"drop_answer": 1}, {"missing_scope": "chat:write"}):
            simulator.faults.clear()
            simulator.faults.change(knob)
            with pytest.raises(Exception) as caught:  # noqa: PT011 - of several kinds
                await engine.channel.send(out(message, "hi"))
            said.append(str(caught.value))
        for secret in ("xoxb-t", "xapp-t", "s3cret"):
            assert secret not in caplog.text + "".join(said) + engine.channel.status().detail
