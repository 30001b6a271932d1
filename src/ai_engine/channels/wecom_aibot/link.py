"""The robot's WebSocket: frames in, answers out with their acknowledgements.

Source: WeCom, "Long connection" of AI robots (101463), and the official SDKs: text frames
`{"cmd","headers":{"req_id"},"body"}`; an acknowledgement has no `cmd` and the request's `req_id`;
one frame at a time for each `req_id`, each awaited for 5 s; a `ping` every 30 s, and with two of
them unanswered the connection is dead. A newer connection ends the older with `disconnected_event`.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final, cast
from weakref import WeakValueDictionary

import aiohttp
import msgspec

from ai_engine.channels.http import json_object
from ai_engine.channels.link import LinkTimes, SocketLink
from ai_engine.channels.wecom_aibot.client import code_of, throttle_seconds
from ai_engine.domain.clock import Clock
from ai_engine.domain.errors import SendRetryable, Unauthenticated
from ai_engine.domain.ids import new_id
from ai_engine.domain.message import Json
from ai_engine.security.egress import Egress

log = logging.getLogger(__name__)

WS: Final = "wss://openws.work.weixin.qq.com"
ACK_SECONDS: Final = 5.0
PINGS_UNANSWERED_MAX: Final = 2
_HANDSHAKE_SECONDS: Final = 15.0
# aiohttp declares the fields by `attr.ib(type=…)`, which pyright cannot read.
_CLOSE_TIMEOUT: Final = aiohttp.ClientWSTimeout(ws_close=1.0)  # pyright: ignore[reportCallIssue]
_FRAME_BYTES_MAX: Final = 1_048_576
_CALLBACKS: Final = ("aibot_msg_callback", "aibot_event_callback")

Take = Callable[[Json, str], Coroutine[Any, Any, None]]
"""Makes one callback's body durable; the second argument is its req_id."""


class AibotLink(SocketLink):
    """One subscribed connection."""

    def __init__(
        self,
        name: str,
        socket: aiohttp.ClientWebSocketResponse,
        clock: Clock,
        take: Take,
        times: LinkTimes | None = None,
    ) -> None:
        super().__init__(name, socket, clock, times=times)
        self._take = take
        self._acks: dict[str, asyncio.Future[Json]] = {}
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._unanswered = 0
        self.taken_over = False
        """WeCom said that another connection has taken this one's place."""

    async def frame(self, data: str | bytes) -> None:
        frame = json_object(data)
        headers: Any = frame.get("headers")
        req_id = str(cast("Json", headers).get("req_id", "")) if isinstance(headers, dict) else ""
        command, body = frame.get("cmd"), frame.get("body")
        if not command:
            self._acknowledged(req_id, frame)
        elif command not in _CALLBACKS or not isinstance(body, dict):
            log.warning("channel %s: a frame that is none of the protocol's", self.name)
        elif _event_type(cast("Json", body)) == "disconnected_event":
            self.taken_over = True
            await self.close()
        else:
            await self.handle(self._take(cast("Json", body), req_id))

    def _acknowledged(self, req_id: str, frame: Json) -> None:
        if req_id.startswith("ping"):
            self._unanswered = 0
        waiter = self._acks.get(req_id)
        if waiter is not None and not waiter.done():
            waiter.set_result(frame)

    async def probe(self) -> None:
        if self._unanswered >= PINGS_UNANSWERED_MAX:
            log.warning("channel %s: pings are not answered, closing the connection", self.name)
            await self.close()
            return
        self._unanswered += 1
        await self.send(framed("ping", new_id("ping")))

    async def request(self, command: str, req_id: str = "", body: Json | None = None) -> Json:
        """Send one frame and return its acknowledgement; those of one req_id take turns.

        Raises:
            SendRetryable: the connection is gone, or nothing came within 5 s.
        """
        name = req_id or new_id(command)
        turn = self._turns.setdefault(name, asyncio.Lock())
        async with turn:
            waiter: asyncio.Future[Json] = asyncio.get_running_loop().create_future()
            self._acks[name] = waiter
            try:
                async with asyncio.timeout(ACK_SECONDS):
                    if not await self.send(framed(command, name, body)):
                        raise SendRetryable("the connection to WeCom is lost")
                    return await waiter
            except TimeoutError:
                raise SendRetryable(f"WeCom did not acknowledge in {ACK_SECONDS:g} s") from None
            finally:
                del self._acks[name]

    async def run(self) -> None:
        try:
            await super().run()
        finally:
            for waiter in self._acks.values():
                if not waiter.done():
                    waiter.set_exception(SendRetryable("the connection to WeCom was lost"))


def framed(command: str, req_id: str, body: Json | None = None) -> str:
    """One frame of ours."""
    frame: Json = {"cmd": command, "headers": {"req_id": req_id}}
    if body is not None:
        frame["body"] = body
    return msgspec.json.encode(frame).decode()


def _event_type(body: Json) -> str:
    event: Any = body.get("event")
    return str(cast("Json", event).get("eventtype", "")) if isinstance(event, dict) else ""


async def subscribed(
    egress: Egress, url: str, bot_id: str, secret: str
) -> aiohttp.ClientWebSocketResponse:
    """A connection that has been given the robot.

    Raises:
        Unauthenticated: the robot's id or secret is wrong. SendRetryable: later may work.
    """
    try:
        async with asyncio.timeout(_HANDSHAKE_SECONDS):
            socket = await egress.session.ws_connect(
                url, timeout=_CLOSE_TIMEOUT, autoping=False, max_msg_size=_FRAME_BYTES_MAX
            )
            try:
                answer = await _subscribe(socket, bot_id, secret)
            except BaseException:
                await socket.close()
                raise
    except (aiohttp.ClientError, OSError, ValueError) as error:
        # Not chained: such an error's text may hold the URL.
        name = type(error).__name__
        raise SendRetryable(f"WeCom could not be reached ({name})") from None
    code = code_of(answer)
    if code == 0:
        return socket
    await socket.close()
    if code == -1 or throttle_seconds(answer) is not None:
        raise SendRetryable(f"WeCom does not take the connection yet (errcode {code})")
    raise Unauthenticated(
        f"WeCom does not accept the robot's id and secret (errcode {code})",
        hint="compare auth.bot_id and auth.secret with the robot's API settings",
    )


async def _subscribe(socket: aiohttp.ClientWebSocketResponse, bot_id: str, secret: str) -> Json:
    req_id = new_id("aibot_subscribe")
    await socket.send_str(framed("aibot_subscribe", req_id, {"bot_id": bot_id, "secret": secret}))
    while True:
        message = await socket.receive()
        if message.type is not aiohttp.WSMsgType.TEXT:
            raise ConnectionResetError("closed before the subscription was answered")
        frame = json_object(message.data)
        if not frame.get("cmd"):
            return frame
