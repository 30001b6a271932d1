"""The stream gateway frame by frame: tickets, pings, acknowledgements, disconnection."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from ai_engine.simulators.dingtalk import DingTalkSimulator
from ai_engine.simulators.dingtalk.connection import ROBOT_TOPIC, StreamTimes

from support.callback_engine import CallbackEngine
from support.watched_clock import WatchedClock

ROBOT = {"type": "CALLBACK", "topic": ROBOT_TOPIC}
EVENTS = {"type": "EVENT", "topic": "*"}


@pytest.fixture
def clock() -> WatchedClock:
    return WatchedClock()


@pytest.fixture
async def sim(clock: WatchedClock) -> AsyncGenerator[DingTalkSimulator]:
    async with DingTalkSimulator(
        app_id="dingapp",
        app_secret="s3cret",
        clock=clock,
        times=StreamTimes(robot_ack=0.2, event_ack=0.2, connections_max=3),
        seed=7,
    ) as running:
        yield running


class Client:
    """A client that does nothing by itself."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    async def frame(self) -> dict[str, Any]:
        async with asyncio.timeout(5):
            return json.loads(await self.socket.receive_str())

    async def ack(self, frame: dict[str, Any], data: Any = None, code: int = 200) -> None:
        data = {"response": "OK"} if data is None else data
        headers = {"messageId": frame["headers"]["messageId"], "contentType": "application/json"}
        answer = {"code": code, "headers": headers, "message": "OK", "data": json.dumps(data)}
        await self.socket.send_str(json.dumps(answer))

    async def gone(self) -> int | None:
        async with asyncio.timeout(5):
            while not self.socket.closed:
                await self.socket.receive()
        return self.socket.close_code


async def ask(sim: DingTalkSimulator, **changes: Any) -> tuple[int, Any]:
    body = {"clientId": "dingapp", "clientSecret": "s3cret", "subscriptions": [ROBOT]} | changes
    headers = {"Accept": "application/json"}
    url = f"{sim.url}/v1.0/gateway/connections/open"
    async with sim.http.post(url, json=body, headers=headers) as answer:
        return answer.status, await answer.json()


@asynccontextmanager
async def connected(sim: DingTalkSimulator, *topics: dict[str, str]) -> AsyncGenerator[Client]:
    _, opened = await ask(sim, subscriptions=list(topics) or [ROBOT])
    url = f"{opened['endpoint']}?ticket={opened['ticket']}"
    async with sim.http.ws_connect(url) as socket:
        yield Client(socket)


async def refused(sim: DingTalkSimulator, ticket: str) -> int:
    with pytest.raises(aiohttp.WSServerHandshakeError) as error:
        await sim.http.ws_connect(f"{sim.url}/connect?ticket={ticket}")
    return error.value.status


async def test_a_ticket_is_good_once_and_for_ninety_seconds(
    sim: DingTalkSimulator, clock: WatchedClock
):
    _, first = await ask(sim)
    _, second = await ask(sim)
    await clock.advance(89)
    async with sim.http.ws_connect(f"{first['endpoint']}?ticket={first['ticket']}"):
        assert await refused(sim, first["ticket"]) == 401
    await clock.advance(1)
    assert await refused(sim, second["ticket"]) == 401
    assert await refused(sim, "guess") == 401


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"clientSecret": "wrong"}, 401, "authFailed"),
        ({"clientId": None}, 401, "authFailed"),
        ({"subscriptions": []}, 400, "InvalidParameter"),
        ({"subscriptions": [{"type": "CALLBACK"}]}, 400, "InvalidParameter"),
    ],
)
async def test_a_wrong_request_gets_no_ticket(
    sim: DingTalkSimulator, changes: Any, status: int, code: str
):
    answered, problem = await ask(sim, **changes)
    assert (answered, problem["code"]) == (status, code)
    assert problem["requestid"]


async def test_xml_comes_back_to_who_does_not_ask_for_json(sim: DingTalkSimulator):
    body = {"clientId": "dingapp", "clientSecret": "s3cret", "subscriptions": [ROBOT]}
    async with sim.http.post(f"{sim.url}/v1.0/gateway/connections/open", json=body) as answer:
        assert answer.content_type == "application/xml"
        assert "<ticket>" in await answer.text()


async def test_one_connection_more_than_allowed_is_refused(sim: DingTalkSimulator):
    async with connected(sim), connected(sim), connected(sim):
        await sim.stream.wait_connections(3)
        assert (await ask(sim))[0] == 403


async def test_a_robot_message_is_a_callback_frame_with_json_in_a_string(sim: DingTalkSimulator):
    async with connected(sim) as client:
        await sim.stream.wait_connections(1)
        asked = await sim.say("zhangsan", "hello")
        frame = await client.frame()
        assert (frame["specVersion"], frame["type"]) == ("1.0", "CALLBACK")
        assert frame["headers"]["topic"] == ROBOT_TOPIC
        data = json.loads(frame["data"])
        assert (data["msgId"], data["text"]["content"]) == (asked, "hello")
        await client.ack(frame)
        assert (await sim.wait_settled(asked)).status == "delivered"


async def test_a_message_without_an_acknowledgement_is_undelivered_and_not_sent_again(
    sim: DingTalkSimulator,
):
    async with connected(sim) as client:
        await sim.stream.wait_connections(1)
        lost = await sim.say("zhangsan", "lost")
        assert (await sim.wait_settled(lost)).status == "undelivered"
        await sim.say("zhangsan", "next")
        texts = [json.loads((await client.frame())["data"])["text"]["content"] for _ in range(2)]
        assert texts == ["lost", "next"]


async def test_each_message_goes_to_one_connection_and_all_of_them_are_used(
    sim: DingTalkSimulator,
):
    async with connected(sim) as one, connected(sim) as two:
        await sim.stream.wait_connections(2)
        counts = {one: 0, two: 0}

        async def serve(client: Client) -> None:
            while True:
                frame = await client.frame()
                counts[client] += 1
                await client.ack(frame)

        tasks = [asyncio.ensure_future(serve(client)) for client in counts]
        for n in range(20):
            await sim.wait_settled(await sim.say("zhangsan", str(n)))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(counts.values()) == 20
    assert min(counts.values()) > 0


async def test_pings_come_and_a_client_that_stays_silent_is_dropped(
    sim: DingTalkSimulator, clock: WatchedClock
):
    async with connected(sim) as awake, connected(sim) as asleep:
        await sim.stream.wait_connections(2)
        for turn in range(3):
            await clock.asleep(lambda seconds: seconds == 30, times=2 * (turn + 1))
            await clock.advance(30)
            if not awake.socket.closed:
                ping = await awake.frame()
                assert (ping["type"], ping["headers"]["topic"]) == ("SYSTEM", "ping")
                await awake.ack(ping, json.loads(ping["data"]))
                await _taken(sim, ping["headers"]["messageId"])
        await asleep.gone()
        await sim.stream.wait_connections(1)
        assert not awake.socket.closed


async def _taken(sim: DingTalkSimulator, message_id: str) -> None:
    async with asyncio.timeout(5):
        while not any(message_id in row["body"] for row in sim.wire.rows(direction="frame-in")):
            await asyncio.sleep(0)


async def test_an_event_comes_again_until_it_is_a_success(
    sim: DingTalkSimulator, clock: WatchedClock
):
    async with connected(sim, EVENTS) as client:
        event = sim.stream.send_event("user_add_org", {"userId": ["u1"]})
        first = await client.frame()
        assert first["headers"]["eventId"] == event
        await client.ack(first, {"status": "LATER", "message": "busy"})
        await clock.asleep(lambda seconds: seconds == 10)
        await clock.advance(10)
        second = await client.frame()
        assert second["headers"]["eventId"] == event
        assert json.loads(second["data"]) == {"userId": ["u1"]}
        await client.ack(second, {"status": "SUCCESS"})
        await _taken(sim, second["headers"]["messageId"])
        await clock.advance(20)
        assert len(sim.wire.rows(direction="frame-out", path="EVENT")) == 2


async def test_after_a_disconnect_frame_nothing_new_comes_and_the_socket_closes_in_ten_seconds(
    sim: DingTalkSimulator, clock: WatchedClock
):
    async with connected(sim) as old:
        await sim.stream.wait_connections(1)
        async with sim.http.post(
            f"{sim.url}/sim/stream/disconnect", json={"reason": "upgrade"}
        ) as answer:
            assert answer.status == 200
        frame = await old.frame()
        assert (frame["headers"]["topic"], json.loads(frame["data"])) == (
            *("disconnect", {"reason": "upgrade"}),
        )
        assert sim.stream.robot_connections == []
        async with connected(sim) as new:
            await sim.stream.wait_connections(1)
            await sim.say("zhangsan", "hello")
            assert (await new.frame())["type"] == "CALLBACK"
            await clock.asleep(lambda seconds: seconds == 10)
            closing = asyncio.ensure_future(old.gone())
            await clock.advance(9)
            assert not closing.done()
            await clock.advance(1)
            assert await closing == 1001


async def test_a_connection_can_be_cut_at_a_frame(sim: DingTalkSimulator):
    async with connected(sim) as client:
        await sim.stream.wait_connections(1)
        sim.faults.change({"drop_at_frame": 2})
        first = await sim.say("zhangsan", "one")
        await client.ack(await client.frame())
        await sim.wait_settled(first)
        second = await sim.say("zhangsan", "two")
        assert (await sim.wait_settled(second)).status == "undelivered"
        assert await client.gone() in (None, 1006)
        assert sim.faults.drop_at_frame == 0


async def test_http_is_used_when_no_connection_takes_robot_messages():
    async with (
        CallbackEngine() as engine,
        DingTalkSimulator(app_id="dingapp", app_secret="s3cret", engine=engine.url) as sim,
        connected(sim, EVENTS),
    ):
        assert (await sim.wait_settled(await sim.say("zhangsan", "by http"))).via == "http"
        async with connected(sim) as client:
            await sim.stream.wait_connections(1)
            asked = await sim.say("zhangsan", "by stream")
            await client.ack(await client.frame())
            assert (await sim.wait_settled(asked)).via == "stream"
        await sim.stream.wait_connections(0)
        assert (await sim.wait_settled(await sim.say("zhangsan", "again"))).via == "http"
        assert engine.texts == ["by http", "again"]
