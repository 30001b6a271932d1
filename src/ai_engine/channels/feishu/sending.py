"""Replies on their way to a chat: as an answer to the message, else to the chat itself."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from ai_engine.channels.base import Outgoing
from ai_engine.channels.connector import outgoing_media
from ai_engine.channels.feishu import cards, refusals
from ai_engine.channels.feishu.client import IMAGE_BYTES_MAX, FeishuClient
from ai_engine.channels.feishu.recent import QUOTE_CHARS_MAX, Messages, Seen
from ai_engine.channels.host import Host
from ai_engine.channels.text import plain, split
from ai_engine.domain.errors import SendRefused
from ai_engine.domain.message import Attachment, Chat, ChatKind, Json, Media
from ai_engine.domain.reply import Card, Reply

log = logging.getLogger(__name__)

VALUE_BYTES_MAX: Final = 1_000
"""A larger button value is kept by the engine, and the button carries its reference."""
_FILE_TYPES: Final = {
    "pdf": "pdf",
    "doc": "doc",
    "docx": "doc",
    "xls": "xls",
    "xlsx": "xls",
    "ppt": "ppt",
    "pptx": "ppt",
    "opus": "opus",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A part of a reply."""

    card: Json
    words: str
    """The same for readers without cards."""


class Sender:
    """Renders and sends; remembers what it sent, for reactions and quotes."""

    def __init__(
        self,
        client: FeishuClient,
        host: Host,
        messages: Messages,
        *,
        form: str,
        width: int,
        feedback: bool,
        bytes_max: int,
    ) -> None:
        self._client = client
        self._host = host
        self._messages = messages
        self._form = form
        self._width = width
        self._feedback = feedback
        self._bytes_max = bytes_max

    async def send(self, outgoing: Outgoing) -> None:
        """All of a reply. Raises SendRetryable, SendRefused."""
        if self._form == "text":
            parts = split(cards.as_text(outgoing.reply), cards.TEXT_LIMIT_BYTES, "bytes")
            for number, part in enumerate(parts):
                message_id = await self._deliver(cards.text_body(part), outgoing, f"{number}")
                self.sent(message_id, outgoing)
            await self._media(outgoing)
            return
        await self.rest(await self.shown(outgoing.reply, outgoing.target), outgoing, 0)

    async def rest(self, found: Sequence[Shown], outgoing: Outgoing, first: int = 1) -> None:
        """Cards from number `first` on (the one before was streamed), then pictures and files."""
        for number, shown in enumerate(found, first):
            await self._send_card(shown, outgoing, number)
        await self._media(outgoing)

    async def _media(self, outgoing: Outgoing) -> None:
        for number, attachment in enumerate(outgoing.reply.media):
            media = await outgoing_media(self._host, attachment, self._bytes_max)
            await self._deliver(await self._uploaded(media), outgoing, f"media {number}")

    async def shown(self, reply: Reply, target: Json) -> list[Shown]:
        """The reply as cards, usually one; buttons and thumbs are under the last."""
        parts = split(cards.clean(reply.text), cards.MARKDOWN_LIMIT_BYTES, "bytes")
        if not parts and reply.card is None:
            return []
        found = [
            Shown(card=cards.answer_card(part, width=self._width, values={}), words=plain(part))
            for part in parts[:-1]
        ]
        last = parts[-1] if parts else ""
        words = cards.as_text(Reply(id=reply.id, text=last, card=reply.card))
        return [*found, Shown(card=await self._last_card(last, reply, target), words=words)]

    async def _last_card(self, words: str, reply: Reply, target: Json) -> Json:
        card = reply.card
        values: dict[int, Json] = {}
        for number, button in enumerate(card.buttons if card else ()):
            if not button.url:
                values[number] = await self._carried(button.value, target)
        rated = self._feedback and reply.feedback and reply.final
        ratings = cards.ratings(reply.feedback) if rated else []
        return cards.answer_card(
            words,
            card,
            width=self._width,
            values=values,
            feedback=[await self._carried(each, target) for each in ratings],
            image_key=await self._card_image(card),
        )

    async def _carried(self, value: Json, target: Json) -> Json:
        """What a button holds: its value, or where the engine keeps it; and in what kind of chat it
        is, which Feishu's callback does not say."""
        place = {"chat": str(target.get("chat_type", "")), "thread": str(target.get("thread", ""))}
        data = msgspec.json.encode(value)
        if len(data) <= VALUE_BYTES_MAX:
            return {"v": value, **place}
        return {"ref": await self._host.media.put(data, mime="application/json"), **place}

    async def _card_image(self, card: Card | None) -> str:
        """Uploaded, when the engine has the picture; one behind an address becomes a link."""
        if card is None or not card.image_url.startswith(("data:", "blob:")):
            return ""
        picture = Attachment(kind="image", url=card.image_url, name="image")
        media = await outgoing_media(self._host, picture, IMAGE_BYTES_MAX)
        return await self._client.upload_image(media)

    async def _send_card(self, shown: Shown, outgoing: Outgoing, number: int) -> None:
        """A card that Feishu cannot show is sent as text: the answer matters more than its form."""
        try:
            message_id = await self._deliver(cards.card_body(shown.card), outgoing, f"{number}")
        except refusals.ApiRefused as error:
            if error.number not in refusals.CARD_INVALID:
                raise
            log.warning("a card was refused, its words are sent instead: %s", error)
            body = cards.text_body(shown.words)
            message_id = await self._deliver(body, outgoing, f"{number} as text")
        self.sent(message_id, outgoing)

    def sent(self, message_id: str, outgoing: Outgoing) -> None:
        """Remember an answer."""
        target, reply = outgoing.target, outgoing.reply
        group = target.get("chat_type") == "group"
        chat = Chat(
            kind=ChatKind.GROUP if group else ChatKind.PRIVATE,
            id=str(target.get("chat", "")),
            thread=str(target.get("thread", "")),
        )
        seen = Seen(
            text=plain(reply.text[:QUOTE_CHARS_MAX]),
            chat=chat,
            feedback=reply.feedback,
            conversation=str(target.get("conversation", "")),
        )
        self._messages.put(message_id, seen)

    async def _deliver(self, body: Json, outgoing: Outgoing, part: str) -> str:
        return await self.post(body, outgoing.target, cards.uuid_of(outgoing.reply.id, part))

    async def post(self, body: Json, target: Json, uuid: str) -> str:
        """One message; its id. Feishu shows a repeated `uuid` once, within an hour.

        A message that is gone cannot be replied to: the answer then goes to its chat.
        """
        message_id = str(target.get("message_id", ""))
        sent = {**body, "uuid": uuid}
        if message_id:
            threaded = {"reply_in_thread": True} if target.get("thread") else {}
            try:
                return _id_of(await self._client.reply(message_id, {**sent, **threaded}))
            except refusals.ApiRefused as error:
                if error.number not in refusals.MESSAGE_GONE:
                    raise
                log.info("the answered message is gone (%s), sending to its chat", error.number)
        receive_id = str(target.get("receive_id", ""))
        if not receive_id:
            raise SendRefused("no chat is known to send to")
        id_type = str(target.get("receive_id_type", "chat_id"))
        return _id_of(await self._client.send(receive_id, id_type, sent))

    async def _uploaded(self, media: Media) -> Json:
        if media.kind == "image" and len(media.content) <= IMAGE_BYTES_MAX:
            key = await self._client.upload_image(media)
            return {"msg_type": "image", "content": cards.encoded({"image_key": key})}
        ending = media.name.rpartition(".")[2].lower()
        file_type = _FILE_TYPES.get(ending, "stream")
        key = await self._client.upload_file(media, file_type)
        msg_type = "audio" if file_type == "opus" else "file"
        return {"msg_type": msg_type, "content": cards.encoded({"file_key": key})}


def _id_of(message: Json) -> str:
    return str(message.get("message_id", ""))
