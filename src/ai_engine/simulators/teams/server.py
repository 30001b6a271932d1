"""The simulated Teams, with people who write, press, rate, edit and install."""

from datetime import UTC, datetime
from functools import partial
from typing import Any

import msgspec

from ai_engine.domain.errors import Malformed, NotFound
from ai_engine.domain.message import Json
from ai_engine.simulators.files import SharedFile
from ai_engine.simulators.people import Conversation, Person
from ai_engine.simulators.teams import codec
from ai_engine.simulators.teams.codec import Envelope
from ai_engine.simulators.teams.platform import UPLOADS_MAX, TeamsPlatform
from ai_engine.simulators.transcript import BOT, Entry


class TeamsSimulator(TeamsPlatform):
    """Teams with one bot, which is the engine. Arguments: see `TeamsPlatform`."""

    def envelope(self, person: Person, where: Conversation) -> Envelope:
        now = datetime.fromtimestamp(self.clock.time(), UTC)
        return Envelope(
            bot=self.bot,
            person=person,
            conversation=where,
            service_url=self.faults.service_url or f"{self.url}/",
            tenant=self.faults.tenant or self.tenant,
            channel_id=self.faults.channel_id or codec.CHANNEL,
            timestamp=now.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        )

    async def say(
        self,
        user: str,
        text: str = "",
        *,
        chat: str = "private",
        conversation: str = "",
        name: str = "",
        at: bool | None = None,
        file: SharedFile | None = None,
        quote: str = "",
    ) -> str:
        """See `Simulator.say`; `quote`: the text of the message that this one answers. A group
        whose id holds `@thread.tacv2` is a channel of a team."""
        if chat not in ("private", "group"):
            raise Malformed(f"chat must be private or group, not {chat!r}")
        if not user or not (text or file):
            raise Malformed("a message needs a user, and a text or a file")
        self.callbacks.check_room()
        group = chat == "group"
        person = self.directory.person(user, name)
        private = partial(self.directory.private, user)
        where = (self.directory.group if group else private)(conversation)
        code = self.shelf.put(file, "file") if file else ""
        seen = not group or at is not False or f"@{self.bot.name}" in text
        entry = self.transcript.add(
            id=self.new_id(),
            conversation=where.id,
            chat=chat,
            sender=user,
            name=person.name,
            text=text or (file.name if file else ""),
            kind=file.kind if file else "text",
            at=self.clock.time(),
            status="queued" if seen else "unseen",
            detail="" if seen else f"the bot only sees what @{self.bot.name} is in",
            url=f"/files/{code}" if code else "",
        )
        if seen:
            parts = codec.words(text, self.bot, at=group)
            parts["attachments"] = [
                *([self._attached(file, code)] if file else []),
                *([codec.quoted(quote)] if quote else []),
            ]
            made = self.envelope(person, where).activity("message", entry.id, **parts)
            self.callbacks.put(made)
        return entry.id

    def _attached(self, file: SharedFile, code: str) -> Json:
        if file.kind == "picture":
            url = f"{self.url}/v3/attachments/{code}/views/original"
            return {"contentType": "image/*", "contentUrl": url}
        extension = file.name.rpartition(".")[2]
        content = {
            "downloadUrl": f"{self.url}/files/{code}",
            "uniqueId": code,
            "fileType": extension,
        }
        url = f"https://contoso.sharepoint.example/{file.name}"
        return {
            "contentType": codec.DOWNLOAD,
            "contentUrl": url,
            "name": file.name,
            "content": content,
        }

    async def resend(self, message_id: str, *, replay: bool = False) -> None:
        await self.callbacks.resend(message_id, replay=replay)

    def event(self, type_: str, of: Entry, id_: str = "", user: str = "", **more: Any) -> str:
        """An activity about an entry, by whom it concerns."""
        where = self.directory.find(of.conversation)
        who = user or (of.sender if of.sender != BOT else where.user if where else "")
        if where is None or not who:
            raise NotFound("nobody is known who could do this", hint="name the user")
        envelope = self.envelope(self.directory.person(who), where)
        made = envelope.activity(type_, id_ or f"f:{self.new_id()}")
        extra = more.pop("channelData", {})
        return self.callbacks.put({**made, **more, "channelData": {**made["channelData"], **extra}})

    def _entry(self, id_: str, *, by_bot: bool) -> Entry:
        entry = self.transcript.get(id_)
        if entry is None or (entry.sender == BOT) != by_bot:
            raise NotFound(f"no such message: {id_}")
        return entry

    async def press(self, entry_id: str, button: int = 0, *, user: str = "") -> str:
        entry = self._entry(entry_id, by_bot=True)
        if not 0 <= button < len(entry.buttons):
            raise NotFound(f"the message has no button {button}")
        pressed, asked = entry.buttons[button], self.transcript.get(entry.reply_to or "")
        user = user or (asked.sender if asked is not None else "")
        if "consent" in pressed:
            return self._consent(entry, pressed, user)
        if "execute" in pressed and not self.faults.old_client:
            action = {
                "type": "Action.Execute",
                "title": pressed["label"],
                "verb": pressed["verb"],
                "data": pressed["execute"],
            }
            value: Json = {"action": action, "trigger": "manual"}
            name = "adaptiveCard/action"
            return self.event(
                "invoke", entry, user=user, name=name, value=value, replyToId=entry.id
            )
        if "submit" in pressed:
            return self.event(
                "message", entry, user=user, value=pressed["submit"], replyToId=entry.id
            )
        raise Malformed("this button opens an address")

    def _consent(self, entry: Entry, pressed: Json, user: str) -> str:
        value: Json = {
            "type": "fileUpload",
            "action": pressed["consent"],
            "context": pressed["context"],
        }
        if pressed["consent"] == "accept":
            code = f"up{self.new_id()}"
            self.uploads[code] = entry.title
            while len(self.uploads) > UPLOADS_MAX:
                self.uploads.popitem(last=False)
            value["uploadInfo"] = {
                "contentUrl": f"https://contoso.sharepoint.example/{entry.title}",
                "name": entry.title,
                "uploadUrl": f"{self.url}/uploads/{code}",
                "uniqueId": code,
                "fileType": entry.title.rpartition(".")[2],
            }
        return self.event(
            "invoke",
            entry,
            user=user,
            name="fileConsent/invoke",
            value=value,
            replyToId=entry.id,
        )

    async def edit(self, message_id: str, text: str) -> str:
        entry = self._entry(message_id, by_bot=False)
        self.transcript.mark(message_id, text=text, edits=entry.edits + 1)
        parts = codec.words(text, self.bot, at=entry.chat == "group")
        return self.event(
            "messageUpdate", entry, entry.id, channelData={"eventType": "editMessage"}, **parts
        )

    async def recall(self, message_id: str) -> str:
        entry = self._entry(message_id, by_bot=False)
        data = {"eventType": "softDeleteMessage"}
        return self.event("messageDelete", entry, entry.id, channelData=data)

    async def rate(self, entry_id: str, rating: str, *, text: str = "", user: str = "") -> str:
        """👍 and 👎 beneath the message where the bot asked for them, else a reaction to it."""
        entry = self._entry(entry_id, by_bot=True)
        asks = any(button.get("feedback") for button in entry.buttons)
        if asks and rating != "none":
            reaction = "like" if rating == "good" else "dislike"
            given = msgspec.json.encode({"feedbackText": text}).decode()
            value: Json = {
                "actionName": "feedback",
                "actionValue": {"reaction": reaction, "feedback": given},
            }
            return self.event(
                "invoke",
                entry,
                user=user,
                name="message/submitAction",
                value=value,
                replyToId=entry.id,
            )
        changed = "reactionsRemoved" if rating == "none" else "reactionsAdded"
        name = "sad" if rating == "bad" else "like"
        more: Json = {changed: [{"type": name}], "replyToId": entry.id}
        return self.event("messageReaction", entry, "", user, **more)

    async def enter(self, user: str, *, name: str = "") -> str:
        """Installs the app: Teams tells of it twice."""
        person = self.directory.person(user, name)
        where = self.directory.private(user)
        envelope = self.envelope(person, where)
        added = [self.bot.account, codec.account(person)]
        self.callbacks.put(
            envelope.activity("conversationUpdate", f"f:{self.new_id()}", membersAdded=added)
        )
        return self.callbacks.put(
            envelope.activity("installationUpdate", f"f:{self.new_id()}", action="add")
        )
