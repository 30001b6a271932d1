"""One WebSocket of DingTalk's Stream mode: frames in, acknowledgements out.

Source: DingTalk's Stream protocol (frames of type SYSTEM, EVENT, CALLBACK; `code` 200, 400, 404,
500 in acknowledgements). `POST {api}/v1.0/gateway/connections/open` gives an endpoint and a ticket
(90 s, one use); the WebSocket is `endpoint?ticket=…`. A robot message is acknowledged after it is
durable, never before; DingTalk does not send it again, so a full backlog is waited for.
"""

import asyncio
import logging
from collections.abc import Iterable
from typing import Any, Final, Protocol, cast

import aiohttp
import msgspec

from ai_engine.channels.dingtalk.client import DingTalkClient
from ai_engine.channels.http import parse
from ai_engine.channels.link import LinkTimes, SocketLink, accept_when_possible, socket_address
from ai_engine.domain.clock import Clock
from ai_engine.domain.errors import Malformed, Overloaded, SendRetryable
from ai_engine.domain.message import Json
from ai_engine.security.egress import Egress

log = logging.getLogger(__name__)

BOT_TOPIC: Final = "/v1.0/im/bot/messages/get"
CARD_TOPIC: Final = "/v1.0/card/instances/callback"
TIMES: Final = LinkTimes(probe=30.0, silence_max=90.0, idle_max=600.0, retire=15.0)
"""DingTalk pings by a frame of its own; it closes an old connection 10 s after it said so."""
CARD_SECONDS_MAX: Final = 1.8
"""A card callback must be answered within 2 s; what was not accepted by then is refused, and the
person may press again."""
_SUBSCRIPTIONS: Final = (
    {"type": "CALLBACK", "topic": BOT_TOPIC},
    {"type": "CALLBACK", "topic": CARD_TOPIC},
    {"type": "EVENT", "topic": "*"},
)
_HANDSHAKE_SECONDS: Final = 15.0
# aiohttp declares the fields by `attr.ib(type=…)`, which pyright cannot read.
_CLOSE_TIMEOUT: Final = aiohttp.ClientWSTimeout(ws_close=1.0)  # pyright: ignore[reportCallIssue]
_FRAME_BYTES_MAX: Final = 1_048_576
_DINGTALK: Final = "dingtalk.com"


class Receiver(Protocol):
    """Who takes what came in a frame; each returns when it is durable."""

    async def take_message(self, body: Json) -> None:
        """Raises Malformed, Overloaded."""
        ...

    async def take_press(self, body: Json, key: str) -> Json:
        """The answer for the card. Raises Malformed, Overloaded."""
        ...

    async def take_event(self, event: Json) -> None:
        """`event`: eventType, eventId, eventCorpId and the event's own fields. Raises Malformed,
        Overloaded."""
        ...


def check_endpoint(endpoint: object, configured: Iterable[str]) -> str:
    """The WebSocket address, when its host is DingTalk's (wss) or a configured endpoint's. Raises
    SendRefused."""
    return socket_address(
        endpoint,
        platform="DingTalk",
        domains=(_DINGTALK,),
        configured=configured,
        hint="add its base URL to the channel's endpoints if it is really DingTalk's",
    )


async def connect(
    name: str, client: DingTalkClient, egress: Egress, clock: Clock, receiver: Receiver
) -> SocketLink:
    """A new connection. Raises Unauthenticated, SendRefused, SendRetryable."""
    opened = await client.open_connection({"subscriptions": _SUBSCRIPTIONS, "ua": "ai-engine"})
    endpoint = check_endpoint(opened.get("endpoint"), client.allowed)
    try:
        async with asyncio.timeout(_HANDSHAKE_SECONDS):
            socket = await egress.session.ws_connect(
                endpoint,
                params={"ticket": str(opened.get("ticket", ""))},
                timeout=_CLOSE_TIMEOUT,
                autoping=False,
                max_msg_size=_FRAME_BYTES_MAX,
            )
    except (aiohttp.ClientError, OSError, ValueError) as error:
        # Not chained: such an error's text may hold the URL, and the URL the ticket.
        kind = type(error).__name__
        raise SendRetryable(f"the Stream connection could not be opened ({kind})") from None
    return StreamLink(name, socket, clock, receiver)


class StreamLink(SocketLink):
    """DingTalk's frames on one connection."""

    def __init__(
        self,
        name: str,
        socket: aiohttp.ClientWebSocketResponse,
        clock: Clock,
        receiver: Receiver,
    ) -> None:
        super().__init__(name, socket, clock, times=TIMES)
        self._receiver = receiver

    async def probe(self) -> None:
        await self.ping()

    async def frame(self, data: str | bytes) -> None:
        """Route one frame. What cannot be read has no id to acknowledge; it is logged."""
        try:
            frame = parse(data)
        except Malformed as error:
            log.warning("channel %s: unreadable frame: %s", self.name, error)
            return
        found: Any = frame.get("headers")
        headers = cast("Json", found) if isinstance(found, dict) else {}
        message_id, topic = str(headers.get("messageId", "")), headers.get("topic")
        data_text = frame.get("data", "")
        match frame.get("type"), topic:
            case "CALLBACK", str(name) if name == BOT_TOPIC:
                await self.handle(self._message(message_id, data_text))
            case "CALLBACK", str(name) if name == CARD_TOPIC:
                await self.handle(self._press(message_id, data_text))
            case "EVENT", _:
                await self.handle(self._event(message_id, headers, data_text))
            case "SYSTEM", "disconnect":
                self.retire(f"DingTalk asked for it ({str(data_text)[:100]})")
            case "SYSTEM", _:
                await self._ack(message_id, 200, "OK", data_text)  # ping: the same opaque data
            case _:
                await self._ack(message_id, 404, f"topic {topic!r} is not handled", "{}")

    async def _message(self, message_id: str, data: object) -> None:
        """Durable first, acknowledged second."""
        code, said = 200, "OK"
        try:
            body = _object(data)
            await accept_when_possible(lambda: self._receiver.take_message(body), self.clock)
        except Malformed as error:
            code, said = 400, error.message
            log.warning("channel %s: refused a robot message: %s", self.name, error)
        except Overloaded as error:
            code, said = 500, "overloaded"
            log.error("channel %s: a robot message was lost: %s", self.name, error)
        except Exception:  # one message that fails must not end the connection; DingTalk is told
            code, said = 500, "internal error"
            log.exception("channel %s: a robot message could not be accepted", self.name)
        await self._ack(message_id, code, said, _text({"response": said}))

    async def _press(self, message_id: str, data: object) -> None:
        code, said, answer = 200, "OK", cast("Json", {})
        try:
            async with asyncio.timeout(CARD_SECONDS_MAX):
                answer = await self._receiver.take_press(_object(data), message_id)
        except Malformed as error:
            code, said = 400, error.message
            log.warning("channel %s: refused a card callback: %s", self.name, error)
        except (Overloaded, TimeoutError) as error:
            code, said = 500, "overloaded"
            log.warning("channel %s: a pressed button was not taken: %r", self.name, error)
        await self._ack(message_id, code, said, _text({"response": answer}))

    async def _event(self, message_id: str, headers: Json, data: object) -> None:
        """What is not durable is asked for again (LATER); what cannot be read would never be."""
        status, said = "SUCCESS", "ok"
        try:
            named = {key: headers.get(key) for key in ("eventType", "eventId", "eventCorpId")}
            await self._receiver.take_event({**_object(data), **named})
        except Malformed as error:
            log.warning("channel %s: an event cannot be read: %s", self.name, error)
        except Overloaded:
            status, said = "LATER", "overloaded"
        await self._ack(message_id, 200, "OK", _text({"status": status, "message": said}))

    async def _ack(self, message_id: str, code: int, said: str, data: object) -> None:
        headers = {"messageId": message_id, "contentType": "application/json"}
        frame = {"code": code, "headers": headers, "message": said, "data": data}
        await self.send(_text(frame))


def _object(data: object) -> Json:
    """The JSON object that a frame's `data` holds as a text. Raises Malformed."""
    if not isinstance(data, str):
        raise Malformed("$.data: must be a text with JSON")
    return parse(data)


def _text(found: Json) -> str:
    return msgspec.json.encode(found).decode()
