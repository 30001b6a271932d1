"""The web chat's protocol, against a real server."""

import asyncio
import logging
import secrets

import pytest
import websockets
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.asyncio.client import connect

from ai_engine.api.chat_connection import ChatLimits
from ai_engine.domain.errors import Overloaded
from ai_engine.events.base import Partial
from ai_engine.security.access import COOKIE

from support.chat import ChatBench, Client, Script

ADMIN_KEY = "webchat:user:/admin"


@pytest.fixture
def bench(tmp_path) -> ChatBench:
    return ChatBench(tmp_path)


def events(frames) -> list[int]:
    return [frame["n"] for frame in frames if frame["type"] == "event"]


def ws(bench: ChatBench) -> str:
    return bench.url.replace("http", "ws", 1) + "/api/ws"


async def test_a_message_is_acknowledged_logged_streamed_and_answered(bench):
    async with bench.serve(), bench.client() as client:
        welcome = await client.next()
        assert welcome == {
            "type": "welcome",
            "v": 1,
            "session": ADMIN_KEY,
            "n": 0,
            "user": "admin",
            "text_chars_max": 10_000,
            "idle_seconds": 3600.0,
        }
        await client.send("client-0001", "  hello ")
        frames = await client.collect("partial", done=True)
    ack, message, *partials, reply, done = frames
    assert ack["type"] == "ack"
    assert ack["duplicate"] is False
    assert message["type"] == "event"
    assert (message["n"], message["kind"]) == (1, "message")
    assert message["body"]["client_id"] == "client-0001"
    assert message["body"]["id"] == ack["id"]
    assert message["body"]["text"] == "hello"
    assert [(p["offset"], p["text"]) for p in partials] == [(0, "You said: "), (10, "hello")]
    assert {p["turn"] for p in partials} == {ack["id"]}
    assert (reply["n"], reply["kind"]) == (2, "reply")
    assert reply["body"]["text"] == "You said: hello"
    assert reply["body"]["produced_by"] == "model:demo"
    assert reply["body"]["in_reply_to"] == message["body"]["message_id"]
    assert "stream" not in reply["body"]
    assert done["turn"] == ack["id"]


async def test_a_message_sent_again_is_a_duplicate_with_the_same_id(bench):
    async with bench.serve():
        async with bench.client() as client:
            await client.send("client-0001", "hello")
            first = await client.until("ack")
        async with bench.client() as client:
            await client.send("client-0001", "hello")
            second = await client.until("ack")
    assert (first["duplicate"], second["duplicate"]) == (False, True)
    assert first["id"] == second["id"]
    assert len(bench.messages) == 1


async def test_the_accepted_message_carries_its_sender_and_its_session(bench):
    async with bench.serve(), bench.client() as client:
        await client.send("client-0001", "hello")
        await client.until("ack")
    message = bench.messages[0]
    assert (message.channel, message.sender.platform) == ("webchat", "webchat")
    assert (message.sender.user_id, message.chat.id) == ("admin", "admin")
    assert message.message_id == "admin:client-0001"
    assert message.target == {"session_key": ADMIN_KEY}


async def test_stop_overtakes_the_answer_in_progress(bench):
    bench.answer = lambda text: Script(["one ", "one two "], gated=True)
    async with bench.serve(), bench.client() as client:
        await client.send("client-0001", "count")
        bench.steps.put_nowait(None)
        await client.until("partial", text="one ")
        await client.put(type="stop")
        await client.until("ack")
        reply = await client.until("event", kind="reply")
        stopped = await client.until("event", kind="stopped")
    assert reply["body"]["text"] == "one two (stopped)"
    assert stopped["body"] == {"in_reply_to": "admin:client-0001"}
    assert bench.messages[-1].text == "/stop"


async def test_a_reconnecting_client_gets_only_what_it_has_not_seen(bench):
    async with bench.serve():
        async with bench.client() as client:
            await client.send("client-0001", "one")
            await client.until("event", kind="reply")
        async with bench.client() as client:
            await client.send("client-0002", "two")
            await client.until("event", n=4)
        async with bench.client(last_event=2, session=ADMIN_KEY) as client:
            frames = await client.collect("event", n=4)
    assert frames[0]["type"] == "welcome"
    assert frames[0]["n"] == 4
    assert events(frames) == [3, 4]


async def test_an_event_number_of_another_session_counts_for_nothing(bench):
    async with bench.serve():
        async with bench.client() as client:
            await client.send("client-0001", "one")
            await client.until("event", kind="reply")
        async with bench.client(last_event=2, session="somebody else's") as client:
            frames = await client.collect("event", n=2)
    assert events(frames) == [1, 2]


async def test_a_client_that_was_away_too_long_is_told_of_the_gap(bench):
    bench.log.kept = 3
    for n in range(1, 11):
        bench.say(ADMIN_KEY, "reply", {"id": str(n), "text": str(n)})
    async with bench.serve(), bench.client(last_event=4, session=ADMIN_KEY) as client:
        frames = await client.collect("event", n=10)
    assert [f["type"] for f in frames] == ["welcome", "reset", "event", "event", "event"]
    assert frames[1] == {"type": "reset", "n": 7}
    assert events(frames) == [8, 9, 10]


async def test_a_client_ahead_of_a_log_that_began_anew_starts_again(bench):
    bench.say(ADMIN_KEY, "reply", {"id": "1", "text": "new"})
    async with bench.serve(), bench.client(last_event=40, session=ADMIN_KEY) as client:
        frames = await client.collect("event", n=1)
    assert [f["type"] for f in frames] == ["welcome", "reset", "event"]
    assert frames[1]["n"] == 0


async def test_the_running_turns_text_is_told_to_who_connects_in_the_middle(bench):
    bench.answer = lambda text: Script(["Hel", "Hello wor", "Hello world"], gated=True)
    async with bench.serve(), bench.client() as first:
        await first.send("client-0001", "greet")
        bench.steps.put_nowait(None)
        bench.steps.put_nowait(None)
        await first.until("partial", text="lo wor")
        async with bench.client() as second:
            partial = await second.until("partial")
            assert (partial["offset"], partial["text"]) == (0, "Hello wor")
            bench.steps.put_nowait(None)
            rest = await second.until("partial")
            assert (rest["offset"], rest["text"]) == (9, "ld")


async def test_the_same_conversation_is_followed_on_two_devices(bench):
    async with bench.serve(), bench.client() as one, bench.client() as two:
        await two.until("welcome")
        await one.send("client-0001", "hello")
        seen = await two.collect("event", kind="reply")
    assert events(seen) == [1, 2]
    assert not [frame for frame in seen if frame["type"] == "ack"]


async def test_an_event_whose_news_was_lost_comes_with_the_next_look(tmp_path):
    bench = ChatBench(tmp_path, limits=ChatLimits(look_seconds=0.05))
    async with bench.serve(), bench.client() as client:
        await client.until("welcome")
        bench.log.add(ADMIN_KEY, "reply", {"id": "r1", "text": "quiet"}, 0.0)
        event = await client.until("event")
    assert event["body"]["text"] == "quiet"


async def test_more_than_a_page_of_events_comes_whole(bench):
    bench.log.kept = 2000
    for n in range(1200):
        bench.log.add(ADMIN_KEY, "reply", {"id": str(n), "text": str(n)}, 0.0)
    async with bench.serve(), bench.client() as client:
        frames = await client.collect("event", n=1200)
    assert events(frames) == list(range(1, 1201))


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 4), st.booleans()), min_size=1, max_size=8)
)
def test_each_event_is_seen_once_in_order_whatever_breaks(tmp_path, visits):
    """Each visit: events that come before it, frames read before it breaks, news dropped."""
    asyncio.run(_visits(ChatBench(tmp_path), visits))


async def _visits(bench: ChatBench, visits: list[tuple[int, int, bool]]) -> None:
    seen: list[int] = []
    total = 0
    async with asyncio.timeout(30), bench.serve():
        for before, read, overflow in visits:
            for _ in range(before):
                total = bench.say(ADMIN_KEY, "reply", {"id": "r", "text": "x"})
            last = seen[-1] if seen else 0
            async with bench.client(last_event=last, session=ADMIN_KEY) as client:
                await client.until("welcome")
                if overflow:  # more news than a mailbox holds: all are dropped
                    for n in range(300):
                        bench.events.publish(
                            Partial(session_key=ADMIN_KEY, turn="t", offset=n, text="x")
                        )
                total = bench.say(ADMIN_KEY, "reply", {"id": "r", "text": "y"})
                for _ in range(min(read, total - last)):
                    seen.append((await client.until("event"))["n"])
        async with bench.client(last_event=seen[-1] if seen else 0, session=ADMIN_KEY) as client:
            while not seen or seen[-1] < total:
                seen.append((await client.until("event"))["n"])
    assert seen == list(range(1, total + 1))


# Who may come in


async def test_a_wrong_token_is_told_so_and_closed(bench):
    async with bench.serve(), bench.client(token="wrong") as client:
        assert (await client.next())["code"] == "unauthenticated"
        assert await client.closed() == 4401


async def test_no_proof_at_all_is_closed(bench):
    async with bench.serve(), bench.client(token="") as client:
        assert await client.closed() == 4401


async def test_silence_instead_of_hello_is_closed(tmp_path):
    bench = ChatBench(tmp_path, limits=ChatLimits(hello_seconds=0.05))
    async with bench.serve(), connect(ws(bench)) as raw:
        assert await Client(raw).closed() == 4408


async def test_guessing_tokens_is_throttled_even_when_the_last_guess_is_right(bench):
    async with bench.serve():
        for _ in range(10):
            async with bench.client(token="guess") as client:
                assert await client.closed() == 4401
        async with bench.client() as client:
            error = await client.next()
            assert error["code"] == "throttled"
            assert error["retry_after_seconds"] > 0
            assert await client.closed() == 4429


async def test_another_sites_page_cannot_connect(bench):
    async with bench.serve():
        with pytest.raises(websockets.InvalidStatus) as refused:
            async with connect(ws(bench), origin="https://evil.example"):
                pass
    assert refused.value.response.status_code == 403


async def test_a_page_of_a_named_origin_can_connect(tmp_path):
    bench = ChatBench(tmp_path, origins=("https://portal.example",))
    async with bench.serve(), connect(ws(bench), origin="https://portal.example") as raw:
        client = Client(raw)
        await client.hello(token=bench.token)
        assert (await client.next())["type"] == "welcome"


async def test_a_browsers_cookie_is_proof_enough_on_our_own_page(bench):
    session = bench.access.redeem(bench.access.issue_code())
    headers = {"Cookie": f"other=1; {COOKIE}={session}"}
    async with bench.serve():
        async with connect(ws(bench), origin=bench.url, additional_headers=headers) as raw:
            client = Client(raw)
            await client.hello()
            assert (await client.next())["user"] == "admin"
        async with connect(ws(bench), additional_headers=headers) as raw:
            client = Client(raw)  # a cookie without Origin is not a browser's
            await client.hello()
            assert await client.closed() == 4401


async def test_a_connection_ends_with_its_browser_session(bench):
    session = bench.access.redeem(bench.access.issue_code())
    headers = {"Cookie": f"{COOKIE}={session}"}
    async with (
        bench.serve(),
        connect(ws(bench), origin=bench.url, additional_headers=headers) as raw,
    ):
        client = Client(raw)
        await client.hello()
        await client.until("welcome")
        await bench.clock.advance(12 * 3600 + 60)
        assert (await client.until("error"))["code"] == "unauthenticated"
        assert await client.closed() == 4401


# What is not the protocol, and what is too much


async def test_a_field_of_a_later_version_is_ignored(bench):
    async with bench.serve(), bench.client() as client:
        await client.until("welcome")
        await client.raw.send('{"type":"send","client_id":"c1","text":"x","extra":1}')
        assert (await client.until("ack"))["client_id"] == "c1"


@pytest.mark.parametrize(
    "frame",
    [
        "not json",
        "[]",
        '{"type":"dance"}',
        '{"type":"send","client_id":"client-0001"}',
        '{"type":"send","client_id":"a b","text":"x"}',
        '{"type":"send","client_id":"client-0001\\n","text":"x"}',
        '{"type":"hello","v":1}',
        b"\x00\x01",
    ],
)
async def test_a_frame_that_is_not_the_protocol_closes_the_connection(bench, frame):
    async with bench.serve(), bench.client() as client:
        await client.until("welcome")
        await client.raw.send(frame)
        error = await client.until("error")
        assert error["code"] == "malformed"
        assert error["message_zh"]
        assert await client.closed() == 4400
    assert bench.messages == []


async def test_a_page_of_another_version_is_asked_to_reload(bench):
    async with bench.serve(), bench.client(v=2) as client:
        assert (await client.next())["code"] == "version"
        assert await client.closed() == 4426


async def test_anything_before_hello_closes_the_connection(bench):
    async with bench.serve(), connect(ws(bench)) as raw:
        client = Client(raw)
        await client.send("client-0001", "hello")
        assert await client.closed() == 4400
    assert bench.messages == []


async def test_a_frame_above_the_limit_closes_the_connection(tmp_path):
    bench = ChatBench(tmp_path, limits=ChatLimits(frame_bytes_max=1000))
    async with bench.serve(), bench.client() as client:
        await client.send("client-0001", "长" * 400)  # 1200 bytes, but few characters
        assert (await client.until("error"))["code"] == "frame_too_large"
        assert await client.closed() == 1009


@pytest.mark.parametrize(("text", "code"), [(" \n", "text_empty"), ("x" * 11, "text_too_long")])
async def test_a_text_that_cannot_be_taken_is_refused_and_the_connection_stays(
    tmp_path, text, code
):
    bench = ChatBench(tmp_path, limits=ChatLimits(text_chars_max=10))
    async with bench.serve(), bench.client() as client:
        await client.send("client-0001", text)
        error = await client.until("error")
        assert (error["code"], error["client_id"]) == (code, "client-0001")
        await client.send("client-0002", "fits")
        assert (await client.until("ack"))["client_id"] == "client-0002"


async def test_a_full_backlog_asks_for_patience_and_the_message_is_taken_later(bench):
    async with bench.serve(), bench.client() as client:
        bench.refuse = Overloaded("full", retry_after_seconds=7)
        await client.send("client-0001", "hello")
        error = await client.until("error")
        assert (error["code"], error["retry_after_seconds"]) == ("overloaded", 7)
        assert error["client_id"] == "client-0001"
        bench.refuse = None
        await client.send("client-0001", "hello")
        assert (await client.until("ack"))["duplicate"] is False


async def test_a_failure_inside_is_logged_and_only_this_connection_ends(bench, caplog):
    async with bench.serve(), bench.client() as other, bench.client() as client:
        await other.until("welcome")
        await client.until("welcome")
        bench.refuse = RuntimeError("the disk is gone")
        with caplog.at_level(logging.ERROR):
            await client.send("client-0001", "hello")
            assert (await client.until("error"))["code"] == "internal"
            assert await client.closed() == 1011
        bench.refuse = None
        await other.send("client-0002", "still here")
        await other.until("ack")
    assert "the disk is gone" in caplog.text


async def test_connections_are_counted_and_bounded_for_each_person(tmp_path):
    bench = ChatBench(tmp_path, limits=ChatLimits(connections_per_user_max=1))
    async with bench.serve():
        async with bench.client() as first:
            await first.until("welcome")
            assert bench.socket.connections == 1
            async with bench.client() as second:
                assert (await second.next())["code"] == "too_many_connections"
                assert await second.closed() == 1013
        async with bench.client() as third:
            assert (await third.next())["type"] == "welcome"


async def test_a_client_that_says_nothing_for_long_is_closed(tmp_path):
    bench = ChatBench(tmp_path, limits=ChatLimits(idle_seconds=0.1))
    async with bench.serve(), bench.client() as client:
        assert await client.closed() == 4410


async def test_a_client_that_does_not_read_is_closed_and_others_are_not_held_up(tmp_path):
    bench = ChatBench(tmp_path, limits=ChatLimits(send_seconds=1.0))
    bench.log.kept = 1000
    async with bench.serve(), bench.client() as slow, bench.client() as quick:
        await slow.until("welcome")
        await quick.until("welcome")
        slow.raw.transport.pause_reading()
        for _ in range(400):  # 20 MB that compress badly: more than the sockets hold
            n = bench.say(ADMIN_KEY, "reply", {"id": "r", "text": secrets.token_hex(25_000)})
        await quick.until("event", n=n)
        async with asyncio.timeout(5):
            while bench.socket.connections > 1:
                await asyncio.sleep(0.01)
        slow.raw.transport.resume_reading()
