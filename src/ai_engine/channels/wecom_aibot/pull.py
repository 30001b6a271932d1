"""Answers over HTTP: WeCom fetches a stream's newest state again and again, we cannot push it.

The first callback is answered at once with an open stream; then WeCom asks for it (about once a
second, at most 6 minutes from the person's message). What it is shown last is computed from the
journal's committed replies, so that any process answers the same. What the stream cannot show goes
out by the message's one-time `response_url`.
"""

import logging
from collections.abc import Sequence
from typing import Final

from ai_engine.channels.base import Outgoing
from ai_engine.channels.host import Host
from ai_engine.channels.text import with_card
from ai_engine.channels.wecom_aibot import cards, render
from ai_engine.channels.wecom_aibot.client import AibotClient
from ai_engine.channels.wecom_aibot.slots import Slot, Slots, happens
from ai_engine.channels.wecom_aibot.stream import NO_STREAM
from ai_engine.config.schema import ChannelConfig
from ai_engine.domain.errors import SendRefused
from ai_engine.domain.message import Json
from ai_engine.domain.reply import Reply

log = logging.getLogger(__name__)

STREAM_SECONDS_MAX: Final = 360.0
"""From the person's message on; then WeCom asks no more (100719)."""
QUIET_SECONDS_MAX: Final = 10.0
"""WeCom has not asked for so long: it will not any more."""
HOOK_SECONDS_MAX: Final = 3_600.0
WELCOME_SECONDS_MAX: Final = 4.0
"""A greeting must be in the answer to the event within 5 s."""
_LOOK_SECONDS: Final = 0.5
_MOVED: Final = "回答见下一条消息 / the answer is in the next message"


class Pull:
    """Implements `stream.Road` for the webhook mode."""

    def __init__(self, config: ChannelConfig, host: Host, client: AibotClient) -> None:
        self._feedback = config.feedback
        self._form = config.reply
        self._host = host
        self._client = client
        self.slots = Slots(host.clock)

    # What WeCom asks.

    async def state(self, message_id: str) -> Json:
        """The stream's newest state: from memory, else from the journal."""
        slot = self.slots.open(message_id)
        slot.asked = self._host.clock.monotonic()
        if slot.last is None:
            replies = await self._host.stored(message_id)
            if replies is not None:
                slot.end(await self._last(message_id, replies))
        if slot.moved:
            return render.stream(message_id, _MOVED, finish=True, feedback=False)
        if slot.last is None:
            return render.stream(message_id, slot.text, finish=False, feedback=self._feedback)
        slot.taken.set()
        return slot.last

    async def greeting(self, message_id: str) -> Json | None:
        """The text that answers `enter_chat`; None when it is not there in time."""
        slot, waited = self.slots.open(message_id), 0.0
        while waited < WELCOME_SECONDS_MAX and slot.last is None:
            await happens(slot.ready, _LOOK_SECONDS, self._host.clock)
            waited += _LOOK_SECONDS
            replies = None if slot.last else await self._host.stored(message_id)
            if replies:
                slot.end(self._greeting(replies[0]))
        if slot.last is None:
            slot.moved = True
        else:
            slot.taken.set()
        return slot.last

    @staticmethod
    def _greeting(reply: Reply) -> Json:
        """Plain words: WeCom takes a text there, no markdown."""
        return {"msgtype": "text", "text": {"content": render.words(reply, "text")}}

    # What the engine answers.

    async def open(self, target: Json) -> Json | None:
        if target.get("event") or not target.get("message_id") or self._too_late(target):
            return None
        return {"message_id": target["message_id"]}

    async def update(self, handle: Json, text: str) -> None:
        slot = self.slots.get(str(handle.get("message_id", "")))
        if slot is not None:
            slot.text = render.shown(text)

    async def finish(self, outgoing: Outgoing) -> int:
        """Waits until WeCom has fetched the answer, or asks no more."""
        target, message_id = outgoing.target, outgoing.in_reply_to
        if target.get("event") == "enter_chat":
            return await self._greet(outgoing)
        own = message_id == target.get("message_id")
        if not own or await self.open(target) is None:
            return NO_STREAM
        replies = await self._replies(outgoing)
        pages = self._pages(replies)
        if outgoing.reply.id in pages[0].replies:
            slot = self.slots.open(message_id)
            if slot.last is None:
                slot.end(await self._last(message_id, replies))
            if slot.moved or not await self._fetched(slot, target):
                slot.moved = True
                return NO_STREAM
        await self._rest(outgoing, pages)
        return 0

    async def _greet(self, outgoing: Outgoing) -> int:
        slot = self.slots.get(outgoing.in_reply_to)
        if slot is None or slot.moved:
            return NO_STREAM
        if slot.last is None:
            slot.end(self._greeting(outgoing.reply))
        done = await happens(slot.taken, WELCOME_SECONDS_MAX, self._host.clock)
        return 0 if done else NO_STREAM

    async def _fetched(self, slot: Slot, target: Json) -> bool:
        clock = self._host.clock
        began = clock.monotonic()
        while not slot.taken.is_set():
            quiet = clock.monotonic() - max(slot.asked, began)
            if quiet >= QUIET_SECONDS_MAX or self._too_late(target):
                return False
            await happens(slot.taken, QUIET_SECONDS_MAX - quiet, clock)
        return True

    async def _rest(self, outgoing: Outgoing, pages: Sequence[render.Page]) -> None:
        """Of a long answer: the second page by the response_url, brought by its first reply."""
        reply_id = outgoing.reply.id
        if len(pages) > 1 and pages[1].replies[0] == reply_id:
            await self._hook(outgoing.target, render.markdown(pages[1].text))
        if any(reply_id in page.replies for page in pages[2:]):
            raise SendRefused(
                "the answer is longer than the two messages that WeCom takes for one question",
                hint="the stream mode has no such limit",
            )

    async def plain(self, outgoing: Outgoing) -> None:
        """By `response_url`: the whole first page at once, since it works but once."""
        target = outgoing.target
        if target.get("event") == "enter_chat":
            raise SendRefused("the greeting came too late: WeCom takes it within 5 s")
        replies = await self._replies(outgoing)
        page = self._pages(replies)[0]
        if page.replies[0] != outgoing.reply.id:
            if outgoing.reply.id in page.replies:
                return  # its words went out with the first one's
            raise SendRefused("the answer is longer than one message, all that is left to send")
        await self._hook(target, await self._hooked(replies, page))

    async def _hooked(self, replies: Sequence[Reply], page: render.Page) -> Json:
        """A card that asks something is sent as a card, with the words in it; else markdown."""
        last = next(reply for reply in reversed(replies) if reply.id in page.replies)
        card = last.card if self._form != "text" else None
        asks = card is not None and any(not button.url for button in card.buttons)
        if card is not None and asks and len(page.replies) == 1:
            said = card.markdown or last.text
            whole = cards.with_words(card, said)
            found = await cards.template(whole, last.id, self._host.media)
            return {"msgtype": "template_card", "template_card": found}
        extra = [with_card("", card)] if card is not None and cards.native(card) else []
        extra += [render.not_sent(item.name) for reply in replies for item in reply.media]
        words = render.shown("\n\n".join([page.text, *extra]).strip())
        rating = next((r.feedback for r in replies if r.feedback), "")
        return render.markdown(words, rating if self._feedback else "")

    async def extras(self, outgoing: Outgoing) -> None:
        """Everything is in the one answer."""

    async def _hook(self, target: Json, body: Json) -> None:
        url = str(target.get("response_url", ""))
        age = self._host.clock.time() - float(target.get("at", 0.0))
        if not url or age >= HOOK_SECONDS_MAX:
            raise SendRefused(
                "WeCom gives no way to write to this chat any more",
                hint="over HTTP a question can be answered for an hour; the stream mode can later",
            )
        await self._client.answer(url, body)

    # What both have in common.

    def _too_late(self, target: Json) -> bool:
        return self._host.clock.time() - float(target.get("at", 0.0)) >= STREAM_SECONDS_MAX

    async def _replies(self, outgoing: Outgoing) -> Sequence[Reply]:
        """All replies to the message: committed at once, delivered one by one."""
        found = await self._host.stored(outgoing.in_reply_to) or ()
        known = any(reply.id == outgoing.reply.id for reply in found)
        return found if known else (outgoing.reply,)

    def _pages(self, replies: Sequence[Reply]) -> list[render.Page]:
        return render.pages([(reply.id, render.words(reply, self._form)) for reply in replies])

    async def _last(self, message_id: str, replies: Sequence[Reply]) -> Json:
        """The stream's last answer, with the pictures and the card of the replies in it."""
        page = self._pages(replies)[0]
        here = [reply for reply in replies if reply.id in page.replies]
        media = [item for reply in here for item in reply.media]
        items, lines = await render.pictures(media, self._host)
        text = render.shown("\n\n".join(filter(None, [page.text, *lines])))
        body = render.stream(message_id, text, finish=True, feedback=self._feedback)
        if items:
            body["stream"]["msg_item"] = items
        card = next((r.card for r in here if cards.native(r.card)), None)
        if card is not None and self._form != "text":
            body["msgtype"] = "stream_with_template_card"
            body["template_card"] = await cards.template(card, here[-1].id, self._host.media)
        return body
