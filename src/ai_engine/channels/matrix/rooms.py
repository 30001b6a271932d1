"""What the bot knows of its rooms: who is in them, their names, its direct rooms with people."""

import asyncio
import logging
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from ai_engine.channels.matrix import codec
from ai_engine.channels.matrix.client import MEMBERS_BYTES_MAX, MatrixClient, TokenRefused, where
from ai_engine.channels.matrix.fields import items, objects, records, text
from ai_engine.domain.errors import PermissionMissing, SendRefused
from ai_engine.domain.message import Json

log = logging.getLogger(__name__)

DIRECT: Final = "m.direct"
_ROOMS_MAX: Final = 1_000
_DIRECT_TRIED_MAX: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    place: codec.Place
    names: dict[str, str]
    """Display names of who has joined; empty for a room too large to list."""


class Rooms:
    """A cache; `forget` when somebody comes or goes."""

    def __init__(self, client: MatrixClient) -> None:
        self._client = client
        self._known: OrderedDict[str, Room] = OrderedDict()
        self._aliases: OrderedDict[str, str] = OrderedDict()
        self._direct = asyncio.Lock()
        self._me: codec.Me | None = None

    async def me(self, *, again: bool = False) -> codec.Me:
        """The bot's account, asked for once. Raises TokenRefused, SendRetryable, SendRefused."""
        if self._me is None or again:
            user = text(await self._client.whoami(), "user_id")
            self._me = codec.Me(id=user, name=await self.display_name(user))
        return self._me

    def renamed(self, name: str) -> None:
        """The bot has a new display name."""
        if self._me is not None and name:
            self._me = codec.Me(id=self._me.id, name=name[:255])

    async def display_name(self, user: str) -> str:
        """Empty when there is none. Raises SendRetryable, TokenRefused."""
        found = await self._client.found(where("profile", user)) or {}
        return text(found, "displayname")[:255]

    def forget(self, room: str) -> None:
        self._known.pop(room, None)

    async def know(self, room: str) -> Room:
        """Two people are a private chat; more, or too many to be listed, are a group.

        Raises:
            SendRetryable, TokenRefused.
        """
        if (known := self._known.get(room)) is not None:
            self._known.move_to_end(room)
            return known
        names = await self._names(room)
        private = names is not None and len(names) <= 2
        title = "" if private else await self._title(room)
        place = codec.Place(id=room, private=private, title=title)
        found = self._known[room] = Room(place=place, names=names or {})
        while len(self._known) > _ROOMS_MAX:
            self._known.popitem(last=False)
        return found

    async def _names(self, room: str) -> dict[str, str] | None:
        """Who has joined, with display names; None when it cannot be told."""
        path = where("rooms", room, "joined_members")
        try:
            found = await self._client.found(path, bytes_max=MEMBERS_BYTES_MAX)
        except TokenRefused:
            raise
        except SendRefused as error:
            log.info("the members of a room cannot be listed: %s", error.message)
            return None
        if found is None:
            return None
        joined = records(found, "joined")
        return {user: text(each, "display_name")[:255] for user, each in joined.items()}

    async def _title(self, room: str) -> str:
        found = await self._client.found(where("rooms", room, "state", codec.NAME))
        return text(found or {}, "name")[:255]

    # Where to write to somebody.

    async def resolved(self, target: Json) -> str:
        """The room of a target: known, behind an alias, or the direct room with a person.

        Raises:
            SendRetryable, SendRefused.
        """
        if target.get("room"):
            return str(target["room"])
        if target.get("alias"):
            return await self._behind(str(target["alias"]))
        return await self._direct_room(str(target["user"]))

    async def _behind(self, alias: str) -> str:
        if alias in self._aliases:
            return self._aliases[alias]
        found = await self._client.found(where("directory", "room", alias))
        room = text(found or {}, "room_id")
        if not room:
            raise SendRefused(f"there is no Matrix room {alias}")
        self._aliases[alias] = room
        while len(self._aliases) > _ROOMS_MAX:
            self._aliases.popitem(last=False)
        return room

    async def _direct_room(self, user: str) -> str:
        """The room that the bot's account data names, else a new one. One at a time: two answers
        at once must not open two rooms."""
        async with self._direct:
            me = await self.me()
            kept = await self._client.account_data(me.id, DIRECT)
            for room in reversed(items(kept, user)[-_DIRECT_TRIED_MAX:]):
                if isinstance(room, str) and await self._usable(room, me.id, user):
                    return room
            room = await self._opened(user)
            await self._keep(me.id, kept, user, room)
            return room

    async def _usable(self, room: str, me: str, user: str) -> bool:
        """The bot is in it, and nobody but the person is or was asked to be."""
        path = where("rooms", room, "members")
        found = await self._client.found(path, bytes_max=MEMBERS_BYTES_MAX)
        inside: dict[str, str] = {}
        for event in objects(found or {}, "chunk"):
            who = text(event, "state_key")
            inside[who] = codec.membership(event, who)
        there = {who for who, how in inside.items() if how in ("join", "invite")}
        return inside.get(me) == "join" and there == {me, user}

    async def _opened(self, user: str) -> str:
        body: Json = {"is_direct": True, "invite": [user], "preset": "trusted_private_chat"}
        try:
            said = await self._client.call("POST", where("createRoom"), body)
        except PermissionMissing as error:
            raise SendRefused(f"the bot may not open a room with {user}") from error
        return text(said, "room_id")

    async def keep_direct(self, user: str, room: str) -> None:
        """Note a direct room, as every Matrix client does. Raises SendRetryable, SendRefused."""
        async with self._direct:
            me = await self.me()
            kept = await self._client.account_data(me.id, DIRECT)
            if room not in items(kept, user):
                await self._keep(me.id, kept, user, room)

    async def _keep(self, me: str, kept: Json, user: str, room: str) -> None:
        rooms = [each for each in items(kept, user) if each != room]
        await self._client.keep(me, DIRECT, {**kept, user: [*rooms, room]})
