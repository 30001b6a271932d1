"""A reply on its way into a Telegram chat: its texts, its buttons, its files, in order."""

from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Final

from ai_engine.channels.base import Outgoing
from ai_engine.channels.connector import outgoing_media
from ai_engine.channels.host import Host
from ai_engine.channels.pace import Bucket
from ai_engine.channels.progress import Progress
from ai_engine.channels.telegram import keyboard
from ai_engine.channels.telegram.client import Said, TelegramClient, raise_for
from ai_engine.channels.telegram.content import BYTES_MAX, record, whole
from ai_engine.channels.telegram.markup import Page, pages
from ai_engine.channels.text import unsaid, with_card
from ai_engine.domain.message import Attachment, Json, Media
from ai_engine.domain.reply import Button, Card, Reply

GROUP_PER_MINUTE: Final = 20
"""Messages of a bot into one group (Bots FAQ, "Broadcasting to users")."""
PHOTO_BYTES_MAX: Final = 10_000_000
_GROUPS_MAX: Final = 1_000
_PICTURES: Final = frozenset({"image/jpeg", "image/png", "image/webp"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What one reply becomes."""

    pages: list[Page]
    preview: str
    """URL of the card's picture, which Telegram shows above the first text."""
    media: tuple[Attachment, ...]


class Outbound:
    """Sends replies of one channel. Remembers what was sent, over a restart too, so that a repeated
    attempt goes on where the last one ended, and a reaction is known to rate its answer."""

    def __init__(self, client: TelegramClient, host: Host, form: str, *, feedback: bool) -> None:
        self._client = client
        self._host = host
        self._form = form
        self._feedback = feedback
        self._done = Progress(host.notes)
        self._groups: OrderedDict[int, Bucket] = OrderedDict()

    def parts(self, reply: Reply) -> Parts:
        """The reply's texts with its card, and its files."""
        card, media, preview = reply.card, reply.media, ""
        if card is not None:
            if card.image_url.startswith(("http://", "https://")):
                preview = card.image_url
            elif card.image_url:
                media = (Attachment(kind="image", url=card.image_url), *media)
            # Buttons whose URL Telegram does not take stay in the text.
            rest = tuple(b for b in card.buttons if b.url and not keyboard.opens(b))
            card = replace(
                card, image_url="", buttons=rest, fields=(), markdown=_filled(card, reply.text)
            )
        found = pages(with_card(reply.text, card), self._form)
        if not found and (self._buttons(reply) or preview):
            found = [Page(html="", plain="…")]  # buttons need a text to stand below
        return Parts(pages=found, preview=preview, media=media)

    async def send(self, outgoing: Outgoing, *, stream: str = "", skip: int = 0) -> None:
        """All parts that have not been sent yet, except the first `skip` texts.

        `stream`: names the finished stream; the end of one is remembered, as are the parts of an
        answer that has several.

        Raises:
            SendRetryable, SendRefused, PermissionMissing.
        """
        reply, parts = outgoing.reply, self.parts(outgoing.reply)
        key = f"{stream}/{reply.id}"
        total = len(parts.pages) + len(parts.media)
        repeatable = bool(stream) or total > 1
        done = await self._done.of(key) if repeatable else 0
        for step in range(max(skip, done), total):
            if step < len(parts.pages):
                said = await self.text(outgoing, parts, step)
                self.remember(said, reply)
            else:
                await self._media(outgoing, parts.media[step - len(parts.pages)])
            if repeatable:
                self._done.put(key, step + 1)

    async def text(self, outgoing: Outgoing, parts: Parts, step: int, edit: int = 0) -> Said:
        """One text, as a new message or in place of the message `edit`.

        Returns whatever Telegram says to an edit. Raises as `send` does.
        """
        target, page = outgoing.target, parts.pages[step]
        params = {**_where(target), **_shown(page)}
        if step == 0 and parts.preview:
            params["link_preview_options"] = {
                "url": parts.preview,
                "prefer_large_media": True,
                "show_above_text": True,
            }
        if step == len(parts.pages) - 1 and (markup := await self._markup(outgoing.reply)):
            params["reply_markup"] = markup
        if edit:
            params = {**params, "message_id": edit}
            params.pop("message_thread_id", None)
        elif step == 0:
            params |= _asked(target)
        return await self.write("editMessageText" if edit else "sendMessage", params, page)

    async def write(self, method: str, params: Json, page: Page) -> Said:
        """A text, as marked text and, should Telegram not read its marks, as plain text.

        An edit's refusal is the caller's to judge. Raises as `send` does.
        """
        await self._group_turn(params["chat_id"])
        said = await self._client.ask(method, params)
        if said.marks_refused:
            plain = {name: value for name, value in params.items() if name != "parse_mode"}
            said = await self._client.ask(method, {**plain, "text": page.plain})
        if not said.ok and method != "editMessageText":
            raise_for(said, method)
        return said

    async def _group_turn(self, chat_id: int) -> None:
        """Group ids are negative (Bot API, Chat.id)."""
        if chat_id >= 0:
            return
        bucket = self._groups.pop(chat_id, None) or Bucket(
            GROUP_PER_MINUTE / 60, self._host.clock, burst=GROUP_PER_MINUTE
        )
        self._groups[chat_id] = bucket
        while len(self._groups) > _GROUPS_MAX:
            self._groups.popitem(last=False)
        await bucket.take()

    async def _markup(self, reply: Reply) -> Json | None:
        return await keyboard.keyboard(self._buttons(reply), self._rated(reply), self._host.media)

    @staticmethod
    def _buttons(reply: Reply) -> tuple[Button, ...]:
        return reply.card.buttons if reply.card else ()

    def _rated(self, reply: Reply) -> str:
        return reply.feedback if self._feedback else ""

    async def _media(self, outgoing: Outgoing, attachment: Attachment) -> None:
        media = await outgoing_media(self._host, attachment, BYTES_MAX)
        target = outgoing.target
        params = {**_where(target), **(_asked(target) if not outgoing.reply.text else {})}
        await self._group_turn(params["chat_id"])
        method, field = _method(media)
        file = (field, media.name, media.mime, media.content)
        said = await self._client.ask(method, params, file=file)
        if said.status == 400 and method == "sendPhoto" and "rights" not in said.description:
            # Not every picture is a photo to Telegram (its sides, its format): as a file it goes.
            file = ("document", *file[1:])
            said = await self._client.ask("sendDocument", params, file=file)
        if not said.ok:
            raise_for(said, method)
        self.remember(said, outgoing.reply)

    def remember(self, said: Said, reply: Reply) -> None:
        """Which answer a message holds."""
        message = whole(said.result.get("message_id"))
        chat = whole(record(said.result, "chat").get("id"))
        if reply.feedback and message and chat:
            self._host.notes.put(_rated(chat, message), reply.feedback)

    async def answer_of(self, chat_id: int, message_id: int) -> str:
        """The `Reply.feedback` of a message that this bot sent; empty when it is not known."""
        return await self._host.notes.get(_rated(chat_id, message_id)) or ""


def _rated(chat_id: int, message_id: int) -> str:
    """The note of which answer a message holds."""
    return f"rated {chat_id} {message_id}"


def _filled(card: Card, said: str) -> str:
    """The card's words with its fields as lines; without what the answer has said already."""
    fields = "\n".join(f"**{name}**: {value}  " for name, value in unsaid(said, card))
    words = "" if card.markdown in said else card.markdown
    return "\n\n".join(filter(None, (words, fields)))


def _shown(page: Page) -> Json:
    """Previews are off: the assistant's links are not for Telegram to look at."""
    marked: Json = {"text": page.html, "parse_mode": "HTML"} if page.html else {"text": page.plain}
    return {**marked, "link_preview_options": {"is_disabled": True}}


def _where(target: Json) -> Json:
    topic = target.get("thread_id")
    return {"chat_id": target["chat_id"], **({"message_thread_id": topic} if topic else {})}


def _asked(target: Json) -> Json:
    """In a group the answer names its question, and who asked is notified."""
    if target.get("kind") != "group" or not target.get("message_id"):
        return {}
    asked = {"message_id": target["message_id"], "allow_sending_without_reply": True}
    return {"reply_parameters": asked}


def _method(media: Media) -> tuple[str, str]:
    """(method, field): what Telegram can show is shown, all else goes as a file."""
    if media.kind == "image" and media.mime in _PICTURES:
        if len(media.content) <= PHOTO_BYTES_MAX:
            return "sendPhoto", "photo"
    elif media.kind == "audio" and media.mime in ("audio/mpeg", "audio/mp4", "audio/x-m4a"):
        return "sendAudio", "audio"
    elif media.kind == "video" and media.mime == "video/mp4":
        return "sendVideo", "video"
    return "sendDocument", "document"
