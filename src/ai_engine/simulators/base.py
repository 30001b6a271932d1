"""What every simulated platform shares: its server, its people, its transcript, its control API."""

import asyncio
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, ClassVar, Self

import aiohttp
from aiohttp import web

from ai_engine.domain.clock import Clock, SystemClock
from ai_engine.domain.errors import Malformed
from ai_engine.domain.message import Json
from ai_engine.simulators import control
from ai_engine.simulators.faults import Faults
from ai_engine.simulators.feed import Feed
from ai_engine.simulators.files import SharedFile, Shelf
from ai_engine.simulators.people import Directory
from ai_engine.simulators.transcript import BOT, Entry, Transcript
from ai_engine.simulators.wirelog import WireLog

logger = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

BODY_BYTES_MAX = 24 * 1024 * 1024
"""The largest request: an uploaded file of 20 MB with its wrapping."""
PROBE_SECONDS = 3.0
ACTS = ("press", "edit", "recall", "rate", "enter")
"""What people do besides writing, where the platform has it."""
CONNECTIONS_MAX = 512
"""Connections to the engine at once."""


class Simulator(ABC):
    """A local server that speaks a platform's API. Use it as an async context manager:

        async with DingTalkSimulator(app_id="a", app_secret="s", engine=url) as sim:
            message = await sim.say("zhangsan", "hello")
            reply = await sim.wait_reply(message)

    Args:
        host, port: where to listen; port 0 takes a free one.
        public_url: base URL that the engine and SDKs are told; default `http://host:port`.
        engine: base URL of the engine; empty when only long connections are used.
        channel: name of the channel in the engine's configuration.
        clock: tells the time of tokens, tickets and time stamps.
    """

    platform = ""
    auth_defaults: ClassVar[Mapping[str, str]] = {}
    """Names of the channel's `auth` fields that this platform has, with simulated values."""

    def __init__(
        self,
        *,
        faults: Faults,
        host: str = "127.0.0.1",
        port: int = 0,
        public_url: str = "",
        engine: str = "",
        channel: str = "",
        clock: Clock | None = None,
    ) -> None:
        self.host = host
        self.port = port
        self.engine = engine.rstrip("/")
        self.channel = channel or self.platform
        self.clock: Clock = clock or SystemClock()
        self.feed = Feed()
        self.transcript = Transcript(changed=self.feed.publish)
        self.wire = WireLog(changed=self.feed.publish)
        self.directory = Directory()
        self.shelf = Shelf()
        self.shared_faults = faults
        self.engine_state = "unknown"
        """unknown | none | ready | not_ready | unreachable"""
        self._public_url = public_url.rstrip("/")
        self._runner: web.AppRunner | None = None
        self._http: aiohttp.ClientSession | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Base URL of the simulated platform, the same for all of its APIs."""
        return self._public_url or f"http://{self.host}:{self.port}"

    @property
    def http(self) -> aiohttp.ClientSession:
        """The client for callbacks to the engine."""
        assert self._http is not None, "the simulator is not running"
        return self._http

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=CONNECTIONS_MAX),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        app = web.Application(client_max_size=BODY_BYTES_MAX)
        for method, path, handler in self.routes():
            app.router.add_route(method, path, handler)
        control.mount(app, self)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        try:
            await self._runner.setup()
            site = web.TCPSite(self._runner, self.host, self.port, backlog=1024)
            await site.start()
        except BaseException:
            await self.__aexit__()
            raise
        self.port = self._runner.addresses[0][1]
        self.own(self._watch_engine())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.feed.close()
        await self.stopping()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        if self._http is not None:
            await self._http.close()
            self._http = None

    def own(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run `work` until it ends or the simulator stops. A crash is logged with its trace: it is
        a defect of the simulator, and the transcript's `queued` entry shows which message."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a simulator task crashed", exc_info=error)

    @abstractmethod
    async def stopping(self) -> None:
        """Called before tasks are cancelled; for closing long connections."""

    @abstractmethod
    def routes(self) -> list[tuple[str, str, Handler]]:
        """The platform's own API: (method, path, handler)."""

    @abstractmethod
    def info(self) -> Json:
        """What `/sim/info` tells besides what is common."""

    @abstractmethod
    async def say(
        self,
        user: str,
        text: str = "",
        *,
        chat: str = "private",
        conversation: str = "",
        name: str = "",
        at: bool | None = None,
        file: SharedFile | None = None,
    ) -> str:
        """A person writes; returns the platform's message id as soon as it is under way.

        In a group the robot is @-ed: by its name in the text, or by `at` (default). With
        `at=False` and no such name in the text, the robot does not get to see the message.

        Raises:
            Malformed: an unknown chat kind or nothing to say. Overloaded: too many under way.
        """

    @abstractmethod
    async def resend(self, message_id: str, *, replay: bool = False) -> None:
        """Send a message again; `replay`: byte for byte, with the first one's signature.

        Raises:
            NotFound: no such message, or it is too old to be kept.
        """

    def can(self) -> list[str]:
        """What people can do here besides writing: of `ACTS` what this platform overrides, and
        `group` where it has group chats."""
        kind = type(self)
        found = [act for act in ACTS if getattr(kind, act) is not getattr(Simulator, act)]
        return [*found, "group"] if "group" in self.info() else found

    def credentials(self) -> dict[str, str]:
        """The channel's `auth` fields with their simulated values; empty: it was given another."""
        given = {name: str(getattr(self, name, "")) for name in self.auth_defaults}
        return {n: v if given[n] == v else "" for n, v in self.auth_defaults.items()}

    # What people do besides writing; a platform overrides what it has.

    async def press(self, entry_id: str, button: int = 0, *, user: str = "") -> str:
        """Press a button of the bot's message, as who was answered or as `user`; the id of the
        callback.

        Raises:
            NotFound: no such message or button. Malformed: this platform has no buttons.
        """
        raise Malformed(f"{self.platform} has no buttons")

    async def edit(self, message_id: str, text: str) -> str:
        """The sender changes a message; the id of the event. Raises NotFound, Malformed."""
        raise Malformed(f"{self.platform} tells bots nothing of edits")

    async def recall(self, message_id: str) -> str:
        """The sender takes a message back; the id of the event. Raises NotFound, Malformed."""
        raise Malformed(f"{self.platform} tells bots nothing of recalled messages")

    async def rate(self, entry_id: str, rating: str, *, text: str = "", user: str = "") -> str:
        """👍 (`good`), 👎 (`bad`) or neither (`none`) by the platform's own feedback or reaction;
        the id of the event. Raises NotFound, Malformed."""
        raise Malformed(f"{self.platform} has no feedback of its own")

    async def enter(self, user: str, *, name: str = "") -> str:
        """A person opens the chat with the bot for the first time; the id of the event."""
        raise Malformed(f"{self.platform} tells bots nothing of opened chats")

    async def wait_reply(
        self,
        where: str,
        timeout_seconds: float = 10.0,
        *,
        after: int = 0,
        unfinished: bool = False,
    ) -> Entry:
        """The first reply to a message (its id), or the bot's first entry after number `after` in a
        conversation (its id). A proactive send names no message: it counts as the answer to the
        newest message before it. A streamed reply is returned once it is finished or has failed,
        with `unfinished` as soon as it is there.

        Raises:
            TimeoutError: nothing within `timeout_seconds`.
        """
        asked = self.transcript.get(where)
        key = where if asked is None else asked.conversation

        def look() -> Entry | None:
            found = first()
            if found is not None and found.state == "streaming" and not unfinished:
                return None
            return found

        def first() -> Entry | None:
            if asked is not None and (replies := self.transcript.replies_to(asked.id)):
                return replies[0]
            start = after if asked is None else asked.n
            for entry in self.transcript.list(conversation=key, after=start):
                if entry.sender != BOT:
                    if asked is not None:
                        return None
                elif asked is None or entry.reply_to is None:
                    return entry
            return None

        return await self.transcript.wait(key, look, timeout_seconds)

    async def wait_settled(self, message_id: str, timeout_seconds: float = 10.0) -> Entry:
        """The message once it is known whether the engine took it.

        Raises:
            TimeoutError: still under way after `timeout_seconds`.
        """

        def look() -> Entry | None:
            entry = self.transcript.get(message_id)
            return entry if entry is not None and entry.status != "queued" else None

        return await self.transcript.wait(message_id, look, timeout_seconds)

    async def _watch_engine(self) -> None:
        """Keep `engine_state` fresh while somebody looks at the page."""
        while True:
            if self.feed.watched:
                before = self.state()
                await self.probe()
                if self.state() != before:
                    self.tell_state()
            await asyncio.sleep(PROBE_SECONDS)

    async def probe(self) -> None:
        """Ask the engine's `/readyz` once."""
        if not self.engine:
            self.engine_state = "none"
            return
        try:
            async with self.http.get(
                f"{self.engine}/readyz",
                timeout=aiohttp.ClientTimeout(total=2.0),
                allow_redirects=False,
            ) as answer:
                self.engine_state = "ready" if answer.status == 200 else "not_ready"
        except (aiohttp.ClientError, TimeoutError, OSError):
            self.engine_state = "unreachable"

    def state(self) -> Json:
        """What the page shows of the connection to the engine."""
        return {"engine": self.engine_state, "connections": 0}

    def tell_state(self) -> None:
        """Publish `state()`."""
        self.feed.publish("state", self.state())

    def logged(self, handler: Handler) -> Handler:
        """The handler of an API call, with its row in the wire log."""

        async def handle(request: web.Request) -> web.StreamResponse:
            began = time.perf_counter()
            multipart = request.content_type.startswith("multipart/")
            body = b"<multipart>" if multipart else await request.read()
            answer: web.StreamResponse | None = None
            try:
                answer = await handler(request)
                return answer
            finally:
                status = answer.status if answer is not None else 0
                text = answer.body if isinstance(answer, web.Response) else b""
                self.wire.add(
                    direction="in",
                    at=self.clock.time(),
                    method=request.method,
                    path=request.path,
                    query=request.query_string,
                    headers=request.headers,
                    body=body,
                    status=status,
                    answer=text if isinstance(text, bytes) else b"",
                    milliseconds=(time.perf_counter() - began) * 1000,
                    error="" if answer is not None else "the handler ended without an answer",
                )

        return handle
