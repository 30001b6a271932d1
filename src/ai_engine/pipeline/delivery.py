"""Delivery: the last third of the road. From a committed reply to one the platform has taken."""

import asyncio
import logging
import random
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from ai_engine.channels.base import Channel, Outgoing
from ai_engine.domain.clock import Clock
from ai_engine.domain.errors import LostLease, Overloaded, SendRefused, SendRetryable
from ai_engine.domain.within import within
from ai_engine.journal.base import Delivery, Journal
from ai_engine.observe.logging import bind
from ai_engine.observe.metrics import Metrics
from ai_engine.pipeline.latency import OwnShare
from ai_engine.pipeline.plan import Plan
from ai_engine.pipeline.surely import surely

log = logging.getLogger(__name__)

BACKOFF_SECONDS_MAX: Final = 300.0
SEND_SECONDS_MAX: Final = 60.0
IN_FLIGHT_MAX: Final = 256
HELD_SECONDS_MAX: Final = 1.0
"""A delivery that must wait longer for its conversation's pace leaves its place to others."""
PACED_MAX: Final = 4096
"""Deliveries that wait so without a place; with more, the next ones keep theirs."""
ENGINE: Final = "engine"
"""The built-in channel between sessions: its send is `accept`."""


def backoff_seconds(attempt: int, asked_for: float | None) -> float:
    """What the platform asked for, or exponential with jitter, at most five minutes."""
    if asked_for is not None:
        return min(max(asked_for, 0.0), BACKOFF_SECONDS_MAX)
    full = min(BACKOFF_SECONDS_MAX, 0.5 * 2.0 ** min(attempt, 16))
    return full * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not a secret


class Pace:
    """Times the sends of one conversation apart, as the platform wants them."""

    def __init__(self, size: int = 10_000) -> None:
        self._size = size
        self._next: OrderedDict[str, float] = OrderedDict()

    def wait_seconds(self, conversation: str, per_second: float, now: float) -> float:
        """How long this send must wait; takes the slot."""
        if per_second <= 0:
            return 0.0
        at = max(now, self._next.pop(conversation, 0.0))
        self._next[conversation] = at + 1 / per_second
        if len(self._next) > self._size:
            self._next.popitem(last=False)
        return at - now


class _Place:
    """One delivery's part of `IN_FLIGHT_MAX`; it may be left for a while."""

    def __init__(self, places: asyncio.Semaphore) -> None:
        self._places = places
        self._held = False

    async def take(self) -> None:
        """Waits for a free one."""
        await self._places.acquire()
        self._held = True

    def leave(self) -> None:
        """Others may have it. Nothing when it is not held."""
        if self._held:
            self._held = False
            self._places.release()


class Deliveries:
    """Sends what the outbox holds: in order in each session, retried, dead-lettered at the end."""

    def __init__(
        self,
        journal: Journal,
        metrics: Metrics,
        clock: Clock,
        share: OwnShare,
        plan: Callable[[], Plan],
    ) -> None:
        self._journal = journal
        self._metrics = metrics
        self._clock = clock
        self._share = share
        self._plan = plan
        self._pace = Pace()
        self._paced = 0

    async def run(self) -> None:
        """Until the journal is drained."""
        places = asyncio.Semaphore(IN_FLIGHT_MAX)
        async with asyncio.TaskGroup() as group:
            async for delivery in self._journal.deliveries():
                place = _Place(places)
                await place.take()
                task = group.create_task(self._deliver(delivery, place))
                task.add_done_callback(lambda _, place=place: place.leave())

    async def _deliver(self, delivery: Delivery, place: _Place) -> None:
        with bind(
            trace_id=delivery.trace_id, message_id=delivery.inbound_id, channel=delivery.channel
        ):
            try:
                await self._in_its_pace(delivery, place)
                result = await self._attempt(delivery)
            except LostLease as error:
                log.warning("delivery given up: %s", error)
            except Exception:  # a fault of the journal must not end the other deliveries
                log.exception("a delivery could not be ended; the next start repeats it")
            else:
                self._metrics.reply(delivery.channel, result)

    async def _in_its_pace(self, delivery: Delivery, place: _Place) -> None:
        """Wait until the conversation may have its next message. One session's replies come one
        at a time, so none overtakes another meanwhile."""
        channel = self._plan().channels.get(delivery.channel)
        if channel is None:
            return  # it is told by the attempt
        own = self._share.take(delivery.inbound_id, self._clock.time())
        if own is not None:
            self._metrics.latency(own)
        conversation = delivery.target.get("conversation")
        paced = f"{delivery.channel}:{conversation}" if conversation else delivery.session_key
        rate = channel.capabilities.sends_per_second
        wait = self._pace.wait_seconds(paced, rate, self._clock.monotonic())
        if wait <= 0:
            return
        if wait <= HELD_SECONDS_MAX or self._paced >= PACED_MAX:
            await self._clock.sleep(wait)
            return
        place.leave()
        self._paced += 1
        try:
            await self._clock.sleep(wait)
        finally:
            self._paced -= 1
        await place.take()

    async def _attempt(self, delivery: Delivery) -> str:
        """One attempt and its end in the journal: delivered | retry | error | dead."""
        try:
            await self._send(delivery)
        except LostLease:
            raise
        except SendRetryable as error:
            await self._again(delivery, error.message, error.retry_after_seconds)
            return "retry"
        except SendRefused as error:
            await self._give_up(delivery, str(error))
            return "dead"
        except Exception as error:  # the supervision boundary of a delivery: tried again
            log.exception("delivery of %s failed", delivery.id)
            await self._again(delivery, type(error).__name__, None)
            return "error"
        return "delivered"

    async def _again(self, delivery: Delivery, reason: str, asked_for: float | None) -> None:
        at = self._clock.time() + backoff_seconds(delivery.attempt, asked_for)
        await surely(lambda: self._journal.retry(delivery, reason, at), self._clock)

    async def _send(self, delivery: Delivery) -> None:
        if delivery.channel == ENGINE:
            await self._pass_on(delivery)
            return
        channel = self._plan().channels.get(delivery.channel)
        if channel is None:
            raise SendRefused(
                f"channel {delivery.channel!r} is not configured any more",
                hint="add it again and replay the dead letter",
            )
        await self._to_platform(channel, delivery)

    async def _to_platform(self, channel: Channel, delivery: Delivery) -> None:
        outgoing = Outgoing(
            reply=delivery.reply,
            target=delivery.target,
            in_reply_to=delivery.inbound_message_id,
            inbound_id=delivery.inbound_id,
            session_key=delivery.session_key,
            user_id=delivery.user_id,
            attempt=delivery.attempt,
        )
        started = self._clock.monotonic()
        try:
            with within(SEND_SECONDS_MAX):
                if delivery.reply.stream is not None:
                    await channel.finish(delivery.reply.stream, outgoing)
                else:
                    await channel.send(outgoing)
        except TimeoutError as error:
            raise SendRetryable(f"no answer within {SEND_SECONDS_MAX:g} s") from error
        seconds = round(self._clock.monotonic() - started, 4)
        step = {"at": self._clock.time(), "step": "sent", "reply": delivery.id, "seconds": seconds}
        await self._journal.delivered(delivery, trace=(step,))

    async def _pass_on(self, delivery: Delivery) -> None:
        """At least once here, once there: the message's id is deterministic and deduplicated."""
        if delivery.message is None:
            raise SendRefused("a delivery to the engine without a message")
        try:
            await self._journal.accept(delivery.message, delivery.session_key)
        except Overloaded as error:
            raise SendRetryable(
                error.message, retry_after_seconds=error.retry_after_seconds
            ) from error
        await self._journal.delivered(delivery)

    async def _give_up(self, delivery: Delivery, reason: str) -> None:
        log.error("reply %s is a dead letter: %s", delivery.id, reason)
        await surely(lambda: self._journal.undeliverable(delivery, reason), self._clock)
