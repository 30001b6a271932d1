"""The simulated Slack's control API, as pages and scripts use it."""

import aiohttp
import pytest

from ai_engine.domain.errors import Malformed, NotFound
from ai_engine.domain.reply import Button, Card

from support.slack_world import out, world


async def test_the_control_api_gives_commands_and_presses_rates_edits_and_recalls():
    async with world() as (simulator, engine), aiohttp.ClientSession(simulator.url) as session:

        async def post(path: str, **body: object) -> dict[str, str]:
            async with session.post(f"/sim/{path}", json=body) as answer:
                assert answer.status == 200, await answer.text()
                return await answer.json()

        await post("slash", user="zhangsan", text="weather", chat="group")
        assert (await engine.next()).text == "weather"
        asked = (await post("send", user="zhangsan", text="hi"))["message_id"]
        message = await engine.next()
        card = Card(buttons=(Button(label="b", value={"a": 1}),))
        await engine.channel.send(out(message, "x", card=card, feedback="fb"))
        entry = await simulator.wait_reply(asked)
        await post("press", entry=entry.id)
        assert (await engine.next()).kind == "button"
        await post("rate", entry=entry.id, rating="bad")
        assert (await engine.next()).kind == "feedback"
        await post("edit", message_id=asked, text="hello")
        assert (await engine.next()).kind == "edit"
        await post("recall", message_id=asked)
        assert (await engine.next()).kind == "recall"
        await post("enter", user="alice")
        assert (await engine.next()).kind == "welcome"
        async with session.get("/sim/info") as answer:
            info = await answer.json()
        assert info["endpoints"]["api"] == f"{simulator.url}/api"
        assert info["interactivity_url"].endswith("/api/message/slack/interactive")


async def test_a_script_may_ask_clients_to_reconnect():
    async with world("stream") as (simulator, _):
        before = simulator.sockets.open
        async with simulator.http.post(f"{simulator.url}/sim/disconnect", json={}) as answer:
            assert answer.status == 200
        await simulator.sockets.wait_connections(1)
        assert simulator.sockets.open != before
        assert simulator.state()["mode"] == "stream"


async def test_an_address_of_a_connection_works_once():
    async with world() as (simulator, _):
        headers = {"Authorization": "Bearer xapp-t"}
        url = f"{simulator.url}/api/apps.connections.open"
        async with simulator.http.post(url, headers=headers) as answer:
            address = (await answer.json())["url"]
        async with simulator.http.ws_connect(address) as socket:
            assert (await socket.receive_json())["type"] == "hello"
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await simulator.http.ws_connect(address)


async def test_what_slack_does_not_have_is_refused():
    async with world() as (simulator, engine):
        asked = await simulator.say("zhangsan", "hi")
        await engine.channel.send(out(await engine.next(), "x"))
        entry = await simulator.wait_reply(asked)
        with pytest.raises(NotFound):
            await simulator.press(entry.id)
        with pytest.raises(NotFound):
            await simulator.rate(entry.id, "good")
        with pytest.raises(Malformed):
            await simulator.rate(entry.id, "none")
        with pytest.raises(NotFound):
            await simulator.edit("1.0", "x")
        with pytest.raises(Malformed):
            await simulator.say("zhangsan", "x", chat="room")


async def test_messages_can_be_sent_backwards_and_late():
    async with world() as (simulator, engine):
        simulator.faults.change({"reorder": 2, "delay_seconds": 0.01})
        await simulator.say("zhangsan", "one")
        await simulator.say("zhangsan", "two")
        assert [(await engine.next()).text for _ in range(2)] == ["two", "one"]


async def test_an_oversized_message_is_as_large_as_it_was_made():
    async with world() as (simulator, engine):
        simulator.faults.oversized_bytes = 100_000
        await simulator.say("zhangsan", "x")
        assert len((await engine.next()).text) == 100_001
