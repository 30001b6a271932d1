"""WeCom's callbacks as our messages.

Source: WeCom, "Message format" (developer.work.weixin.qq.com/document/path/90239) and "Event
format" (path/90240). An app's chats are always between one member and the app.
"""

import hashlib
from collections.abc import Mapping
from typing import Final

from ai_engine.domain.errors import Malformed
from ai_engine.domain.message import (
    Attachment,
    Chat,
    ChatKind,
    InboundMessage,
    Json,
    MessageKind,
    Sender,
)

_ID_MAX: Final = 512
_WELCOMING: Final = frozenset({"enter_agent", "subscribe"})
_KINDS: Final = {
    "image": "image",
    "voice": "audio",
    "video": "video",
    "shortvideo": "video",
    "file": "file",
}
_NAMES: Final = {
    "voice": "语音 / voice message",
    "video": "视频 / video",
    "shortvideo": "视频 / video",
}

_Content = tuple[MessageKind, str, tuple[Attachment, ...], Json]


def decode(
    fields: Mapping[str, str], channel: str, received_at: float, *, welcome: bool = True
) -> InboundMessage | None:
    """The message, or None for an event that nobody is answered for.

    A pressed button has payload `{"key": EventKey, "response_code": …, "task_id": …}`.

    Raises:
        Malformed: it names what is missing or wrong.
    """
    found = _content(fields)
    if found is None or (found[0] is MessageKind.WELCOME and not welcome):
        return None
    kind, text, attachments, payload = found
    user = _needed(fields, "FromUserName")
    return InboundMessage(
        channel=channel,
        message_id=message_key(fields),
        sender=Sender(
            platform="wecom", user_id=user, tenant=fields.get("ToUserName", "")[:_ID_MAX]
        ),
        chat=Chat(kind=ChatKind.PRIVATE, id=user),
        kind=kind,
        text=text,
        attachments=attachments,
        payload=payload,
        target={"user": user, "conversation": user},
        received_at=received_at,
    )


def message_key(fields: Mapping[str, str]) -> str:
    """What a repeated callback has in common with the first: MsgId; an event has none, and is known
    by its sender and second (path/90238), to which the button's key is added: one person may press
    two buttons in a second. Entering the app is one thing, however often it happens.

    Raises:
        Malformed: CreateTime or FromUserName is missing.
    """
    if fields.get("MsgType") != "event":
        return _needed(fields, "MsgId")
    event, user = fields.get("Event", ""), _needed(fields, "FromUserName")
    if event in _WELCOMING:
        return f"welcome:{user}"
    parts = (event, user, _needed(fields, "CreateTime"), *map(fields.get, ("TaskId", "EventKey")))
    return f"event:{hashlib.sha256(repr(parts).encode()).hexdigest()[:40]}"


def _content(fields: Mapping[str, str]) -> _Content | None:
    kind = _needed(fields, "MsgType")
    if kind == "event":
        return _event(fields)
    if kind == "text":
        return MessageKind.TEXT, _needed(fields, "Content", _ID_MAX * 100).strip(), (), {}
    if kind in _KINDS:
        return _media(fields, kind)
    if kind == "location":
        place = ", ".join(filter(None, (fields.get("Location_X"), fields.get("Location_Y"))))
        return MessageKind.TEXT, f"[位置 / location] {fields.get('Label', '')} ({place})", (), {}
    if kind == "link":
        parts = (fields.get(name, "").strip() for name in ("Title", "Description", "Url"))
        return MessageKind.TEXT, "\n".join(filter(None, parts)), (), {}
    return MessageKind.UNSUPPORTED, kind[:64], (), {}


def _media(fields: Mapping[str, str], kind: str) -> _Content:
    attachment = Attachment(
        kind=_KINDS[kind],
        name=(fields.get("FileName") or fields.get("Title") or "")[:_ID_MAX],
        ref=_needed(fields, "MediaId", 4096),
    )
    if kind in ("image", "file"):
        return MessageKind.TEXT, "", (attachment,), {}
    spoken = fields.get("Recognition", "").strip() if kind == "voice" else ""
    if spoken:
        return MessageKind.TEXT, spoken, (attachment,), {}
    return MessageKind.UNSUPPORTED, _NAMES[kind], (attachment,), {}


def _event(fields: Mapping[str, str]) -> _Content | None:
    event = fields.get("Event", "")
    if event in _WELCOMING:
        return MessageKind.WELCOME, "", (), {}
    if event == "template_card_event":
        payload: Json = {
            "key": fields.get("EventKey", ""),
            "task_id": fields.get("TaskId", ""),
            "response_code": fields.get("ResponseCode", ""),
        }
        return MessageKind.BUTTON, "", (), payload
    if event == "click":  # an entry of the app's own menu: its key, as if it were written
        key = fields.get("EventKey", "").strip()
        return (MessageKind.TEXT, key, (), {}) if key else None
    return None


def _needed(fields: Mapping[str, str], name: str, longest: int = _ID_MAX) -> str:
    found = fields.get(name, "")
    if not found or len(found) > longest:
        raise Malformed(f"$.{name}: must have 1 to {longest} characters")
    return found
