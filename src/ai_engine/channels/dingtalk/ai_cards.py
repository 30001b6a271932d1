"""AI cards as answers: created, written as the text grows, finished; from any process, twice.

Nothing is kept but what saves calls: a card is named by its `outTrackId`, which the stream's key
gives, and DingTalk takes a repeated creation or `guid` for done.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Final, cast

from ai_engine.channels.base import MediaStore, Outgoing
from ai_engine.channels.connector import public_address
from ai_engine.channels.dingtalk import cards, crypto
from ai_engine.channels.dingtalk.about import CARD_STREAM, CARD_WRITE
from ai_engine.channels.dingtalk.answers import ApiRefused
from ai_engine.channels.dingtalk.client import DingTalkClient
from ai_engine.channels.dingtalk.render import rendered
from ai_engine.channels.pace import Bucket
from ai_engine.channels.text import size, split
from ai_engine.config.schema import ChannelConfig
from ai_engine.domain.clock import Clock
from ai_engine.domain.errors import PermissionMissing, SendFailed, SendRefused, SendRetryable
from ai_engine.domain.message import Json
from ai_engine.domain.reply import Button

log = logging.getLogger(__name__)

CALLS_PER_SECOND: Final = 20.0
"""What a standard organisation's app may call one API."""
_KNOWN_MAX: Final = 10_000
_EXISTS: Final = "param.cardAlreadyExist"
_TOO_LARGE: Final = "param.stream.content"


def stream_over(error: SendRefused) -> bool:
    """Whether this card takes no more text, so that the answer must go as a plain message.

    Unknown, finished and expired cards and refused texts are answered with a code `param.…`; a
    right may also have been taken away meanwhile. Other refusals would meet a plain message, too.
    """
    if isinstance(error, PermissionMissing):
        return True
    return isinstance(error, ApiRefused) and error.reason.startswith("param.")


class AiCards:
    """One channel's cards. `callbacks`: how a pressed button comes back: STREAM, HTTP or not."""

    def __init__(
        self,
        name: str,
        config: ChannelConfig,
        mode: str,
        client: DingTalkClient,
        media: MediaStore,
        clock: Clock,
    ) -> None:
        self._name = name
        self._config = config
        self._client = client
        self._media = media
        self._template, self._key = cards.template_of(config)
        self._bucket = Bucket(CALLS_PER_SECOND, clock, burst=int(CALLS_PER_SECOND))
        self._limit = cards.CONTENT_BYTES_MAX
        self._inputing: OrderedDict[str, None] = OrderedDict()
        self._registered = False
        self._registering = asyncio.Lock()
        self.callbacks = "STREAM" if mode == "stream" else "HTTP" if config.callback_url else ""
        self.api_secret = crypto.card_secret(config.auth.plain("app_secret"), name)
        """What card callbacks over HTTP are signed with."""

    @property
    def route_key(self) -> str:
        """Names our callback address to DingTalk; one for each app and channel."""
        return f"ai-engine-{cards.guid(self._config.auth.app_id, self._name)[:16]}"

    # Streams.

    async def open(self, target: Json, key: str) -> Json | None:
        """A new card in its state "processing", or the one that this key has given before; None
        where no card can be delivered. Raises SendFailed."""
        track = cards.track_id(self._name, key)
        data = {"flowStatus": cards.PROCESSING, self._key: ""}
        callback = {"callbackType": "STREAM"}
        try:
            created = await self._create(track, data, target, callback)
        except SendRetryable as error:
            if error.retry_after_seconds:
                raise  # throttled: nothing was made
            # Without an answer the card may stand in the chat, and would be empty for ever.
            # Asked for again it is the same one.
            created = await self._create(track, data, target, callback)
        return {"outTrackId": track} if created else None

    async def update(self, handle: Json, text: str) -> None:
        """The text so far, as much of it as a card holds. Raises SendFailed."""
        track = str(handle["outTrackId"])
        words = self._fitting(text)[0]
        if track not in self._inputing:
            # The status of the built-in template is a variable of its own.
            await self._change(track, {"flowStatus": cards.INPUTING})
            self._inputing[track] = None
            while len(self._inputing) > _KNOWN_MAX:
                self._inputing.popitem(last=False)
        try:
            await self._write(track, words, cards.guid(track, words), final=False)
        except ApiRefused as error:
            if not self._shrunk(error):
                raise
            words = self._fitting(text)[0]
            await self._write(track, words, cards.guid(track, words), final=False)

    async def finish(self, handle: Json, outgoing: Outgoing) -> list[str]:
        """The final text and buttons; what did not fit, to be sent as messages.

        Raises:
            SendFailed; see `stream_over`.
        """
        track, reply = str(handle["outTrackId"]), outgoing.reply
        text = rendered(reply, "markdown", links=False, title=False)
        parts = self._fitting(text)
        try:
            await self._finalise(track, reply.id, parts[0])
        except ApiRefused as error:
            if not self._shrunk(error):
                raise
            parts = self._fitting(text)
            await self._finalise(track, reply.id, parts[0])
        await self._settle(track, outgoing, text)
        self._inputing.pop(track, None)
        return parts[1:]

    async def _finalise(self, track: str, reply_id: str, words: str) -> None:
        if words:
            await self._write(track, words, cards.guid(track, reply_id, words), final=True)

    async def _settle(self, track: str, outgoing: Outgoing, text: str) -> None:
        """State, title and buttons. The text stands already: a refusal here does not undo it."""
        shown = self._buttons(outgoing)
        mine = shown if self.callbacks == "STREAM" else [b for b in shown if b.url]
        data = cards.finished_data(
            outgoing.reply.card, await self._as_json(mine, outgoing.target), text
        )
        try:
            await self._change(track, data)
        except SendRefused as error:
            log.warning("channel %s: a card got no buttons: %s", self._name, error)
            return
        pressable = [b for b in shown if not b.url]
        if pressable and self.callbacks == "HTTP":
            await self._complete(outgoing, "", pressable, f"{outgoing.reply.id}/buttons")

    async def fail(self, handle: Json) -> None:
        """Show that no more text comes. Best effort: the answer goes by another way."""
        track = str(handle["outTrackId"])
        try:
            await self._change(track, {"flowStatus": cards.FAILED})
        except SendFailed as error:
            log.info("channel %s: a card keeps its state: %s", self._name, error)

    # Whole cards.

    async def send(self, outgoing: Outgoing) -> list[str]:
        """A finished card at once; what did not fit, to be sent as messages.

        Raises:
            SendRefused: no card can be made here; the answer must go as a plain message.
            SendRetryable.
        """
        text = rendered(outgoing.reply, "markdown", links=False, title=False)
        buttons = self._buttons(outgoing)
        if size(text, "bytes") <= cards.VALUE_BYTES_MAX:
            await self._complete(outgoing, text, buttons, outgoing.reply.id)
            return []
        handle = await self.open(outgoing.target, outgoing.reply.id)
        if handle is None:
            raise SendRefused("no card can be delivered to this chat")
        return await self.finish(handle, outgoing)

    async def _complete(
        self, outgoing: Outgoing, text: str, buttons: Sequence[Button], key: str
    ) -> None:
        """Created with all that it shows: one call, and none of the streaming API, which may not
        take a card whose callbacks go over HTTP."""
        callback: Json = {"callbackType": "STREAM"}
        if self.callbacks == "HTTP" and any(not b.url for b in buttons):
            await self._register_once()
            callback = {"callbackType": "HTTP", "callbackRouteKey": self.route_key}
        shown = await self._as_json(buttons, outgoing.target)
        data = {self._key: text, **cards.finished_data(outgoing.reply.card, shown, text)}
        track = cards.track_id(self._name, key)
        if not await self._create(track, data, outgoing.target, callback):
            raise SendRefused("no card can be delivered to this chat")

    def _buttons(self, outgoing: Outgoing) -> list[Button]:
        """The card's buttons and those for a rating; only links where no press comes back."""
        reply = outgoing.reply
        found = list(reply.card.buttons) if reply.card else []
        if reply.feedback and self._config.feedback:
            found += cards.feedback_buttons(reply.feedback)
        return found if self.callbacks else [b for b in found if b.url]

    async def _as_json(self, buttons: Sequence[Button], target: Json) -> list[Json]:
        if not buttons:
            return []
        ref = ""
        if any(not b.url for b in buttons):
            stored = cards.values_json(buttons, target)
            ref = await self._media.put(stored, name="buttons", mime="application/json")
        return cards.button_json(buttons, ref)

    # Calls.

    async def register(self) -> str:
        """Tell DingTalk where pressed buttons go; the address. Raises SendFailed."""
        address = f"{public_address(self._config.callback_url, self._name)}/card"
        body = {
            "apiSecret": self.api_secret,
            "callbackUrl": address,
            "callbackRouteKey": self.route_key,
            "forceUpdate": True,
        }
        await self._call("POST", "/v1.0/card/callbacks/register", body)
        self._registered = True
        return address

    async def _register_once(self) -> None:
        async with self._registering:
            if not self._registered:
                await self.register()

    async def _create(self, track: str, data: dict[str, str], target: Json, callback: Json) -> bool:
        """False where DingTalk has no place for a card. Raises SendFailed."""
        auth = self._config.auth
        place = cards.space(target, auth.robot_code or target.get("robotCode") or auth.app_id)
        if place is None:
            return False
        full = {**data, **cards.layout(self._config.message_format.card_width)}
        body = cards.creation(track, self._template, full, place, callback)
        try:
            answer = await self._call("POST", "/v1.0/card/instances/createAndDeliver", body)
        except ApiRefused as error:
            if error.reason == _EXISTS:
                return True
            raise
        _check_delivered(answer)
        return True

    async def _change(self, track: str, data: dict[str, str]) -> None:
        await self._call("PUT", "/v1.0/card/instances", cards.change(track, data))

    async def _write(self, track: str, words: str, guid: str, *, final: bool) -> None:
        body: Json = {
            "outTrackId": track,
            "guid": guid,
            "key": self._key,
            "content": words,
            "isFull": True,
            "isFinalize": final,
            "isError": False,
        }
        await self._call("PUT", "/v1.0/card/streaming", body, CARD_STREAM)

    async def _call(self, method: str, path: str, body: Json, right: str = CARD_WRITE) -> Json:
        await self._bucket.take()
        return await self._client.call(method, path, body, what=path, permission=right)

    def _fitting(self, text: str) -> list[str]:
        return split(text, self._limit, "bytes") or [""]

    def _shrunk(self, error: ApiRefused) -> bool:
        """Whether the text was too large and a smaller limit is left to try."""
        if error.reason != _TOO_LARGE or self._limit == cards.CONTENT_BYTES_SURE:
            return False
        self._limit = cards.CONTENT_BYTES_SURE
        log.info("channel %s: cards hold %d bytes here", self._name, self._limit)
        return True


def _check_delivered(answer: Json) -> None:
    """Raises SendRefused: the card was made and shown nowhere."""
    result: Any = answer.get("result")
    found: Any = cast("Json", result).get("deliverResults") if isinstance(result, dict) else None
    for each in cast("list[Any]", found) if isinstance(found, list) else []:
        if isinstance(each, dict) and cast("Json", each).get("success") is False:
            said = str(cast("Json", each).get("errorMsg", ""))[:200]
            raise ApiRefused(f"DingTalk delivered no card ({said})", reason="param.deliver")
