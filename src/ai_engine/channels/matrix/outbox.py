"""Answers as events: once each, in their thread, growing while they are written.

The transaction id of each event is derived from the reply's id (a stream's from its key): the
homeserver gives back the event that it made for the same id and token, so nothing shows twice.
Source: Client-Server API, "Sending events to a room", "Event replacements", "Threading".
"""

import hashlib
import logging
from typing import Final

from ai_engine.channels.base import Outgoing
from ai_engine.channels.connector import outgoing_media
from ai_engine.channels.host import Host
from ai_engine.channels.http import Answer
from ai_engine.channels.matrix import cards
from ai_engine.channels.matrix.client import MatrixClient, raise_for, where
from ai_engine.channels.matrix.codec import MESSAGE
from ai_engine.channels.matrix.fields import part
from ai_engine.channels.matrix.markup import Page, head, pages
from ai_engine.channels.matrix.rooms import Rooms
from ai_engine.domain.errors import SendFailed
from ai_engine.domain.message import Attachment, Json
from ai_engine.domain.reply import Reply

log = logging.getLogger(__name__)

TYPING_MS: Final = 30_000
_GROWING: Final = Page(body="…")
_TYPING_MAX: Final = 1_000
_MEDIA: Final = {"image": "m.image", "audio": "m.audio", "video": "m.video"}


def stream_over(answer: Answer) -> bool:
    """Whether this event cannot be edited any more: it was removed, and an edit would show nobody
    anything. `answer`: the homeserver's, asked for the event."""
    if answer.status == 404:
        return True
    return bool(part(part(answer.json, "unsigned"), "redacted_because"))


class Outbox:
    """Sends the answers of one channel."""

    def __init__(
        self,
        client: MatrixClient,
        rooms: Rooms,
        host: Host,
        *,
        form: str,
        feedback: bool,
        media_bytes_max: int,
    ) -> None:
        self._client = client
        self._rooms = rooms
        self._host = host
        self._form = form
        self._feedback = feedback
        self._bytes_max = media_bytes_max
        self._typing: dict[str, None] = {}

    async def send(self, outgoing: Outgoing) -> None:
        """The whole reply. Raises SendRetryable, SendRefused, PermissionMissing."""
        room = await self._rooms.resolved(outgoing.target)
        found, marks, media = await self._parts(outgoing.reply)
        await self._send_pages(room, outgoing, found, marks, first=0)
        await self._finish(room, outgoing, media)

    async def _parts(self, reply: Reply) -> tuple[list[Page], Json, tuple[Attachment, ...]]:
        """(texts, our fields for the last of them, files)"""
        markdown, options, media = cards.shown(reply)
        marks = await cards.marks(reply, options, self._host.media, rate=self._feedback)
        return pages(markdown, self._form), marks, media

    async def _send_pages(
        self, room: str, outgoing: Outgoing, found: list[Page], marks: Json, *, first: int
    ) -> None:
        """Texts from number `first` on; the last one has the buttons and can be rated."""
        for n, page in enumerate(found[first:], first):
            content = _shown(page)
            content |= _addressed(outgoing.target, first=n == 0)
            if n == len(found) - 1:
                content |= marks
            await self._client.send(room, MESSAGE, _txn(outgoing, n), content)

    async def _finish(self, room: str, outgoing: Outgoing, media: tuple[Attachment, ...]) -> None:
        for n, attachment in enumerate(media):
            await self._send_media(room, outgoing, n, attachment)
        if outgoing.reply.final and room in self._typing:
            del self._typing[room]
            await self._still(room)

    async def _still(self, room: str) -> None:
        """No longer typing. Best effort: it ends by itself, too."""
        try:
            await self._put_typing(room, typing=False)
        except SendFailed as error:
            log.debug("the end of typing was not told: %s", error.message)

    async def _send_media(
        self, room: str, outgoing: Outgoing, n: int, attachment: Attachment
    ) -> None:
        media = await outgoing_media(self._host, attachment, self._bytes_max)
        uri = await self._client.upload(media)
        first = n == 0 and not outgoing.reply.text
        content: Json = {
            "msgtype": _MEDIA.get(media.kind, "m.file"),
            "body": media.name,
            "filename": media.name,
            "url": uri,
            "info": {"mimetype": media.mime, "size": len(media.content)},
            **_addressed(outgoing.target, first=first),
        }
        await self._client.send(room, MESSAGE, f"{outgoing.reply.id}.file{n}", content)

    # Streams.

    async def open(self, target: Json, key: str) -> Json:
        """An event that will grow; its handle."""
        room = await self._rooms.resolved(target)
        txn = f"stream.{hashlib.sha256(key.encode('utf-8', 'replace')).hexdigest()[:32]}"
        content = {**_shown(_GROWING), **_addressed(target, first=True)}
        return {"room": room, "event": await self._client.send(room, MESSAGE, txn, content)}

    async def update(self, handle: Json, text: str) -> None:
        """Show as much as fits. Raises SendRetryable, SendRefused."""
        page = head(text, self._form)
        if page is None:
            return
        event = str(handle["event"])
        seen = hashlib.sha256(f"{event}/{page.body}/{page.html}".encode("utf-8", "replace"))
        txn = f"update.{seen.hexdigest()[:32]}"
        await self._client.send(str(handle["room"]), MESSAGE, txn, _edit(event, _shown(page)))

    async def finish(self, handle: Json, outgoing: Outgoing) -> None:
        """The final text; an event that was removed is followed by a new one."""
        room, event = str(handle["room"]), str(handle["event"])
        answer = await self._client.event(room, event)
        if stream_over(answer):
            log.info("a growing answer was removed, sending it anew")
            await self.send(outgoing)
            return
        if answer.status != 200:
            raise_for(answer)
        found, marks, media = await self._parts(outgoing.reply)
        if found:
            content = _shown(found[0]) | (marks if len(found) == 1 else {})
            txn = f"{outgoing.reply.id}.edit"
            await self._client.send(room, MESSAGE, txn, _edit(event, content))
        else:  # only files: the empty message goes
            path = where("rooms", room, "redact", event, f"{outgoing.reply.id}.void")
            await self._client.call("PUT", path, {})
        await self._send_pages(room, outgoing, found, marks, first=1)
        await self._finish(room, outgoing, media)

    # Being at work.

    async def seen(self, target: Json) -> None:
        """A read receipt, and "typing…" until the answer or for 30 s. Raises SendFailed."""
        room, asked = str(target.get("room", "")), str(target.get("asked", ""))
        if not room:
            return
        if asked:
            body: Json = {"thread_id": target.get("thread") or "main"}
            await self._client.call("POST", where("rooms", room, "receipt", "m.read", asked), body)
        await self._put_typing(room, typing=True)
        self._typing[room] = None
        while len(self._typing) > _TYPING_MAX:
            del self._typing[next(iter(self._typing))]

    async def _put_typing(self, room: str, *, typing: bool) -> None:
        me = await self._rooms.me()
        body: Json = {"typing": typing, **({"timeout": TYPING_MS} if typing else {})}
        await self._client.call("PUT", where("rooms", room, "typing", me.id), body)


def _txn(outgoing: Outgoing, n: int) -> str:
    return outgoing.reply.id if n == 0 else f"{outgoing.reply.id}.{n}"


def _shown(page: Page) -> Json:
    """A notice: other bots leave it alone (Client-Server API, m.notice)."""
    content: Json = {"msgtype": "m.notice", "body": page.body}
    if page.html:
        content |= {"format": "org.matrix.custom.html", "formatted_body": page.html}
    return content


def _addressed(target: Json, *, first: bool) -> Json:
    """In a group the answer's first event names its question and who asked; in a thread all stay
    there."""
    asked, thread = str(target.get("asked", "")), str(target.get("thread", ""))
    group = target.get("kind") == "group"
    named = [target["user"]] if group and first and target.get("user") else []
    found: Json = {"m.mentions": {"user_ids": named} if named else {}}
    if thread:
        found["m.relates_to"] = {
            "rel_type": "m.thread",
            "event_id": thread,
            "is_falling_back": True,
            "m.in_reply_to": {"event_id": asked or thread},
        }
    elif group and first and asked:
        found["m.relates_to"] = {"m.in_reply_to": {"event_id": asked}}
    return found


def _edit(event: str, content: Json) -> Json:
    """The new content, and the same for clients that know no edits."""
    told = {name: content[name] for name in content if not name.startswith("org.ai-engine.")}
    told["body"] = f"* {content['body']}"
    if "formatted_body" in content:
        told["formatted_body"] = f"* {content['formatted_body']}"
    return {
        **told,
        "m.mentions": {},
        "m.new_content": {**content, "m.mentions": {}},
        "m.relates_to": {"rel_type": "m.replace", "event_id": event},
    }
