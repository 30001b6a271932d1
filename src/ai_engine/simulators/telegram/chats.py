"""What the bot writes into chats: messages, drafts, edits, files, buttons."""

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from ai_engine.domain.message import Json
from ai_engine.simulators.files import SharedFile
from ai_engine.simulators.people import Conversation
from ai_engine.simulators.telegram.gate import Limits
from ai_engine.simulators.telegram.markup import (
    CAPTION_MAX,
    TEXT_MAX,
    BadMarks,
    read_html,
    units,
)
from ai_engine.simulators.telegram.objects import Kept, file_content
from ai_engine.simulators.telegram.params import ApiError, Params, bad
from ai_engine.simulators.transcript import BOT

if TYPE_CHECKING:
    from ai_engine.simulators.telegram.server import TelegramSimulator

DRAFT_SECONDS = 30.0
"""How long a draft is shown after its last change (Bot API, sendMessageDraft)."""
CALLBACK_BYTES_MAX = 64
_KINDS = {
    "photo": "picture",
    "document": "file",
    "audio": "audio",
    "video": "video",
    "voice": "audio",
}


@dataclass(slots=True, kw_only=True)
class Draft:
    """A growing answer in a private chat."""

    entry: str
    at: float
    edits: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A text with its marks read."""

    text: str
    entities: list[Json]
    shown: str
    """As markdown, for the chat page."""

    @property
    def kind(self) -> str:
        return "markdown" if self.entities else "text"


class Chats:
    """The bot's side of every chat."""

    def __init__(self, simulator: "TelegramSimulator") -> None:
        self._sim = simulator
        self._limits = Limits(simulator)
        self._drafts: dict[int, dict[int, Draft]] = {}

    def where(self, params: Params) -> Conversation:
        """The chat that a call names. Raises ApiError: unknown, or the bot may not write there."""
        chat_id = params.number("chat_id")
        faults = self._sim.faults
        if chat_id == self._sim.new_id_of_groups and chat_id:
            return self._sim.directory.group()
        where = self._sim.numbers.find(chat_id)
        if where is None:
            raise bad("chat not found")
        if faults.blocked:
            raise ApiError(403, "Forbidden: bot was blocked by the user")
        if where.kind == "private" and not self._sim.has_started(where.user):
            raise ApiError(403, "Forbidden: bot can't initiate conversation with a user")
        if where.kind == "group" and faults.migrated:
            raise bad(
                "group chat was upgraded to a supergroup chat",
                migrate_to_chat_id=self._sim.migrate(where),
            )
        return where

    def _write(self, params: Params) -> Conversation:
        where = self.where(params)
        faults = self._sim.faults
        if where.kind == "group" and faults.missing_right:
            raise bad(f"not enough rights to send {faults.missing_right} to the chat")
        self._limits.count(params.number("chat_id"))
        return where

    def _read(self, source: str, params: Params, most: int, mode: str = "parse_mode") -> Said:
        """Raises ApiError: marks that cannot be read, or too long."""
        wanted = params.text(mode).lower()
        if wanted not in ("", "html"):
            raise bad("unsupported parse_mode: this simulator reads HTML")
        if wanted and self._sim.faults.take("marks_refused"):
            raise bad("can't parse entities: the knob says so")
        try:
            text, entities, shown = read_html(source) if wanted else (source, [], source)
        except BadMarks as error:
            raise bad(f"can't parse entities: {error}") from error
        if units(text) > most:
            too_long = "message caption is too long" if most < TEXT_MAX else "message is too long"
            raise bad(too_long)
        return Said(text=text.strip(), entities=entities, shown=shown.strip())

    # Texts.

    async def send_message(self, params: Params) -> Json:
        where = self._write(params)
        said = self._read(params.text("text"), params, TEXT_MAX)
        if not said.text:
            raise bad("message text is empty")
        content: Json = {"text": said.text}
        if said.entities:
            content["entities"] = said.entities
        picture = params.record("link_preview_options").get("url")
        card = {"image": str(picture)} if picture else None
        return self._show(params, where, content, said, card=card)

    def _show(
        self,
        params: Params,
        where: Conversation,
        content: Json,
        said: Said,
        *,
        kind: str = "",
        url: str = "",
        card: Json | None = None,
    ) -> Json:
        sim = self._sim
        keyboard = keyboard_of(params)
        body, reply_to = self._message(params, where, content)
        draft = self._finished_draft(body["chat"]["id"]) if where.kind == "private" else None
        fields: Json = {
            "text": said.shown,
            "kind": kind or said.kind,
            "url": url,
            "card": card,
            "buttons": buttons_of(keyboard),
        }
        if draft is not None:
            entry = draft.entry
            sim.transcript.mark(entry, state="finished", via="sendMessage", **fields)
        else:
            entry = sim.entry_id(body)
            sim.transcript.add(
                id=entry,
                conversation=where.id,
                chat=where.kind,
                sender=BOT,
                name=sim.robot_name,
                at=sim.clock.time(),
                reply_to=reply_to,
                via="sendMessage",
                **fields,
            )
        if keyboard:
            body["reply_markup"] = {"inline_keyboard": keyboard}
        sim.messages.add(Kept(body=body, entry=entry, conversation=where.id, keyboard=keyboard))
        return body

    def _message(
        self, params: Params, where: Conversation, content: Json
    ) -> tuple[Json, str | None]:
        """The Message object, and the transcript's id of the message that it replies to."""
        sim = self._sim
        chat = sim.chat_of(where)
        asked_id = params.record("reply_parameters").get("message_id")
        asked = sim.messages.get(chat["id"], int(asked_id)) if asked_id else None
        optional = params.record("reply_parameters").get("allow_sending_without_reply")
        if asked_id and asked is None and not optional:
            raise bad("message to be replied not found")
        body: Json = {
            "message_id": sim.messages.next_number(chat["id"]),
            "from": sim.bot,
            "chat": chat,
            "date": int(sim.clock.time()),
            **content,
        }
        if topic := params.number("message_thread_id", 0):
            body |= {"message_thread_id": topic, "is_topic_message": True}
        if asked is not None:
            body["reply_to_message"] = asked.body
        return body, asked.entry if asked else None

    # Drafts.

    async def send_draft(self, params: Params) -> bool:
        where = self._write(params)
        if where.kind != "private":
            raise bad("drafts are available in private chats only")
        number = params.number("draft_id")
        if number == 0:
            raise bad("DRAFT_ID_INVALID")
        said = self._read(params.text("text"), params, TEXT_MAX)
        chat_id = params.number("chat_id")
        self._expire(chat_id)
        drafts = self._drafts.setdefault(chat_id, {})
        now = self._sim.clock.monotonic()
        if (known := drafts.get(number)) is not None:
            known.at, known.edits = now, known.edits + 1
            self._sim.transcript.mark(known.entry, text=said.shown, edits=known.edits)
            return True
        entry = f"draft:{chat_id}:{number}:{self._sim.transcript.last}"
        drafts[number] = Draft(entry=entry, at=now)
        self._sim.transcript.add(
            id=entry,
            conversation=where.id,
            chat="private",
            sender=BOT,
            name=self._sim.robot_name,
            text=said.shown,
            kind="markdown",
            at=self._sim.clock.time(),
            via="sendMessageDraft",
            state="streaming",
        )
        self._sim.own(self._vanish(chat_id))
        return True

    async def _vanish(self, chat_id: int) -> None:
        while self._drafts.get(chat_id):
            await self._sim.clock.sleep(DRAFT_SECONDS)
            self._expire(chat_id)

    def _expire(self, chat_id: int) -> None:
        """Drafts that nobody has touched for 30 s are gone."""
        now = self._sim.clock.monotonic()
        drafts = self._drafts.get(chat_id, {})
        for number, draft in tuple(drafts.items()):
            if now - draft.at >= DRAFT_SECONDS:
                del drafts[number]
                detail = "the draft's 30 s are over"
                self._sim.transcript.mark(draft.entry, state="failed", detail=detail)
        if not drafts:
            self._drafts.pop(chat_id, None)

    def _finished_draft(self, chat_id: int) -> Draft | None:
        """The newest draft, which the message that is sent now replaces."""
        self._expire(chat_id)
        drafts = self._drafts.get(chat_id)
        if not drafts:
            return None
        draft = drafts.pop(max(drafts, key=lambda number: drafts[number].at))
        if not drafts:
            self._drafts.pop(chat_id, None)
        return draft

    # Edits.

    async def edit_text(self, params: Params) -> Json:
        where = self.where(params)
        kept = self._own(params)
        said = self._read(params.text("text"), params, TEXT_MAX)
        if not said.text:
            raise bad("message text is empty")
        keyboard = keyboard_of(params)
        body = kept.body
        same_words = (body.get("text"), body.get("entities", [])) == (said.text, said.entities)
        if same_words and keyboard == kept.keyboard:
            raise bad(
                "message is not modified: specified new message content and reply markup are "
                "exactly the same as a current content and reply markup of the message"
            )
        body |= {"text": said.text, "entities": said.entities}
        body["edit_date"] = int(self._sim.clock.time())
        self._set_keyboard(kept, keyboard)
        entry = self._sim.transcript.get(kept.entry)
        self._sim.transcript.mark(
            kept.entry,
            text=said.shown,
            kind=said.kind,
            edits=entry.edits + 1 if entry else 1,
            via=f"editMessageText in {where.kind}",
        )
        return body

    async def edit_keyboard(self, params: Params) -> Json:
        self.where(params)
        kept = self._own(params)
        keyboard = keyboard_of(params)
        if keyboard == kept.keyboard:
            raise bad("message is not modified")
        self._set_keyboard(kept, keyboard)
        return kept.body

    def _set_keyboard(self, kept: Kept, keyboard: list[list[Json]]) -> None:
        kept.keyboard = keyboard
        kept.body.pop("reply_markup", None)
        if keyboard:
            kept.body["reply_markup"] = {"inline_keyboard": keyboard}
        self._sim.transcript.mark(kept.entry, buttons=buttons_of(keyboard))

    def _own(self, params: Params) -> Kept:
        kept = self._sim.messages.get(params.number("chat_id"), params.number("message_id"))
        if kept is None or self._sim.faults.take("edits_gone"):
            raise bad("message to edit not found")
        if kept.body["from"]["id"] != self._sim.bot["id"]:
            raise bad("message can't be edited")
        return kept

    async def delete(self, params: Params) -> bool:
        self.where(params)
        chat_id, message_id = params.number("chat_id"), params.number("message_id")
        kept = self._sim.messages.get(chat_id, message_id)
        if kept is None:
            raise bad("message to delete not found")
        self._sim.messages.forget(chat_id, message_id)
        self._sim.transcript.mark(kept.entry, state="failed", detail="deleted", text="")
        return True

    # Files.

    async def send_file(self, field: str, params: Params) -> Json:
        where = self._write(params)
        if field == "photo" and self._sim.faults.take("photos_refused"):
            raise bad("PHOTO_INVALID_DIMENSIONS")
        given = params.file(field)
        kind = _KINDS[field]
        if isinstance(given, str):
            file, code = self._sim.shelf.get(given), given
            if file is None:
                raise bad("wrong remote file identifier specified: this simulator loads no URLs")
            file = replace(file, kind=kind)
        else:
            file = replace(given, kind=kind)
            code = await asyncio.to_thread(self._sim.shelf.put, file, "tg")
        said = self._read(params.text("caption"), params, CAPTION_MAX)
        shown = replace(said, shown=said.shown or file.name)
        body = file_content(_as(field, file), code)
        if said.text:
            body |= {"caption": said.text, "caption_entities": said.entities}
        url = f"/files/{code}"
        return self._show(params, where, body, shown, kind=kind, url=url)


def _as(field: str, file: SharedFile) -> SharedFile:
    return replace(file, mime="audio/ogg") if field == "voice" else file


def keyboard_of(params: Params) -> list[list[Json]]:
    """`reply_markup`'s inline keyboard, checked. Raises ApiError."""
    rows: Any = params.record("reply_markup").get("inline_keyboard") or []
    keyboard = cast("list[list[Json]]", rows)
    for row in keyboard:
        for button in row:
            _check_button(button)
    return keyboard


def _check_button(button: Json) -> None:
    data, url = button.get("callback_data"), button.get("url")
    if not button.get("text"):
        raise bad('can\'t parse inline keyboard button: field "text" must be non-empty')
    if (data is None) == (url is None):
        raise bad("can't parse inline keyboard button: text buttons are unallowed")
    if data is not None and not 1 <= len(str(data).encode()) <= CALLBACK_BYTES_MAX:
        raise bad("BUTTON_DATA_INVALID")
    if url is not None and not str(url).startswith(("http://", "https://", "tg://")):
        raise bad("BUTTON_URL_INVALID")


def buttons_of(keyboard: list[list[Json]]) -> tuple[Json, ...]:
    """For the transcript, row by row."""
    return tuple(
        {
            "label": button["text"],
            **({"url": button["url"]} if button.get("url") else {}),
            **({"style": button["style"]} if button.get("style") else {}),
            **({"data": button["callback_data"]} if button.get("callback_data") else {}),
        }
        for row in keyboard
        for button in row
    )
