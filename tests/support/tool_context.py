"""What a tool is told of its turn, in tests."""

from datetime import datetime
from zoneinfo import ZoneInfo

from ai_engine.domain.message import Chat, ChatKind, InboundMessage, Sender
from ai_engine.domain.skill import ToolContext, spoken_language

SHANGHAI = ZoneInfo("Asia/Shanghai")
WEDNESDAY = datetime(2026, 11, 25, 10, 0, tzinfo=SHANGHAI)
"""The present in the tests of skills: a Wednesday morning in Shanghai."""


def tool_context(
    text="",
    *,
    key="turn/call",
    language="",
    params=None,
    now=WEDNESDAY,
):
    """The context of a call that `text` caused, written at `now`."""
    message = InboundMessage(
        channel="test",
        message_id="1",
        sender=Sender(platform="test", user_id="u"),
        chat=Chat(kind=ChatKind.PRIVATE, id="u"),
        text=text,
        received_at=now.timestamp() if now else 0.0,
    )
    return ToolContext(
        message=message,
        idempotency_key=key,
        language=language or spoken_language(text),
        params=params or {},
    )
