"""From an answer to the replies of its channel: framed, split at the limit, ids that repeat."""

from ai_engine.channels.base import Capabilities
from ai_engine.channels.text import split
from ai_engine.domain.ids import derived_id
from ai_engine.domain.message import Attachment, Json
from ai_engine.domain.reply import Card, Reply


def framed(template: str, text: str) -> str:
    """`message_format.text_template` around the answer."""
    return text if template == "{message}" else template.replace("{message}", text)


def as_replies(
    turn_id: str,
    text: str,
    *,
    template: str,
    capabilities: Capabilities,
    produced_by: str,
    card: Card | None = None,
    stream: Json | None = None,
    media: tuple[Attachment, ...] = (),
    feedback: str = "",
) -> tuple[Reply, ...]:
    """The parts of one answer. The same turn gives the same ids, whatever the attempt.

    A stream is finished by the first part; the rest follow as messages of their own.
    """
    parts = split(framed(template, text), capabilities.text_limit, capabilities.text_unit) or [""]
    last = len(parts) - 1
    return tuple(
        Reply(
            id=derived_id("r", turn_id, str(n)),
            text=part,
            card=card if n == last else None,
            final=n == last,
            stream=stream if n == 0 else None,
            media=media if n == last else (),
            feedback=feedback if n == last else "",
            produced_by=produced_by,
        )
        for n, part in enumerate(parts)
    )
