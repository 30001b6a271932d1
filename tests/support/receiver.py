"""Where replies arrive: a webhook's callback URL and a DingTalk reply hook, every one recorded."""

import asyncio
import json
from collections import defaultdict

from aiohttp import web


class Receiver:
    """`async with Receiver() as r`: `r.callback_url` and `r.hook(n)`; `r.wait_for(...)`."""

    def __init__(self):
        self.replies = []
        """(idempotency key, body) of each POST to the callback URL, in order."""
        self.hooked = defaultdict(list)
        """Session → bodies POSTed to its hook."""
        self.status = 200
        self.changed = asyncio.Condition()

    async def _callback(self, request):
        body = json.loads(await request.read())
        if self.status == 200:
            self.replies.append((request.headers["Idempotency-Key"], body))
        return await self._noted(web.Response(status=self.status))

    async def _hook(self, request):
        body = json.loads(await request.read())
        if self.status == 200:
            self.hooked[request.query["session"]].append(body)
        return await self._noted(
            web.json_response({"errcode": 0, "errmsg": "ok"}, status=self.status)
        )

    async def _noted(self, response):
        async with self.changed:
            self.changed.notify_all()
        return response

    async def wait_for(self, predicate, seconds=10.0):
        async with asyncio.timeout(seconds), self.changed:
            await self.changed.wait_for(predicate)

    def answers(self, message_id):
        """Distinct replies to a message, as a receiver that honours the key sees them."""
        return {key: body for key, body in self.replies if body["in_reply_to"] == message_id}

    def texts(self, message_id):
        return [body["text"] for body in self.answers(message_id).values()]

    async def __aenter__(self):
        app = web.Application()
        app.router.add_post("/callback", self._callback)
        app.router.add_post("/robot/sendBySession", self._hook)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = self._runner.addresses[0][1]
        self.base = f"http://127.0.0.1:{port}"
        self.callback_url = f"{self.base}/callback"
        return self

    def hook(self, session):
        return f"{self.base}/robot/sendBySession?session={session}"

    async def __aexit__(self, *_):
        await self._runner.cleanup()
