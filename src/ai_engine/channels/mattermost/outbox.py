"""Answers as posts: once each, in their thread, growing while they are written.

Mattermost recognises a repeated `pending_post_id` for 30 s (`pendingPostIDsCacheTTL`) and gives
back the post that it made. Later repeats are recognised by us: an answer's key is in its post's
props, and the newest posts of the channel are looked through before it is sent again.
"""

import logging
from typing import Final

from ai_engine.channels.base import Outgoing
from ai_engine.channels.connector import outgoing_media
from ai_engine.channels.host import Host
from ai_engine.channels.http import Answer
from ai_engine.channels.mattermost import cards, client, codec
from ai_engine.channels.text import plain, split
from ai_engine.domain.errors import PermissionMissing, SendFailed, SendRefused, SendRetryable
from ai_engine.domain.message import Json

log = logging.getLogger(__name__)

PENDING_SECONDS: Final = 25.0
"""So long after the question a repeat is surely recognised by the server itself."""
LOOK_BACK_POSTS: Final = 100
FILES_PER_POST: Final = 5
_ROOT_GONE: Final = frozenset(
    {"api.post.create_post.root_id.app_error", "api.post.create_post.channel_root_id.app_error"}
)
_GROWING: Final = "…"
_EMOJI: Final = ("+1", "-1")


class Outbox:
    """Sends the answers of one channel by the bot's token."""

    def __init__(
        self,
        calls: client.MattermostClient,
        host: Host,
        *,
        form: str,
        buttons: cards.Buttons | None,
        feedback: str,
        media_bytes_max: int,
        tell: bool,
    ) -> None:
        self._client = calls
        self._host = host
        self._form = form
        self._buttons = buttons
        self._feedback = feedback
        """How 👍 and 👎 are offered: reactions | buttons | empty (not at all)"""
        self._media_bytes_max = media_bytes_max
        self._tell = tell
        """Name the part of the engine that answered: only to an endpoint such as a simulator."""

    async def send(self, outgoing: Outgoing) -> None:
        """The whole reply. Raises SendRetryable, SendRefused, PermissionMissing."""
        target = await self._resolved(outgoing.target)
        message, attachments = await self._rendered(outgoing, target)
        parts = split(message, codec.TEXT_LIMIT_CHARS)
        if parts or attachments:
            await self._send_parts(target, outgoing, parts or [""], attachments, first=0)
        await self._send_media(target, outgoing)

    async def _rendered(self, outgoing: Outgoing, target: Json) -> tuple[str, list[Json]]:
        reply = outgoing.reply
        rate = bool(reply.feedback) and self._feedback == "buttons"
        return await cards.rendered(reply, self._form, target, self._buttons, rate=rate)

    async def _send_parts(
        self,
        target: Json,
        outgoing: Outgoing,
        parts: list[str],
        attachments: list[Json],
        *,
        first: int,
    ) -> None:
        """Parts from number `first` on; the last one has the card and can be rated."""
        for n, part in enumerate(parts[first:], first):
            last = n == len(parts) - 1
            props = self._props(outgoing, n, attachments if last else [], rated=last)
            body: Json = {"message": part, "props": props}
            post = await self._create(target, _key(outgoing, n), body, outgoing)
            if last:
                await self._offer(codec.text(post, "id"), outgoing)

    def _props(self, outgoing: Outgoing, n: int, attachments: list[Json], *, rated: bool) -> Json:
        marks: Json = {"reply": _key(outgoing, n)}
        if rated and outgoing.reply.feedback:
            marks["of"] = outgoing.reply.feedback
        found: Json = {codec.PROPS: marks}
        if attachments:
            found["attachments"] = attachments
        return found

    async def _create(
        self, target: Json, key: str, body: Json, outgoing: Outgoing | None = None
    ) -> Json:
        """One post, made once for its key."""
        me = await self._client.me()
        channel_id, root = str(target["channel"]), str(target.get("root", ""))
        repeated = outgoing is not None and outgoing.attempt > 1
        if repeated or self._is_late(target):
            found = await self._sent_before(channel_id, me, key)
            if found is not None:
                return found
        whole: Json = {
            "channel_id": channel_id,
            "root_id": root,
            "pending_post_id": f"{me.id}:{key}",
            **body,
        }
        extra = self._told(outgoing)
        try:
            return await self._client.create_post(whole, extra)
        except client.Declined as declined:
            if not root or declined.error_id not in _ROOT_GONE:
                raise
        whole["root_id"] = await self._true_root(root)
        return await self._client.create_post(whole, extra)

    def _told(self, outgoing: Outgoing | None) -> dict[str, str]:
        """For a simulator's page, which shows which part of the engine answered."""
        if outgoing is None or not self._tell:
            return {}
        part = outgoing.reply.produced_by[:100]
        fit = part.isascii() and part.isprintable()
        return {"X-AI-Engine-Produced-By": part} if part and fit else {}

    def _is_late(self, target: Json) -> bool:
        asked = target.get("at")
        if not isinstance(asked, int | float):
            return True
        return self._host.clock.time() - asked > PENDING_SECONDS

    async def _sent_before(self, channel_id: str, me: codec.Me, key: str) -> Json | None:
        recent = await self._client.posts(channel_id, {"per_page": str(LOOK_BACK_POSTS)})
        for post in reversed(recent):
            mine = codec.text(post, "user_id") == me.id and not codec.number(post, "delete_at")
            if mine and codec.text(codec.marks(post), "reply") == key:
                return post
        return None

    async def _true_root(self, post_id: str) -> str:
        """The beginning of the thread that a post is in; empty when the post is gone."""
        try:
            return codec.text(await self._client.post(post_id), "root_id")
        except SendRefused as refused:
            log.info("a thread is gone, answering in the channel: %s", refused.message)
            return ""

    async def _resolved(self, target: Json) -> Json:
        """A person's address as the direct channel with them."""
        if target.get("channel"):
            return target
        return {**target, "channel": await self._client.direct(str(target["user"]))}

    # Beside the text.

    async def _offer(self, post_id: str, outgoing: Outgoing) -> None:
        """👍 and 👎 of the bot's own, one click for the person; an answer does without."""
        if not outgoing.reply.feedback or self._feedback != "reactions":
            return
        try:
            for emoji in _EMOJI:
                await self._client.react(post_id, emoji)
        except SendFailed as failed:
            log.info("👍 and 👎 could not be offered: %s", failed.message)

    async def _send_media(self, target: Json, outgoing: Outgoing) -> None:
        media = outgoing.reply.media
        for n in range(0, len(media), FILES_PER_POST):
            key = f"{outgoing.reply.id}.files{n}"
            channel_id, ids = str(target["channel"]), list[str]()
            for attachment in media[n : n + FILES_PER_POST]:
                found = await outgoing_media(self._host, attachment, self._media_bytes_max)
                ids.append(await self._client.upload(channel_id, found))
            body: Json = {"message": "", "file_ids": ids, "props": {codec.PROPS: {"reply": key}}}
            await self._create(target, key, body, outgoing)

    # Streams.

    async def open(self, target: Json, key: str) -> Json:
        """A post that will grow; its handle."""
        found = await self._resolved(target)
        props: Json = {codec.PROPS: {"reply": key, "stream": True}}
        post = await self._create(found, key, {"message": _GROWING, "props": props})
        return {"post": codec.text(post, "id")}

    async def update(self, handle: Json, text: str) -> None:
        """Show as much as fits. Raises SendRefused when the post cannot be edited any more."""
        message = (plain(text) if self._form == "text" else text)[: codec.TEXT_LIMIT_CHARS]
        answer = await self._client.patch_post(str(handle["post"]), {"message": message})
        try:
            self._client.checked(answer, "updating an answer", "edit_post")
        except SendRetryable as error:
            log.debug("an update was skipped: %s", error.message)

    async def finish(self, handle: Json, outgoing: Outgoing) -> None:
        """The final text; a post that is gone or frozen is followed by a new one."""
        target = await self._resolved(outgoing.target)
        message, attachments = await self._rendered(outgoing, target)
        parts = split(message, codec.TEXT_LIMIT_CHARS) or [""]
        alone = len(parts) == 1
        props = self._props(outgoing, 0, attachments if alone else [], rated=alone)
        post_id = str(handle["post"])
        answer = await self._client.patch_post(post_id, {"message": parts[0], "props": props})
        if client.stream_over(answer):
            self._note(answer)
            await self.send(outgoing)
            return
        self._client.checked(answer, "finishing an answer", "edit_post")
        if alone:
            await self._offer(post_id, outgoing)
        else:
            await self._send_parts(target, outgoing, parts, attachments, first=1)
        await self._send_media(target, outgoing)

    def _note(self, answer: Answer) -> None:
        try:
            self._client.checked(answer, "editing an answer", "edit_post")
        except (PermissionMissing, client.Declined) as error:
            log.info("an answer cannot be edited any more, sending a new post: %s", error.message)


def _key(outgoing: Outgoing, n: int) -> str:
    return outgoing.reply.id if n == 0 else f"{outgoing.reply.id}.{n}"
