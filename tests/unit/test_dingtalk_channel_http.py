"""DingTalk's HTTP mode: what gets in, what is answered, what the status shows."""

import json
from typing import Any

import pytest

from ai_engine.channels.about import problems
from ai_engine.channels.base import Accepted, Outgoing, WebhookRequest
from ai_engine.channels.dingtalk.about import ABOUT
from ai_engine.channels.dingtalk.channel import DingTalkChannel
from ai_engine.config.schema import ChannelConfig
from ai_engine.domain.errors import (
    Forbidden,
    Malformed,
    NotFound,
    Overloaded,
    SendRefused,
    Unauthenticated,
)
from ai_engine.domain.message import InboundMessage
from ai_engine.domain.reply import Reply
from ai_engine.security.egress import Egress

from support.clock import ManualClock
from support.hosts import make_host
from support.signing import dingtalk_headers, dingtalk_message, dingtalk_request

SECRET = "s3cret"


class Robot:
    def __init__(self, **config: Any) -> None:
        self.clock = ManualClock()
        self.accepted: list[InboundMessage] = []
        self.full = False
        settings = {"auth": {"app_id": "dingapp", "app_secret": SECRET}, **config}
        self.channel = DingTalkChannel(
            "ding", ChannelConfig.model_validate(settings), make_host(Egress(), self.clock)
        )

    async def accept(self, message: InboundMessage) -> Accepted:
        if self.full:
            raise Overloaded("full")
        self.accepted.append(message)
        return Accepted(id="in_1", duplicate=False)

    async def post(self, body: bytes, headers: dict[str, str], **changes: str):
        fields = {"method": "POST", "path": "", **changes}
        request = WebhookRequest(headers=headers, query={}, body=body, **fields)
        return await self.channel.webhook(request, self.accept)


async def test_a_signed_message_is_accepted_and_acknowledged():
    robot = Robot()
    response = await robot.post(
        *dingtalk_request(dingtalk_message("hello"), SECRET, robot.clock.time())
    )
    assert response.status == 200
    assert [message.text for message in robot.accepted] == ["hello"]


async def test_only_a_right_and_fresh_signature_gets_in():
    robot = Robot()
    now = robot.clock.time()
    body = json.dumps(dingtalk_message("hello")).encode()
    for headers, error in (
        ({}, Unauthenticated),
        (dingtalk_headers("wrong", now), Unauthenticated),
        (dingtalk_headers(SECRET, now - 3601), Forbidden),
        (dingtalk_headers(SECRET, now + 3601), Forbidden),
    ):
        with pytest.raises(error):
            await robot.post(body, headers)
        with pytest.raises(error):
            await robot.post(b"{", headers)
    assert robot.accepted == []


async def test_a_malformed_body_is_refused_after_the_signature():
    robot = Robot()
    with pytest.raises(Malformed):
        await robot.post(b"{", dingtalk_headers(SECRET, robot.clock.time()))


async def test_nothing_is_acknowledged_that_was_not_accepted():
    robot = Robot()
    robot.full = True
    with pytest.raises(Overloaded):
        await robot.post(*dingtalk_request(dingtalk_message("x"), SECRET, robot.clock.time()))


async def test_the_robots_own_message_is_acknowledged_and_ignored():
    robot = Robot()
    own = dingtalk_message("x", senderId="$:LWCP_v1:$bot")
    response = await robot.post(*dingtalk_request(own, SECRET, robot.clock.time()))
    assert response.status == 200
    assert robot.accepted == []


async def test_other_paths_methods_and_the_other_mode_are_refused():
    robot = Robot()
    with pytest.raises(NotFound):
        await robot.post(b"", {}, path="/x")
    assert (await robot.post(b"", {}, method="GET")).status == 405
    with pytest.raises(NotFound):
        await Robot(mode="stream").post(b"", {})


async def test_the_status_shows_the_age_of_the_last_message_and_a_used_up_quota():
    robot = Robot()
    assert robot.channel.status().last_event_age_seconds is None
    withheld = dingtalk_message("x", text=None, errCode="20001")
    await robot.post(*dingtalk_request(withheld, SECRET, robot.clock.time()))
    await robot.clock.advance(3)
    status = robot.channel.status()
    assert (status.state, status.last_event_age_seconds) == ("ready", 3)
    assert "quota" in status.detail
    await robot.post(*dingtalk_request(dingtalk_message("x"), SECRET, robot.clock.time()))
    assert robot.channel.status().detail == ""


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"auth": {"app_id": "a"}}, "auth.app_secret"),
        ({"auth": {"app_secret": "a"}}, "auth.app_id"),
        ({"endpoints": {"api": "api.example"}}, "endpoints.api"),
        ({"endpoints": {"oapi": "ftp://x"}}, "endpoints.oapi"),
    ],
)
async def test_what_is_wrong_with_the_settings_is_shown(config: dict[str, Any], said: str):
    auth = {"app_id": "a", "app_secret": "b"}
    [problem] = problems(ABOUT, ChannelConfig.model_validate({"auth": auth, **config}))
    assert said in problem
    robot = Robot(**config)
    await robot.channel.start()
    assert said in robot.channel.status().detail


async def test_an_endpoint_that_is_no_address_allows_nothing():
    robot = Robot(endpoints={"oapi": "not a url"})
    with pytest.raises(SendRefused, match="no staff id"):
        await robot.channel.send(
            Outgoing(
                reply=Reply(id="r1", text="hi"),
                target={"sessionWebhook": "https://evil.example/x"},
                in_reply_to="m1",
                inbound_id="in_1",
                session_key="k",
                user_id="u1",
            )
        )


def test_capabilities_are_honest():
    capabilities = Robot().channel.capabilities
    assert (capabilities.text_limit, capabilities.text_unit) == (6000, "bytes")
    assert not capabilities.streaming
    assert not capabilities.idempotent
    assert capabilities.cards
    text = Robot(reply="text").channel.capabilities
    assert not text.markdown
    assert not text.cards


@pytest.mark.parametrize(
    "config",
    [
        {"reply": "card"},
        {"card_template_id": "t.schema"},
        {"auth": {"app_id": "a", "app_secret": "b", "card_template_id": "t.schema"}},
    ],
)
def test_with_cards_answers_stream(config: dict[str, Any]):
    capabilities = Robot(**config).channel.capabilities
    assert capabilities.streaming
    assert capabilities.stream_by_key
    assert capabilities.stream_interval_ms == 400
    assert capabilities.idempotent
