"""What an event means that WeCom names by a key of ours: the button's value, the rated answer."""

import logging
from dataclasses import replace

from ai_engine.channels.host import Host
from ai_engine.channels.wecom_aibot import cards
from ai_engine.channels.wecom_aibot.codec import message_of
from ai_engine.domain.message import InboundMessage, MessageKind

log = logging.getLogger(__name__)


async def completed(message: InboundMessage, host: Host) -> InboundMessage | None:
    """The event with its value; None when it means nothing (any more)."""
    if message.kind is MessageKind.BUTTON:
        return await _pressed(message, host)
    if message.kind is MessageKind.FEEDBACK:
        return await _rated(message, host)
    return message


async def _pressed(message: InboundMessage, host: Host) -> InboundMessage | None:
    key = str(message.payload.get("key", ""))
    value = None if key == cards.DONE else await cards.value_of(key, host.media)
    if value is None:
        log.info("channel %s: a pressed button has no value (any more)", message.channel)
        return None
    return replace(message, payload=value)


async def _rated(message: InboundMessage, host: Host) -> InboundMessage | None:
    """A stream's feedback id names the question; the journal knows what answered it."""
    of = str(message.payload.get("of", ""))
    question = message_of(of)
    if question:
        replies = await host.stored(question)
        rated = [reply.feedback for reply in replies or () if reply.feedback]
        if replies and not rated:
            return None
        of = rated[-1] if rated else ""
    return replace(message, payload={**message.payload, "of": of})
