"""The sign that a message was noticed: typing, a reaction. Best effort, beside the turn."""

import asyncio
import logging

from ai_engine.domain.errors import SendFailed
from ai_engine.pipeline.work import Work

log = logging.getLogger(__name__)

SEEN_SECONDS_MAX = 5.0


def show_seen(work: Work, group: asyncio.TaskGroup) -> None:
    """In a task of `group`; nothing when the platform has no such sign or it is turned off."""
    channel = work.plan.channels.get(work.message.channel)
    config = work.plan.config.channels.get(work.message.channel)
    if channel is None or not channel.capabilities.seen or (config and not config.seen):
        return

    async def show() -> None:
        try:
            async with asyncio.timeout(SEEN_SECONDS_MAX):
                await channel.seen(work.message.target)
        except (SendFailed, TimeoutError) as error:
            log.info("channel %s: no sign of being seen: %s", channel.name, error)
        except Exception:  # a sign is best effort: a fault of a connector must not end the turns
            log.exception("channel %s: the sign of being seen failed", channel.name)

    group.create_task(show(), name="seen")
