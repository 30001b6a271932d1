"""As little of a Matrix homeserver as the channel's long poll needs, and a way to spoil it.

The tests of what works use the real Synapse (`support.synapse`); this one fails on demand.
"""

import asyncio
import json
from collections import deque
from contextlib import asynccontextmanager

from aiohttp import web
from aiohttp.test_utils import TestServer

from ai_engine.domain.clock import SystemClock
from ai_engine.security.egress import Egress

from support.synapse import Account, World, make_channel

ME = "@bot:fake.example"
ALICE = "@alice:fake.example"
ROOM = "!room:fake.example"
TOKEN = "syt_secret_access_token"
ACCOUNT = Account(ME, TOKEN, "DEVICE")


def written(event_id, body="hi", sender=ALICE, **content):
    """A message of a person's."""
    return {
        "type": "m.room.message",
        "event_id": event_id,
        "sender": sender,
        "origin_server_ts": 1_700_000_000_000,
        "content": {"msgtype": "m.text", "body": body, **content},
    }


def timeline(*events, room=ROOM, limited=False):
    found = {"events": list(events), "limited": limited, "prev_batch": "p1"}
    return {"rooms": {"join": {room: {"timeline": found}}}}


class FakeHomeserver:
    """`answers`: what /sync tells next; `spoil(part of a path, status, body)`: for one call."""

    def __init__(self):
        self.answers = deque()
        self.waiting = asyncio.Event()
        self.position = 0
        self.kept = {"org.ai-engine.sync": {"since": "s0"}}
        self.pages = {}
        self._told = {}
        self.events = {}
        self.calls = []
        self.spoiled = deque()
        self.silent = False
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._any)
        self._server = TestServer(app)

    def tell(self, answer):
        self.answers.append(answer)
        self.waiting.set()

    def spoil(self, path, status, body=None, *, raw=None, times=1, headers=None):
        data = raw if raw is not None else json.dumps(body or {}).encode()
        self.spoiled.extend([(path, status, data, headers or {})] * times)

    def paths(self, part):
        return [path for _, path, _ in self.calls if part in path]

    async def _any(self, request):
        path, query = request.path, dict(request.query)
        data = await request.read()
        body = json.loads(data) if data[:1] == b"{" else {}
        self.calls.append((request.method, path, {**query, **body}))
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return web.json_response({"errcode": "M_MISSING_TOKEN"}, status=401)
        for each in list(self.spoiled):
            if each[0] in path:
                self.spoiled.remove(each)
                return web.Response(
                    status=each[1], body=each[2], content_type="application/json", headers=each[3]
                )
        found = await self._answer(request.method, path, query, body)
        if found is None:
            return web.json_response({"errcode": "M_NOT_FOUND", "error": "none"}, status=404)
        return web.json_response(found)

    async def _answer(self, method, path, query, body):
        last = path.rpartition("/")[2]
        if path.endswith("/sync"):
            return await self._sync(query)
        if last == "whoami":
            return {"user_id": ME, "device_id": "DEVICE"}
        if "/account_data/" in path:
            if method == "PUT":
                self.kept[last] = body
                return {}
            return self.kept.get(last)
        if last == "joined_members":
            return {"joined": {ME: {"display_name": "Bot"}, ALICE: {"display_name": "Alice"}}}
        if last == "messages":
            return self.pages.get(query["from"], {"chunk": []})
        if "/event/" in path:
            return self.events.get(last)
        if "/send/" in path:
            return {"event_id": f"$sent{len(self.calls)}"}
        if last in ("join", "leave") or "/typing/" in path or "/receipt/" in path:
            return {}
        return {"displayname": "Somebody"} if "/profile/" in path else None

    async def _sync(self, query):
        if self.silent:
            await asyncio.Event().wait()
        since = query.get("since", "")
        if since in self._told:
            return self._told[since]  # it was not confirmed
        if not self.answers and query["timeout"] != "0":
            self.waiting.clear()
            await self.waiting.wait()
        self.position += 1
        answer = self.answers.popleft() if self.answers else {}
        found = {"next_batch": f"s{self.position}", **answer}
        if answer and since:
            self._told = {since: found}
        return found

    async def __aenter__(self):
        await self._server.start_server()
        self.url = str(self._server.make_url("")).rstrip("/")
        return self

    async def __aexit__(self, *_):
        self.waiting.set()
        await self._server.close()


@asynccontextmanager
async def fake_world(*, running=True, clock=None, **config):
    """(homeserver, bot)"""
    egress = Egress()
    await egress.start()
    async with FakeHomeserver() as server:
        channel = make_channel(egress, server.url, ACCOUNT, clock=clock or SystemClock(), **config)
        bot = World(server, ACCOUNT, channel)
        try:
            if running:
                await bot.start()
            yield server, bot
        finally:
            await bot.stop()
            await channel.close()
            await egress.close()
