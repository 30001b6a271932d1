"""Ingress: the first third of the road. From a verified message to a durable one."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from ai_engine.channels.base import Accepted
from ai_engine.config.schema import Config
from ai_engine.domain.clock import Clock
from ai_engine.domain.errors import Overloaded
from ai_engine.domain.ids import new_id
from ai_engine.domain.message import ChatKind, InboundMessage, Lane, MessageKind
from ai_engine.events.base import Events, Progressed
from ai_engine.journal.base import Journal
from ai_engine.observe.metrics import Metrics
from ai_engine.pipeline import commands
from ai_engine.pipeline.people import People


def session_key(message: InboundMessage, scope: str) -> str:
    """Who shares a conversation; computed once, here, and written into the record.

    `scope` is `SessionConfig.scope` and decides for groups; a private chat is the person's own
    (one for each conversation, where a platform has several with the same person). The private
    chats of a person with linked identities are one, on whatever platform.
    """
    channel, chat = _part(message.channel), _part(message.chat.id)
    person = _part(message.sender.person)
    if person and (scope == "user" or message.chat.kind is ChatKind.PRIVATE):
        return f"person:{person}"
    who = person or f"{_part(message.sender.tenant)}/{_part(message.sender.user_id)}"
    if scope == "user":
        return f"{channel}:user:{who}"
    if message.chat.kind is ChatKind.PRIVATE:
        return f"{channel}:private:{chat}:{who}"
    if scope == "group":
        return f"{channel}:group:{chat}"
    if scope == "thread":
        return f"{channel}:thread:{chat}/{_part(message.chat.thread)}"
    return f"{channel}:member:{chat}:{who}"


def _part(name: str) -> str:
    """A part of a key that cannot be taken for two: ids may hold any character."""
    return name.replace("%", "%25").replace(":", "%3A").replace("/", "%2F")


def lane(message: InboundMessage) -> Lane:
    """`/stop`, edits and recalls overtake what waits in their session; all else keeps its order."""
    if message.kind in (MessageKind.EDIT, MessageKind.RECALL):
        return Lane.CONTROL
    if message.kind is MessageKind.TEXT and commands.parse(message.text) is commands.Command.STOP:
        return Lane.CONTROL
    return Lane.MAILBOX


TEXT_CHARS_MAX: Final = 200_000
"""Of a longer message the rest is left out: no model and no skill would read it."""
REFUSING_SECONDS: Final = 5.0
"""After a refusal the engine counts as not ready for so long, or until a message is taken."""


class Ingress:
    """Accepts what channels have verified. Raises Overloaded when nothing more can be taken."""

    def __init__(
        self,
        journal: Journal,
        events: Events,
        metrics: Metrics,
        clock: Clock,
        config: Callable[[], Config],
    ) -> None:
        self._journal = journal
        self._events = events
        self._metrics = metrics
        self._clock = clock
        self._config = config
        self._people = People(Config())
        self._people_of: Config | None = None
        self._refusing_until = 0.0

    def overloaded(self) -> str | None:
        """Why messages are refused just now; None when they are taken. For `/readyz`."""
        if self._clock.monotonic() >= self._refusing_until:
            return None
        return "messages are refused: too many wait for their answers"

    def key(self, message: InboundMessage) -> str:
        """The session key under the present configuration."""
        config = self._config()
        return session_key(self._recognised(message, config), config.session.scope)

    def _recognised(self, message: InboundMessage, config: Config) -> InboundMessage:
        if config is not self._people_of:
            self._people, self._people_of = People(config), config
        return self._people.recognised(message)

    async def accept(self, message: InboundMessage) -> Accepted:
        """Durable when it returns; only then may the platform be told so."""
        config = self._config()
        message = replace(
            self._recognised(message, config),
            text=message.text[:TEXT_CHARS_MAX],
            received_at=message.received_at or self._clock.time(),
            trace_id=message.trace_id or new_id("t"),
        )
        key = session_key(message, config.session.scope)
        started = self._clock.monotonic()
        try:
            receipt = await self._journal.accept(message, key, lane=lane(message))
        except Overloaded:
            self._refusing_until = self._clock.monotonic() + REFUSING_SECONDS
            self._metrics.inbound(message.channel, "refused:overloaded")
            raise
        self._refusing_until = 0.0
        self._metrics.accepted_in(self._clock.monotonic() - started)
        self._metrics.inbound(message.channel, "duplicate" if receipt.duplicate else "accepted")
        if not receipt.duplicate:
            self._events.publish(Progressed(session_key=key, n=receipt.event))
        return Accepted(id=receipt.id, duplicate=receipt.duplicate)
