"""Ending a turn or a delivery when the journal cannot be written: again, until it can."""

import logging
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from ai_engine.domain.clock import Clock
from ai_engine.domain.errors import EngineError, LostLease

log = logging.getLogger(__name__)

PAUSE_SECONDS: Final = 0.5
PAUSE_SECONDS_MAX: Final = 30.0

T = TypeVar("T")


async def surely(end: Callable[[], Awaitable[T]], clock: Clock) -> T:
    """What `end` returns, tried again after each failed write (a full disk, say) until it works.

    The work is done already and only its end is missing; an engine that gave up here would leave
    the session blocked, or do the work again. Bounded by whoever cancels it: the drain.

    Raises:
        LostLease: another process has it now.
    """
    pause = PAUSE_SECONDS
    while True:
        try:
            return await end()
        except LostLease:
            raise
        except EngineError as error:
            log.error("the journal took no end of a turn or delivery: %s; trying again", error)
        await clock.sleep(pause)
        pause = min(PAUSE_SECONDS_MAX, 2 * pause)
