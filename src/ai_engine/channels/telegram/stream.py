"""Answers that grow: a draft in private chats, an edited message in groups.

Sources: Bot API, sendMessageDraft (a preview of 30 s in private chats; drafts of one `draft_id` are
animated; the whole text is sent at the end) and editMessageText.
"""

import hashlib
from collections import OrderedDict
from typing import Final

from ai_engine.channels.base import Outgoing
from ai_engine.channels.telegram.client import Said, TelegramClient, raise_for
from ai_engine.channels.telegram.content import record
from ai_engine.channels.telegram.markup import Page, head
from ai_engine.channels.telegram.outbound import Outbound
from ai_engine.domain.clock import Clock
from ai_engine.domain.message import Json

INTERVAL_MS: Final = 1000
GROUP_SECONDS: Final = 3.0
"""Between two edits in a group, which takes 20 messages a minute."""
_STREAMS_MAX: Final = 1_000
_GONE: Final = (
    "message to edit not found",
    "message can't be edited",
    "message to be edited not found",
    "message_id_invalid",
    "message not found",
)


def stream_over(answer: Said) -> bool:
    """Whether this message cannot be edited any more: it was deleted, or is too old."""
    said = answer.description.lower()
    return answer.status == 400 and any(words in said for words in _GONE)


def draft_id(key: str) -> int:
    """Not 0, the same for the same key, 31 bits."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big") % (2**31 - 1) + 1


class Streams:
    """The growing answers of one channel. Handles are plain data: `finish` needs nothing else."""

    def __init__(self, client: TelegramClient, outbound: Outbound, clock: Clock, form: str) -> None:
        self._client = client
        self._outbound = outbound
        self._clock = clock
        self._form = form
        self._next: OrderedDict[str, float] = OrderedDict()

    async def open(self, target: Json, key: str) -> Json:
        """A draft needs no call; a group's message is sent, to be edited.

        Raises:
            SendRetryable, SendRefused, PermissionMissing.
        """
        handle: Json = {"chat_id": target["chat_id"], "thread_id": target.get("thread_id", 0)}
        if target.get("kind") != "group":
            return {**handle, "draft_id": draft_id(key)}
        params: Json = {"chat_id": target["chat_id"], "text": "…"}
        if handle["thread_id"]:
            params["message_thread_id"] = handle["thread_id"]
        if target.get("message_id"):
            params["reply_parameters"] = {
                "message_id": target["message_id"],
                "allow_sending_without_reply": True,
            }
        said = await self._outbound.write("sendMessage", params, Page(html="", plain="…"))
        return {
            **handle,
            "chat_id": record(said.result, "chat").get("id") or target["chat_id"],
            "message_id": said.result.get("message_id", 0),
        }

    async def update(self, handle: Json, text: str) -> None:
        """What fits of the text so far. In a group some are left out; the next one has it all.

        Raises:
            SendRetryable, SendRefused: this stream can be shown no further.
        """
        page = head(text, self._form)
        if page is None:
            return
        params: Json = {"chat_id": handle["chat_id"], "text": page.html or page.plain}
        if page.html:
            params["parse_mode"] = "HTML"
        if handle.get("draft_id"):
            params["draft_id"] = handle["draft_id"]
            if handle.get("thread_id"):
                params["message_thread_id"] = handle["thread_id"]
            await self._outbound.write("sendMessageDraft", params, page)
        elif self._due(f"{handle['chat_id']}:{handle['message_id']}"):
            params |= {
                "message_id": handle["message_id"],
                "link_preview_options": {"is_disabled": True},
            }
            said = await self._outbound.write("editMessageText", params, page)
            if not said.ok and not said.same:
                raise_for(said, "editMessageText")

    def _due(self, stream: str) -> bool:
        now = self._clock.monotonic()
        if now < self._next.get(stream, 0.0):
            return False
        self._next[stream] = now + GROUP_SECONDS
        while len(self._next) > _STREAMS_MAX:
            self._next.popitem(last=False)
        return True

    async def finish(self, handle: Json, outgoing: Outgoing) -> None:
        """The whole answer: sent after a draft, put into a group's message. A group's message that
        is gone is answered anew.

        Raises:
            SendRetryable, SendRefused, PermissionMissing.
        """
        if handle.get("draft_id"):
            stream = f"{handle['chat_id']}/{handle['draft_id']}"
            await self._outbound.send(outgoing, stream=stream)
            return
        stream = f"{handle['chat_id']}:{handle['message_id']}"
        self._next.pop(stream, None)
        skip = 1 if await self._edited(handle, outgoing) else 0
        await self._outbound.send(outgoing, stream=stream, skip=skip)

    async def _edited(self, handle: Json, outgoing: Outgoing) -> bool:
        """Whether the group's message now holds the answer's first text."""
        parts = self._outbound.parts(outgoing.reply)
        where = {"chat_id": handle["chat_id"], "message_id": handle["message_id"]}
        if not parts.pages:  # only files: the empty message goes
            await self._client.ask("deleteMessage", where)
            return False
        said = await self._outbound.text(outgoing, parts, 0, edit=handle["message_id"])
        if said.ok or said.same:
            self._outbound.remember(said, outgoing.reply)
            return True
        if not stream_over(said):
            raise_for(said, "editMessageText")
        return False
