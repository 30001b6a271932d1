"""The robot's WebSocket: one subscribed client, callbacks to it, its answers and their acks."""

import asyncio
from collections import OrderedDict, deque
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import msgspec
from aiohttp import WSMsgType, web

from ai_engine.domain.ids import new_id
from ai_engine.domain.message import Json
from ai_engine.simulators.wecom_aibot import codec
from ai_engine.simulators.wecom_aibot.callbacks import Callback, Outcome
from ai_engine.simulators.wecom_aibot.codec import Bad, read_object
from ai_engine.simulators.wecom_aibot.uploads import Uploads

if TYPE_CHECKING:
    from ai_engine.simulators.wecom_aibot.server import WecomAibotSimulator

FRAME_BYTES_MAX = 4 * 1024 * 1024
REQUESTS_MAX = 10_000
BUSY = -1
TOO_OFTEN = 45009
UNKNOWN_REQUEST = 846605
"""Seen in the field, not in the public reference."""
BAD_SECRET = 40001
"""Not in the public reference: clients must take any errcode but 0 as a refusal."""
PUSHED = ("markdown", "template_card", "file", "image", "voice", "video")
REPLIED = ("stream", "template_card", "file", "image", "voice", "video", "markdown")
"""Over the WebSocket a stream cannot come with a card."""


@dataclass(slots=True, kw_only=True)
class Client:
    """One connection."""

    request: web.Request
    socket: web.WebSocketResponse
    subscribed: bool = False
    frames: int = 0


class RobotSocket:
    """The WebSocket endpoint: `/ws` of the simulator."""

    def __init__(self, simulator: "WecomAibotSimulator") -> None:
        self._sim = simulator
        self._client: Client | None = None
        self._clients: list[Client] = []
        self._requests: OrderedDict[str, Callback] = OrderedDict()
        self._times: dict[str, deque[float]] = {}
        self._changed = asyncio.Event()
        self._uploads = Uploads(simulator)

    @property
    def connected(self) -> bool:
        return self._client is not None

    async def wait_connected(self, connected: bool = True, seconds: float = 5.0) -> None:
        """Until a client is subscribed, or none is any more. Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while self.connected is not connected:
                self._changed.clear()
                await self._changed.wait()

    async def connect(self, request: web.Request) -> web.StreamResponse:
        """The WebSocket."""
        socket = web.WebSocketResponse(max_msg_size=FRAME_BYTES_MAX, timeout=1.0)
        await socket.prepare(request)
        client = Client(request=request, socket=socket)
        self._clients.append(client)
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    await self._frame(client, message.data)
        finally:
            self._clients.remove(client)
            if self._client is client:
                self._take_place(None)
        return socket

    def _take_place(self, client: Client | None) -> None:
        self._client = client
        self._changed.set()
        self._sim.tell_state()

    async def deliver(self, callback: Callback, body: bytes) -> Outcome:
        """One callback to the subscribed client; nobody acknowledges it."""
        client = self._client
        assert client is not None
        req_id = new_id("req")
        self._requests[req_id] = callback
        while len(self._requests) > REQUESTS_MAX:
            self._requests.popitem(last=False)
        command = "aibot_event_callback" if callback.is_event else "aibot_msg_callback"
        head = msgspec.json.encode({"cmd": command, "headers": {"req_id": req_id}})
        try:
            await self._send(client, head[:-1] + b',"body":' + body + b"}", command)
        except ConnectionError as error:
            return Outcome(taken=False, via="stream", detail=str(error) or "the connection broke")
        return Outcome(taken=True, via="stream", detail="sent")

    async def _send(self, client: Client, data: bytes, what: str) -> None:
        """Raises ConnectionError."""
        self._log("frame-out", what, data)
        await client.socket.send_str(data.decode("utf-8", "replace"))
        client.frames += 1
        faults = self._sim.faults
        if 0 < faults.drop_at_frame <= client.frames:
            faults.drop_at_frame = 0
            if client.request.transport is not None:
                client.request.transport.abort()

    def _log(self, direction: str, what: str, data: bytes | str) -> None:
        at = self._sim.clock.time()
        self._sim.wire.add(direction=direction, at=at, method="WS", path=what, body=data)

    async def _frame(self, client: Client, data: str) -> None:
        """One request of the client's and its acknowledgement."""
        frame = read_object(data) or {}
        command = str(frame.get("cmd", ""))
        headers: Any = frame.get("headers")
        req_id = str(cast("Json", headers).get("req_id", "")) if isinstance(headers, dict) else ""
        found: Any = frame.get("body")
        body = cast("Json", found) if isinstance(found, dict) else {}
        shown = {**frame, "body": {**body, "secret": "***"}} if "secret" in body else None
        self._log("frame-in", command, data if shown is None else msgspec.json.encode(shown))
        answer: Json = {"errcode": 0, "errmsg": "ok"}
        try:
            more = await self._done(client, command, req_id, body)
            if more:
                answer["body"] = more
        except Bad as bad:
            answer = {"errcode": bad.errcode, "errmsg": str(bad)}
        if command != "ping" or not self._sim.faults.silent_pings:
            await self._acknowledge(client, {"headers": {"req_id": req_id}, **answer})

    async def _acknowledge(self, client: Client, frame: Json) -> None:
        faults = self._sim.faults
        if faults.answer_delay_seconds:
            await self._sim.clock.sleep(faults.answer_delay_seconds)
        if faults.take("drop_answer"):
            return
        data = msgspec.json.encode(frame)
        if faults.take("malformed_answer"):
            data = data[: len(data) // 2]
        with suppress(ConnectionError):
            await self._send(client, data, "ack")

    async def _done(self, client: Client, command: str, req_id: str, body: Json) -> Json | None:
        """What a command does. Raises Bad."""
        sim = self._sim
        if command == "ping":
            return None
        if sim.faults.take("error_burst"):
            raise Bad("system busy", BUSY)
        if command == "aibot_subscribe":
            await self._subscribe(client, body)
            return None
        if not client.subscribed:
            raise Bad("not subscribed", BAD_SECRET)
        if command.startswith("aibot_upload_media_"):
            return self._uploads.step(command.rpartition("_")[2], body)
        if sim.faults.reply_errcode:
            raise Bad("refused by the simulator's fault knob", sim.faults.reply_errcode)
        if command == "aibot_send_msg":
            self._push(body)
            return None
        callback = self._requests.get(req_id)
        if callback is None:
            raise Bad("invalid req_id", UNKNOWN_REQUEST)
        self._reply(command, callback, body)
        return None

    async def _subscribe(self, client: Client, body: Json) -> None:
        if not self._sim.is_bot(body.get("bot_id"), body.get("secret")):
            raise Bad("invalid bot_id or secret", BAD_SECRET)
        client.subscribed = True
        older = self._client
        if older is not None and older is not client:
            await self._leave(older)
        self._take_place(client)

    async def _leave(self, client: Client) -> None:
        """Another connection has taken this one's place."""
        event = {"eventtype": "disconnected_event"}
        body = {"msgid": new_id("event"), "aibotid": self._sim.bot_id, "msgtype": "event"}
        frame = {
            "cmd": "aibot_event_callback",
            "headers": {"req_id": new_id("req")},
            "body": {**body, "event": event},
        }
        with suppress(ConnectionError):
            await self._send(client, msgspec.json.encode(frame), "disconnected_event")
        self._sim.own(self._close(client))

    @staticmethod
    async def _close(client: Client) -> None:
        await client.socket.close(code=1000, message=b"another connection")

    def _reply(self, command: str, callback: Callback, body: Json) -> None:
        sim = self._sim
        if command == "aibot_respond_update_msg":
            sim.chat.update_card(callback.entry, codec.read_card(codec.part(body, "template_card")))
            return
        greets = command == "aibot_respond_welcome_msg"
        if not greets and command != "aibot_respond_msg":
            raise Bad(f"unknown cmd {command}")
        if greets != (callback.body.get("event", {}).get("eventtype") == "enter_chat"):
            raise Bad("invalid req_id for this cmd", UNKNOWN_REQUEST)
        kinds = ("text", "template_card") if greets else REPLIED
        shown = codec.read_answer(body, kinds=kinds)
        if shown.pictures:
            raise Bad("msg_item is not supported over the WebSocket")
        where = callback.conversation
        self._pace(where, refresh=bool(shown.stream) and not shown.finish)
        if shown.stream:
            sim.chat.stream(shown, callback.id, "respond_msg")
        else:
            sim.chat.add(shown, message_id=callback.id, conversation=where, via="respond_msg")

    def _push(self, body: Json) -> None:
        """A message that answers nothing."""
        sim = self._sim
        chatid = codec.text(body, "chatid")
        shown = codec.read_answer(body, kinds=PUSHED)
        kind = body.get("chat_type", 0)
        known = sim.directory.find(chatid)
        if kind == 2 or (kind == 0 and known is not None):
            where = sim.directory.group(chatid)
        elif sim.directory.knows(chatid):
            where = sim.directory.private(chatid)
        else:
            raise Bad("the person has not written to the robot", 93006)
        self._pace(where.id, refresh=False)
        sim.chat.add(shown, conversation=where.id, via="send_msg")

    def _pace(self, conversation: str, *, refresh: bool) -> None:
        """30 a minute for one chat. Raises Bad."""
        faults = self._sim.faults
        if refresh and not faults.refreshes_count:
            return
        if faults.throttled():
            raise Bad("api freq out of limit", TOO_OFTEN)
        now = self._sim.clock.time()
        times = self._times.setdefault(conversation, deque(maxlen=10_000))
        while times and now - times[0] >= 60.0:
            times.popleft()
        if faults.chat_per_minute and len(times) >= faults.chat_per_minute:
            raise Bad("api freq out of limit", TOO_OFTEN)
        times.append(now)

    async def close(self) -> None:
        """The platform goes away."""
        for client in tuple(self._clients):
            await client.socket.close(code=1001, message=b"going away")
