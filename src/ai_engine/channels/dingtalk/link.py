"""One WebSocket of DingTalk's Stream mode: frames in, acknowledgements out, until it is over.

Source: DingTalk's Stream protocol (frames of type SYSTEM, EVENT, CALLBACK; `code` 200, 400, 404,
500 in acknowledgements). A robot message is acknowledged after it is durable, never before;
DingTalk does not send it again, so a full backlog is waited for, within `OVERLOAD_SECONDS_MAX`.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

import aiohttp
import msgspec

from ai_engine.channels.dingtalk import codec
from ai_engine.domain.clock import Clock
from ai_engine.domain.errors import Malformed, Overloaded
from ai_engine.domain.message import Json

log = logging.getLogger(__name__)

BOT_TOPIC: Final = "/v1.0/im/bot/messages/get"
PROBE_SECONDS: Final = 30.0
"""A WebSocket ping goes out so often."""
SILENCE_SECONDS_MAX: Final = 90.0
"""Not even an answer to a ping for so long: the connection is dead."""
IDLE_SECONDS_MAX: Final = 600.0
"""Pings answered but no frame of DingTalk's for so long: a fresh connection is opened first."""
RETIRE_SECONDS: Final = 15.0
"""An old connection is closed so long after its replacement was asked for (DingTalk: 10 s)."""
OVERLOAD_SECONDS_MAX: Final = 30.0
IN_FLIGHT_MAX: Final = 64
_FINISH_SECONDS: Final = 5.0

Take = Callable[[Json], Awaitable[None]]
"""Makes one robot message durable. Raises Malformed, Overloaded."""


class Link:
    """Owned by `Stream`, which awaits `run`; `over` is set when a new connection is wanted."""

    def __init__(
        self, name: str, socket: aiohttp.ClientWebSocketResponse, clock: Clock, take: Take
    ) -> None:
        self._name = name
        self._socket = socket
        self._clock = clock
        self._take = take
        self._slots = asyncio.Semaphore(IN_FLIGHT_MAX)
        self._handlers: set[asyncio.Task[None]] = set()
        self._helpers: set[asyncio.Task[None]] = set()
        self.over = asyncio.Event()
        self.retiring = False
        """DingTalk asked for a new connection, or this one is suspect; it is still read."""
        self.useful = False
        """It has carried a message."""
        self.opened_at = self.last_frame = self._last_sign = clock.monotonic()

    async def run(self) -> None:
        """Read until the connection ends; then let what is in hand finish, at most 5 s."""
        self._help(self._watch())
        try:
            await self._read()
        finally:
            self.over.set()
            for helper in self._helpers:
                helper.cancel()
            if self._handlers:
                await asyncio.wait(self._handlers, timeout=_FINISH_SECONDS)
            for handler in self._handlers:
                handler.cancel()
            await self._socket.close()

    async def _read(self) -> None:
        while True:
            message = await self._socket.receive()
            self._last_sign = self._clock.monotonic()
            if message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                self.last_frame = self._last_sign
                await self._frame(message.data)
            elif message.type is aiohttp.WSMsgType.PING:
                await self._send(self._socket.pong(message.data))
            elif message.type is not aiohttp.WSMsgType.PONG:
                return

    async def _frame(self, data: str | bytes) -> None:
        """Route one frame. What cannot be read has no id to acknowledge; it is logged."""
        try:
            frame = codec.parse(data)
        except Malformed as error:
            log.warning("channel %s: unreadable frame: %s", self._name, error)
            return
        found: Any = frame.get("headers")
        headers = cast("Json", found) if isinstance(found, dict) else {}
        message_id, topic = str(headers.get("messageId", "")), headers.get("topic")
        data_text = frame.get("data", "")
        match frame.get("type"), topic:
            case "CALLBACK", str(name) if name == BOT_TOPIC:
                await self._slots.acquire()
                task = asyncio.create_task(
                    self._callback(message_id, data_text), name="robot frame"
                )
                self._handlers.add(task)
                task.add_done_callback(self._handled)
            case "SYSTEM", "disconnect":
                self.retire(f"DingTalk asked for it ({str(data_text)[:100]})")
            case "SYSTEM", _:
                await self._ack(message_id, 200, "OK", data_text)  # ping: the same opaque data
            case "EVENT", _:
                answer = {"status": "SUCCESS", "message": "not subscribed"}
                await self._ack(message_id, 200, "OK", _text(answer))
            case _:
                await self._ack(message_id, 404, f"topic {topic!r} is not handled", "{}")

    def _handled(self, task: asyncio.Task[None]) -> None:
        self._handlers.discard(task)
        self._slots.release()

    async def _callback(self, message_id: str, data: object) -> None:
        """Durable first, acknowledged second."""
        self.useful = True
        code, said = 200, "OK"
        try:
            if not isinstance(data, str):
                raise Malformed("$.data: must be a text with JSON")
            await self._take_when_possible(codec.parse(data))
        except Malformed as error:
            code, said = 400, error.message
            log.warning("channel %s: refused a robot message: %s", self._name, error)
        except Overloaded as error:
            code, said = 500, "overloaded"
            log.error("channel %s: a robot message was lost: %s", self._name, error)
        except Exception:  # one message that fails must not end the connection; DingTalk is told
            code, said = 500, "internal error"
            log.exception("channel %s: a robot message could not be accepted", self._name)
        await self._ack(message_id, code, said, _text({"response": said}))

    async def _take_when_possible(self, body: Json) -> None:
        until = self._clock.monotonic() + OVERLOAD_SECONDS_MAX
        while True:
            try:
                await self._take(body)
            except Overloaded as error:
                wait = max(0.1, min(float(error.retry_after_seconds), 5.0))
                if self._clock.monotonic() + wait > until:
                    raise
                await self._clock.sleep(wait)
            else:
                return

    async def _ack(self, message_id: str, code: int, said: str, data: object) -> None:
        headers = {"messageId": message_id, "contentType": "application/json"}
        frame = {"code": code, "headers": headers, "message": said, "data": data}
        text = _text(frame)
        await self._send(self._socket.send_str(text))

    async def _send(self, sending: Awaitable[None]) -> None:
        """A connection that is gone cannot be told anything; the reader notices its end."""
        try:
            await sending
        except (aiohttp.ClientError, OSError) as error:
            log.debug("channel %s: frame not sent (%s)", self._name, type(error).__name__)

    def retire(self, why: str) -> None:
        """Ask for a replacement; go on reading until DingTalk closes, or for `RETIRE_SECONDS`."""
        if self.retiring:
            return
        log.info("channel %s: opening a new connection: %s", self._name, why)
        self.retiring = True
        self.over.set()
        self._help(self._close_later())

    async def _close_later(self) -> None:
        await self._clock.sleep(RETIRE_SECONDS)
        await self._socket.close()

    async def _watch(self) -> None:
        """Notice a connection that is dead or half dead; TCP alone may take many minutes."""
        while True:
            await self._clock.sleep(PROBE_SECONDS)
            now = self._clock.monotonic()
            if now - self._last_sign > SILENCE_SECONDS_MAX:
                log.warning("channel %s: connection silent, closing it", self._name)
                await self._socket.close()
                return
            if now - self.last_frame > IDLE_SECONDS_MAX:
                self.retire(f"no frame for {IDLE_SECONDS_MAX:g} s")
            await self._send(self._socket.ping())

    def _help(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.create_task(work, name="DingTalk connection helper")
        self._helpers.add(task)
        task.add_done_callback(self._helpers.discard)


def _text(found: Json) -> str:
    return msgspec.json.encode(found).decode()
