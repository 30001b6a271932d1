"""The DingTalk channel over real sockets, against a small server of the test's own."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from ai_engine.channels.base import Accepted, Outgoing
from ai_engine.channels.dingtalk.channel import DingTalkChannel
from ai_engine.channels.dingtalk.link import CARD_TOPIC, TIMES
from ai_engine.channels.keeper import SLOW_RETRY_SECONDS
from ai_engine.config.schema import ChannelConfig
from ai_engine.domain.errors import Overloaded, SendRefused, SendRetryable
from ai_engine.domain.message import InboundMessage
from ai_engine.domain.reply import Card, Reply
from ai_engine.security.egress import Egress

from support.dingtalk_server import FakeDingTalk, fake_dingtalk, frame
from support.hosts import make_host, restarted
from support.signing import dingtalk_message
from support.watched_clock import WatchedClock

HOOK = "/robot/sendBySession"
TOKEN = "/v1.0/oauth2/accessToken"
PRIVATE = "/v1.0/robot/oToMessages/batchSend"
GROUP = "/v1.0/robot/groupMessages/send"
OPEN = "/v1.0/gateway/connections/open"
BOT = "/v1.0/im/bot/messages/get"


class Inbox:
    """An `accept` that keeps what it gets."""

    def __init__(self) -> None:
        self.messages: list[InboundMessage] = []
        self.errors: list[Exception] = []
        self.gate: asyncio.Event | None = None
        self.arrived = asyncio.Event()

    async def accept(self, message: InboundMessage) -> Accepted:
        self.arrived.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.errors:
            raise self.errors.pop(0)
        self.messages.append(message)
        return Accepted(id="in_1", duplicate=False)


@asynccontextmanager
async def world(
    **config: Any,
) -> AsyncIterator[tuple[FakeDingTalk, DingTalkChannel, WatchedClock]]:
    clock, egress = WatchedClock(), Egress()
    await egress.start()
    async with fake_dingtalk() as fake:
        auth = config.pop("auth", {"app_id": "dingapp", "app_secret": "s3cret"})
        settings = ChannelConfig.model_validate(
            {"auth": auth, "endpoints": {"api": fake.base, "oapi": fake.base}, **config}
        )
        channel = DingTalkChannel("ding", settings, make_host(egress, clock))
        await channel.start()
        try:
            yield fake, channel, clock
        finally:
            await channel.close()
            await egress.close()


def outgoing(fake: FakeDingTalk, text: str = "**Hello**", **changes: Any) -> Outgoing:
    reply = changes.pop("reply", None) or Reply(id="r1", text=text)
    target = {
        "sessionWebhook": fake.hook,
        "expires": 1_700_005_400.0,
        "conversationId": "cidAbc==",
        "conversationType": "1",
        "senderStaffId": "u001",
        "robotCode": "",
    }
    return Outgoing(
        reply=reply,
        target={**target, **changes},
        in_reply_to="msg1",
        inbound_id="in_1",
        session_key="k",
        user_id="u001",
    )


async def test_a_markdown_reply_goes_to_the_session_webhook():
    async with world() as (fake, channel, _):
        await channel.send(outgoing(fake, "# News\nAll **good**"))
        [call] = fake.calls
        assert call.path == HOOK
        assert call.body["msgtype"] == "markdown"
        assert call.body["markdown"] == {"title": "News", "text": "# News\nAll **good**"}
        assert call.body["at"]["atUserIds"] == []


async def test_a_text_reply_has_no_markdown_marks():
    async with world(reply="text") as (fake, channel, _):
        await channel.send(outgoing(fake, "All **good**"))
        assert fake.calls[0].body["msgtype"] == "text"
        assert fake.calls[0].body["text"] == {"content": "All good"}


@pytest.mark.parametrize("form", ["text", "markdown"])
async def test_in_a_group_the_asker_is_mentioned_by_the_last_part_only(form: str):
    async with world(reply=form) as (fake, channel, _):
        first = Reply(id="r1", text="one", final=False)
        await channel.send(outgoing(fake, reply=first, conversationType="2"))
        await channel.send(outgoing(fake, "two", conversationType="2"))
        assert [call.body["at"]["atUserIds"] for call in fake.calls] == [[], ["u001"]]
        if form == "markdown":
            assert fake.calls[1].body["markdown"]["text"] == "@u001\n\ntwo"


async def test_a_card_is_shown_as_markdown():
    async with world() as (fake, channel, _):
        reply = Reply(id="r1", card=Card(title="Weather", fields=(("Now", "21°"),)))
        await channel.send(outgoing(fake, reply=reply))
        assert fake.calls[0].body["markdown"]["text"] == "**Weather**\n\n- Now: 21°"


async def test_an_expired_hook_is_not_tried_and_the_person_gets_a_proactive_message():
    async with world() as (fake, channel, _):
        await channel.send(outgoing(fake, "hi", expires=1_699_999_999.0))
        token, call = fake.calls
        assert token.body == {"appKey": "dingapp", "appSecret": "s3cret"}
        assert call.path == PRIVATE
        assert call.headers["x-acs-dingtalk-access-token"] == "token-1"
        assert call.body == {
            "robotCode": "dingapp",
            "userIds": ["u001"],
            "msgKey": "sampleMarkdown",
            "msgParam": json.dumps({"title": "hi", "text": "hi"}, separators=(",", ":")),
        }


async def test_a_group_is_reached_by_its_conversation_when_the_hook_is_gone():
    async with world(reply="text") as (fake, channel, _):
        fake.answer(HOOK, 200, {"errcode": 300001, "errmsg": "session is gone"})
        await channel.send(outgoing(fake, "hi", conversationType="2"))
        call = fake.called(GROUP)[0]
        assert call.body["openConversationId"] == "cidAbc=="
        assert call.body["msgKey"] == "sampleText"
        assert json.loads(call.body["msgParam"]) == {"content": "hi"}


async def test_the_robot_code_of_the_settings_wins():
    auth = {"app_id": "dingapp", "app_secret": "s", "robot_code": "robot9"}
    async with world(auth=auth) as (fake, channel, _):
        await channel.send(outgoing(fake, sessionWebhook=""))
        assert fake.called(PRIVATE)[0].body["robotCode"] == "robot9"


async def test_without_staff_id_an_expired_session_cannot_be_answered():
    async with world() as (fake, channel, _):
        with pytest.raises(SendRefused, match="staff id"):
            await channel.send(outgoing(fake, expires=1.0, senderStaffId=""))


async def test_the_longest_part_fits_the_platform_even_when_escaping_doubles_it():
    async with world() as (fake, channel, _):
        text = '"\n' * (channel.capabilities.text_limit // 2)
        await channel.send(outgoing(fake, text, expires=1.0))
        assert len(fake.called(PRIVATE)) == 1
        assert len(fake.called(PRIVATE)[0].body["msgParam"].encode()) <= 15_000


async def test_a_repeated_attempt_goes_on_after_the_parts_that_were_sent():
    async with world() as (fake, channel, _):
        limit = channel.capabilities.text_limit
        fake.answer(HOOK, 200, {"errcode": 0})
        fake.answer(HOOK, 200, {"errcode": -1, "errmsg": "busy"})
        two_parts = outgoing(fake, "a" * limit + "\n" + "b" * 10)
        with pytest.raises(SendRetryable):
            await channel.send(two_parts)
        again = await restarted(channel)
        await again.send(two_parts)
        await again.send(two_parts)
        assert [call.body["markdown"]["text"][0] for call in fake.calls] == ["a", "b", "b"]
        await again.close()


@pytest.mark.parametrize("code", [-1, 410100, 130101])
async def test_throttling_by_errcode_is_tried_later(code: int):
    async with world() as (fake, channel, _):
        fake.answer(HOOK, 200, {"errcode": code, "errmsg": "send too fast"})
        with pytest.raises(SendRetryable):
            await channel.send(outgoing(fake))


async def test_refused_content_is_not_tried_again():
    async with world() as (fake, channel, _):
        fake.answer(HOOK, 200, {"errcode": 430101, "errmsg": "forbidden words"})
        with pytest.raises(SendRefused, match="430101"):
            await channel.send(outgoing(fake))
        assert [call.path for call in fake.calls] == [HOOK]


async def test_an_unreadable_answer_is_tried_later_by_the_same_way():
    async with world() as (fake, channel, _):
        fake.answer(HOOK, 200, {})
        with pytest.raises(SendRetryable, match="cannot be read"):
            await channel.send(outgoing(fake))
        assert [call.path for call in fake.calls] == [HOOK]


async def test_a_configured_endpoint_is_told_which_part_answered():
    async with world() as (fake, channel, _):
        reply = Reply(id="r1", text="hi", produced_by="rule:天气weather\r\n")
        await channel.send(outgoing(fake, reply=reply))
        assert fake.calls[0].headers["X-AI-Engine-Produced-By"] == "rule:weather"


@pytest.mark.parametrize(("status", "wait"), [(429, 7.0), (502, None)])
async def test_a_busy_hook_is_tried_later_as_it_asks(status: int, wait: float | None):
    async with world() as (fake, channel, _):
        fake.answer(HOOK, status, {})
        with pytest.raises(SendRetryable) as caught:
            await channel.send(outgoing(fake))
        assert caught.value.retry_after_seconds == wait


async def test_a_redirect_of_the_hook_is_not_followed():
    async with world() as (fake, channel, _):
        fake.answer(HOOK, 302, "http://169.254.169.254/latest")
        await channel.send(outgoing(fake))
        assert [call.path for call in fake.calls] == [HOOK, TOKEN, PRIVATE]


@pytest.mark.parametrize(
    "hook",
    [
        "http://169.254.169.254/robot?session=s3cr3t",
        "https://oapi.dingtalk.com.evil.example/robot?session=s3cr3t",
        "https://user@oapi.dingtalk.com/robot?session=s3cr3t",
        "http://oapi.dingtalk.com/robot?session=s3cr3t",
        "file:///etc/passwd?session=s3cr3t",
    ],
)
async def test_a_hook_on_a_foreign_host_is_never_called_and_the_answer_goes_by_the_api(
    hook, caplog
):
    async with world() as (fake, channel, _):
        await channel.send(outgoing(fake, sessionWebhook=hook))
        assert [call.path for call in fake.calls] == [TOKEN, PRIVATE]
        assert "was not followed" in caplog.text
        assert "s3cr3t" not in caplog.text


async def test_a_hook_on_another_port_of_a_configured_host_is_followed():
    async with world() as (fake, channel, _), fake_dingtalk() as other:
        assert fake.base != other.base
        await channel.send(outgoing(fake, sessionWebhook=other.hook))
        assert [call.path for call in other.calls] == [HOOK]
        assert fake.calls == []


async def test_an_unreachable_hook_is_tried_later_and_stays_secret():
    async with world() as (fake, _, _):
        target = "http://127.0.0.1:9/robot?session=s3cr3t"
        settings = ChannelConfig.model_validate(
            {"auth": {"app_id": "a", "app_secret": "b"}, "endpoints": {"oapi": target[:18]}}
        )
        egress = Egress()
        await egress.start()
        other = DingTalkChannel("ding", settings, make_host(egress, WatchedClock()))
        with pytest.raises(SendRetryable) as caught:
            await other.send(outgoing(fake, sessionWebhook=target))
        await egress.close()
        assert "s3cr3t" not in repr(caught.value)
        assert caught.value.__suppress_context__


async def test_many_replies_share_one_token_request():
    async with world() as (fake, channel, _):
        fake.token_gate = asyncio.Event()
        async with asyncio.timeout(5), asyncio.TaskGroup() as group:
            for n in range(5):
                group.create_task(channel.send(outgoing(fake, str(n), expires=1.0)))
            while not fake.called(TOKEN):
                await asyncio.sleep(0)
            fake.token_gate.set()
        assert len(fake.called(TOKEN)) == 1
        assert len(fake.called(PRIVATE)) == 5


async def test_a_refused_token_is_renewed_once():
    async with world() as (fake, channel, _):
        fake.answer(PRIVATE, 401, {"code": "InvalidAuthentication", "message": "token"})
        await channel.send(outgoing(fake, expires=1.0))
        used = [call.headers["x-acs-dingtalk-access-token"] for call in fake.called(PRIVATE)]
        assert used == ["token-1", "token-2"]


async def test_a_token_that_stays_refused_ends_the_attempt():
    async with world() as (fake, channel, _):
        for _ in range(3):
            fake.answer(PRIVATE, 400, {"code": "InvalidAuthentication", "message": "no"})
        with pytest.raises(SendRefused, match="InvalidAuthentication"):
            await channel.send(outgoing(fake, expires=1.0))
        assert len(fake.called(PRIVATE)) == 2


@pytest.mark.requirement("config:token-expire")
async def test_a_token_lives_no_longer_than_the_settings_allow():
    auth = {"app_id": "a", "app_secret": "b", "token_expire": 600}
    async with world(auth=auth) as (fake, channel, clock):
        await channel.send(outgoing(fake, expires=1.0))
        await clock.advance(539)
        await channel.send(outgoing(fake, expires=1.0))
        assert len(fake.called(TOKEN)) == 1
        await clock.advance(2)
        await channel.send(outgoing(fake, expires=1.0))
        assert len(fake.called(TOKEN)) == 2


_DENIED = "Forbidden.AccessDenied."


@pytest.mark.parametrize("code", ["QpsLimitForAppkeyAndApi", "QpsLimitForApi"])
async def test_too_many_calls_a_second_wait_one_second(code: str):
    async with world() as (fake, channel, _):
        fake.answer(PRIVATE, 403, {"code": _DENIED + code, "message": "qps"})
        with pytest.raises(SendRetryable) as caught:
            await channel.send(outgoing(fake, expires=1.0))
        assert caught.value.retry_after_seconds == 1


async def test_a_missing_permission_is_named_with_what_to_do():
    async with world() as (fake, channel, _):
        denied = {
            "code": _DENIED + "AccessTokenPermissionDenied",
            "message": "no permission",
            "accessdenieddetail": {"requiredScopes": ["qyapi_robot_sendmsg"]},
        }
        fake.answer(PRIVATE, 403, denied)
        with pytest.raises(SendRefused) as caught:
            await channel.send(outgoing(fake, expires=1.0))
        assert "qyapi_robot_sendmsg" in caught.value.message
        assert "request qyapi_robot_sendmsg" in caught.value.hint


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (403, _DENIED + "ApiCountLimitForOrg", SendRefused),
        (403, _DENIED + "IpNotInWhiteList", SendRefused),
        (400, "invalidParameter.msgParam.tooLong", SendRefused),
        (403, "send.too.fast", SendRetryable),
        (500, "ServiceUnavailable", SendRetryable),
        (504, "", SendRetryable),
    ],
)
async def test_errors_of_the_api_say_whether_to_try_again(
    status: int, code: str, error: type[Exception]
):
    async with world() as (fake, channel, _):
        fake.answer(PRIVATE, status, {"code": code, "message": "m"})
        with pytest.raises(error):
            await channel.send(outgoing(fake, expires=1.0))


async def test_a_wrong_secret_is_told_to_the_administrator():
    async with world() as (fake, channel, _):
        fake.answer(TOKEN, 400, {"code": "invalidClientIdOrSecret", "message": "no"})
        with pytest.raises(SendRefused, match=r"auth\.app_secret"):
            await channel.send(outgoing(fake, expires=1.0))


@pytest.mark.parametrize(
    ("key", "error"),
    [("invalidStaffIdList", SendRefused), ("flowControlledStaffIdList", SendRetryable)],
)
async def test_a_receiver_that_the_platform_left_out_is_no_success(
    key: str, error: type[Exception]
):
    async with world() as (fake, channel, _):
        fake.answer(PRIVATE, 200, {"processQueryKey": "k", key: ["u001"]})
        with pytest.raises(error):
            await channel.send(outgoing(fake, expires=1.0))


# Stream mode


@asynccontextmanager
async def streaming(
    inbox: Inbox,
) -> AsyncIterator[tuple[FakeDingTalk, DingTalkChannel, WatchedClock]]:
    async with world(mode="stream") as (fake, channel, clock):
        running = asyncio.create_task(channel.run(inbox.accept))
        try:
            yield fake, channel, clock
        finally:
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running


async def connected(channel: DingTalkChannel) -> None:
    """The server has a socket a little before the channel knows of it."""
    async with asyncio.timeout(5):
        while channel.status().state != "connected":
            await asyncio.sleep(0)


def robot(text: str, message_id: str = "f1") -> str:
    return frame("CALLBACK", BOT, dingtalk_message(text, message_id=f"m-{message_id}"), message_id)


async def test_stream_mode_opens_a_connection_with_the_ticket():
    async with streaming(Inbox()) as (fake, channel, _):
        await fake.next_socket()
        [call] = fake.called(OPEN)
        assert call.headers["Accept"] == "application/json"
        assert call.body["clientId"] == "dingapp"
        assert call.body["clientSecret"] == "s3cret"
        assert call.body["subscriptions"] == [
            {"type": "CALLBACK", "topic": BOT},
            {"type": "CALLBACK", "topic": CARD_TOPIC},
            {"type": "EVENT", "topic": "*"},
        ]
        assert fake.tickets == ["t+1/="]
        await connected(channel)
        assert channel.status().state == "connected"


async def test_a_robot_message_is_acknowledged_only_when_it_is_durable():
    inbox = Inbox()
    inbox.gate = asyncio.Event()
    async with streaming(inbox) as (fake, _, _):
        socket = await fake.next_socket()
        await socket.send_str(robot("hello"))
        async with asyncio.timeout(5):
            await inbox.arrived.wait()
        await socket.send_str(frame("SYSTEM", "ping", {"opaque": "o1"}, "p1"))
        ping = await fake.next_ack()
        assert ping["headers"]["messageId"] == "p1"
        assert json.loads(ping["data"]) == {"opaque": "o1"}
        inbox.gate.set()
        ack = await fake.next_ack()
        assert ack["code"] == 200
        assert ack["headers"] == {"messageId": "f1", "contentType": "application/json"}
        assert json.loads(ack["data"]) == {"response": "OK"}
        assert [message.text for message in inbox.messages] == ["hello"]


async def test_messages_are_accepted_in_the_order_of_their_frames():
    inbox = Inbox()
    async with streaming(inbox) as (fake, _, _):
        socket = await fake.next_socket()
        for n in range(30):
            await socket.send_str(robot(str(n), f"f{n}"))
        for _ in range(30):
            await fake.next_ack()
        assert [message.text for message in inbox.messages] == [str(n) for n in range(30)]


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frame("CALLBACK", BOT, "{not json"), 400),
        (frame("CALLBACK", BOT, {"msgtype": "text"}), 400),
        (frame("CALLBACK", CARD_TOPIC, {}), 400),
        (frame("CALLBACK", "/v1.0/graph/api/invoke", {}), 404),
        (frame("EVENT", "*", {"userId": ["u1"]}), 200),
        (frame("SYSTEM", "KEEPALIVE", {}), 200),
        (frame("NEWS", "x", {}), 404),
    ],
)
async def test_every_frame_is_answered_honestly(sent: str, code: int):
    inbox = Inbox()
    async with streaming(inbox) as (fake, _, _):
        socket = await fake.next_socket()
        for junk in ("[]", "{", '"text"', "{}"):
            await socket.send_str(junk)
        assert (await fake.next_ack())["code"] == 404  # the empty object
        await socket.send_str(sent)
        assert (await fake.next_ack())["code"] == code
        assert inbox.messages == []


async def test_a_message_that_cannot_be_stored_is_not_acknowledged_as_good(
    caplog: pytest.LogCaptureFixture,
):
    inbox = Inbox()
    inbox.errors = [RuntimeError("disk")]
    async with streaming(inbox) as (fake, _, _):
        socket = await fake.next_socket()
        await socket.send_str(robot("one", "f1"))
        assert (await fake.next_ack())["code"] == 500
        await socket.send_str(robot("two", "f2"))
        assert (await fake.next_ack())["code"] == 200
    assert "could not be accepted" in caplog.text


async def test_a_full_backlog_is_waited_for_since_the_platform_sends_nothing_twice():
    inbox = Inbox()
    inbox.errors = [Overloaded("full", retry_after_seconds=3)]
    async with streaming(inbox) as (fake, _, clock):
        socket = await fake.next_socket()
        await socket.send_str(robot("hello"))
        await clock.asleep(lambda seconds: seconds == 3)
        await clock.advance(3)
        assert (await fake.next_ack())["code"] == 200
        assert len(inbox.messages) == 1


async def test_a_backlog_that_stays_full_is_reported_as_a_loss(caplog: pytest.LogCaptureFixture):
    inbox = Inbox()
    inbox.errors = [Overloaded("full", retry_after_seconds=5) for _ in range(20)]
    async with streaming(inbox) as (fake, _, clock):
        socket = await fake.next_socket()
        await socket.send_str(robot("hello"))
        for n in range(6):
            await clock.asleep(lambda seconds: seconds == 5, n + 1)
            await clock.advance(5)
        assert (await fake.next_ack())["code"] == 500
    assert "was lost" in caplog.text


async def test_a_disconnect_frame_opens_the_new_connection_before_the_old_one_goes():
    inbox = Inbox()
    async with streaming(inbox) as (fake, channel, clock):
        old = await fake.next_socket()
        await old.send_str(frame("SYSTEM", "disconnect", {"reason": "upgrade"}))
        new = await fake.next_socket()
        assert not old.closed
        await old.send_str(robot("to the old one", "f1"))
        assert (await fake.next_ack())["code"] == 200
        await new.send_str(robot("to the new one", "f2"))
        assert (await fake.next_ack())["code"] == 200
        assert fake.tickets == ["t+1/=", "t+2/="]
        assert channel.status().state == "connected"
        await clock.asleep(lambda seconds: seconds == TIMES.retire)
        await clock.advance(TIMES.retire)
        async with asyncio.timeout(5):
            while not old.closed:
                await asyncio.sleep(0)
        assert not new.closed


async def test_a_lost_connection_is_opened_again_after_a_growing_pause():
    async with streaming(Inbox()) as (fake, channel, clock):

        def is_pause(seconds: float) -> bool:
            return seconds not in (TIMES.probe, TIMES.retire)

        for n in range(4):
            socket = await fake.next_socket()
            await socket.close()
            await clock.asleep(is_pause, n + 1)
            assert channel.status().state == "connecting"
            await clock.advance(2**n)
        await fake.next_socket()
        pauses = [seconds for seconds in clock.requests if is_pause(seconds)]
        for n, pause in enumerate(pauses):
            assert 2**n / 2 <= pause <= 2**n


async def test_a_handshake_that_fails_is_reported_and_tried_again():
    async with streaming(Inbox()) as (fake, channel, clock):
        fake.accepts_sockets = False
        await clock.asleep(lambda seconds: seconds <= 1)
        await clock.advance(1)
        await clock.asleep(lambda seconds: 1 <= seconds <= 2)
        assert channel.status().state == "failing"
        assert "could not be opened" in channel.status().detail
        assert "ticket" not in channel.status().detail
        fake.accepts_sockets = True
        await clock.advance(2)
        await fake.next_socket()
        await connected(channel)
        assert channel.status().detail == ""


async def test_wrong_credentials_are_shown_and_tried_slowly(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    inbox = Inbox()
    async with world(mode="stream") as (fake, channel, clock):
        for _ in range(3):
            fake.answer(OPEN, 401, {"code": "authFailed", "message": "bad"})
        running = asyncio.create_task(channel.run(inbox.accept))
        for n in range(3):
            await clock.asleep(lambda seconds: seconds == SLOW_RETRY_SECONDS, n + 1)
            assert channel.status().state == "failing"
            assert "auth.app_secret" in channel.status().detail
            await clock.advance(SLOW_RETRY_SECONDS)
        await fake.next_socket()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert caplog.text.count("does not accept the app id and secret") == 1, "logged once"
    assert "s3cret" not in caplog.text


async def test_a_silent_connection_is_closed_and_replaced():
    async with streaming(Inbox()) as (fake, _, clock):
        fake.answers_pings = False
        silent = await fake.next_socket()
        for n in range(int(TIMES.silence_max / TIMES.probe) + 1):
            await clock.asleep(lambda seconds: seconds == TIMES.probe, n + 1)
            await clock.advance(TIMES.probe)
        await clock.asleep(lambda seconds: seconds <= 1)
        await clock.advance(1)
        assert await fake.next_socket() is not silent


async def test_the_age_of_the_last_frame_is_shown():
    async with streaming(Inbox()) as (fake, channel, clock):
        socket = await fake.next_socket()
        await clock.advance(20)
        await socket.send_str(frame("SYSTEM", "ping", {"opaque": "1"}))
        await fake.next_ack()
        await clock.advance(4)
        assert channel.status().last_event_age_seconds == 4


@pytest.mark.parametrize(
    "endpoint", ["ws://evil.example/connect", "ws://wss.dingtalk.com/connect", "http://x/", 7]
)
async def test_a_foreign_endpoint_is_never_connected_to(endpoint: object):
    async with world(mode="stream") as (fake, channel, clock):
        fake.answer(OPEN, 200, {"endpoint": endpoint, "ticket": "t"})
        running = asyncio.create_task(channel.run(Inbox().accept))
        await clock.asleep(lambda seconds: seconds == SLOW_RETRY_SECONDS)
        assert channel.status().state == "failing"
        assert fake.sockets == []
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running


async def test_the_connection_ends_when_the_channel_is_stopped_and_work_in_hand_is_finished():
    inbox = Inbox()
    inbox.gate = asyncio.Event()
    async with world(mode="stream") as (fake, channel, _):
        running = asyncio.create_task(channel.run(inbox.accept))
        socket = await fake.next_socket()
        await socket.send_str(robot("last words"))
        async with asyncio.timeout(5):
            await inbox.arrived.wait()
        running.cancel()
        await asyncio.sleep(0)
        inbox.gate.set()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert (await fake.next_ack())["code"] == 200
        assert len(inbox.messages) == 1


async def test_http_mode_and_missing_credentials_hold_no_connection():
    async with world() as (fake, channel, _):
        await channel.run(Inbox().accept)
    async with world(mode="stream", auth={"app_id": "a"}) as (other, incomplete, _):
        await incomplete.run(Inbox().accept)
        assert incomplete.status().state == "failing"
        assert "auth.app_secret" in incomplete.status().detail
    assert fake.calls == other.calls == []


async def test_a_half_dead_connection_that_only_answers_pings_is_replaced():
    async with streaming(Inbox()) as (fake, _, clock):
        first = await fake.next_socket()
        for n in range(int(TIMES.idle_max / TIMES.probe) + 2):
            await clock.asleep(lambda seconds: seconds == TIMES.probe, n + 1)
            await clock.advance(TIMES.probe)
            if len(fake.sockets) > 1:
                break
        assert await fake.next_socket() is not first
