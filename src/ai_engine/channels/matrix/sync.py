"""The long poll: what happened is asked for, and confirmed only when it is durable.

The position (`since`) is kept in the bot's own account data on the homeserver, so that it needs no
disk of ours, survives a move to another machine, and what was written while the engine was down is
answered when it is up again. A repetition after a crash is recognised by the events' ids. The very
first start has no position: history is skipped.

Source: Client-Server API, "Syncing": a limited timeline has a gap, filled by /messages.
"""

import asyncio
import logging
from typing import Final

from ai_engine.channels.backoff import Backoff
from ai_engine.channels.base import Accept
from ai_engine.channels.host import Host
from ai_engine.channels.http import Answer
from ai_engine.channels.link import accept_when_possible
from ai_engine.channels.matrix import codec
from ai_engine.channels.matrix.client import MatrixClient, TokenRefused, raise_for
from ai_engine.channels.matrix.fields import items, objects, part, records, text
from ai_engine.channels.matrix.inbox import Inbox
from ai_engine.channels.matrix.invites import Invites
from ai_engine.channels.matrix.rooms import Rooms
from ai_engine.domain.errors import (
    Malformed,
    Overloaded,
    SendFailed,
    SendRefused,
    SendRetryable,
)
from ai_engine.domain.message import Json

log = logging.getLogger(__name__)

POSITION: Final = "org.ai-engine.sync"
"""Account data: `{"since": the position, "invites": those not settled yet}`."""
HOLD_SECONDS: Final = 30.0
"""How long the homeserver holds a call that has nothing to tell."""
ANSWER_SECONDS: Final = 10.0
"""Beyond it a call without an answer is dead: this is the connection's heartbeat."""
KEEP_SECONDS: Final = 60.0
"""A position that passed over nothing for the bot is noted so often."""
SLOW_SECONDS: Final = 60.0
"""After an answer that only an administrator can change."""
TIMELINE: Final = 50
PAGES_MAX: Final = 10
"""Of 100 events each, that are read to fill one room's gap."""
ATTEMPTS_MAX: Final = 5
"""So often a whole answer is tried again for one event that cannot be looked into."""
_ROOMS_AT_ONCE: Final = 16
_NOTHING: Final[Json] = {"not_types": ["*"]}


class Syncer:
    """Owned by the channel, whose `run` awaits `run`; that ends only by cancellation."""

    def __init__(
        self,
        name: str,
        client: MatrixClient,
        rooms: Rooms,
        inbox: Inbox,
        host: Host,
        accept: Accept,
        *,
        user: str,
        hold_seconds: float = HOLD_SECONDS,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        self._name = name
        self._client = client
        self._rooms = rooms
        self._inbox = inbox
        self._clock = host.clock
        self._accept = accept
        self._user = user
        self._hold = hold_seconds
        self._answer = answer_seconds
        self._invites = Invites(name, client, rooms, host.clock, inbox.allows)
        self._backoff = Backoff()
        self._slots = asyncio.Semaphore(_ROOMS_AT_ONCE)
        self._since = ""
        self._kept = ""
        self._kept_at = 0.0
        self._due = False
        self._begun = False
        self._timeline = TIMELINE
        self._attempts = 0
        self.state = "connecting"
        """connecting | connected | failing"""
        self.detail = ""
        self.last_answer: float | None = None
        """When the homeserver last answered a poll, on the monotonic clock."""

    async def run(self) -> None:
        """Ask for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._invites.run(), name=f"invitations of {self._name}")
            while True:
                await self._round()

    async def _round(self) -> None:
        try:
            if not self._begun:
                await self._begin()
            self._due |= bool(await self._poll())
            await self._keep()
        except Overloaded as error:
            self._timeline = max(1, self._timeline // 2)
            await self._failed(error.message, max(0.1, min(error.retry_after_seconds, 30.0)))
        except SendRefused as error:
            # Perhaps one answer too large: the next asks for less.
            self._timeline = max(1, self._timeline // 4)
            await self._failed(str(error), SLOW_SECONDS)
        except SendFailed as error:
            self._attempts += 1
            asked = error.retry_after_seconds if isinstance(error, SendRetryable) else None
            await self._failed(str(error), max(self._backoff.next(), asked or 0.0))
        else:
            if self.detail:
                log.info("channel %s: polling again", self._name)
            self.state, self.detail = "connected", ""
            self._backoff.reset()
            self._attempts, self._timeline = 0, TIMELINE

    async def _failed(self, detail: str, seconds: float) -> None:
        """Note it, an outage once, and wait."""
        if detail != self.detail:
            log.warning("channel %s: %s", self._name, detail)
        self.state, self.detail = "failing", detail
        await self._clock.sleep(seconds)

    # The position

    async def _begin(self) -> None:
        """Raises SendRefused: the token is another user's; SendRetryable."""
        me = await self._rooms.me(again=True)
        if me.id != self._user:
            raise TokenRefused(
                f"the access token is that of {me.id}, not of {self._user}",
                hint="set auth.user and auth.access_token of the same account",
            )
        kept = await self._client.account_data(me.id, POSITION)
        self._since = self._kept = text(kept, "since")
        self._kept_at = self._clock.monotonic()
        self._invites.take(records(kept, "invites"))
        if not self._since:
            await self._first()
        self._begun = True

    async def _first(self) -> None:
        """Where all begins: invitations count, history does not."""
        filters = {**_filters(1), "room": {**_room(1), "timeline": {"limit": 1, **_NOTHING}}}
        answer = await self._client.sync("", 0, filters, 60.0)
        if answer.status != 200:
            raise_for(answer)
        self._invites.take(codec.invitations(answer.json, await self._rooms.me()))
        self._since = _position(answer)
        self._due = True
        await self._keep()

    async def _keep(self) -> None:
        """Note the position when it passed over something for the bot, else once a minute."""
        now = self._clock.monotonic()
        due = self._due or self._invites.changed or now - self._kept_at >= KEEP_SECONDS
        if not due or (self._since == self._kept and not self._invites.changed):
            return
        me = await self._rooms.me()
        self._invites.changed = False
        content: Json = {"since": self._since, "invites": dict(self._invites.pending)}
        try:
            await self._client.keep(me.id, POSITION, content)
        except SendFailed:
            self._invites.changed = True
            raise
        self._kept, self._kept_at, self._due = self._since, now, False

    # Polling

    async def _poll(self) -> int:
        """One answer; how many messages it had for the bot. Raises Overloaded, SendFailed."""
        hold = self._hold if self.state == "connected" else 0.0
        seconds_max = hold + self._answer
        filters = _filters(self._timeline)
        answer = await self._client.sync(self._since, int(hold * 1000), filters, seconds_max)
        if answer.status == 400:
            await self._lost(answer)
        if answer.status != 200:
            raise_for(answer)
        found, following = answer.json, _position(answer)
        self.last_answer = self._clock.monotonic()
        me = await self._rooms.me()
        self._invites.take(codec.invitations(found, me))
        taken = await self._take_all(found, me)
        self._since = following
        return taken

    async def _lost(self, answer: Answer) -> None:
        """The homeserver does not know the position, as after a restored backup: begin anew."""
        log.error(
            "channel %s: the position is not known any more (%s); messages until now are skipped",
            self._name,
            text(answer.json, "errcode"),
        )
        self._since = ""
        await self._first()
        raise SendRetryable("the position was lost and is set anew")

    async def _take_all(self, found: Json, me: codec.Me) -> int:
        """Rooms beside each other, each in its order. Raises Overloaded, SendFailed."""
        for room in part(part(found, "rooms"), "leave"):
            self._rooms.forget(room)
        rooms = codec.timelines(found)
        outcomes = await asyncio.gather(
            *(self._take_room(room, each, me) for room, each in rooms.items()),
            return_exceptions=True,
        )
        taken = 0
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
            taken += outcome
        return taken

    async def _take_room(self, room: str, found: Json, me: codec.Me) -> int:
        async with self._slots:
            timeline = part(found, "timeline")
            events = objects(timeline, "events")
            if timeline.get("limited") is True:
                self._rooms.forget(room)
                events = await self._filled(room, text(timeline, "prev_batch"), events, me)
            taken = 0
            for event in codec.since_invited(events, me):
                taken += await self._take(room, event)
            return taken

    async def _filled(self, room: str, before: str, events: list[Json], me: codec.Me) -> list[Json]:
        """The gap between the last position and these events, the oldest first."""
        for _ in range(PAGES_MAX):
            if not before or any(codec.membership(each, me.id) == "invite" for each in events):
                return events
            page = await self._client.messages(
                room, before, self._since, {"types": list(codec.TYPES)}
            )
            events = [*reversed(objects(page, "chunk")), *events]
            before = text(page, "end") if items(page, "chunk") else ""
        if before:
            log.warning("channel %s: a gap is too long, its beginning is skipped", self._name)
        return events

    async def _take(self, room: str, event: Json) -> int:
        """1 when it was for the bot and is durable. Raises Overloaded, SendFailed."""
        try:
            message = await self._inbox.read(room, event)
        except (TokenRefused, Overloaded):
            raise
        except SendRetryable as error:
            if self._attempts < ATTEMPTS_MAX:
                raise
            log.error("channel %s: an event was left out: %s", self._name, error.message)
            return 0
        except (Malformed, SendRefused) as error:
            log.warning("channel %s: an event was left out: %s", self._name, error.message)
            return 0
        if message is None:
            return 0
        await accept_when_possible(lambda: self._accept(message), self._clock)
        return 1


def _position(answer: Answer) -> str:
    """Raises SendRetryable: the answer was cut short or is none."""
    found = text(answer.json, "next_batch")
    if not found:
        raise SendRetryable("the Matrix homeserver's answer to /sync cannot be read")
    return found


def _room(limit: int) -> Json:
    """State comes with the timeline; whatever else is not for the bot."""
    return {
        "timeline": {"limit": limit, "types": list(codec.TYPES)},
        "state": {**_NOTHING, "lazy_load_members": True},
        "ephemeral": _NOTHING,
        "account_data": _NOTHING,
    }


def _filters(limit: int) -> Json:
    return {"presence": _NOTHING, "account_data": _NOTHING, "room": _room(limit)}
