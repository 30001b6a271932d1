"""Keeps a channel's long connection running: a crash is logged and restarted with backoff."""

import logging
import random
from collections.abc import Callable
from typing import Final

from ai_engine.channels.base import Accept, Channel
from ai_engine.domain.clock import Clock

log = logging.getLogger(__name__)

RESTART_SECONDS_MAX: Final = 60.0
STEADY_SECONDS: Final = 120.0
"""A run that lasted so long counts as healthy: the next restart is quick again."""


OWNER_SECONDS: Final = 1.0
"""How often a connection that only one process may hold looks whether this one is the owner."""


async def supervise(
    channel: Channel, accept: Accept, clock: Clock, owner: Callable[[], bool]
) -> None:
    """Until `run` returns by itself (the channel has no long connection) or is cancelled."""
    failures = 0
    while True:
        while channel.capabilities.one_owner and not owner():
            await clock.sleep(OWNER_SECONDS)
        started = clock.monotonic()
        try:
            await channel.run(accept)
        except Exception as error:  # the supervision boundary of a connection: begun again
            if clock.monotonic() - started > STEADY_SECONDS:
                failures = 0
            failures += 1
            longest = min(RESTART_SECONDS_MAX, 0.5 * 2.0 ** min(failures, 16))
            wait = longest * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not a secret
            log.error(
                "channel %s stopped: %s; restarted in %.1f s",
                channel.name,
                type(error).__name__,
                wait,
                exc_info=error,
            )
            await clock.sleep(wait)
        else:
            return
