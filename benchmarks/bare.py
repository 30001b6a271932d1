"""The reference: the least program with the same input and output as the engine, nothing else.

DingTalk's HTTP callback in (signature checked), one streamed call of the model, one POST of the
reply. The engine's own server, loop, HTTP client and JSON; no durability, no session, no order.
"""

import argparse
import asyncio
import base64
import hashlib
import hmac
import socket
import time

import aiohttp
import msgspec
import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.routing import Route

WINDOW_MS = 3_600_000


class Text(msgspec.Struct):
    content: str = ""


class Callback(msgspec.Struct):
    msgId: str  # noqa: N815 - the platform's name
    sessionWebhook: str  # noqa: N815
    text: Text


class Delta(msgspec.Struct):
    content: str = ""


class Choice(msgspec.Struct):
    delta: Delta


class Chunk(msgspec.Struct):
    choices: list[Choice] = []


callback = msgspec.json.Decoder(Callback)
chunk = msgspec.json.Decoder(Chunk)


class Bare:
    def __init__(self, secret: str, model: str) -> None:
        self.secret = secret.encode()
        self.model = f"{model}/chat/completions"
        self.tasks: set[asyncio.Task[None]] = set()
        self.client: aiohttp.ClientSession | None = None

    def signed(self, headers: dict[bytes, bytes]) -> bool:
        stamp = headers.get(b"timestamp", b"")
        if not stamp.isdigit() or abs(time.time() * 1000 - int(stamp)) > WINDOW_MS:
            return False
        want = hmac.new(self.secret, stamp + b"\n" + self.secret, hashlib.sha256).digest()
        return hmac.compare_digest(base64.b64encode(want), headers.get(b"sign", b""))

    async def __call__(self, scope, receive, send) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        status = 401
        if self.signed(dict(scope["headers"])):
            status = 200
            task = asyncio.create_task(self.turn(callback.decode(body)))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
        headers = [(b"content-type", b"application/json"), (b"content-length", b"2")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"{}"})

    async def turn(self, message: Callback) -> None:
        request = {
            "model": "stub",
            "stream": True,
            "stream_options": {"include_usage": True},
            "messages": [{"role": "user", "content": message.text.content.strip()}],
        }
        parts = []
        async with self.client.post(self.model, data=msgspec.json.encode(request)) as response:
            async for line in response.content:
                if line.startswith(b"data: {"):
                    parts += [c.delta.content for c in chunk.decode(line[6:]).choices]
        reply = {"msgtype": "markdown", "markdown": {"title": "AI", "text": "".join(parts)}}
        async with self.client.post(
            message.sessionWebhook, data=msgspec.json.encode(reply)
        ) as response:
            await response.read()


async def main(port: int, secret: str, model: str) -> None:
    bare = Bare(secret, model)
    bare.client = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=512),
        headers={"Content-Type": "application/json"},
        cookie_jar=aiohttp.DummyCookieJar(),
    )
    app = Starlette(routes=[Route("/api/message/{channel}", bare, methods=None)])
    sock = socket.create_server(("127.0.0.1", port))
    print(f"ready http://127.0.0.1:{sock.getsockname()[1]}", flush=True)
    config = uvicorn.Config(
        app, loop="none", http="httptools", lifespan="off", log_config=None, access_log=False
    )
    await uvicorn.Server(config).serve(sockets=[sock])


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--secret", required=True)
    parser.add_argument("--model", required=True, help="base URL of the stub model, …/v1")
    options = parser.parse_args()
    uvloop.run(main(options.port, options.secret, options.model))
