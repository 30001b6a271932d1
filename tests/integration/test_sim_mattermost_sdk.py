"""The simulated Mattermost, driven by mattermostautodriver: it decides what the API looks like."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from mattermostautodriver import AsyncTypedDriver
from mattermostautodriver.exceptions import (
    InvalidOrMissingParameters,
    NoAccessTokenProvided,
    NotEnoughPermissions,
    ResourceNotFound,
    TooManyRequests,
)

from ai_engine.simulators.files import SharedFile
from ai_engine.simulators.mattermost import MattermostSimulator

TOKEN = "bottoken1234567890abcdefgh"


@asynccontextmanager
async def driven(token: str = TOKEN) -> AsyncIterator[tuple[MattermostSimulator, Any]]:
    async with MattermostSimulator(token=TOKEN) as simulator:
        options = {
            "url": "127.0.0.1",
            "scheme": "http",
            "port": simulator.port,
            "token": token,
            "max_retries": 0,
            "keepalive": False,
        }
        async with AsyncTypedDriver(options) as driver:
            yield simulator, driver


async def test_the_driver_logs_in_and_posts_into_a_thread():
    async with driven() as (simulator, driver):
        me = await driver.login()
        assert (me["username"], driver.client.userid) == ("ai-assistant", me["id"])
        asked = await simulator.say("zhangsan", "hello", chat="group")
        channel = simulator.info()["group"]["id"]
        post = await driver.posts.create_post(channel, "**hi**", root_id=asked)
        assert (post["root_id"], post["user_id"]) == (asked, me["id"])
        reply = await simulator.wait_reply(asked)
        assert (reply.text, reply.reply_to) == ("**hi**", asked)
        assert (await driver.posts.get_post(post["id"]))["message"] == "**hi**"


async def test_the_driver_streams_by_patching_its_post():
    async with driven() as (simulator, driver):
        await driver.login()
        channel = (await driver.channels.get_channel(simulator.info()["group"]["id"]))["id"]
        post = await driver.posts.create_post(channel, "It")
        for text in ("It is", "It is fine"):
            assert (await driver.posts.patch_post(post["id"], message=text))["message"] == text
        entry = simulator.transcript.get(post["id"])
        assert entry is not None
        assert (entry.text, entry.edits) == ("It is fine", 2)


async def test_the_driver_writes_to_a_person_and_reads_their_account():
    async with driven() as (simulator, driver):
        me = await driver.login()
        user = await driver.users.get_user_by_username("zhangsan")
        assert user == await driver.users.get_user(simulator.user_id("zhangsan"))
        channel = await driver.channels.create_direct_channel([me["id"], user["id"]])
        assert channel["type"] == "D"
        await driver.posts.create_post(channel["id"], "hello")
        assert (await simulator.wait_reply("cid-private-zhangsan")).text == "hello"
        await driver.users.publish_user_typing(me["id"], channel["id"])
        assert list(simulator.typed) == [(channel["id"], "")]
        listed = await driver.channels.get_channels_for_user(me["id"])
        assert channel["id"] in {one["id"] for one in listed}


async def test_the_driver_sends_and_reads_files():
    async with driven() as (simulator, driver):
        await driver.login()
        channel = simulator.info()["group"]["id"]
        sent = await driver.files.upload_file(files=("a.txt", b"hi"), channel_id=channel)
        file_id = sent["file_infos"][0]["id"]
        post = await driver.posts.create_post(channel, "", file_ids=[file_id])
        assert post["metadata"]["files"][0]["name"] == "a.txt"
        assert (await driver.files.get_file_info(file_id))["size"] == 2
        assert (await driver.files.get_file(file_id)).content == b"hi"
        file = SharedFile(kind="picture", name="p.png", mime="image/png", content=b"png")
        asked = await simulator.say("zhangsan", file=file)
        found = await driver.posts.get_post(asked)
        assert (await driver.files.get_file(found["file_ids"][0])).content == b"png"


async def test_the_driver_reacts_and_reads_what_it_missed():
    async with driven() as (simulator, driver):
        me = await driver.login()
        asked = await simulator.say("zhangsan", "one", chat="group")
        body = {"user_id": me["id"], "post_id": asked, "emoji_name": "+1"}
        assert (await driver.reactions.save_reaction(body))["emoji_name"] == "+1"
        assert len(await driver.reactions.get_reactions(asked)) == 1
        channel = simulator.info()["group"]["id"]
        first = simulator.store.posts[asked]["update_at"]
        two = await simulator.say("zhangsan", "two", chat="group")
        missed = await driver.posts.get_posts_for_channel(channel, since=first)
        assert missed["order"] == [two]
        assert (await driver.posts.get_posts_for_channel(channel, per_page=1))["order"] == [two]
        await driver.posts.delete_post(two)
        assert (await driver.posts.get_posts_for_channel(channel))["order"] == [asked]


async def test_buttons_reach_clients_without_what_only_the_server_knows():
    async with driven() as (simulator, driver):
        await driver.login()
        channel = simulator.info()["group"]["id"]
        integration = {"url": "http://127.0.0.1:1/x", "context": {"secret": 1}}
        action = {"id": "b0", "type": "button", "name": "Go", "integration": integration}
        attachments = [{"text": "pick", "actions": [action]}]
        post = await driver.posts.create_post(channel, "", props={"attachments": attachments})
        assert "integration" not in json.dumps(post)
        action["id"] = "not-a-path"
        with pytest.raises(InvalidOrMissingParameters):
            await driver.posts.create_post(channel, "", props={"attachments": attachments})


@pytest.mark.parametrize(
    ("knob", "error"),
    [
        ({"expired_token": 1}, NoAccessTokenProvided),
        ({"missing_permission": "create_post"}, NotEnoughPermissions),
        ({"throttle_after": 0, "throttle_times": 1}, TooManyRequests),
    ],
)
async def test_the_driver_understands_every_refusal(knob: dict[str, Any], error: type[Exception]):
    async with driven() as (simulator, driver):
        await driver.login()
        channel = simulator.info()["group"]["id"]
        simulator.faults.change(knob)
        with pytest.raises(error) as caught:
            await driver.posts.create_post(channel, "hi")
        if error is TooManyRequests:
            assert caught.value.retry_after == 1
        simulator.faults.clear()
        with pytest.raises(InvalidOrMissingParameters):
            await driver.posts.create_post(channel, "x" * 16_384)
        with pytest.raises(InvalidOrMissingParameters):
            await driver.posts.create_post(channel, "x", root_id="nothing")
        with pytest.raises(ResourceNotFound):
            await driver.posts.get_post("nothing")


@pytest.mark.filterwarnings("ignore:ssl=None is deprecated:DeprecationWarning")  # the driver's
async def test_the_drivers_websocket_gets_hello_posts_edits_and_reactions():
    async with driven() as (simulator, driver):
        await driver.login()
        found: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

        async def note(message: str) -> None:
            found.put_nowait(json.loads(message))

        async def event(name: str) -> dict[str, Any]:
            async with asyncio.timeout(5):
                while (frame := await found.get()).get("event") != name:
                    pass
            return frame

        listening = asyncio.create_task(driver.init_websocket(note))
        try:
            hello = await event("hello")
            assert (hello["seq"], len(hello["data"]["connection_id"])) == (0, 26)
            asked = await simulator.say("zhangsan", "hello", chat="group")
            posted = (await event("posted"))["data"]
            assert (posted["channel_type"], posted["sender_name"]) == ("O", "@zhangsan")
            assert json.loads(posted["mentions"]) == [simulator.store.bot["id"]]
            assert json.loads(posted["post"])["id"] == asked
            await simulator.edit(asked, "hello again")
            edited = json.loads((await event("post_edited"))["data"]["post"])
            assert edited["message"].endswith("hello again")
            assert edited["edit_at"] > 0
            post = await driver.posts.create_post(edited["channel_id"], "hi")
            await event("posted")
            await simulator.rate(post["id"], "good", user="zhangsan")
            reaction = json.loads((await event("reaction_added"))["data"]["reaction"])
            assert (reaction["post_id"], reaction["emoji_name"]) == (post["id"], "+1")
            await simulator.recall(asked)
            assert json.loads((await event("post_deleted"))["data"]["post"])["id"] == asked
        finally:
            driver.disconnect()
            listening.cancel()
            await asyncio.wait([listening])


async def test_the_drivers_websocket_gets_nothing_with_a_wrong_token():
    async with driven("wrong") as (simulator, driver):
        with pytest.raises(NoAccessTokenProvided):
            await driver.login()
        url = f"{simulator.url}/api/v4/websocket"
        challenge = {"seq": 1, "action": "authentication_challenge", "data": {"token": "wrong"}}
        async with aiohttp.ClientSession() as session, session.ws_connect(url) as socket:
            await socket.send_json(challenge)
            async with asyncio.timeout(5):
                message = await socket.receive()
            assert message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)


async def test_a_connection_that_comes_back_gets_what_it_missed_and_no_hello():
    async with driven() as (simulator, _):
        url = f"{simulator.url}/api/v4/websocket"
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with aiohttp.ClientSession(headers=headers) as session:
            async with session.ws_connect(url) as socket:
                hello = await socket.receive_json(timeout=5)
                await simulator.say("zhangsan", "one")
                assert (await socket.receive_json(timeout=5))["seq"] == 1
            await simulator.hub.wait_connections(0)
            await simulator.say("zhangsan", "two")
            known = {"connection_id": hello["data"]["connection_id"], "sequence_number": "1"}
            async with session.ws_connect(url, params=known) as socket:
                frames = [await socket.receive_json(timeout=5) for _ in range(2)]
                assert [(f["event"], f["seq"]) for f in frames] == [("posted", 1), ("posted", 2)]
                await socket.send_json({"seq": 1, "action": "ping"})
                pong = await socket.receive_json(timeout=5)
                assert (pong["status"], pong["seq_reply"]) == ("OK", 1)
                await socket.send_json({"seq": 2, "action": "nonsense"})
                assert (await socket.receive_json(timeout=5))["status"] == "FAIL"
            known["sequence_number"] = "99"
            await simulator.hub.wait_connections(0)
            async with session.ws_connect(url, params=known) as socket:
                assert (await socket.receive_json(timeout=5))["event"] == "hello"
