"""Answers that grow: typing activities of one stream, at least a second apart, then a message.

Source: Microsoft, "Stream bot messages": the first answer's id names the stream; each text is the
whole one so far and begins with what was shown; one request a second; two minutes in all; chats of
one person only. A stream that is over is a message like others and can be edited.
"""

import logging
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from ai_engine.channels.http import Answer
from ai_engine.channels.teams.client import TeamsClient, error_of
from ai_engine.channels.teams.fields import text
from ai_engine.domain.clock import Clock
from ai_engine.domain.errors import SendRetryable
from ai_engine.domain.message import Json

log = logging.getLogger(__name__)

GAP_SECONDS: Final = 1.05
"""Between two requests of one stream; the platform's limit is one second."""
STREAM_SECONDS_MAX: Final = 115.0
"""The platform ends a stream after two minutes: updates end a little earlier."""
_STREAMS_MAX: Final = 10_000
_WORKING: Final = "正在思考… / Thinking…"


def stream_over(answer: Answer) -> bool:
    """Whether this stream takes nothing more: completed, timed out, stopped by the person, not
    allowed here, or its text does not continue what was shown. All are 403 with such a text."""
    code, message = error_of(answer)
    said = f"{code} {message}".lower()
    return answer.status == 403 and "stream" in said


@dataclass(slots=True)
class _Open:
    """What the process that opened a stream knows of it."""

    opened_at: float
    sent_at: float
    sequence: int = 1
    shown: str = ""
    wait_until: float = 0.0
    over: bool = False


class Streams:
    """Open streams of this process; any process may finish one."""

    def __init__(self, client: TeamsClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._open: OrderedDict[str, _Open] = OrderedDict()

    async def open(self, service: str, conversation: str) -> Json | None:
        """A new stream's handle; None where streams are not allowed.

        Raises:
            SendRetryable, SendRefused.
        """
        place: Json = {"service": service, "conversation": conversation}
        info: Json = {"streamType": "informative", "streamSequence": 1}
        answer = await self._send(place, {"type": "typing", "text": _WORKING}, info)
        stream = text(answer.json, "id") if answer is not None else ""
        if not stream:
            return None
        now = self._clock.monotonic()
        self._open[stream] = _Open(opened_at=now, sent_at=now)
        while len(self._open) > _STREAMS_MAX:
            self._open.popitem(last=False)
        return {**place, "stream": stream}

    async def update(self, handle: Json, words: str) -> None:
        """Show more of it. Only the process that opened a stream knows its sequence; in another
        the text waits for the end. Raises SendRefused."""
        stream = handle["stream"]
        known = self._open.get(stream)
        if known is None or known.over or not words or words == known.shown:
            return
        now = self._clock.monotonic()
        late = now - known.opened_at >= STREAM_SECONDS_MAX
        if late or now < known.wait_until or not words.startswith(known.shown):
            return
        await self._gap(known)
        known.sequence += 1
        known.sent_at = self._clock.monotonic()
        info: Json = {
            "streamType": "streaming",
            "streamSequence": known.sequence,
            "streamId": stream,
        }
        try:
            answer = await self._send(handle, {"type": "typing", "text": words}, info)
        except SendRetryable as error:  # the next update holds this text too
            wait = error.retry_after_seconds or GAP_SECONDS
            known.wait_until = self._clock.monotonic() + wait
            return
        known.shown = words
        known.over = answer is None

    async def finish(self, handle: Json, message: Json, produced_by: str = "") -> str:
        """End a stream with this message; the id under which it stands. Empty: the stream cannot
        show it, send it as another message.

        Raises:
            SendRetryable, SendRefused.
        """
        stream = handle["stream"]
        known = self._open.get(stream)
        if known is not None:
            await self._gap(known)
            known.sent_at = self._clock.monotonic()
        info: Json = {"streamType": "final", "streamId": stream}
        answer = await self._send(handle, message, info, produced_by)
        if answer is None and not await self._edit(handle, message, produced_by):
            return ""
        self._open.pop(stream, None)
        return stream

    async def discard(self, handle: Json) -> None:
        """Take back a stream that ends in nothing; the platform clears it anyway in time."""
        self._open.pop(handle["stream"], None)
        await self._client.ask("DELETE", handle["service"], _path(handle, handle["stream"]))

    async def _edit(self, handle: Json, message: Json, produced_by: str) -> bool:
        """Replace the text of a stream that is over; also what makes a second finish harmless."""
        stream = handle["stream"]
        log.info("a stream is over before its end; its message is edited")
        path = _path(handle, stream)
        body: Json = {**message, "id": stream}
        answer = await self._client.ask(
            "PUT", handle["service"], path, body, produced_by=produced_by
        )
        if answer.status in (400, 403, 404, 405):
            return False
        self._client.refuse(answer, "the edit of a message")
        return True

    async def _send(
        self, place: Json, activity: Json, info: Json, produced_by: str = ""
    ) -> Answer | None:
        """None when the stream takes nothing more. Raises SendRetryable, SendRefused."""
        entities = [*activity.get("entities", ()), {"type": "streaminfo", **info}]
        body: Json = {**activity, "entities": entities}
        answer = await self._client.ask(
            "POST", place["service"], _path(place), body, produced_by=produced_by
        )
        if stream_over(answer):
            return None
        self._client.refuse(answer, "a streamed message")
        return answer

    async def _gap(self, known: _Open) -> None:
        wait = known.sent_at + GAP_SECONDS - self._clock.monotonic()
        if wait > 0:
            await self._clock.sleep(wait)


def _path(place: Json, *more: str) -> tuple[str, ...]:
    return ("conversations", place["conversation"], "activities", *more)
