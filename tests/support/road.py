"""The whole road behind HTTP: an engine, a receiver of its replies, a stub of its model."""

import time
from contextlib import asynccontextmanager

import aiohttp

from ai_engine.cli.server import Listener, serving
from ai_engine.cli.settings import live_config
from ai_engine.engine import Options, Wrap

from support.receiver import Receiver
from support.settings import write
from support.signing import dingtalk_message, dingtalk_request, webhook_request
from support.stub_model import StubModel

SECRET = "road-secret-0123456789"


class Road:
    """A running engine with a receiver for its replies and a stub for its model."""

    def __init__(self, engine, url, receiver, model, http):
        self.engine = engine
        self.url = url
        self.receiver = receiver
        self.model = model
        self.http = http

    async def hook(self, message_id, text, *, session="s1", user="zhangsan", query=""):
        body, headers = webhook_request(
            {"message_id": message_id, "session": session, "user": user, "text": text},
            SECRET,
            time.time(),
        )
        url = f"{self.url}/api/message/hook{query}"
        async with self.http.post(url, data=body, headers=headers) as answer:
            return answer.status, await answer.json()

    async def dingtalk(self, message_id, text, **changes):
        message = dingtalk_message(
            text,
            message_id=message_id,
            sessionWebhook=self.receiver.hook(message_id),
            sessionWebhookExpiredTime=int(time.time() * 1000) + 5_400_000,
            **changes,
        )
        body, headers = dingtalk_request(message, SECRET, time.time())
        url = f"{self.url}/api/message/dingtalk"
        async with self.http.post(url, data=body, headers=headers) as answer:
            return answer.status

    async def reply_to(self, message_id):
        await self.receiver.wait_for(lambda: self.receiver.answers(message_id))
        return "\n".join(self.receiver.texts(message_id))

    async def dingtalk_reply_to(self, message_id):
        await self.receiver.wait_for(lambda: self.receiver.hooked[message_id])
        body = self.receiver.hooked[message_id][0]
        return body[body["msgtype"]].get("text") or body[body["msgtype"]].get("content")

    @property
    def token(self):
        return (self.engine.data / "admin.token").read_text(encoding="utf-8").strip()

    async def api(self, path, *, method="GET", body=None):
        headers = {"Authorization": f"Bearer {self.token}"}
        url = f"{self.url}/api/v1/{path}"
        async with self.http.request(method, url, headers=headers, json=body) as answer:
            return answer.status, await answer.json()


def road_config(receiver, model, **changes):
    """What `road` runs on."""
    return {
        "channels": {
            "hook": {
                "type": "webhook",
                "auth": {"secret": SECRET},
                "callback_url": receiver.callback_url,
            },
            "dingtalk": {
                "auth": {"app_id": "app", "app_secret": SECRET},
                "endpoints": {"api": receiver.base, "oapi": receiver.base},
            },
        },
        "models": {"main": {"base_url": model.base_url, "model": "stub"}},
        "routing_rules": [
            {"pattern": "^/ai@", "action": "forward_to_engine", "priority": 10},
            {"pattern": "^@bot", "action": "trigger_skill", "skill_id": "calendar_query"},
            {"pattern": "^ping$", "action": "reply", "text": "pong"},
            {"pattern": "^hush", "action": "drop"},
        ],
        "server": {"drain_seconds": 1},
        **changes,
    }


@asynccontextmanager
async def road(tmp_path, *, wrap=None, host="127.0.0.1", **changes):
    """An engine on `tmp_path/ai-engine.json`; `changes` replace top-level keys."""
    async with Receiver() as receiver, StubModel(default="stub answer") as model:
        path = write(tmp_path, road_config(receiver, model, **changes))
        options = Options(live=live_config(path), data=tmp_path / "data", wrap=wrap or Wrap())
        async with (
            aiohttp.ClientSession() as http,
            serving(options, Listener(host=host, port=0)) as (engine, url),
        ):
            yield Road(engine, url, receiver, model, http)
