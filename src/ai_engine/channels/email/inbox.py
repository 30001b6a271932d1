"""What we ask of the INBOX: which mails are new, their parts by UID, and the marks on them.

The mark of a mail that was dealt with is the keyword `$AiEngine`, kept by the server: whatever
happens to the engine, a mail without it has not been taken. What lay there before the first start
is marked at once, and a folder `AiEngine` remembers that this was done. Servers that keep no
keywords (PERMANENTFLAGS) have only `\\Seen`: there nobody else should read the mailbox.
"""

import re
from dataclasses import dataclass
from typing import Final

from ai_engine.channels.email.imap import Imap, Reply
from ai_engine.domain.errors import SendRefused

KEYWORD: Final = "$AiEngine"
FOLDER: Final = "AiEngine"
HEADER_BYTES_MAX: Final = 131_072
_BATCH: Final = 100
_SIZE: Final = re.compile(rb"RFC822\.SIZE (\d{1,12})")
_PREFIX: Final = re.compile(r'NAMESPACE \(\("([^"\\]*)" ')


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """What is looked at before anything else of a mail."""

    uid: int
    size: int
    header: bytes


class Inbox:
    """The selected INBOX of one connection."""

    def __init__(self, imap: Imap) -> None:
        self._imap = imap
        self.keyword = True
        """Whether the server keeps our keyword."""

    async def open(self) -> bool:
        """Select it; True when this was the first time ever, so that all in it counts as old.

        Raises:
            SendRefused: read-only, or the server lets us create no folder. ConnectionLost.
        """
        lines = [reply.line for reply in await self._imap.command("SELECT INBOX")]
        flags = next((line for line in lines if b"PERMANENTFLAGS" in line.upper()), b"\\*")
        self.keyword = b"\\*" in flags or KEYWORD.encode().lower() in flags.lower()
        if b"PERMANENTFLAGS ()" in flags.upper():
            raise SendRefused("the mailbox is read-only: nothing could be marked as answered")
        if await self._is_known():
            return False
        if any(line.upper().endswith(b" EXISTS") and line[:2] != b"0 " for line in lines):
            await self._imap.command(f"UID STORE 1:* +FLAGS.SILENT ({self._mark()})")
        await self._create()
        return True

    async def _is_known(self) -> bool:
        for name in await self._names():
            found = await self._imap.command(f'LIST "" "{name}"')
            if any(reply.line.upper().startswith(b"LIST ") for reply in found):
                return True
        return False

    async def _names(self) -> list[str]:
        """Where a folder of ours may be: some servers want all below one prefix (RFC 2342)."""
        names = [FOLDER]
        if "NAMESPACE" in self._imap.capabilities:
            for reply in await self._imap.command("NAMESPACE"):
                found = _PREFIX.match(reply.line.decode("utf-8", "replace"))
                if found is not None and found[1] and found[1].isascii():
                    names.insert(0, f"{found[1]}{FOLDER}")
        return names

    async def _create(self) -> None:
        refusal: SendRefused | None = None
        for name in await self._names():
            try:
                await self._imap.command(f'CREATE "{name}"')
            except SendRefused as error:
                refusal = error
            else:
                return
        raise SendRefused(
            f"the folder {FOLDER} cannot be created: {refusal.message if refusal else ''}",
            hint="create it by hand: it remembers that older mails are not to be answered",
        )

    async def waiting(self) -> list[int]:
        """UIDs of the mails that were not dealt with, the oldest first."""
        what = f"UNKEYWORD {KEYWORD}" if self.keyword else "UNSEEN"
        found: list[int] = []
        for reply in await self._imap.command(f"UID SEARCH {what} UNDELETED"):
            words = reply.line.split()
            if words and words[0].upper() == b"SEARCH":
                found += [int(word) for word in words[1:] if word.isdigit()]
        return sorted(found)[:_BATCH]

    async def envelope(self, uid: int) -> Envelope | None:
        """Size and header; None when the mail is gone."""
        asked = f"UID FETCH {uid} (UID RFC822.SIZE BODY.PEEK[HEADER]<0.{HEADER_BYTES_MAX}>)"
        reply = await self._fetched(asked, uid, HEADER_BYTES_MAX)
        if reply is None:
            return None
        size = _SIZE.search(reply.line)
        return Envelope(uid=uid, size=int(size[1]) if size else 0, header=reply.literals[0])

    async def content(self, uid: int, bytes_max: int) -> bytes | None:
        """The whole mail, at most so much of it; None when it is gone."""
        asked = f"UID FETCH {uid} (UID BODY.PEEK[]<0.{bytes_max}>)"
        reply = await self._fetched(asked, uid, bytes_max)
        return None if reply is None else reply.literals[0]

    async def _fetched(self, line: str, uid: int, bytes_max: int) -> Reply | None:
        for reply in await self._imap.command(line, literal_max=bytes_max):
            mine = re.search(rb"\bUID (\d+)", reply.line)
            is_fetch = b" FETCH " in reply.line.upper() and len(reply.literals) == 1
            if is_fetch and mine and int(mine[1]) == uid:
                return reply
        return None

    async def mark(self, uid: int, *, seen: bool) -> None:
        """It was dealt with; `seen` also shows it as read to people who look at the mailbox."""
        flags = "\\Seen" if not self.keyword else f"\\Seen {KEYWORD}" if seen else KEYWORD
        await self._imap.command(f"UID STORE {uid} +FLAGS.SILENT ({flags})")

    def _mark(self) -> str:
        return KEYWORD if self.keyword else "\\Seen"
