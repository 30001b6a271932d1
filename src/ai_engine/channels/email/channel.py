"""The `email` channel: mails of a mailbox in by IMAP, answers out by SMTP."""

import asyncio
import logging
from typing import Final

from ai_engine.channels.base import Accept, Address, Capabilities, Outgoing
from ai_engine.channels.connector import Connector, address_parts, outgoing_media
from ai_engine.channels.email import automatic, codec, compose
from ai_engine.channels.email.about import ABOUT
from ai_engine.channels.email.addresses import allowed, is_address
from ai_engine.channels.email.automatic import SENDER_ANSWERS_MAX, THREAD_ANSWERS_MAX, Allowance
from ai_engine.channels.email.client import SmtpClient
from ai_engine.channels.email.inbox import Inbox
from ai_engine.channels.email.mailbox import Mailbox
from ai_engine.channels.email.mime import Part
from ai_engine.channels.email.proof import trusted
from ai_engine.channels.email.servers import Server, Trust, server
from ai_engine.channels.host import Host
from ai_engine.config.schema import ChannelConfig
from ai_engine.domain.errors import (
    Forbidden,
    Malformed,
    Overloaded,
    Refused,
    SendRefused,
    TooLarge,
)
from ai_engine.domain.message import Attachment, Chat, ChatKind, Media, media_kind

log = logging.getLogger(__name__)

MAIL_BYTES_MAX: Final = 25_000_000
"""The largest mail that is read: what most providers let through."""
MEDIA_BYTES_MAX: Final = 15_000_000
"""Of attachments: in base64 they grow by a third, and a mail should stay below 25 MB."""
_SENT_BYTES_MAX: Final = 16_000_000
"""Of the attachments of one mail; what is more goes in a further one."""
_FILES_MAX: Final = 10
_TEXT_MAX: Final = 200_000


class EmailChannel(Connector):
    """Implements `ai_engine.channels.base.Channel`."""

    def __init__(self, name: str, config: ChannelConfig, host: Host) -> None:
        super().__init__(ABOUT, name, config, host)
        self._user = self.auth("user").strip().lower()
        self._allow = config.auth.allow_senders
        self._trust = Trust()
        self._allowance = Allowance(host.clock)
        self._imap = self._server("imap")
        login = (self.auth("user").strip(), self.auth("password"))
        self._smtp = SmtpClient(self._server("smtp"), login, self._trust)
        self._mailbox: Mailbox | None = None
        self._check_user()
        self._accept: Accept | None = None
        if self._imap is not None and all(login):
            self._mailbox = Mailbox(
                name, self._imap, login, self._trust, host.clock, self._take_mail
            )
        self.capabilities = Capabilities(
            text_limit=_TEXT_MAX,
            markdown=config.reply != "text",
            cards=True,
            images=True,
            files=True,
            media_bytes_max=MEDIA_BYTES_MAX,
            sends_per_second=1.0,
            one_owner=True,
        )

    def _server(self, protocol: str) -> Server | None:
        url = self.auth(protocol)
        if not url:
            return None
        try:
            return server(url, protocol)
        except ValueError as error:
            self.problems.append(f"auth.{protocol}: {error}.")
            return None

    def _check_user(self) -> None:
        if self._user and not is_address(self._user):
            self.problems.append("auth.user: it must be the mailbox's address.")
        full = [(each, f"a{each}" if each[:1] == "@" else each) for each in self._allow]
        wrong = [each for each, address in full if not is_address(address.strip())]
        if wrong:
            self.problems.append(
                f"auth.allow_senders: {', '.join(wrong)} is no address and no @domain."
            )

    # In.

    async def run(self, accept: Accept) -> None:
        """Until cancelled; returns at once where settings are missing or senseless."""
        if self._mailbox is None or self.problems:
            return
        self._accept = accept
        await self._mailbox.run()

    async def _take_mail(self, inbox: Inbox, uid: int) -> bool | None:
        """Header, proof, then the rest; durable when it returns. None: the mail is gone.

        Raises:
            Overloaded: later. SendFailed: the connection.
        """
        envelope = await inbox.envelope(uid)
        if envelope is None:
            return None
        self.noticed()
        try:
            found = codec.head(envelope.header)
            why = automatic.why_not(found.first(), found.sender.address, self._user)
            if not why:
                self._prove(found)
                why = self._too_many(found)
            if why:
                log.info("channel %s: mail %d is not answered: %s", self.name, uid, why)
                return False
            return await self._read(inbox, uid, envelope.size, found)
        except Forbidden as error:
            log.warning(
                "refused a mail",
                extra={"audit": "channel.refused", "channel": self.name, "reason": error.message},
            )
            return False

    def _prove(self, found: codec.Head) -> None:
        """Raises Forbidden."""
        hosts = [self._user.rpartition("@")[2], *([self._imap.host] if self._imap else [])]
        trusted(found.fields, found.sender, self._allow, hosts)

    def _too_many(self, found: codec.Head) -> str:
        """Why it is not answered now; empty when it is, which counts."""
        ours = f"@{self._user.rpartition('@')[2]}>"
        thread = f"thread {codec.conversation(found)}"
        answered = any(each.endswith(ours) for each in found.references)
        if answered and not self._allowance.left(thread, THREAD_ANSWERS_MAX):
            return f"{THREAD_ANSWERS_MAX} answers an hour in one thread: a loop of two machines"
        if not self._allowance.left(found.sender.address, SENDER_ANSWERS_MAX):
            return f"its sender has had {SENDER_ANSWERS_MAX} answers within an hour"
        return ""

    async def _read(self, inbox: Inbox, uid: int, size: int, found: codec.Head) -> bool | None:
        """The content of a proved mail; True when it is durable."""
        said, files = codec.Body(unreadable=codec.TOO_LARGE), ()
        if size <= MAIL_BYTES_MAX:
            raw = await inbox.content(uid, MAIL_BYTES_MAX)
            if raw is None:
                return None
            said = await self._body(raw)
            files = await self._kept(said.files)
        message = codec.message(found, said, files, self.name, self.clock.time())
        if self._accept is None:
            raise Overloaded("the channel is not running")
        try:
            await self._accept(message)
        except Overloaded:
            raise
        except Refused as error:
            # Not marking it would bring it back for ever, and hold up all that follow.
            log.warning("channel %s: mail %d was left out: %s", self.name, uid, error)
            return False
        self._allowance.take(found.sender.address)
        self._allowance.take(f"thread {message.chat.id}")
        return True

    @staticmethod
    async def _body(raw: bytes) -> codec.Body:
        """In a thread: a mail of many megabytes takes a while."""
        try:
            return await asyncio.to_thread(codec.body, raw)
        except Malformed:
            return codec.Body(unreadable=codec.TOO_DEEP)

    async def _kept(self, files: tuple[Part, ...]) -> tuple[Attachment, ...]:
        """Put into the engine's store now, since a mail may be moved or deleted at any time. What
        is too large or too many is only named."""
        found: list[Attachment] = []
        for number, part in enumerate(files):
            url = ""
            if number < _FILES_MAX and len(part.content) <= MEDIA_BYTES_MAX:
                try:
                    url = await self.host.media.put(part.content, name=part.name, mime=part.mime)
                except TooLarge as error:
                    log.info("channel %s: an attachment is not kept: %s", self.name, error)
            found.append(
                Attachment(
                    kind=media_kind(part.mime),
                    url=url,
                    name=part.name or part.mime,
                    mime=part.mime,
                    bytes_size=len(part.content),
                )
            )
        return tuple(found)

    # Out.

    async def send(self, outgoing: Outgoing) -> None:
        """Text, card and attachments as one mail; attachments that do not fit go in further ones,
        each with an id of its own that repeats when the attempt does."""
        to = str(outgoing.target.get("to", ""))
        if not is_address(to) or not allowed(to.lower(), self._allow):
            raise SendRefused("the receiver is not in allow_senders")
        sheet = compose.Sheet(
            user=self._user,
            now=self.clock.time(),
            rating=self.config.feedback,
            text_only=self.config.reply == "text",
        )
        for number, media in enumerate(await self._packed(outgoing)):
            mail = await asyncio.to_thread(compose.compose, outgoing, sheet, media, number)
            await self._smtp.send(mail, to)

    async def _packed(self, outgoing: Outgoing) -> list[list[Media]]:
        """The attachments by mails. Raises SendRefused."""
        mails: list[list[Media]] = [[]]
        left = _SENT_BYTES_MAX
        for attachment in outgoing.reply.media:
            media = await outgoing_media(self.host, attachment, MEDIA_BYTES_MAX)
            if len(media.content) > left:
                mails.append([])
                left = _SENT_BYTES_MAX
            left -= len(media.content)
            mails[-1].append(media)
        return mails

    def address(self, to: str) -> Address:
        """`user:<address>` of somebody on the allow-list. All mails to one person that answer
        nothing are one thread, and so are the answers to them."""
        _, found = address_parts(to, {"user": "address"})
        found = found.lower()
        if not is_address(found) or not allowed(found, self._allow):
            raise Malformed(f"{to!r} is not in allow_senders", hint="add it there first")
        root = compose.thread_root(found, self._user.rpartition("@")[2])
        conversation = root.strip("<>")
        return Address(
            chat=Chat(kind=ChatKind.PRIVATE, id=conversation, thread=conversation),
            user_id=found,
            target={"conversation": conversation, "to": found, "references": [root]},
        )

    # What people see of it.

    async def check(self) -> str:
        """Log in to both servers; nothing is sent and nothing is marked."""
        if self._mailbox is None:
            raise SendRefused(" ".join(self.problems) or "auth.imap does not name a server")
        imap = await self._mailbox.open()
        try:
            await imap.command("EXAMINE INBOX")
            idle = "with IDLE" if "IDLE" in imap.capabilities else "without IDLE: every minute"
            await imap.logout()
        finally:
            imap.close()
        return f"IMAP login ok ({idle}), {await self._smtp.check()}: {self._user}"

    def connection(self) -> tuple[str, str, float | None]:
        """Of the IMAP connection, and what keeps mails from going out."""
        if self._mailbox is None:
            return "failing", "", self._last_event
        box = self._mailbox
        if self._smtp.problem:
            return "failing", f"{box.detail} {self._smtp.problem}".strip(), box.last_sign
        return box.state, box.detail, box.last_sign


def build(name: str, config: ChannelConfig, host: Host) -> EmailChannel:
    return EmailChannel(name, config, host)
