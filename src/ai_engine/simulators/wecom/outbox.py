"""What the app has sent: shown to members, compared with what came before, updated when pressed."""

import json
from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from aiohttp import web

from ai_engine.domain.errors import Malformed, NotFound
from ai_engine.domain.ids import new_id
from ai_engine.domain.message import Json
from ai_engine.simulators.transcript import BOT, Entry
from ai_engine.simulators.wecom import cards
from ai_engine.simulators.wecom.gate import Refusal

if TYPE_CHECKING:
    from ai_engine.simulators.wecom.server import WeComSimulator

PRODUCED_BY_HEADER = "X-AI-Engine-Produced-By"
CODE_SECONDS = 72 * 3600.0
"""Life of a response code (path/94888)."""
INTERVAL_SECONDS_MAX = 4 * 3600.0
_KNOWN_MAX = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message as the chat shows it."""

    kind: str
    text: str
    title: str = ""
    url: str = ""
    card: cards.Shown | None = None

    @classmethod
    def of_card(cls, card: cards.Shown) -> "Message":
        return cls(kind="template_card", text=card.text, title=card.title, card=card)


@dataclass(slots=True, kw_only=True)
class _Code:
    """A response code: good once."""

    entries: tuple[str, ...]
    until: float
    used: bool = False


class Outbox:
    def __init__(self, simulator: "WeComSimulator") -> None:
        self._sim = simulator
        self._sent: OrderedDict[str, float] = OrderedDict()
        self._tasks: OrderedDict[str, None] = OrderedDict()
        self._codes: OrderedDict[str, _Code] = OrderedDict()
        self._task_of: OrderedDict[str, cards.Shown] = OrderedDict()
        self._times: dict[str, deque[float]] = {}
        self.dropped = 0
        """Messages beyond a member's 30 a minute."""
        self.repeats = 0
        """Messages that the duplicate check has kept back."""

    def deliver(self, message: Message, users: list[str], body: Json, request: web.Request) -> str:
        """Show it to each member; the response code, where WeCom gives one. Raises Refusal."""
        if self._repeated(body):
            self.repeats += 1
            return ""
        card = message.card
        if card is not None and card.task_id:
            if card.task_id in self._tasks:  # which errcode it is, the public reference leaves out
                raise Refusal(40058, "invalid Request Parameter: task_id is used already")
            _remember(self._tasks, card.task_id, None)
        entries = [
            self.show(message, self._sim.directory.private(user).id, "message/send", request)
            for user in users
            if self._within_limit(user)
        ]
        if card is None or not card.updatable:
            return ""
        return self.code(tuple(entry.id for entry in entries))

    def show(
        self,
        message: Message,
        conversation: str,
        via: str,
        request: web.Request | None,
        *,
        reply_to: str | None = None,
    ) -> Entry:
        """Put it into the chat."""
        sim, card = self._sim, message.card
        chat = sim.directory.find(conversation)
        entry = sim.transcript.add(
            id=new_id("bot"),
            conversation=conversation,
            chat=chat.kind if chat else "private",
            sender=BOT,
            name=sim.robot_name,
            text=message.text,
            title=message.title,
            kind=message.kind,
            at=sim.clock.time(),
            reply_to=reply_to,
            via=via,
            url=message.url,
            card=card.card if card else None,
            buttons=card.buttons if card else (),
            produced_by=request.headers.get(PRODUCED_BY_HEADER, "")[:100] if request else "",
        )
        if card is not None:
            _remember(self._task_of, entry.id, card)
        return entry

    def code(self, entries: tuple[str, ...]) -> str:
        """A new response code for these entries."""
        code = new_id("code")
        _remember(
            self._codes, code, _Code(entries=entries, until=self._sim.clock.time() + CODE_SECONDS)
        )
        return code

    def button(self, entry: Entry, number: int) -> tuple[Json, cards.Shown]:
        """A button that calls back, and its card. Raises NotFound, Malformed."""
        card = self._task_of.get(entry.id)
        if card is None or not 0 <= number < len(entry.buttons):
            raise NotFound(f"the message {entry.id} has no button {number}")
        button = entry.buttons[number]
        if not button.get("key"):
            raise Malformed("this button opens an address or has been pressed; it calls nobody")
        return button, card

    def update(self, body: Json) -> None:
        """`message/update_template_card`. Raises Refusal."""
        code = self._codes.get(str(body.get("response_code") or ""))
        if code is None or code.used or self._sim.clock.time() >= code.until:
            raise Refusal(40058, "invalid Request Parameter: response_code")
        button: Any = body.get("button")
        name: Any = cast("Json", button).get("replace_name") if isinstance(button, dict) else None
        replaced: cards.Shown | None = None
        if body.get("template_card") is not None:
            try:
                replaced = cards.read(body["template_card"])
            except cards.BadCard as bad:
                raise Refusal(40058, f"invalid Request Parameter: {bad}") from bad
        elif not isinstance(name, str) or not name:
            raise Refusal(40058, "invalid Request Parameter: button.replace_name")
        code.used = True
        for entry_id in code.entries:
            self._replace(entry_id, replaced, str(name))

    def _replace(self, entry_id: str, card: cards.Shown | None, name: str) -> None:
        entry = self._sim.transcript.get(entry_id)
        if entry is None:
            return
        changes: dict[str, Any] = {"edits": entry.edits + 1}
        if card is None:
            links = tuple(button for button in entry.buttons if button.get("url"))
            changes["buttons"] = ({"label": name, "disabled": True}, *links)
        else:
            changes |= {"text": card.text, "card": card.card, "buttons": card.buttons}
            self._task_of[entry_id] = card
        self._sim.transcript.mark(entry_id, **changes)

    def _repeated(self, body: Json) -> bool:
        """Whether the duplicate check holds the message back; every message is noted for it."""
        plain = {
            name: value
            for name, value in body.items()
            if name not in ("enable_duplicate_check", "duplicate_check_interval")
        }
        key = json.dumps(plain, sort_keys=True)
        now = self._sim.clock.time()
        before = self._sent.pop(key, None)
        wants = body.get("enable_duplicate_check") == 1
        interval = min(float(body.get("duplicate_check_interval") or 1800), INTERVAL_SECONDS_MAX)
        if wants and before is not None and now - before < interval:
            self._sent[key] = before
            return True
        _remember(self._sent, key, now)
        return False

    def _within_limit(self, user: str) -> bool:
        most = self._sim.faults.member_per_minute
        now = self._sim.clock.time()
        times = self._times.setdefault(user, deque(maxlen=10_000))
        while times and now - times[0] >= 60.0:
            times.popleft()
        if most and len(times) >= most:
            self.dropped += 1
            return False
        times.append(now)
        return True


def _remember(table: OrderedDict[str, Any], key: str, value: Any) -> None:
    table[key] = value
    while len(table) > _KNOWN_MAX:
        table.popitem(last=False)
