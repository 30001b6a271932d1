"""The webhook channel: signed requests in, answers held open, callbacks over real sockets."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from ai_engine.channels.about import problems
from ai_engine.channels.base import Accepted, Outgoing, WebhookRequest, WebhookResponse
from ai_engine.channels.webhook.about import ABOUT
from ai_engine.channels.webhook.channel import WebhookChannel
from ai_engine.config.schema import ChannelConfig
from ai_engine.domain.errors import (
    Forbidden,
    Malformed,
    NotFound,
    Overloaded,
    SendRefused,
    SendRetryable,
    Unauthenticated,
)
from ai_engine.domain.message import InboundMessage
from ai_engine.domain.reply import Card, Reply
from ai_engine.security.egress import Egress

from support.hosts import make_host
from support.signing import webhook_request, webhook_signature
from support.watched_clock import WatchedClock

SECRET = "s3cret"


class Bot:
    """The channel, with an engine of the test's own behind it."""

    def __init__(self, egress: Egress, callback_url: str, **options: Any) -> None:
        self.clock = WatchedClock()
        self.accepted: list[InboundMessage] = []
        self.handled: dict[str, Sequence[Reply]] = {}
        self.full = False
        config = ChannelConfig.model_validate(
            {
                "auth": {"secret": SECRET},
                "callback_url": callback_url,
                "reply": options.pop("reply", "markdown"),
            }
        )
        self.channel = WebhookChannel(
            "bot", config, make_host(egress, self.clock, stored=self.stored), **options
        )

    async def accept(self, message: InboundMessage) -> Accepted:
        if self.full:
            raise Overloaded("full")
        known = any(m.message_id == message.message_id for m in self.accepted)
        if not known:
            self.accepted.append(message)
        return Accepted(id="in_1", duplicate=known)

    async def stored(self, message_id: str) -> Sequence[Reply] | None:
        return self.handled.get(message_id)

    async def post(self, message_id: str = "m1", **query: str) -> WebhookResponse:
        message = {"message_id": message_id, "session": "c1", "user": "u1", "text": "hello"}
        body, headers = webhook_request(message, SECRET, self.clock.time())
        return await self.raw(body, headers, **query)

    async def raw(self, body: bytes, headers: dict[str, str], **query: str) -> WebhookResponse:
        request = WebhookRequest(method="POST", path="", headers=headers, query=query, body=body)
        return await self.channel.webhook(request, self.accept)

    async def answer(self, text: str, message_id: str = "m1", *, final: bool = True) -> None:
        await self.channel.send(outgoing(text, message_id, final=final))

    async def waiting(self, message_id: str = "m1", **query: str) -> asyncio.Task[WebhookResponse]:
        """A request that is being held; returns when it really waits."""
        held = len(self.clock.requests)
        task = asyncio.create_task(self.post(message_id, wait="true", **query))
        await self.clock.asleep(lambda _: True, held + 1)
        return task


def outgoing(text: str, message_id: str = "m1", *, final: bool = True, **reply: Any) -> Outgoing:
    return Outgoing(
        reply=Reply(id=f"r-{text}", text=text, final=final, **reply),
        target={"session": "c1", "user": "u1"},
        in_reply_to=message_id,
        inbound_id="in_1",
        session_key="k",
        user_id="u1",
    )


class Callback:
    """Where answers are posted to."""

    def __init__(self) -> None:
        self.got: list[tuple[bytes, dict[str, str]]] = []
        self.status = 200
        self.headers: dict[str, str] = {}

    async def handle(self, request: web.Request) -> web.Response:
        self.got.append((await request.read(), dict(request.headers)))
        return web.Response(status=self.status, headers=self.headers)

    @property
    def texts(self) -> list[str]:
        return [json.loads(body)["text"] for body, _ in self.got]


@asynccontextmanager
async def world(*, called_back: bool = True, **options: Any) -> AsyncIterator[tuple[Bot, Callback]]:
    callback, egress = Callback(), Egress()
    app = web.Application()
    app.router.add_post("/answers", callback.handle)
    server = TestServer(app)
    await server.start_server()
    await egress.start()
    try:
        url = str(server.make_url("/answers")) if called_back else ""
        yield Bot(egress, url, **options), callback
    finally:
        await egress.close()
        await server.close()


def content(response: WebhookResponse) -> dict[str, Any]:
    return json.loads(response.body)


async def test_a_message_is_accepted_and_a_repeated_one_is_a_duplicate():
    async with world() as (bot, _):
        first, second = await bot.post(), await bot.post()
        assert (first.status, content(first)) == (200, {"message_id": "m1", "status": "accepted"})
        assert content(second) == {"message_id": "m1", "status": "duplicate"}
        assert len(bot.accepted) == 1


async def test_only_a_right_and_fresh_signature_gets_in():
    async with world() as (bot, _):
        now = bot.clock.time()
        message = {"message_id": "m1", "session": "c1", "user": "u1", "text": "hello"}
        body, headers = webhook_request(message, SECRET, now)
        with pytest.raises(Unauthenticated):
            await bot.raw(body, {})
        with pytest.raises(Unauthenticated):
            await bot.raw(body.replace(b"hello", b"jello"), headers)
        with pytest.raises(Unauthenticated):
            await bot.raw(*webhook_request(message, "wrong", now))
        with pytest.raises(Forbidden):
            await bot.raw(*webhook_request(message, SECRET, now - 301))
        assert bot.accepted == []


async def test_the_signature_is_looked_at_before_the_body():
    async with world() as (bot, _):
        with pytest.raises(Unauthenticated):
            await bot.raw(b"{", {})
        with pytest.raises(Malformed):
            await bot.raw(
                b"{", {"x-ai-engine-signature": webhook_signature(b"{", SECRET, bot.clock.time())}
            )


async def test_other_paths_and_methods_are_refused():
    async with world() as (bot, _):
        with pytest.raises(NotFound):
            await bot.channel.webhook(
                WebhookRequest(method="POST", path="/x", headers={}, query={}, body=b""), bot.accept
            )
        got = await bot.channel.webhook(
            WebhookRequest(method="GET", path="", headers={}, query={}, body=b""), bot.accept
        )
        assert got.status == 405


async def test_an_answer_is_posted_signed_with_its_key():
    async with world() as (bot, callback):
        await bot.answer("**hi**")
        [(body, headers)] = callback.got
        assert json.loads(body) == {
            "reply_id": "r-**hi**",
            "in_reply_to": "m1",
            "session": "c1",
            "user": "u1",
            "text": "**hi**",
            "final": True,
        }
        assert headers["Idempotency-Key"] == "r-**hi**"
        assert headers["X-AI-Engine-Signature"] == webhook_signature(body, SECRET, bot.clock.time())
        assert headers["Content-Type"] == "application/json"


async def test_a_card_goes_beside_its_text():
    async with world() as (bot, callback):
        await bot.channel.send(outgoing("Sunny", card=Card(title="Weather")))
        found = json.loads(callback.got[0][0])
        assert found["card"]["title"] == "Weather"
        assert found["text"] == "Sunny\n\n**Weather**"


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (408, SendRetryable),
        (429, SendRetryable),
        (500, SendRetryable),
        (503, SendRetryable),
        (302, SendRefused),
        (400, SendRefused),
        (404, SendRefused),
        (410, SendRefused),
    ],
)
async def test_the_callbacks_status_says_whether_to_try_again(status: int, error: type[Exception]):
    async with world() as (bot, callback):
        callback.status = status
        callback.headers = {"Location": "/answers"}
        with pytest.raises(error):
            await bot.answer("hi")
        assert len(callback.got) == 1


@pytest.mark.parametrize("status", [200, 201, 202, 204])
async def test_every_2xx_is_delivered(status: int):
    async with world() as (bot, callback):
        callback.status = status
        await bot.answer("hi")
        assert callback.texts == ["hi"]


@pytest.mark.parametrize(("asked", "wait"), [("9", 9.0), ("99999", 600.0)])
async def test_the_callbacks_wish_to_wait_is_honoured_within_bounds(asked: str, wait: float):
    async with world() as (bot, callback):
        callback.status, callback.headers = 429, {"Retry-After": asked}
        with pytest.raises(SendRetryable) as caught:
            await bot.answer("hi")
        assert caught.value.retry_after_seconds == wait


async def test_an_unreachable_callback_is_tried_later_and_its_address_is_not_told():
    egress = Egress()
    await egress.start()
    bot = Bot(egress, "http://127.0.0.1:9/answers?token=t0ken")
    with pytest.raises(SendRetryable) as caught:
        await bot.answer("hi")
    await egress.close()
    assert "t0ken" not in repr(caught.value)
    assert caught.value.__suppress_context__


async def test_who_waits_gets_the_answer_in_the_same_request():
    async with world() as (bot, callback):
        request = await bot.waiting()
        await bot.answer("hi")
        response = await request
        assert response.status == 200
        assert content(response)["status"] == "answered"
        assert [reply["text"] for reply in content(response)["replies"]] == ["hi"]
        assert content(response)["text"] == "hi", "the reply itself stands at the top"
        assert content(response).items() > content(response)["replies"][0].items()
        assert callback.got == [], "answered once, not twice"


async def test_an_answer_that_is_quicker_than_accept_is_not_missed():
    async with world(called_back=False) as (bot, _):

        async def accept(message: InboundMessage) -> Accepted:
            await bot.answer("quick")
            return Accepted(id="in_1", duplicate=False)

        bot.accept = accept  # type: ignore[method-assign]
        response = await bot.post(wait="true")
        assert [reply["text"] for reply in content(response)["replies"]] == ["quick"]


async def test_the_parts_of_a_long_answer_come_together():
    async with world() as (bot, callback):
        request = await bot.waiting()
        await bot.answer("one", final=False)
        await bot.answer("one", final=False)
        await bot.answer("two")
        replies = content(await request)["replies"]
        assert [(reply["text"], reply["final"]) for reply in replies] == [
            ("one", False),
            ("two", True),
        ]
        assert callback.got == []


@pytest.mark.parametrize(("query", "seconds"), [({}, 30.0), ({"timeout": "1.5"}, 1.5)])
async def test_who_waited_long_enough_is_told_that_it_was_accepted(
    query: dict[str, str], seconds: float
):
    async with world() as (bot, callback):
        request = await bot.waiting(**query)
        began = bot.clock.time()
        while not request.done():
            await bot.clock.advance(0.5)
        response = await request
        assert bot.clock.time() - began == seconds
        assert (response.status, content(response)["status"]) == (202, "accepted")
        await bot.answer("late")
        assert callback.texts == ["late"]


async def test_the_stored_answer_comes_back_for_a_repeated_message():
    async with world(called_back=False) as (bot, _):
        await bot.post()
        await bot.answer("hi")
        bot.handled["m1"] = [Reply(id="r-hi", text="hi")]
        response = await bot.post(wait="true")
        assert response.status == 200
        assert content(response)["replies"][0]["reply_id"] == "r-hi"


async def test_two_who_wait_for_one_message_both_get_the_answer():
    async with world() as (bot, callback):
        first = await bot.waiting()
        second = await bot.waiting()
        await bot.answer("hi")
        assert content(await first) == content(await second)
        assert len(bot.accepted) == 1
        assert callback.got == []


async def test_when_the_waiting_client_goes_away_the_whole_answer_is_called_back_in_order():
    async with world() as (bot, callback):
        request = await bot.waiting()
        await bot.answer("one", final=False)
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        callback.status = 503
        with pytest.raises(SendRetryable):
            await bot.answer("two")
        callback.status = 200
        callback.got.clear()
        await bot.answer("two")
        assert callback.texts == ["one", "two"]
        await bot.answer("three")
        assert callback.texts == ["one", "two", "three"]


async def test_parts_of_who_left_are_given_to_who_comes_back():
    async with world() as (bot, callback):
        request = await bot.waiting()
        await bot.answer("one", final=False)
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        again = await bot.waiting()
        await bot.answer("two")
        assert [reply["text"] for reply in content(await again)["replies"]] == ["one", "two"]
        assert callback.got == []


async def test_without_callback_and_waiter_an_answer_is_kept_and_counts_as_delivered():
    async with world(called_back=False) as (bot, callback):
        await bot.answer("hi")
        assert callback.got == []


async def test_when_all_slots_are_taken_the_message_is_still_accepted():
    async with world(slots_max=1) as (bot, callback):
        first = await bot.waiting("m1")
        response = await bot.post("m2", wait="true")
        assert (response.status, content(response)["status"]) == (202, "accepted")
        await bot.answer("for two", "m2")
        assert callback.texts == ["for two"]
        await bot.answer("for one", "m1")
        assert content(await first)["replies"][0]["text"] == "for one"
        assert (await bot.waiting("m3")).cancel()


async def test_a_message_that_gets_no_reply_ends_the_wait_as_answered_with_none():
    async with world() as (bot, _):
        request = await bot.waiting()
        bot.handled["m1"] = []
        await bot.clock.advance(1)
        response = await request
        assert (response.status, content(response)["replies"]) == (200, [])


async def test_replies_that_are_stored_but_not_handed_over_are_waited_for():
    async with world() as (bot, callback):
        request = await bot.waiting()
        bot.handled["m1"] = [Reply(id="r1", text="hi")]
        await bot.clock.advance(1)
        assert not request.done()
        await bot.answer("hi")
        assert [reply["text"] for reply in content(await request)["replies"]] == ["hi"]
        assert callback.got == [], "answered once, not twice"


async def test_replies_that_another_process_delivers_are_answered_from_the_journal():
    async with world() as (bot, _):
        request = await bot.waiting()
        bot.handled["m1"] = [Reply(id="r1", text="hi")]
        while not request.done():
            await bot.clock.advance(0.5)
        assert content(await request)["text"] == "hi"


async def test_a_full_engine_is_told_to_the_server_and_leaves_no_slot_behind():
    async with world(slots_max=1) as (bot, _):
        bot.full = True
        for _ in range(2):
            with pytest.raises(Overloaded):
                await bot.post(wait="true")
        bot.full = False
        request = await bot.waiting()
        await bot.answer("hi")
        assert (await request).status == 200


@pytest.mark.parametrize(
    "query",
    [{"wait": "yes"}, {"wait": "true", "timeout": "31"}, {"wait": "true", "timeout": "nan"}]
    + [{"wait": "true", "timeout": value} for value in ("0", "-1", "soon")],
)
async def test_a_senseless_wait_is_refused_before_anything_is_accepted(query: dict[str, str]):
    async with world() as (bot, _):
        with pytest.raises(Malformed, match=r"^\?(wait|timeout)"):
            await bot.post(**query)
        assert bot.accepted == []


def test_what_is_wrong_with_the_settings_is_said_in_sentences():
    config = ChannelConfig.model_validate({"mode": "stream", "callback_url": "ftp://x"})
    channel = WebhookChannel("bot", config, make_host())
    words = [text.split(" ")[0] for text in channel.problems]
    assert words == ["mode:", "auth.secret:", "callback_url"]
    good = ChannelConfig.model_validate({"auth": {"secret": "x"}, "callback_url": "https://x/y"})
    assert problems(ABOUT, good) == []


async def test_a_channel_without_secret_shows_that_it_fails():
    egress = Egress()
    bot = Bot(egress, "")
    assert bot.channel.status().state == "ready"
    bare = WebhookChannel("bot", ChannelConfig(), make_host(egress, bot.clock, stored=bot.stored))
    await bare.start()
    assert bare.status().state == "failing"
    assert "auth.secret" in bare.status().detail
