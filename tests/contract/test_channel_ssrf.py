"""Addresses that a message brings lead nowhere but to its platform.

Feishu, WeCom's apps and Mattermost's posts bring keys and ids, no addresses.
"""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest

from ai_engine.simulators.files import SharedFile
from ai_engine.simulators.wecom_aibot import crypto as aibot

from support.callback_engine import CallbackEngine
from support.channels import SetUp, watched
from support.shots import fired, sealed

PICTURE = SharedFile(kind="image", name="p.png", mime="image/png", content=b"\x89PNG" + bytes(60))
SETUPS = [
    SetUp("dingtalk", "webhook"),
    SetUp("wecom_aibot", "webhook"),
    SetUp("slack", "webhook"),
    SetUp("teams"),
]
CASES = [
    (SETUPS[0], None),
    (SETUPS[1], None),
    (SETUPS[1], PICTURE),
    (SETUPS[2], PICTURE),
    (SETUPS[3], None),
    (SETUPS[3], PICTURE),
]
REFUSED_AT_ONCE = {("teams", None)}
"""The service URL is where every answer goes: its host is a part of the proof."""


@asynccontextmanager
async def trap(address):
    """A server on another address of this machine; yields its base URL and who came."""
    came = []

    async def connected(reader, writer):
        came.append(await reader.read(200))
        writer.close()

    server = await asyncio.start_server(connected, address, 0)
    async with server:
        yield f"http://{address}:{server.sockets[0].getsockname()[1]}", came


async def captured(world, file):
    """The plain body of a message that the engine has not seen."""
    simulator, engine = world.simulator, world.simulator.engine
    async with CallbackEngine() as nowhere:
        simulator.engine = nowhere.url
        await simulator.say("zhangsan", "" if file else "echo hello", file=file)
        await nowhere.wait(1)
        simulator.engine = engine
    body = nowhere.requests[0][1]
    if world.about.type == "wecom_aibot":
        return aibot.unseal(simulator.aes_key, json.loads(body)["encrypt"])
    return body


def redirected(world, plain, base, file):
    """With each address of the platform's made one of `base`; of Teams' files only theirs."""
    body = json.loads(plain)
    only_files = world.about.type == "teams" and file is not None
    text = json.dumps(body["attachments"] if only_files else body)
    assert world.simulator.url in text
    changed = json.loads(text.replace(world.simulator.url, base))
    return json.dumps({**body, "attachments": changed} if only_files else changed).encode()


async def told(channel, words):
    """Until the log says so: the address was looked at, and refused."""
    async with asyncio.timeout(10):
        while not any(words in line for line in channel.logged):
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("place", ["127.0.0.2", "169.254.169.254"])
@pytest.mark.parametrize(
    ("setup", "file"), CASES, ids=lambda v: v.id if isinstance(v, SetUp) else v and "file"
)
async def test_an_address_in_a_message_that_leads_elsewhere_is_not_followed(setup, file, place):
    async with watched(setup) as channel, trap("127.0.0.2") as (here, came):
        world = channel.world
        if setup.type == "wecom_aibot" and not file:
            world.faults.no_polls = True  # so that the answer needs the address
        base = here if place == "127.0.0.2" else f"http://{place}/latest"
        shot = sealed(world, redirected(world, await captured(world, file), base, file))
        status, _ = await fired(world, shot)
        if (setup.type, file) in REFUSED_AT_ONCE:
            assert status == 403
        else:
            assert status in (200, 202)
            await told(channel, "refused a URL given by the platform")
        assert came == []
