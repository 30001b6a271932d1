"""CardKit: card entities, streaming mode, and the order of operations."""

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web

from ai_engine.domain.message import Json
from ai_engine.simulators.base import Handler
from ai_engine.simulators.feishu.cards import Seen, read_card
from ai_engine.simulators.feishu.gate import No, part, read, words, yes

if TYPE_CHECKING:
    from ai_engine.simulators.feishu.server import FeishuSimulator

SCOPE = "cardkit:card:write"
CARDS_MAX = 10_000
LIFE_SECONDS = 14 * 86_400.0
STREAM_SECONDS = 600.0
"""Streaming mode ends by itself so long after it was switched on."""
OPERATIONS_PER_SECOND = 10
SEQUENCE_MAX = 2**31 - 1
UUIDS_MAX = 200
GONE = 200740
TIMED_OUT = 200850
CLOSED = 300309
OLD_SEQUENCE = 300317
NO_ELEMENT = 300313


@dataclass(slots=True, kw_only=True)
class Card:
    """One entity."""

    id: str
    seen: Seen
    made_at: float
    streaming_until: float
    """0: streaming mode is off."""
    message_id: str = ""
    sequence: int = 0
    edits: int = 0
    uuids: OrderedDict[str, None] = field(default_factory=OrderedDict[str, None])
    times: deque[float] = field(default_factory=lambda: deque[float](maxlen=100))


class CardKit:
    """Handlers of `/open-apis/cardkit/v1`."""

    def __init__(self, simulator: "FeishuSimulator") -> None:
        self._sim = simulator
        self._cards: OrderedDict[str, Card] = OrderedDict()
        self._n = 0

    def routes(self) -> list[tuple[str, str, Handler]]:
        gate, base = self._sim.gate, "/open-apis/cardkit/v1/cards"
        one = f"{base}/{{card_id}}"
        return [
            ("POST", base, gate.api(self._create, SCOPE)),
            ("PUT", one, gate.api(self._replace, SCOPE)),
            ("PATCH", f"{one}/settings", gate.api(self._settings, SCOPE)),
            ("PUT", f"{one}/elements/{{element_id}}/content", gate.api(self._write, SCOPE)),
            ("POST", f"{base}/id_convert", gate.api(self._convert, SCOPE)),
        ]

    async def _create(self, request: web.Request) -> web.Response:
        body = await read(request)
        if body.get("type") != "card_json":
            raise No(99992402, "field validation failed: type")
        seen, now = read_card(words(body, "data")), self._sim.clock.time()
        self._n += 1
        card = Card(
            id=f"7{self._n:018d}",
            seen=seen,
            made_at=now,
            streaming_until=now + STREAM_SECONDS if seen.streaming else 0.0,
            sequence=self._sim.faults.sequence_ahead,
        )
        self._cards[card.id] = card
        while len(self._cards) > CARDS_MAX:
            self._cards.popitem(last=False)
        return yes({"card_id": card.id})

    def shown(self, card_id: str) -> Json:
        """Fields of the transcript's entry for a card that is sent. Raises No."""
        card = self._cards.get(card_id)
        if card is None:
            raise No(230099, "Failed to create card content, ext=ErrCode: 11310; cardid is invalid")
        if card.message_id:
            raise No(230099, "Failed to create card content, ext=ErrCode: 200780; sent already")
        state = {"state": "streaming"} if card.streaming_until else {}
        return self._sim.card_fields(card.seen) | state

    def placed(self, card_id: str, message_id: str) -> None:
        """A card was sent by this message."""
        self._cards[card_id].message_id = message_id

    def _card(self, request: web.Request, body: Json) -> Card | None:
        """The card that an operation is for; None when its uuid was used. Raises No."""
        card, now = self._cards.get(request.match_info["card_id"]), self._sim.clock.time()
        if card is None or self._sim.faults.card_gone or now - card.made_at > LIFE_SECONDS:
            raise No(GONE, "card id not found or expired")
        uuid: Any = body.get("uuid")
        if uuid is not None and (not isinstance(uuid, str) or not 1 <= len(uuid) <= 64):
            raise No(99992402, "field validation failed: uuid")
        if uuid and uuid in card.uuids:
            return None
        while card.times and now - card.times[0] >= 1.0:
            card.times.popleft()
        if len(card.times) >= OPERATIONS_PER_SECOND:
            raise No(99991400, "request trigger frequency limit", 429)
        card.times.append(now)
        self._order(card, body.get("sequence"))
        if uuid:
            card.uuids[uuid] = None
            while len(card.uuids) > UUIDS_MAX:
                card.uuids.popitem(last=False)
        return card

    @staticmethod
    def _order(card: Card, sequence: Any) -> None:
        if not isinstance(sequence, int) or not 0 <= sequence <= SEQUENCE_MAX:
            raise No(99992402, "field validation failed: sequence")
        if sequence <= card.sequence:
            raise No(OLD_SEQUENCE, "sequence number compare failed")
        card.sequence = sequence

    async def _write(self, request: web.Request) -> web.Response:
        body = await read(request)
        content: Any = body.get("content")
        if not isinstance(content, str) or not content:
            raise No(99992402, "field validation failed: content")
        card = self._card(request, body)
        if card is None:
            return yes()
        if self._sim.faults.take("stream_timeout"):
            card.streaming_until = 0.0
            raise No(TIMED_OUT, "card streaming timeout")
        streaming = card.streaming_until > self._sim.clock.time()
        if not streaming or self._sim.faults.stream_closed:
            raise No(CLOSED, "streaming mode is closed")
        element = request.match_info["element_id"]
        if element not in card.seen.texts:
            raise No(NO_ELEMENT, "element not found")
        card.seen.texts[element] = content
        self._tell(card)
        return yes()

    async def _settings(self, request: web.Request) -> web.Response:
        body = await read(request)
        try:
            settings: Any = msgspec.json.decode(words(body, "settings"))
        except msgspec.DecodeError as error:
            raise No(99992402, "field validation failed: settings") from error
        card = self._card(request, body)
        if card is None:
            return yes()
        mode: Any = part(settings, "config").get("streaming_mode")
        if mode is not None:
            until = self._sim.clock.time() + STREAM_SECONDS
            card.streaming_until = until if mode else 0.0
        self._tell(card)
        return yes()

    async def _replace(self, request: web.Request) -> web.Response:
        body = await read(request)
        if self._sim.faults.take("refuse_cards"):
            raise No(230099, "Failed to create card content, ext=ErrCode: 11310")
        seen = read_card(part(body, "card").get("data"))
        card = self._card(request, body)
        if card is None:
            return yes()
        card.seen = seen
        card.streaming_until = self._sim.clock.time() + STREAM_SECONDS if seen.streaming else 0.0
        self._tell(card)
        return yes()

    async def _convert(self, request: web.Request) -> web.Response:
        message_id = words(await read(request), "message_id")
        for card in self._cards.values():
            if card.message_id == message_id:
                return yes({"card_id": card.id})
        raise No(GONE, "the message holds no card")

    def _tell(self, card: Card) -> None:
        card.edits += 1
        if card.message_id:
            state = "streaming" if card.streaming_until else "finished"
            fields = self._sim.card_fields(card.seen)
            self._sim.transcript.mark(card.message_id, state=state, edits=card.edits, **fields)
