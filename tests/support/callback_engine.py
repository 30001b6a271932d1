"""An engine as a platform sees it: it takes callbacks, and the test decides what it answers."""

import asyncio
import json

from aiohttp import web


class CallbackEngine:
    """`async with CallbackEngine() as engine`: give `engine.url` to a simulator.

    `requests` holds (headers, raw body) of each callback; `answer` is called with the parsed body
    and may return a response. Callbacks wait while `gate` is not set.
    """

    def __init__(self):
        self.requests = []
        self.status = 200
        self.answer = None
        self.gate = asyncio.Event()
        self.gate.set()
        self._arrived = asyncio.Condition()

    @property
    def bodies(self):
        return [json.loads(body) for _, body in self.requests]

    @property
    def texts(self):
        return [body["text"]["content"] for body in self.bodies]

    async def wait(self, count, seconds=5.0):
        """Return when `count` callbacks have come."""
        async with asyncio.timeout(seconds), self._arrived:
            await self._arrived.wait_for(lambda: len(self.requests) >= count)

    async def _callback(self, request):
        body = await request.read()
        self.requests.append((request.headers, body))
        async with self._arrived:
            self._arrived.notify_all()
        await self.gate.wait()
        if self.answer is not None and (response := await self.answer(json.loads(body))):
            return response
        return web.Response(status=self.status)

    async def _ready(self, _):
        return web.Response(status=200)

    async def __aenter__(self):
        app = web.Application(client_max_size=16 * 1024 * 1024)
        app.router.add_post("/api/message/{channel}", self._callback)
        app.router.add_get("/readyz", self._ready)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_):
        self.gate.set()
        await self._runner.cleanup()
