"""A real Matrix homeserver: Synapse in a process of its own; people use it by matrix-nio."""

import asyncio
import hashlib
import hmac
import json
import signal
import subprocess
import threading
import urllib.request
from collections import deque
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import nio

from ai_engine.channels.base import Accepted, Outgoing
from ai_engine.channels.matrix.channel import MatrixChannel
from ai_engine.config.schema import ChannelConfig
from ai_engine.domain.clock import SystemClock
from ai_engine.domain.errors import Overloaded
from ai_engine.domain.reply import Reply
from ai_engine.security.egress import Egress

from support.hosts import make_host

PYTHON = Path(__file__).parents[2] / ".venv-oracles/bin/python"
SERVER_NAME = "test.example"
_READY = "Synapse now listening on TCP port "
_ENDLESS = {"per_second": 10_000, "burst_count": 10_000}
_numbers = count(1)


@dataclass(frozen=True)
class Account:
    user_id: str
    token: str
    device: str


class Synapse:
    """`url` is where it listens."""

    def __init__(self, folder, **settings):
        self._folder = folder
        self._settings = settings
        self._process = None
        self._drain = None
        self.url = ""

    def start(self, seconds=60.0):
        """Returns when Synapse says that it listens; raises with its log when it ends first."""
        self._configured()
        command = [PYTHON, "-W", "ignore", "-m", "synapse.app.homeserver", "-c", "hs.json"]
        self._process = subprocess.Popen(
            [*command, "--generate-keys"], cwd=self._folder, stderr=subprocess.DEVNULL
        )
        assert self._process.wait(seconds) == 0
        self._process = subprocess.Popen(
            command, cwd=self._folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        watchdog = threading.Timer(seconds, self._process.kill)
        watchdog.start()
        said = []
        for line in self._process.stdout:
            said.append(line)
            if _READY in line:
                self.url = f"http://127.0.0.1:{int(line.rpartition(' ')[2])}"
                break
        watchdog.cancel()
        assert self.url, "".join(said)
        # What it says later must not fill the pipe.
        self._drain = threading.Thread(target=deque, args=(self._process.stdout, 0), daemon=True)
        self._drain.start()

    def _configured(self):
        log = {
            "version": 1,
            "handlers": {"out": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout"}},
            "root": {"level": "ERROR", "handlers": ["out"]},
            "loggers": {"synapse.app._base": {"level": "INFO"}},
        }
        (self._folder / "log.json").write_text(json.dumps(log))
        limits = ("rc_message", "rc_registration", "rc_admin_redaction", "rc_room_creation")
        settings = {
            "server_name": SERVER_NAME,
            "listeners": [
                {
                    "port": 0,
                    "type": "http",
                    "bind_addresses": ["127.0.0.1"],
                    "resources": [{"names": ["client"]}],
                }
            ],
            "database": {"name": "sqlite3", "args": {"database": "hs.db"}},
            "media_store_path": "media",
            "log_config": "log.json",
            "report_stats": False,
            "registration_shared_secret": "shared",
            "macaroon_secret_key": "m",
            "form_secret": "f",
            "signing_key_path": "signing.key",
            "trusted_key_servers": [],
            "bcrypt_rounds": 4,
            **dict.fromkeys(limits, _ENDLESS),
            "rc_joins": {"local": _ENDLESS, "remote": _ENDLESS},
            "rc_invites": dict.fromkeys(("per_room", "per_user", "per_issuer"), _ENDLESS),
            **self._settings,
        }
        (self._folder / "hs.json").write_text(json.dumps(settings))

    def stop(self):
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(20)
        self._drain.join(5)
        self._process.stdout.close()

    def register(self, name, shown=""):
        """A new account; the name gets a number, so that every test has people of its own."""
        name = f"{name}{next(_numbers)}"
        nonce = self._post("GET")["nonce"]
        parts = "\0".join([nonce, name, "pw", "notadmin"])
        mac = hmac.new(b"shared", parts.encode(), hashlib.sha1).hexdigest()
        body = {"nonce": nonce, "username": name, "password": "pw", "admin": False, "mac": mac}
        found = self._post("POST", {**body, "displayname": shown or name})
        return Account(found["user_id"], found["access_token"], found["device_id"])

    def _post(self, method, body=None):
        data = None if body is None else json.dumps(body).encode()
        url = f"{self.url}/_synapse/admin/v1/register"
        request = urllib.request.Request(url, data=data, method=method)
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)


@contextmanager
def synapse(folder, **settings):
    server = Synapse(folder, **settings)
    server.start()
    try:
        yield server
    finally:
        server.stop()


class Person:
    """Somebody with a client of theirs, matrix-nio. `events`: those of the rooms, as they came."""

    def __init__(self, server, account):
        self.id = account.user_id
        self.nio = nio.AsyncClient(server.url, account.user_id, device_id=account.device)
        self.nio.access_token = account.token
        self.events = []
        self._since = None

    async def room(self, *others, direct=False, **more):
        """A new room with an invitation for each of the others."""
        found = await self.nio.room_create(is_direct=direct, invite=list(others), **more)
        assert isinstance(found, nio.RoomCreateResponse), found
        return found.room_id

    async def join(self, room):
        assert isinstance(await self.nio.join(room), nio.JoinResponse)

    async def say(self, room, body, **content):
        return await self.send(room, {"msgtype": "m.text", "body": body, **content})

    async def send(self, room, content, kind="m.room.message"):
        """The event's id."""
        found = await self.nio.room_send(room, kind, content, ignore_unverified_devices=True)
        assert isinstance(found, nio.RoomSendResponse), found
        return found.event_id

    async def react(self, room, event, key):
        relation = {"rel_type": "m.annotation", "event_id": event, "key": key}
        return await self.send(room, {"m.relates_to": relation}, "m.reaction")

    async def look(self):
        """Sync once."""
        found = await self.nio.sync(timeout=3000, since=self._since)
        assert isinstance(found, nio.SyncResponse), found
        self._since = found.next_batch
        for room, info in found.rooms.join.items():
            self.events += [{**each.source, "room_id": room} for each in info.timeline.events]
            self.events += [
                {"type": "typing", "users": each.users, "room_id": room}
                for each in info.ephemeral
                if isinstance(each, nio.TypingNoticeEvent)
            ]
        return found

    async def until(self, wanted):
        """The first event that is wanted, waited for at most 10 s."""
        async with asyncio.timeout(10):
            while True:
                for event in self.events:
                    if wanted(event):
                        return event
                await self.look()

    async def hear(self, bot, words):
        """The bot's newest event with these words in its body."""
        return await self.until(
            lambda e: e.get("sender") == bot and words in e["content"].get("body", "")
        )


class World:
    """A bot account with its channel, and as little of an engine as the channel needs."""

    def __init__(self, server, account, channel):
        self.server = server
        self.bot = account.user_id
        self.account = account
        self.channel = channel
        self.inbox = asyncio.Queue()
        self.accepted = set()
        self.full = 0
        self.people = []
        self._running = None

    async def accept(self, message):
        if self.full:
            self.full -= 1
            raise Overloaded("full", retry_after_seconds=0)
        duplicate = message.message_id in self.accepted
        self.accepted.add(message.message_id)
        if not duplicate:
            self.inbox.put_nowait(message)
        return Accepted(id="in_1", duplicate=duplicate)

    async def next(self, kind="text"):
        """The next message of this kind; others before it are passed over."""
        async with asyncio.timeout(10):
            while (found := await self.inbox.get()).kind != kind:
                pass
            return found

    def person(self, name="alice", shown=""):
        found = Person(self.server, self.server.register(name, shown))
        self.people.append(found)
        return found

    async def direct(self, person):
        """A private chat that the bot has joined."""
        room = await person.room(self.bot, direct=True)
        await self.next("welcome")
        return room

    async def group(self, *people, name="Team"):
        """A group of the people and the bot, who has joined."""
        first, *others = people
        extra = self.person("carol") if not others else None
        ids = [each.id for each in (*others, *([extra] if extra else []))]
        room = await first.room(*ids, self.bot, name=name)
        for each in (*others, *([extra] if extra else [])):
            await each.join(room)
        await self.next("welcome")
        return room

    def outgoing(self, message, text="", **reply):
        return outgoing(message, text, **reply)

    async def answer(self, message, text="", **reply):
        await self.channel.send(outgoing(message, text, **reply))

    async def start(self):
        self._running = asyncio.create_task(self.channel.run(self.accept))
        async with asyncio.timeout(10):
            while self.channel.status().state != "connected":
                await asyncio.sleep(0)

    async def stop(self):
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])
            self._running = None


def outgoing(message, text="", **reply):
    attempt = reply.pop("attempt", 1)
    return Outgoing(
        reply=Reply(**{"id": f"r{next(_numbers)}", "text": text, **reply}),
        target=message.target,
        in_reply_to=message.message_id,
        inbound_id="in_1",
        session_key="k",
        user_id=message.sender.user_id,
        attempt=attempt,
    )


def make_channel(egress, url, account, *, clock=None, **config):
    settings = {
        "auth": {"homeserver": url, "user": account.user_id, "access_token": account.token},
        **config,
    }
    host = make_host(egress, clock or SystemClock())
    return MatrixChannel("matrix", ChannelConfig.model_validate(settings), host)


@asynccontextmanager
async def world(server, *, running=True, account=None, **config):
    """A bot of its own on the server, connected."""
    account = account or server.register("bot", "AI助手")
    egress = Egress()
    await egress.start()
    found = World(server, account, make_channel(egress, server.url, account, **config))
    try:
        if running:
            await found.start()
        yield found
    finally:
        await found.stop()
        for person in found.people:
            await person.nio.close()
        await found.channel.close()
        await egress.close()
