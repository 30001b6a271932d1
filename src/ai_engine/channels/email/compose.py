"""One answer as one mail. Sources: RFC 5322, 3.6.4 (threads), RFC 3834 (automatic answers)."""

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from email.header import Header
from email.message import Message
from email.policy import compat32
from email.utils import formatdate
from typing import Any, Final, TypeAlias

from ai_engine.channels.base import Outgoing
from ai_engine.channels.email import markup
from ai_engine.channels.email.addresses import one_line
from ai_engine.channels.text import plain, sendable
from ai_engine.domain.message import Json, Media
from ai_engine.domain.reply import Button, Card, Reply

SUBJECT_MAX: Final = 200
_SUBJECT_OF_OURS: Final = "AI 助手的消息 · A message from the assistant"
_RATE: Final = "有帮助吗？回复 /good 或 /bad · Was this helpful? Reply /good or /bad."
_RE: Final = re.compile(r"^\s*(?:re|aw|sv|回复|答复)\s*[:：]", re.IGNORECASE)
_MIME: Final = re.compile(r"(?!multipart/|message/)[a-z]{1,40}/[A-Za-z0-9.+_-]{1,100}")
_SAFE_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,100}")


Part: TypeAlias = "Message[str, str]"

# The older of the library's two policies: it takes a quarter of the time, keeps long ids whole, and
# nothing that could begin a header gets here.
_POLICY: Final = compat32.clone(linesep="\r\n", max_line_length=78)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """What all mails of one mailbox have in common."""

    user: str
    """Its address."""
    now: float
    rating: bool
    """Whether answers may be rated."""
    text_only: bool
    """`reply` is `text`: no HTML."""

    @property
    def domain(self) -> str:
        return self.user.rpartition("@")[2]


def message_id(reply_id: str, domain: str) -> str:
    """The same for every attempt at the same reply: servers and programs that know it show the
    mail once, and the person's answer names it."""
    known = reply_id if _SAFE_ID.fullmatch(reply_id) else _digest(reply_id)
    return f"<{known}@{domain}>"


def thread_root(address: str, domain: str) -> str:
    """The id of the thread in which a person is written to unasked. No mail has it, but all such
    mails and the answers to them name it, so that they are one conversation."""
    return f"<thread-{_digest(address)[:24]}@{domain}>"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def compose(outgoing: Outgoing, sheet: Sheet, media: Sequence[Media], number: int = 0) -> bytes:
    """Text (unless `number` counts a further mail that holds but attachments) and attachments. The
    same answer gives the same bytes."""
    reply, target = outgoing.reply, outgoing.target
    id_ = message_id(f"{reply.id}.{number}" if number else reply.id, sheet.domain)
    if number:
        text = _text(", ".join(one_line(each.name) for each in media), "plain")
    elif sheet.text_only:
        text = _text(_plain(reply, target, sheet), "plain")
    else:
        both = (
            _text(_plain(reply, target, sheet), "plain"),
            _text(_html(reply, target, sheet), "html"),
        )
        text = _multipart("alternative", id_, both)
    mail = _multipart("mixed", id_, (text, *map(_file, media))) if media else text
    _head(mail, target, sheet)
    mail["Message-ID"] = id_
    mail["MIME-Version"] = "1.0"
    return mail.as_bytes()


def _text(text: str, sub: str) -> Part:
    return _part(f'text/{sub}; charset="utf-8"', f"{text.rstrip()}\n".encode())


def _file(media: Media) -> Part:
    mime = media.mime if _MIME.fullmatch(media.mime) else "application/octet-stream"
    part = _part(mime, media.content)
    name = one_line(sendable(media.name)) or "file"
    named = name if name.isascii() else ("utf-8", "", name)
    part.add_header("Content-Disposition", "attachment", filename=named)
    return part


def _part(mime: str, content: bytes) -> Part:
    part: Part = Message(_POLICY)
    part["Content-Type"] = mime
    part["Content-Transfer-Encoding"] = "base64"
    part.set_payload(base64.encodebytes(content).decode("ascii"))
    return part


def _multipart(sub: str, id_: str, parts: Sequence[Part]) -> Part:
    """The boundary cannot stand in base64, and is the same at the next attempt."""
    whole: Part = Message(_POLICY)
    whole["Content-Type"] = f'multipart/{sub}; boundary="=_{sub}_{_digest(id_)[:24]}"'
    for part in parts:
        whole.attach(part)
    return whole


def _head(mail: Part, target: Json, sheet: Sheet) -> None:
    """No value of another's gets in with a line break."""
    subject = one_line(sendable(str(target.get("subject", ""))), SUBJECT_MAX)
    answered = _one_id(str(target.get("message_id", "")))
    if answered and not _RE.match(subject):
        subject = f"Re: {subject}".strip()
    mail["From"] = sheet.user
    mail["To"] = str(target["to"])
    subject = subject or _SUBJECT_OF_OURS
    mail["Subject"] = subject if subject.isascii() else Header(subject, "utf-8").encode()
    mail["Date"] = formatdate(sheet.now)
    found: list[Any] = list(target.get("references") or [])
    references = [each for each in (_one_id(str(one)) for one in found) if each]
    if answered:
        mail["In-Reply-To"] = answered
    if references:
        mail["References"] = " ".join(references)
    mail["Auto-Submitted"] = "auto-replied" if answered else "auto-generated"
    mail["X-Auto-Response-Suppress"] = "All"


def _one_id(text: str) -> str:
    return text if re.fullmatch(r"<[!-;=?-~]{1,250}>", text) else ""


def _by(target: Json) -> str:
    date = one_line(str(target.get("date", "")), 60)
    name = one_line(sendable(str(target.get("name", "")))) or str(target["to"])
    return f"On {date}, {name} wrote:" if date else f"{name} wrote:"


def _plain(reply: Reply, target: Json, sheet: Sheet) -> str:
    parts = [plain(sendable(reply.text))] if reply.text.strip() else []
    if reply.card is not None:
        parts.append(_plain_card(reply.card))
        parts += _hints(reply.card)
    if reply.feedback and sheet.rating:
        parts.append(_RATE)
    if text := sendable(str(target.get("quoted", ""))):
        lines = "\n".join(f"> {line}" for line in text.splitlines())
        parts.append(f"{_by(target)}\n{lines}")
    return "\n\n".join(part for part in parts if part) + "\n"


def _plain_card(card: Card) -> str:
    lines = [card.title] if card.title else []
    lines += [plain(card.markdown)] if card.markdown else []
    lines += ["\n".join(f"{name}: {value}" for name, value in card.fields)] if card.fields else []
    lines += [card.image_url] if card.image_url else []
    lines += [f"{each.label}: {each.url}" for each in card.buttons if markup.is_link(each)]
    return sendable("\n\n".join(lines))


def _hints(card: Card) -> list[str]:
    """A mail cannot be pressed: buttons that stand for words say which to send back."""
    found: list[str] = []
    for button in card.buttons:
        word = _word(button)
        if word:
            label = one_line(sendable(button.label))
            found.append(f"{label}: 回复 “{word}” · reply “{word}”")
    return found


def _word(button: Button) -> str:
    if button.url:
        return ""
    match button.value:
        case {"text": str(word)}:
            return one_line(sendable(word))
        case _:
            return ""


def _html(reply: Reply, target: Json, sheet: Sheet) -> str:
    parts = [markup.html(sendable(reply.text))] if reply.text.strip() else []
    if reply.card is not None:
        parts.append(sendable(markup.card_html(reply.card)))
        parts += [markup.html(hint) for hint in _hints(reply.card)]
    if reply.feedback and sheet.rating:
        parts.append(f'<p style="color:#888">{_RATE}</p>')
    if text := sendable(str(target.get("quoted", ""))):
        parts.append(markup.quoted(_by(target), text))
    return markup.page(*parts)
