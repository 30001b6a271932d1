"""Why a journal takes nothing more, and what helps."""

from ai_engine.domain.errors import Overloaded


def full_backlog(limit: int) -> Overloaded:
    return Overloaded(
        f"{limit} messages wait already; nothing was accepted",
        hint="send it again later, or raise server.backlog_max",
    )


def full_outbox(limit: int) -> Overloaded:
    return Overloaded(
        f"{limit} replies wait for their platform; nothing was accepted",
        hint="see which channel fails: ai-engine channels list",
        retry_after_seconds=30,
    )
