"""Answers that grow in a card: create, send, write the whole text again and again, close.

Source: Feishu, "Streaming updates of cards" and the CardKit pages: every operation of one card
carries a `sequence` (1 to 2^31-1) that is higher than all before; at most ten operations a second;
streaming mode ends by itself after ten minutes; a card can be changed for 14 days.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Final

from ai_engine.channels.feishu import cards, refusals
from ai_engine.channels.feishu.client import CARD_SCOPE, FeishuClient
from ai_engine.channels.feishu.recent import Recent
from ai_engine.channels.http import Answer
from ai_engine.channels.text import split
from ai_engine.domain.clock import Clock
from ai_engine.domain.errors import SendRefused
from ai_engine.domain.message import Json

log = logging.getLogger(__name__)

INTERVAL_MS: Final = 200
"""Five updates a second: half of what a card takes, so that closing it finds room."""
_JUMPS_MS: Final = (3_600_000, 86_400_000, 432_000_000)
"""How far a refused sequence is passed, one after the other: another process, or a machine whose
clock runs ahead, has written the card, and may have jumped itself."""
_SEQUENCE_MAX: Final = 2**31 - 1
_OFF: Final = cards.encoded({"config": {"streaming_mode": False}})


class StreamOver(Exception):
    """The card cannot be written any more: the answer has to go out as a message."""


class CardStreams:
    """Streams of one channel. A handle is `{"card", "born", "message"}`."""

    def __init__(self, client: FeishuClient, clock: Clock, width: int) -> None:
        self._client = client
        self._clock = clock
        self._width = width
        self._sequences: Recent[int] = Recent()

    def _sequence(self, handle: Json, ahead_ms: int = 0) -> int:
        """Milliseconds since the card was made: it rises across a restart, where a counter would
        begin again, and 14 days fit into what Feishu takes."""
        card_id = str(handle["card"])
        passed = int(self._clock.time() * 1000) - int(handle["born"]) + ahead_ms
        number = max(1, passed, (self._sequences.get(card_id) or 0) + 1)
        self._sequences.put(card_id, number)
        return min(number, _SEQUENCE_MAX)

    async def create(self) -> Json:
        """A handle without its message. Raises SendRetryable, SendRefused, PermissionMissing."""
        born = int(self._clock.time() * 1000)
        card_id = await self._client.create_card(cards.encoded(cards.streaming_card(self._width)))
        if not card_id:
            raise SendRefused("Feishu's answer names no card")
        return {"card": card_id, "born": born, "message": ""}

    async def write(self, handle: Json, text: str) -> None:
        """The text so far. Raises SendRetryable, SendRefused: no more of it can be shown."""
        parts = split(cards.clean(text), cards.MARKDOWN_LIMIT_BYTES, "bytes")
        if not parts:
            return
        sequence = self._sequence(handle)
        body = {
            "content": parts[0],
            "sequence": sequence,
            "uuid": cards.uuid_of(str(handle["card"]), str(sequence)),
        }
        answer = await self._client.write_element(str(handle["card"]), cards.ANSWER, body)
        if refusals.code_of(answer) != 0:
            refusals.raise_for(answer, "the streamed answer", CARD_SCOPE)

    async def close(self, handle: Json, card: Json, key: str) -> None:
        """Streaming off, then the whole final card; the same again changes nothing.

        Raises:
            StreamOver: the card cannot be written any more. SendRetryable, SendRefused.
        """
        card_id = str(handle["card"])

        async def switch_off(sequence: int) -> Answer:
            uuid = cards.uuid_of(key, "off", str(sequence))
            body = {"settings": _OFF, "sequence": sequence, "uuid": uuid}
            return await self._client.card_settings(card_id, body)

        async def replace(sequence: int) -> Answer:
            uuid = cards.uuid_of(key, "card", str(sequence))
            return await self._client.replace_card(card_id, cards.encoded(card), sequence, uuid)

        answer = await self._ordered(handle, switch_off)
        if refusals.code_of(answer) not in refusals.STREAM_CLOSED:
            self._judge(answer)
        self._judge(await self._ordered(handle, replace))

    async def _ordered(self, handle: Json, call: Callable[[int], Awaitable[Answer]]) -> Answer:
        """The call, and again far ahead when its sequence was too low."""
        answer = await call(self._sequence(handle))
        for jump in _JUMPS_MS:
            if refusals.code_of(answer) != refusals.SEQUENCE_OLD:
                break
            answer = await call(self._sequence(handle, jump))
        return answer

    @staticmethod
    def _judge(answer: Answer) -> None:
        code = refusals.code_of(answer)
        if code == 0:
            return
        if refusals.stream_over(code) or code in refusals.CARD_INVALID:
            raise StreamOver(f"code {code}")
        refusals.raise_for(answer, "the end of a streamed answer", CARD_SCOPE)
