"""A mail as our message. Sources: RFC 5322 (fields), RFC 5256 (threads by References)."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ai_engine.channels.email import mime
from ai_engine.channels.email.addresses import Mailbox, one_line, one_mailbox, words
from ai_engine.channels.email.words import QUOTE_MAX, read
from ai_engine.domain.errors import Forbidden
from ai_engine.domain.message import Attachment, Chat, ChatKind, InboundMessage, MessageKind, Sender

SUBJECT_MAX: Final = 200
REFERENCES_MAX: Final = 20
_QUOTED_MAX: Final = 600
"""So much of a mail is quoted below its answer."""
_ID: Final = re.compile(r"<([!-;=?-~]{1,250})>")
_REPLY: Final = re.compile(
    r"^\s*(?:re|aw|sv|antw|fw|fwd|wg|回复|回覆|答复|答覆|转发|轉寄)\s*(?:\[\d+\])?\s*[:：]\s*", re.I
)
_UNREADABLE: Final = (
    "application/pkcs7-mime",
    "application/x-pkcs7-mime",
    "application/pgp-encrypted",
)
TOO_LARGE: Final = "过大的邮件 / a mail that is too large"
TOO_DEEP: Final = "结构过于复杂的邮件 / a mail of too many nested parts"
ENCRYPTED: Final = "加密的邮件 / an encrypted mail"
EMPTY: Final = "空邮件 / an empty mail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What a mail's header says."""

    fields: Sequence[tuple[str, str]]
    sender: Mailbox
    message_id: str
    """With its angle brackets; empty when there is none that can be used."""
    references: tuple[str, ...]
    """The thread's ids, the root first."""
    subject: str
    date: str

    def first(self) -> dict[str, str]:
        """The topmost field of each name."""
        return dict(reversed(self.fields))


def head(raw: bytes) -> Head:
    """Raises Forbidden: the mail does not name exactly one author."""
    fields = mime.headers(raw)
    authors = [value for name, value in fields if name == "from"]
    sender = one_mailbox(authors[0]) if len(authors) == 1 else None
    if sender is None:
        raise Forbidden("the mail does not name exactly one author")
    first = dict(reversed(fields))
    own = _ids(first.get("message-id", ""))
    linked = _ids(first.get("references", "")) or _ids(first.get("in-reply-to", ""))[:1]
    return Head(
        fields=fields,
        sender=sender,
        message_id=own[0] if own else "",
        references=_bounded(linked),
        subject=one_line(words(first.get("subject", "")[: SUBJECT_MAX * 20]), SUBJECT_MAX),
        date=one_line(first.get("date", ""), 60),
    )


def _ids(field: str) -> list[str]:
    return [f"<{found}>" for found in _ID.findall(field)]


def _bounded(ids: Sequence[str]) -> tuple[str, ...]:
    """The root and the newest."""
    kept = list(dict.fromkeys(ids))
    return tuple(kept if len(kept) <= REFERENCES_MAX else [kept[0], *kept[1 - REFERENCES_MAX :]])


def message_key(found: Head) -> str:
    """The id under which a repeated delivery is known: author and Message-ID, so that nobody can
    use up another's; without one, a hash of the header below the fields that delivery adds."""
    if found.message_id and sum(1 for name, _ in found.fields if name == "message-id") == 1:
        return f"{found.sender.address} {found.message_id}"
    wanted = ("date", "from", "to", "cc", "subject", "message-id", "in-reply-to", "content-type")
    lines = [f"{name}:{value}" for name, value in found.fields if name in wanted]
    return "hash:" + hashlib.sha256("\n".join(lines).encode("utf-8", "replace")).hexdigest()


def conversation(found: Head) -> str:
    """The thread's id: its root's Message-ID in lower case, or a hash of one that is too long."""
    root = next(iter(found.references), found.message_id) or message_key(found)
    plain = root.strip("<>").lower()
    if len(plain) <= 120:
        return plain
    return "hash:" + hashlib.sha256(plain.encode("utf-8", "replace")).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """What a mail's parts say; made in a thread."""

    text: str = ""
    quote: str = ""
    files: tuple[mime.Part, ...] = ()
    unreadable: str = ""
    """Not empty: why nothing of it can be read."""


def body(raw: bytes) -> Body:
    """Raises Malformed: nested too deeply."""
    parts = mime.parts(raw)
    text, quote = read(parts)
    files = tuple(part for part in parts if _is_file(part))
    if not text and not quote and any(part.mime in _UNREADABLE for part in parts):
        return Body(unreadable=ENCRYPTED)
    return Body(text=text, quote=quote, files=files)


def _is_file(part: mime.Part) -> bool:
    if not part.content or part.mime in _UNREADABLE:
        return False
    shown = part.mime in ("text/plain", "text/html") and not part.attached and not part.name
    signature = part.mime in ("application/pgp-signature", "application/pkcs7-signature")
    return not shown and not signature and part.mime != "application/x-pkcs7-signature"


def message(
    found: Head, said: Body, files: tuple[Attachment, ...], channel: str, now: float
) -> InboundMessage:
    """The whole. A mail that begins a thread also says something by its subject."""
    text = said.text
    begins = not found.references and not _REPLY.match(found.subject)
    if not text and not said.quote and not files and not found.subject:
        said = Body(unreadable=EMPTY)
    if said.unreadable:
        text = said.unreadable
    elif found.subject and (begins or not text) and not text.startswith(("/", "／")):
        text = text if found.subject in text else f"{found.subject}\n\n{text}".strip()
    root = conversation(found)
    references = _bounded((*found.references, *([found.message_id] if found.message_id else [])))
    sender = found.sender
    return InboundMessage(
        channel=channel,
        message_id=message_key(found),
        sender=Sender(platform="email", user_id=sender.address, name=sender.name),
        chat=Chat(kind=ChatKind.PRIVATE, id=root, thread=root, title=found.subject),
        kind=MessageKind.UNSUPPORTED if said.unreadable else MessageKind.TEXT,
        text=text,
        quote="" if said.unreadable else said.quote[:QUOTE_MAX],
        attachments=files,
        target={
            "conversation": root,
            "to": sender.address,
            "name": sender.name,
            "subject": found.subject,
            "message_id": found.message_id,
            "references": list(references),
            "date": found.date,
            "quoted": "" if said.unreadable else said.text[:_QUOTED_MAX],
        },
        received_at=now,
    )
