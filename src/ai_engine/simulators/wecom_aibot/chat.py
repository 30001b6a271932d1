"""What the robot's answers do to the simulated chats, whichever way they come."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ai_engine.domain.ids import new_id
from ai_engine.simulators.files import SharedFile
from ai_engine.simulators.transcript import BOT
from ai_engine.simulators.wecom_aibot.codec import Bad, Shown

if TYPE_CHECKING:
    from ai_engine.simulators.wecom_aibot.server import WecomAibotSimulator

KEPT_MAX = 10_000
STREAM_EXPIRED = 846608
"""Seen in the field, not in the public reference."""
STREAM_DONE = 40058


@dataclass(slots=True, kw_only=True)
class Stream:
    """One streamed answer."""

    entry: str
    message_id: str
    began: float
    finished: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CardShown:
    """What a press of one of its buttons tells."""

    task_id: str
    card_type: str
    user: str


class ChatView:
    """Puts answers into the transcript and remembers what later events refer to."""

    def __init__(self, simulator: "WecomAibotSimulator") -> None:
        self._sim = simulator
        self._streams: OrderedDict[str, Stream] = OrderedDict()
        self.cards: OrderedDict[str, CardShown] = OrderedDict()
        self.feedback: OrderedDict[str, str] = OrderedDict()
        """Entry → the id under which it can be rated."""

    def stream(self, shown: Shown, message_id: str, via: str) -> Stream:
        """A first or later state of a streamed answer to `message_id`. Raises Bad."""
        known = self._streams.get(shown.stream)
        if known is None:
            entry = self.add(shown, message_id=message_id, via=via, state="streaming")
            began = self._sim.clock.time()
            known = Stream(entry=entry, message_id=message_id, began=began)
            _keep(self._streams, shown.stream, known)
        elif known.message_id != message_id or known.finished:
            raise Bad("the stream has ended or belongs to another message", STREAM_DONE)
        elif self._sim.clock.time() - known.began >= self._sim.faults.stream_seconds:
            self.fail(known, "open for too long")
            raise Bad("stream message update expired (>6 minutes), cannot update", STREAM_EXPIRED)
        self._show(known, shown)
        return known

    def _show(self, stream: Stream, shown: Shown) -> None:
        entry = self._sim.transcript.get(stream.entry)
        stream.finished = shown.finish
        changes: dict[str, Any] = {"state": "finished" if shown.finish else "streaming"}
        if entry is not None and entry.text != shown.text:
            changes |= {"text": shown.text, "edits": entry.edits + 1}
        if shown.card is not None:
            if stream.entry in self.cards:
                raise Bad("a template card can be sent once for a message")
            changes |= {"card": shown.card, "buttons": shown.buttons}
            self._card(stream.entry, shown, stream.message_id)
        if shown.pictures:
            changes["url"] = self._kept(shown.pictures[0])
        self._sim.transcript.mark(stream.entry, **changes)

    def fail(self, stream: Stream, why: str) -> None:
        """The stream ends as it is."""
        stream.finished = True
        self._sim.transcript.mark(stream.entry, state="failed", detail=why)

    def add(
        self,
        shown: Shown,
        *,
        via: str,
        message_id: str = "",
        conversation: str = "",
        state: str = "",
    ) -> str:
        """A message of the robot's; its entry's id."""
        sim = self._sim
        asked = sim.transcript.get(message_id) if message_id else None
        where = asked.conversation if asked is not None else conversation
        chat = sim.directory.find(where)
        file = sim.shelf.get(shown.media_id) if shown.media_id else None
        entry = sim.transcript.add(
            id=f"bot{new_id('wx')}",
            conversation=where,
            chat=chat.kind if chat else "private",
            sender=BOT,
            name=sim.robot_name,
            text=file.name if file else shown.text,
            kind=shown.kind,
            at=sim.clock.time(),
            reply_to=message_id or None,
            via=via,
            state=state,
            card=shown.card,
            buttons=shown.buttons,
            url=f"/files/{shown.media_id}" if file else "",
        )
        if shown.feedback:
            _keep(self.feedback, entry.id, shown.feedback)
        if shown.card is not None and not shown.stream:
            self._card(entry.id, shown, message_id)
        return entry.id

    def _card(self, entry: str, shown: Shown, message_id: str) -> None:
        asked = self._sim.transcript.get(message_id)
        user = asked.sender if asked is not None else ""
        card = CardShown(task_id=shown.task_id, card_type=shown.card_type, user=user)
        _keep(self.cards, entry, card)

    def update_card(self, entry: str, shown: Shown) -> None:
        """The answer to a pressed button. Raises Bad."""
        card = self.cards.get(entry)
        if card is None or card.task_id != shown.task_id:
            raise Bad("task_id is not the pressed card's")
        self._sim.transcript.mark(entry, card=shown.card, buttons=shown.buttons)

    def _kept(self, content: bytes) -> str:
        file = SharedFile(kind="picture", name="picture", mime="image/png", content=content)
        return f"/files/{self._sim.shelf.put(file, 'wximg')}"


def _keep(table: OrderedDict[str, Any], key: str, value: Any) -> None:
    table[key] = value
    while len(table) > KEPT_MAX:
        table.popitem(last=False)
