"""Names and private chats of people, asked of Slack once in a while."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, Final, cast

from ai_engine.channels.base import Profile
from ai_engine.channels.slack.client import SlackClient, SlackRefused
from ai_engine.domain.clock import Clock
from ai_engine.domain.errors import SendFailed
from ai_engine.domain.message import Json

log = logging.getLogger(__name__)

PEOPLE_MAX: Final = 10_000
NAME_SECONDS: Final = 3600.0
FAILED_SECONDS: Final = 300.0
"""After a failure names are not asked for, so that messages are not held up."""
LOOK_UP_SECONDS_MAX: Final = 1.0
"""Slack wants an answer to an event within 3 s; a name is not worth more than this."""


class People:
    """Lives in one process; bounded."""

    def __init__(self, client: SlackClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._names: OrderedDict[str, tuple[str, float]] = OrderedDict()
        self._chats: OrderedDict[str, str] = OrderedDict()
        self._resting_until = 0.0

    def name(self, user_id: str) -> str:
        """The person's name where it is known, else the id."""
        found = self._names.get(user_id)
        return found[0] if found is not None else user_id

    async def learn(self, user_ids: Iterable[str], until: float) -> None:
        """Ask for the names that are not known, at most 1 s and not after `until` (the event loop's
        time); what fails is left unknown."""
        now, loop = self._clock.monotonic(), asyncio.get_running_loop()
        unknown = [one for one in user_ids if one not in self._names or self._names[one][1] < now]
        if not unknown or now < self._resting_until or loop.time() >= until:
            return
        try:
            async with asyncio.timeout_at(min(until, loop.time() + LOOK_UP_SECONDS_MAX)):
                for user_id in unknown:
                    await self.profile(user_id)
        except (SendFailed, TimeoutError) as error:
            self._resting_until = now + FAILED_SECONDS
            log.info("names of people are not known: %s", error or type(error).__name__)

    async def profile(self, user_id: str) -> Profile | None:
        """`users.info`; None for nobody. Raises SendRetryable, SendRefused, PermissionMissing."""
        try:
            found = await self._client.call("users.info", form={"user": user_id})
        except SlackRefused as refused:
            if refused.error in ("user_not_found", "user_not_visible"):
                self._note(user_id, user_id)
                return None
            raise
        user = _object(found, "user")
        about = _object(user, "profile")
        name = _first(about.get("display_name"), user.get("real_name"), user.get("name"))
        self._note(user_id, name or user_id)
        return Profile(user_id=user_id, name=name, email=_first(about.get("email")))

    def _note(self, user_id: str, name: str) -> None:
        self._names[user_id] = (name, self._clock.monotonic() + NAME_SECONDS)
        self._names.move_to_end(user_id)
        while len(self._names) > PEOPLE_MAX:
            self._names.popitem(last=False)

    async def private_chat(self, user_id: str) -> str:
        """The id of the bot's chat with a person. Raises SendRetryable, SendRefused."""
        known = self._chats.get(user_id)
        if known is not None:
            return known
        found = await self._client.call("conversations.open", {"users": user_id})
        chat = _first(_object(found, "channel").get("id"))
        if not chat:
            raise SlackRefused("Slack named no private chat", error="no_channel")
        self._chats[user_id] = chat
        while len(self._chats) > PEOPLE_MAX:
            self._chats.popitem(last=False)
        return chat


def _object(body: Json, key: str) -> Json:
    found: Any = body.get(key)
    return cast("Json", found) if isinstance(found, dict) else {}


def _first(*candidates: object) -> str:
    return next((text for text in candidates if isinstance(text, str) and text), "")
