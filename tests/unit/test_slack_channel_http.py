"""What the Slack channel answers to HTTP requests, and what it says of its configuration."""

import asyncio
import json
import time
from typing import Any
from urllib.parse import urlencode

import pytest

from ai_engine.channels.base import Accepted, WebhookRequest, WebhookResponse
from ai_engine.channels.http import parse
from ai_engine.channels.slack import cards, codec, crypto, inbox
from ai_engine.channels.slack.channel import SlackChannel, build
from ai_engine.channels.slack.client import SlackClient, api_base
from ai_engine.config.schema import ChannelConfig
from ai_engine.domain.errors import (
    Malformed,
    NotFound,
    Refused,
    SendRefused,
    SendRetryable,
    Unauthenticated,
)
from ai_engine.domain.message import Attachment, InboundMessage
from ai_engine.domain.reply import Reply

from support.clock import ManualClock
from support.hosts import make_host

NOW = 1_700_000_000.0
AUTH = {"bot_token": "xoxb-1", "signing_secret": "s", "app_token": "xapp-1"}


def channel(**config: Any) -> SlackChannel:
    settings = ChannelConfig.model_validate({"auth": AUTH, **config})
    return build("slack", settings, make_host(clock=ManualClock(NOW)))


async def asked(found: SlackChannel, body: bytes, **changes: Any) -> WebhookResponse:
    """A request that is signed as Slack signs."""
    taken: list[InboundMessage] = []

    async def accept(message: InboundMessage) -> Accepted:
        taken.append(message)
        return Accepted(id="in_1", duplicate=False)

    secret = changes.pop("secret", "s")
    request = {
        "method": "POST",
        "path": "",
        "headers": {
            "content-type": changes.pop("content_type", "application/json"),
            "x-slack-request-timestamp": str(int(NOW)),
            "x-slack-signature": crypto.sign(str(int(NOW)), body, secret),
        },
        "query": {},
        "body": body,
        **changes,
    }
    return await found.webhook(WebhookRequest(**request), accept)


async def test_slack_s_check_of_the_address_is_answered_when_it_is_signed():
    body = json.dumps({"type": "url_verification", "challenge": "c1", "token": "x"}).encode()
    answer = await asked(channel(), body)
    assert (answer.status, json.loads(answer.body)) == (200, {"challenge": "c1"})
    with pytest.raises(Unauthenticated):
        await asked(channel(), body, secret="other")


async def test_without_a_signing_secret_nothing_gets_in():
    found = channel(auth={"bot_token": "xoxb-1"})
    with pytest.raises(Unauthenticated):
        await asked(found, b"{}", secret="")


@pytest.mark.parametrize(
    ("changes", "status"),
    [({"method": "GET"}, 405), ({"path": "/elsewhere"}, 404), ({"path": "/interactive/x"}, 404)],
)
async def test_other_methods_and_addresses_are_refused(changes: dict[str, Any], status: int):
    try:
        found = (await asked(channel(), b"{}", **changes)).status
    except Refused as refused:
        found = refused.status
    assert found == status


async def test_in_socket_mode_nothing_answers_to_http():
    with pytest.raises(NotFound):
        await asked(channel(mode="stream"), b"{}")


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", "application/json"),
        (b"[1]", "application/json"),
        (b'{"type":"event_callback","event":1}', "application/json"),
        (b'{"type":"url_verification"}', "application/json"),
        (b"payload=%7B", "application/x-www-form-urlencoded"),
        (b"\xff=1", "application/x-www-form-urlencoded"),
        (b"a=1&" * 200, "application/x-www-form-urlencoded"),
        (urlencode({"command": "/ask"}).encode(), "application/x-www-form-urlencoded"),
    ],
)
async def test_a_body_that_is_not_the_protocol_s_is_malformed(body: bytes, content_type: str):
    with pytest.raises(Malformed):
        await asked(channel(), body, content_type=content_type)


@pytest.mark.parametrize(
    "body", [b"ssl_check=1&token=x", urlencode({"payload": '{"type":"shortcut"}'}).encode()]
)
async def test_what_means_nothing_to_us_is_acknowledged(body: bytes):
    answer = await asked(channel(), body, content_type="application/x-www-form-urlencoded")
    assert answer.status == 200


async def test_that_slack_withholds_events_is_logged(caplog: pytest.LogCaptureFixture):
    answer = await asked(channel(), b'{"type":"app_rate_limited","minute_rate_limited":1}')
    assert answer.status == 200
    assert "withholds events" in caplog.text


async def test_all_that_is_asked_before_the_answer_has_one_limit(monkeypatch: pytest.MonkeyPatch):
    asked_for: list[str] = []

    async def slow(_client: SlackClient, method: str, *_: Any) -> None:
        asked_for.append(method)
        if method == "auth.test":
            raise SendRetryable("not now")
        await asyncio.Event().wait()

    assert inbox.LOOK_UPS_SECONDS_MAX <= 2.0, "Slack waits 3 s"
    monkeypatch.setattr(inbox, "LOOK_UPS_SECONDS_MAX", 0.1)
    monkeypatch.setattr(SlackClient, "_post", slow)
    opened = {"type": "app_home_opened", "user": "U1", "channel": "D1", "tab": "messages"}
    body = {"type": "event_callback", "event_id": "e", "team_id": "T", "event": opened}
    async with asyncio.timeout(0.9):
        answer = await asked(channel(), json.dumps(body).encode())
    assert (answer.status, asked_for[:2]) == (200, ["auth.test", "users.info"])


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"auth": {}}, "auth.bot_token"),
        ({"auth": {"bot_token": "x"}}, "auth.signing_secret"),
        ({"auth": {"bot_token": "x"}, "mode": "stream"}, "auth.app_token"),
        ({"mode": "poll"}, "mode:"),
        ({"reply": "card"}, "reply:"),
        ({"endpoints": {"ws": "wss://x"}}, "endpoints.ws"),
        ({"endpoints": {"api": "slack"}}, "endpoints.api"),
    ],
)
async def test_what_is_wrong_with_the_configuration_is_said(config: dict[str, Any], said: str):
    found = channel(**config)
    await found.start()
    assert said in found.status().detail
    assert found.status().state == "failing"


def test_the_general_secret_stands_in_for_the_bot_token():
    assert channel(auth={"app_secret": "x", "signing_secret": "s"}).problems == []


@pytest.mark.parametrize(
    ("configured", "base"),
    [
        ("", "https://slack.com/api"),
        ("http://127.0.0.1:1", "http://127.0.0.1:1/api"),
        ("http://127.0.0.1:1/api", "http://127.0.0.1:1/api"),
        ("http://127.0.0.1:1/api/", "http://127.0.0.1:1/api"),
    ],
)
def test_the_endpoint_may_be_written_with_or_without_api(configured: str, base: str):
    assert api_base(configured) == base


@pytest.mark.parametrize("to", ["lisi", "user:", "mail:x"])
def test_an_unknown_form_of_address_is_refused(to: str):
    with pytest.raises(Malformed):
        channel().address(to)


async def test_a_failing_download_address_is_never_followed_without_endpoints():
    with pytest.raises(SendRefused):
        await channel().fetch(Attachment(kind="file", ref="http://127.0.0.1/x"), {})


def test_reading_and_rendering_a_message_takes_less_than_a_millisecond():
    envelope = {
        "type": "event_callback",
        "event_id": "Ev1",
        "team_id": "T1",
        "event": {
            "type": "app_mention",
            "user": "U1",
            "text": "<@UBOT> what is the weather in <https://a.b|Berlin> &amp; Paris?" * 3,
            "ts": "1.1",
            "channel": "C1",
        },
    }
    body = json.dumps(envelope).encode()
    context = codec.Context(channel="slack", received_at=0.0, bots=frozenset({"UBOT"}))
    reply = Reply(id="r", text="**Berlin**: sunny, 20 °C\n\n- wind 3 m/s\n" * 20)

    def once() -> None:
        codec.decode(parse(body), context)
        cards.notice(reply)
        cards.text_blocks(reply.text)

    once()
    began = time.process_time()
    for _ in range(200):
        once()
    assert (time.process_time() - began) / 200 < 0.001
