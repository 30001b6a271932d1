"""Answers that grow: Slack's text streams, or a message that is edited where there are none.

Source: docs.slack.dev, `chat.startStream`, `chat.appendStream` (what is appended is a delta),
`chat.stopStream`. Slack ends a stream by itself after some minutes; then, as after a restart or
when the answer was rewritten, the whole text is put in its place by `chat.update`.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from ai_engine.channels.slack.cards import (
    MARKDOWN_LIMIT,
    TEXT_LIMIT,
    clean,
    plain_blocks,
)
from ai_engine.channels.slack.client import SlackClient, SlackRefused, TokenRefused
from ai_engine.channels.slack.markup import escape, harmless, settled
from ai_engine.channels.text import plain
from ai_engine.domain.clock import Clock
from ai_engine.domain.errors import PermissionMissing, SendRetryable
from ai_engine.domain.message import Json

STREAMS_MAX: Final = 10_000
EDIT_SECONDS: Final = 1.5
"""`chat.update` is allowed about 50 times a minute; `chat.appendStream` 100 times."""
PLACEHOLDER: Final = "…"
NOTICE_CHARS: Final = 200
_OVER: Final = frozenset(
    (
        "message_not_in_streaming_state",
        "message_not_found",
        "message_not_owned_by_app",
        "streaming_mode_mismatch",
        "streaming_state_conflict",
        "cant_update_message",
        "edit_window_closed",
    )
)


def stream_over(refused: SlackRefused) -> bool:
    """Whether this stream, or this message, cannot be written in this way any more."""
    return refused.error in _OVER


@dataclass(slots=True, kw_only=True)
class _Shown:
    text: str = ""
    """What has been appended or put in place."""
    next_at: float = 0.0


class Streams:
    """Handles are plain data: `{"channel", "ts", "native"}`. What was appended is known to this
    process only."""

    def __init__(self, client: SlackClient, clock: Clock, *, as_text: bool) -> None:
        self._client = client
        self._clock = clock
        self._plain = as_text
        self._shown: OrderedDict[str, _Shown] = OrderedDict()
        self._by_key: OrderedDict[str, Json] = OrderedDict()

    async def open(self, target: Json, key: str, channel: str) -> Json:
        """Begin; the same key gives the same stream, in one process. Raises SendFailed."""
        known = self._by_key.get(key)
        if known is not None:
            return known
        handle = await self._native(target, channel) or await self._edited(target, channel)
        self._by_key[key] = handle
        self._shown[_id(handle)] = _Shown()
        for table in (self._by_key, self._shown):
            while len(table) > STREAMS_MAX:
                table.popitem(last=False)
        return handle

    async def _native(self, target: Json, channel: str) -> Json | None:
        """None: no thread to stream into, or Slack does not stream here."""
        thread = target.get("thread_ts", "")
        if not thread or self._plain:
            return None
        body: Json = {"channel": channel, "thread_ts": thread}
        if not target.get("private"):
            body["recipient_team_id"] = target.get("team", "")
            body["recipient_user_id"] = target.get("user", "")
        try:
            found = await self._client.call("chat.startStream", body)
        except (PermissionMissing, TokenRefused):
            raise
        except SlackRefused:
            return None
        return {"channel": channel, "ts": str(found.get("ts", "")), "native": True}

    async def _edited(self, target: Json, channel: str) -> Json:
        body: Json = {"channel": channel, "text": PLACEHOLDER, "unfurl_links": False}
        if target.get("thread_ts"):
            body["thread_ts"] = target["thread_ts"]
        found = await self._client.call("chat.postMessage", body)
        return {"channel": channel, "ts": str(found.get("ts", "")), "native": False}

    async def update(self, handle: Json, text: str) -> None:
        """Show the text so far; of one that grew, send what is new. Raises SendFailed."""
        shown = self._shown.get(_id(handle)) or (None if handle["native"] else _Shown())
        now = self._clock.monotonic()
        text = self._showable(text)
        if shown is None or now < shown.next_at or text == shown.text:
            return
        if handle["native"] and not text.startswith(shown.text):
            return  # rewritten: put in place at the end
        # From here to the answer nobody knows what is shown; the end then sends the whole text.
        self._shown.pop(_id(handle), None)
        try:
            alive = await (self._append if handle["native"] else self._replace)(
                handle, shown.text, text
            )
        except SendRetryable as error:
            wait = error.retry_after_seconds
            if wait is None:
                raise  # the answer was lost: the delta may be there
            self._shown[_id(handle)] = _Shown(text=shown.text, next_at=now + wait)
            return
        if alive:
            pause = 0.0 if handle["native"] else EDIT_SECONDS
            self._shown[_id(handle)] = _Shown(text=text, next_at=now + pause)

    async def _append(self, handle: Json, before: str, text: str) -> bool:
        return await self._write("chat.appendStream", handle, markdown_text=text[len(before) :])

    async def _replace(self, handle: Json, before: str, text: str) -> bool:
        blocks = plain_blocks(text) if self._plain else [{"type": "markdown", "text": text}]
        notice = escape(text[:NOTICE_CHARS])
        return await self._write("chat.update", handle, text=notice, blocks=blocks)

    def _showable(self, text: str) -> str:
        if self._plain:
            return plain(clean(text))[:TEXT_LIMIT]
        return settled(harmless(clean(text)))[:MARKDOWN_LIMIT]

    async def finish(self, handle: Json, text: str, whole: Json, below: list[Json]) -> bool:
        """End the stream with its final text; False when nothing can be written to it any more.

        `whole`: the message as `chat.update` takes it; `below`: blocks under a streamed text.
        """
        shown = self._shown.pop(_id(handle), None)
        if not handle["native"]:
            return await self._write("chat.update", handle, **whole)
        final = harmless(clean(text))
        if shown is not None and final.startswith(shown.text):
            rest: Json = {"markdown_text": final[len(shown.text) :], "blocks": below}
            given = {key: value for key, value in rest.items() if value}
            if await self._write("chat.stopStream", handle, **given):
                return True
        else:
            await self._write("chat.stopStream", handle)
        return await self._write("chat.update", handle, **whole)

    async def _write(self, method: str, handle: Json, **body: object) -> bool:
        """False when the stream is over."""
        where = {"channel": handle["channel"], "ts": handle["ts"]}
        try:
            await self._client.call(method, {**where, **body})
        except SlackRefused as refused:
            if not stream_over(refused):
                raise
            return False
        return True


def _id(handle: Json) -> str:
    return f"{handle['channel']}:{handle['ts']}"
