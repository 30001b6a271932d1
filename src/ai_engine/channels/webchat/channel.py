"""The `webchat` channel: what is committed is delivered, since devices read the event log."""

from ai_engine.channels.base import Address, Capabilities, Outgoing
from ai_engine.channels.connector import Connector, address_parts
from ai_engine.channels.host import Host
from ai_engine.channels.webchat.about import ABOUT
from ai_engine.config.schema import ChannelConfig
from ai_engine.domain.message import Chat, ChatKind, Json
from ai_engine.events.base import Partial

SESSION = "session_key"
"""Key in a target: `api/websocket.py` writes the session key there when a message comes in."""


class WebChatChannel(Connector):
    """Sending is a hand-over: the reply's entry in the session's log *is* the delivery, and the
    open connections follow that log. Only partial text goes through here."""

    def __init__(self, name: str, config: ChannelConfig, host: Host) -> None:
        super().__init__(ABOUT, name, config, host)
        self._events = host.events
        self.capabilities = Capabilities(
            text_limit=100_000,
            markdown=True,
            cards=True,
            streaming=True,
            stream_by_key=True,
            stream_interval_ms=50,
            idempotent=True,
            images=False,
        )

    async def send(self, outgoing: Outgoing) -> None:
        """The commit has written the reply into the log that every device reads."""
        self.noticed()

    async def open_stream(self, target: Json, key: str) -> Json | None:
        """The handle is the session and the turn; the same key gives the same stream."""
        session_key = target.get(SESSION)
        if not isinstance(session_key, str) or not session_key:
            return None
        return {SESSION: session_key, "turn": key}

    async def update(self, handle: Json, text: str) -> None:
        """Publish what is new against the text that was published last."""
        session_key, turn = handle[SESSION], handle["turn"]
        known = self._events.partial(session_key)
        before = known.text if known is not None and known.turn == turn else ""
        if text == before:
            return
        # A filter may take back the end of what was shown, so not every update is an addition.
        offset = len(before) if text.startswith(before) else _common(before, text)
        self._events.publish(
            Partial(session_key=session_key, turn=turn, offset=offset, text=text[offset:])
        )

    async def finish(self, handle: Json, outgoing: Outgoing) -> None:
        """The log holds the final text; say that no partial text of this turn follows."""
        self._events.publish(
            Partial(session_key=handle[SESSION], turn=handle["turn"], offset=0, text="", done=True)
        )
        await self.send(outgoing)

    def address(self, to: str) -> Address:
        _, user = address_parts(to, {"user": "user name"})
        return Address(chat=Chat(kind=ChatKind.PRIVATE, id=user), user_id=user, target={})

    def connection(self) -> tuple[str, str, float | None]:
        state, _, last = super().connection()
        return state, "at /chat", last


def _common(one: str, other: str) -> int:
    """How many characters both begin with."""
    pairs = zip(one, other, strict=False)
    return next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def build(name: str, config: ChannelConfig, host: Host) -> WebChatChannel:
    return WebChatChannel(name, config, host)
