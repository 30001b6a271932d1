"""Events of rooms to messages: what needs a look at other events, members or names.

In groups the bot is meant when it is mentioned, replied to, or has a part in the thread.
"""

import logging
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import replace
from typing import Any, Final

import msgspec

from ai_engine.channels.host import Host
from ai_engine.channels.matrix import cards, codec
from ai_engine.channels.matrix.client import MatrixClient, TokenRefused, raise_for
from ai_engine.channels.matrix.fields import part, text
from ai_engine.channels.matrix.rooms import Room, Rooms
from ai_engine.domain.errors import Forbidden, PermissionMissing, SendRefused
from ai_engine.domain.message import InboundMessage, Json, MessageKind

log = logging.getLogger(__name__)

KEPT: Final = "org.ai-engine.room"
"""Account data of a room: `{"encryption_told": true}`."""
ENCRYPTED_TEXT: Final = (
    "这个房间启用了端到端加密，我无法读取这里的消息。请在未加密的房间里与我对话。\n"
    "This room is end-to-end encrypted and I cannot read what is written here. "
    "Please talk to me in a room without encryption."
)
_REMEMBERED_MAX: Final = 5_000
_message = msgspec.json.Decoder(InboundMessage)
_GROUP_ONLY_NAMED: Final = (codec.STICKER, *codec.POLLS)


class Inbox:
    """Owned by the channel. What it remembers is bounded and only spares calls. The thread of a
    message taken back, and the rating that a reaction taken back had given, are notes: the server
    has forgotten both by then."""

    def __init__(
        self,
        channel: str,
        client: MatrixClient,
        rooms: Rooms,
        host: Host,
        *,
        tenants: Collection[str],
        feedback: bool,
        welcome: bool,
    ) -> None:
        self._channel = channel
        self._client = client
        self._rooms = rooms
        self._host = host
        self._tenants = frozenset(tenants)
        self._feedback = feedback
        self._welcome = welcome
        self._mine: OrderedDict[str, bool] = OrderedDict()
        """Thread → the bot has a part in it."""
        self._told: OrderedDict[str, bool] = OrderedDict()
        self._strangers: OrderedDict[str, bool] = OrderedDict()

    def allows(self, user: str) -> bool:
        """Whether the person's homeserver is one of those allowed; a refused one is logged once."""
        tenant = codec.tenant_of(user)
        if not self._tenants or tenant in self._tenants:
            return True
        if tenant not in self._strangers:
            log.warning(
                "channel %s: people of %s are not answered (allow_tenants)", self._channel, tenant
            )
        _remember(self._strangers, tenant, found=True)
        return False

    async def read(self, room_id: str, event: Json) -> InboundMessage | None:
        """The message in an event; None when it is not for the bot.

        Raises:
            Malformed, SendRetryable, SendRefused, TokenRefused.
        """
        me, kind = await self._rooms.me(), text(event, "type")
        if kind in (codec.MEMBER, codec.NAME):
            self._rooms.forget(room_id)
            if codec.membership(event, me.id) == "join":
                self._rooms.renamed(text(part(event, "content"), "displayname"))
            return await self._came_in(room_id, event, me)
        codec.check(event)
        if text(event, "sender") == me.id:
            self._noted(event)
            return None
        if not self.allows(text(event, "sender")):
            return None
        if kind == codec.REDACTION:
            return await self._recalled(room_id, event)
        if kind == codec.REACTION:
            return await self._reacted(room_id, event)
        if kind == codec.ENCRYPTED:
            await self._tell_encrypted(room_id, me)
            return None
        if kind == codec.MESSAGE or kind in _GROUP_ONLY_NAMED:
            return await self._written(room_id, event, kind, me)
        return None

    def _noted(self, event: Json) -> None:
        """The bot's own: it now has a part in that thread."""
        if root := codec.thread_of(part(event, "content")):
            _remember(self._mine, root, found=True)

    # Messages

    async def _written(
        self, room_id: str, event: Json, kind: str, me: codec.Me
    ) -> InboundMessage | None:
        content = part(event, "content")
        if not content or codec.silent(content):
            return None  # redacted meanwhile, or a bot's
        room = await self._rooms.know(room_id)
        of = codec.relation(content, "m.replace")
        if of:
            return await self._edited(room, event, of, me)
        answered = await self._answered(room_id, content)
        if not (room.place.private or await self._meant(room_id, content, answered, me)):
            return None
        found = codec.fill(self._base(room, event, codec.thread_of(content)), kind, content, me)
        if found is None:
            return None
        if found.chat.thread:
            self._host.notes.put(f"thread {found.message_id}", found.chat.thread)
        if answered is None:
            return found
        value = await self._chosen(found.text, answered, me)
        if value is not None:
            return replace(found, kind=MessageKind.BUTTON, payload=value, text="")
        quote = codec.words_of(codec.newest(answered))[0] or found.quote
        return replace(found, quote=quote)

    def _base(self, room: Room, event: Json, thread: str, **more: str) -> InboundMessage:
        user = more.get("sender") or text(event, "sender")
        asked = more.pop("asked", "") or text(event, "event_id")
        return codec.base(
            self._channel,
            event,
            room.place,
            name=room.names.get(user, ""),
            thread=thread,
            asked=asked,
            now=self._host.clock.time(),
            **more,
        )

    async def _meant(
        self, room_id: str, content: Json, answered: Json | None, me: codec.Me
    ) -> bool:
        """Whether a message in a group is for the bot."""
        if codec.names(content, me):
            return True
        if answered is not None and text(answered, "sender") == me.id:
            return True
        root = codec.thread_of(content)
        return bool(root) and await self._has_part(room_id, root, me)

    async def _has_part(self, room_id: str, root: str, me: codec.Me) -> bool:
        """Whether the bot began the thread or has written in it, as the homeserver knows."""
        if self._mine.get(root):
            return True
        event = await self._event(room_id, root)
        if event is None:
            return False
        thread = part(part(part(event, "unsigned"), "m.relations"), "m.thread")
        found = text(event, "sender") == me.id or thread.get("current_user_participated") is True
        if found:
            _remember(self._mine, root, found=True)
        return found

    async def _answered(self, room_id: str, content: Json) -> Json | None:
        of = codec.answered(content)
        return await self._event(room_id, of) if of else None

    async def _event(self, room_id: str, event_id: str) -> Json | None:
        """Another event; None when it is gone or was never ours to see.

        Raises:
            SendRetryable, TokenRefused.
        """
        answer = await self._client.event(room_id, event_id)
        if answer.status == 200:
            return answer.json
        try:
            raise_for(answer)
        except TokenRefused:
            raise
        except SendRefused as error:
            log.info("channel %s: an event cannot be read: %s", self._channel, error.message)
            return None

    async def _edited(
        self, room: Room, event: Json, of: str, me: codec.Me
    ) -> InboundMessage | None:
        """Only who wrote a message can change it: another's edit is none."""
        original = await self._event(room.place.id, of)
        if original is None or text(original, "sender") != text(event, "sender"):
            return None
        before, after = part(original, "content"), part(part(event, "content"), "m.new_content")
        if not (room.place.private or codec.names(after, me)):
            answered = await self._answered(room.place.id, before)
            if not await self._meant(room.place.id, before, answered, me):
                return None
        words = codec.without_mention(codec.words_of(after)[0], after, me)
        found = self._base(room, event, codec.thread_of(before), asked=of)
        return replace(found, kind=MessageKind.EDIT, payload={"of": of}, text=words)

    # Reactions

    async def _own(self, room_id: str, event_id: str, me: codec.Me) -> Json | None:
        """An answer of ours as it is now; None when it is somebody else's."""
        event = await self._event(room_id, event_id)
        return None if event is None else self._ours(event, me)

    def _ours(self, event: Json, me: codec.Me) -> Json | None:
        try:
            codec.verify_own(event, me)
        except Forbidden:
            return None
        return event

    async def _reacted(self, room_id: str, event: Json) -> InboundMessage | None:
        """A number chooses a button, 👍 and 👎 rate; all else is between people."""
        of, key = codec.reacted(part(event, "content"))
        number, rating = cards.chosen(key), codec.rating_of(key)
        if not of or not (number or (rating and self._feedback)):
            return None
        me = await self._rooms.me()
        answer = await self._own(room_id, of, me)
        if answer is None:
            return None
        content = codec.newest(answer)
        thread = codec.thread_of(part(answer, "content"))
        found = self._base(await self._rooms.know(room_id), event, thread, asked=of)
        if number:
            value = await cards.value_of(content, number, self._host.media)
            return None if value is None else _button(found, value)
        rated = cards.feedback_of(content)
        if not rated:
            return None
        payload: Json = {"rating": rating, "of": rated, "text": ""}
        found = replace(found, kind=MessageKind.FEEDBACK, payload=payload)
        self._host.notes.put(f"rating {found.message_id}", msgspec.json.encode(found).decode())
        return found

    async def _chosen(self, words: str, answered: Json, me: codec.Me) -> Json | None:
        """What a number replied to an answer of ours stands for."""
        number = cards.chosen(words)
        if not number or self._ours(answered, me) is None:
            return None
        return await cards.value_of(codec.newest(answered), number, self._host.media)

    # What is taken back

    async def _recalled(self, room_id: str, event: Json) -> InboundMessage | None:
        """A message or a rating, by its author or by a moderator."""
        of = codec.redacted(event)
        rated = await self._rating(of)
        key = codec.message_key(event)
        if rated is not None:
            return replace(rated, message_id=key, payload={**rated.payload, "rating": "none"})
        original = await self._event(room_id, of) if of else None
        author = text(original or {}, "sender")
        me = await self._rooms.me()
        if original is None or text(original, "type") != codec.MESSAGE or author == me.id:
            return None
        if not codec.is_user(author):
            return None
        room = await self._rooms.know(room_id)
        thread = await self._host.notes.get(f"thread {of}") or ""
        found = self._base(room, event, thread, sender=author, asked=of)
        return replace(found, kind=MessageKind.RECALL, payload={"of": of})

    async def _rating(self, reaction: str) -> InboundMessage | None:
        found = await self._host.notes.get(f"rating {reaction}") if reaction else None
        try:
            return None if found is None else _message.decode(found)
        except msgspec.DecodeError:  # another version's, of before an upgrade
            return None

    # Coming into a room

    async def _came_in(self, room_id: str, event: Json, me: codec.Me) -> InboundMessage | None:
        """Who invited the bot is greeted."""
        if not self._welcome or not codec.joined_now(codec.check(event), me):
            return None
        by = text(part(event, "unsigned"), "prev_sender")
        room = await self._rooms.know(room_id)
        others = [user for user in room.names if user != me.id]
        if not codec.is_user(by) or by == me.id:
            by = others[0] if len(others) == 1 else ""
        if not by or not self.allows(by):
            return None
        found = self._base(room, event, "", sender=by)
        return replace(found, kind=MessageKind.WELCOME, target={**found.target, "asked": ""})

    async def _tell_encrypted(self, room_id: str, me: codec.Me) -> None:
        """Once for each room, for good: its account data remembers.

        Raises:
            SendRetryable, TokenRefused.
        """
        if room_id in self._told:
            return
        kept = await self._client.account_data(me.id, KEPT, room_id)
        if kept.get("encryption_told") is not True:
            content: Json = {"msgtype": "m.notice", "body": ENCRYPTED_TEXT, "m.mentions": {}}
            try:
                await self._client.send(room_id, codec.MESSAGE, "encryption", content)
            except TokenRefused:
                raise
            except (PermissionMissing, SendRefused) as error:
                log.info("channel %s: an encrypted room: %s", self._channel, error.message)
            await self._client.keep(me.id, KEPT, {**kept, "encryption_told": True}, room_id)
        _remember(self._told, room_id, found=True)


def _button(found: InboundMessage, value: Json) -> InboundMessage:
    return replace(found, kind=MessageKind.BUTTON, payload=value)


def _remember(table: OrderedDict[str, Any], key: str, found: object) -> None:
    table[key] = found
    table.move_to_end(key)
    while len(table) > _REMEMBERED_MAX:
        table.popitem(last=False)
