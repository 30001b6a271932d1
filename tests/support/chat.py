"""A small engine behind the web chat: a log in memory, scripted answers, a real server."""

import asyncio
import contextlib
import socket
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import msgspec
import uvicorn
import websockets
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from websockets.asyncio.client import ClientConnection, connect

from ai_engine.api.chat import chat_routes
from ai_engine.api.chat_connection import ChatLimits
from ai_engine.api.websocket import ChatSocket
from ai_engine.channels.base import Accepted, Outgoing
from ai_engine.channels.webchat.channel import WebChatChannel
from ai_engine.config.schema import ChannelConfig
from ai_engine.domain.clock import Clock
from ai_engine.domain.ids import derived_id
from ai_engine.domain.message import InboundMessage, Json
from ai_engine.domain.reply import Card, Reply
from ai_engine.domain.session import SessionEvent
from ai_engine.events.base import MemoryEvents, Progressed
from ai_engine.journal.base import Journal
from ai_engine.security.access import Access

from support.clock import ManualClock
from support.hosts import make_host


class Log:
    """The part of a journal that the web chat reads, with the journal's own bodies."""

    def __init__(self) -> None:
        self.entries: dict[str, list[SessionEvent]] = defaultdict(list)
        self.reads = 0
        self.kept = 500

    async def events(self, session_key: str, after: int, limit: int = 500) -> list[SessionEvent]:
        self.reads += 1
        await asyncio.sleep(0)
        return [entry for entry in self.entries[session_key] if entry.n > after][:limit]

    def add(self, session_key: str, kind: str, body: Json, at: float) -> int:
        entries = self.entries[session_key]
        n = entries[-1].n + 1 if entries else 1
        entries.append(SessionEvent(n=n, kind=kind, at=at, body=body))
        del entries[: -self.kept]
        return n


@dataclass
class Script:
    """How one message is answered. `parts` grow the text; each waits for a `step` when gated."""

    parts: Sequence[str]
    produced_by: str = "model:demo"
    card: Card | None = None
    gated: bool = False


Answer = Callable[[str], Script | None]


@dataclass
class ChatBench:
    """The engine around the web chat, as far as a browser can tell."""

    data: Path
    clock: Clock = field(default_factory=ManualClock)
    limits: ChatLimits = field(default_factory=ChatLimits)
    answer: Answer = lambda text: Script(["You said: ", f"You said: {text}"])
    origins: tuple[str, ...] = ()
    refuse: Exception | None = None

    def __post_init__(self) -> None:
        self.log = Log()
        self.events = MemoryEvents()
        self.access = Access(self.data, self.clock)
        self.channel = WebChatChannel(
            "webchat", ChannelConfig(), make_host(clock=self.clock, events=self.events)
        )
        self.accepted: dict[str, str] = {}
        self.messages: list[InboundMessage] = []
        self.steps: asyncio.Queue[None] = asyncio.Queue()
        self.waiting = asyncio.Event()
        self._queue: asyncio.Queue[InboundMessage] = asyncio.Queue()
        self._current: asyncio.Task[None] | None = None
        self.url = ""

    @property
    def token(self) -> str:
        return (self.data / "admin.token").read_text().strip()

    @staticmethod
    def key(message: InboundMessage) -> str:
        return f"{message.channel}:user:{message.sender.tenant}/{message.sender.user_id}"

    def say(self, session_key: str, kind: str, body: Json) -> int:
        """An entry of the log, and the news of it."""
        n = self.log.add(session_key, kind, body, self.clock.time())
        self.events.publish(Progressed(session_key=session_key, n=n))
        return n

    async def accept(self, message: InboundMessage) -> Accepted:
        """As the ingress does."""
        if self.refuse is not None:
            raise self.refuse
        known = self.accepted.get(message.message_id)
        if known is not None:
            return Accepted(id=known, duplicate=True)
        inbound_id = derived_id("m", message.message_id)
        self.accepted[message.message_id] = inbound_id
        self.messages.append(message)
        body = {
            "id": inbound_id,
            "message_id": message.message_id,
            "user": message.sender.user_id,
            "name": "",
            "text": message.text,
        }
        self.say(self.key(message), "message", body)
        if message.text == "/stop":
            if self._current is not None:
                self._current.cancel()
        else:
            self._queue.put_nowait(message)
        return Accepted(id=inbound_id, duplicate=False)

    async def turns(self) -> None:
        """Answer one message after the other, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                message = await self._queue.get()
                self._current = tasks.create_task(self._turn(message))
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait([self._current])

    async def _turn(self, message: InboundMessage) -> None:
        turn = self.accepted[message.message_id]
        handle = await self.channel.open_stream(message.target, turn)
        script = self.answer(message.text)
        if script is None:
            return
        text = ""
        try:
            for text in script.parts:
                if script.gated:
                    self.waiting.set()
                    await self.steps.get()
                if handle is not None:
                    await self.channel.update(handle, text)
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            await self._commit(message, turn, handle, Script([text + "(stopped)"]), "stopped")
            return
        await self._commit(message, turn, handle, script)

    async def _commit(
        self,
        message: InboundMessage,
        turn: str,
        handle: Json | None,
        script: Script,
        outcome: str = "",
    ) -> None:
        key = self.key(message)
        if message.text == "/new":
            self.log.add(key, "cleared", {"in_reply_to": message.message_id}, self.clock.time())
        text = script.parts[-1] if script.parts else ""
        reply = Reply(
            id=derived_id("r", turn),
            text=text,
            card=script.card,
            produced_by=script.produced_by,
            stream=handle,
        )
        body = msgspec.to_builtins(reply)
        body["in_reply_to"] = message.message_id
        if script.card is None:
            del body["card"]
        n = self.log.add(key, "reply", body, self.clock.time())
        if outcome:
            n = self.log.add(key, outcome, {"in_reply_to": message.message_id}, self.clock.time())
        self.events.publish(Progressed(session_key=key, n=n))
        if handle is not None:
            await self.channel.finish(handle, outgoing(reply, key, message.message_id))

    def app(self) -> Starlette:
        chat = ChatSocket(
            cast("Journal", self.log),
            self.events,
            self.accept,
            self.access,
            self.clock,
            self.key,
            limits=self.limits,
            origins=self.origins,
        )
        self.socket = chat
        return Starlette(routes=[WebSocketRoute("/api/ws", chat), *chat_routes(self.access)])

    def break_connections(self) -> None:
        """As when a cable is pulled out: no goodbye."""
        for connection in list(self._server.server_state.connections):
            connection.transport.abort()

    @contextlib.asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        """A real server on a free port, and the turns."""
        async with asyncio.TaskGroup() as tasks:
            server = self._server = _Server(self.app())
            serving = tasks.create_task(server.serve(sockets=[server.listener]))
            working = tasks.create_task(self.turns())
            await server.ready.wait()
            self.url = f"http://127.0.0.1:{server.port}"
            try:
                yield self.url
            finally:
                server.should_exit = True
                await serving
                working.cancel()

    @contextlib.asynccontextmanager
    async def client(self, **hello: Any) -> AsyncIterator["Client"]:
        """A connection that has said hello with the admin token, unless told otherwise.

        At the end it breaks, as connections do: no close frame, unread frames are lost.
        """
        raw = await connect(self.url.replace("http", "ws", 1) + "/api/ws")
        try:
            client = Client(raw)
            await client.hello(**{"token": self.token, **hello})
            yield client
        finally:
            raw.transport.abort()
            await raw.wait_closed()


def outgoing(reply: Reply, session_key: str, in_reply_to: str = "") -> Outgoing:
    return Outgoing(
        reply=reply,
        target={},
        in_reply_to=in_reply_to,
        inbound_id="m1",
        session_key=session_key,
        user_id="admin",
    )


class _Server(uvicorn.Server):
    """uvicorn inside the test's own loop; it takes no signals."""

    def __init__(self, app: Starlette) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.ready = asyncio.Event()
        config = uvicorn.Config(
            app, log_config=None, lifespan="off", access_log=False, timeout_graceful_shutdown=2
        )
        super().__init__(config)

    @contextlib.contextmanager
    def capture_signals(self):
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


class Client:
    """A chat client that speaks the protocol in plain dictionaries."""

    def __init__(self, raw: ClientConnection) -> None:
        self.raw = raw

    async def hello(self, **fields: Any) -> None:
        await self.put(type="hello", **{"v": 1, **fields})

    async def put(self, **frame: Any) -> None:
        await self.raw.send(msgspec.json.encode(frame).decode())

    async def send(self, client_id: str, text: str) -> None:
        await self.put(type="send", client_id=client_id, text=text)

    async def next(self) -> Json:
        async with asyncio.timeout(5):
            return msgspec.json.decode(await self.raw.recv())

    async def until(self, type_: str, /, **wanted: Any) -> Json:
        """The next frame of this type with these values; what comes before it is passed over."""
        return (await self.collect(type_, **wanted))[-1]

    async def collect(self, type_: str, /, **wanted: Any) -> list[Json]:
        """All frames up to and including the next of this type with these values."""
        found: list[Json] = []
        while True:
            frame = await self.next()
            found.append(frame)
            if frame["type"] == type_ and all(frame.get(k) == v for k, v in wanted.items()):
                return found

    async def closed(self) -> int:
        """The close code; frames before it are passed over."""
        async with asyncio.timeout(5):
            try:
                while True:
                    await self.raw.recv()
            except websockets.ConnectionClosed:
                return self.raw.close_code or 0
