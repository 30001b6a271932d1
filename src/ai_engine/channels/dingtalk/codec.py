"""DingTalk's robot messages as ours.

Source: DingTalk, "Receive messages" and "Robot message types"; the body is the same in HTTP mode
and in Stream mode.
"""

from typing import Any, Final, cast

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

QUOTA_USED_UP: Final = "20001"
"""`errCode` when the content was withheld: the organisation's monthly quota is used up."""

_ID_MAX: Final = 512
_QUOTE_MAX: Final = 4000
_KINDS: Final = {"picture": "image", "audio": "audio", "video": "video", "file": "file"}
_NAMES: Final = {
    "picture": "图片 / picture",
    "audio": "语音 / voice message",
    "video": "视频 / video",
    "file": "文件 / file",
}
_WITHHELD: Final = (
    "钉钉没有转发内容,企业本月额度已用完 / DingTalk withheld the content: the organisation's "
    f"monthly quota is used up, errCode {QUOTA_USED_UP}"
)


def decode(body: Json, channel: str, received_at: float) -> InboundMessage | None:
    """The message, or None for what a robot wrote itself.

    Raises:
        Malformed: it names the JSON path of what is missing or wrong.
    """
    if body.get("senderId") and body.get("senderId") == body.get("chatbotUserId"):
        return None
    kind, text, attachments = _content(body)
    return InboundMessage(
        channel=channel,
        message_id=message_key(body),
        sender=_sender(body),
        chat=Chat(
            kind=_chat_kind(body),
            id=_needed(body, "conversationId"),
            title=_optional(body, "conversationTitle"),
        ),
        kind=kind,
        text=text,
        quote=_quote(body),
        attachments=attachments,
        payload={"error_code": QUOTA_USED_UP} if withheld(body) else {},
        target=_target(body),
        received_at=received_at,
    )


def message_key(body: Json) -> str:
    """What makes a repeated message one: DingTalk's `msgId`. Raises Malformed."""
    return _needed(body, "msgId")


def withheld(body: Json) -> bool:
    """Whether DingTalk left the content out since the monthly quota is used up."""
    return str(body.get("errCode", "")) == QUOTA_USED_UP


def _sender(body: Json) -> Sender:
    """`senderStaffId` is absent for people outside the organisation and for unpublished robots."""
    ids = (_optional(body, key) for key in ("senderStaffId", "senderUnionId", "senderId"))
    user_id = next((found for found in ids if found), "")
    if not user_id:
        raise Malformed("$.senderId: one of senderStaffId, senderUnionId, senderId is needed")
    return Sender(
        platform="dingtalk",
        user_id=user_id,
        tenant=_optional(body, "senderCorpId"),
        name=_optional(body, "senderNick"),
    )


def _chat_kind(body: Json) -> ChatKind:
    kind = body.get("conversationType")
    if kind not in ("1", "2"):
        raise Malformed('$.conversationType: must be "1" (private) or "2" (group)')
    return ChatKind.PRIVATE if kind == "1" else ChatKind.GROUP


def _target(body: Json) -> Json:
    expires_ms = body.get("sessionWebhookExpiredTime")
    if not isinstance(expires_ms, int | float):
        expires_ms = 0
    return {
        "sessionWebhook": _optional(body, "sessionWebhook", 4096),
        "expires": expires_ms / 1000,
        "robotCode": _optional(body, "robotCode"),
        "msgId": _needed(body, "msgId"),
        **chat_target(
            _needed(body, "conversationId"),
            group=_needed(body, "conversationType") == "2",
            user=_optional(body, "senderStaffId"),
            nick=_optional(body, "senderNick"),
        ),
    }


def chat_target(conversation: str, *, group: bool, user: str = "", nick: str = "") -> Json:
    """Where to answer in a chat. `user`: the staff id of who is answered, where it is known."""
    return {
        "conversation": conversation or user,
        "conversationId": conversation,
        "conversationType": "2" if group else "1",
        "senderStaffId": user,
        "senderNick": nick,
    }


def _quote(body: Json) -> str:
    """The text of the message that this one answers; pictures and cards have none here."""
    for part in ("text", "content"):
        holder = body.get(part)
        if not isinstance(holder, dict):
            continue
        replied = cast("Json", holder).get("repliedMsg")
        if not isinstance(replied, dict):
            continue
        content = cast("Json", replied).get("content")
        if isinstance(content, dict):
            return _quoted_words(cast("Json", content))[:_QUOTE_MAX]
    return ""


def _quoted_words(content: Json) -> str:
    if isinstance(found := content.get("text"), str):
        return found.strip()
    if isinstance(found := content.get("recognition"), str):
        return found.strip()
    pieces = content.get("richText")
    if not isinstance(pieces, list):
        return ""
    parts = [cast("Json", p) for p in cast("list[Any]", pieces) if isinstance(p, dict)]
    words = (p.get("text") or p.get("content") for p in parts)
    return "".join(word for word in words if isinstance(word, str)).strip()


def _content(body: Json) -> tuple[MessageKind, str, tuple[Attachment, ...]]:
    """What was said, honestly: what cannot be read is named, not guessed."""
    if withheld(body):
        return MessageKind.UNSUPPORTED, _WITHHELD, ()
    kind = _needed(body, "msgtype")
    if kind == "text":
        return MessageKind.TEXT, _string(_object(body, "text"), "content", "$.text").strip(), ()
    if kind not in _KINDS and kind != "richText":
        return MessageKind.UNSUPPORTED, kind[:64], ()
    content = _object(body, "content")
    if kind == "richText":
        return _rich_text(content)
    attachment = _attachment(content, kind)
    spoken = _optional(content, "recognition", 100_000).strip() if kind == "audio" else ""
    if spoken:
        return MessageKind.TEXT, spoken, (attachment,)
    if kind in ("picture", "file") and attachment.ref:
        return MessageKind.TEXT, "", (attachment,)
    name = f"{_NAMES[kind]} {attachment.name}".strip()
    return MessageKind.UNSUPPORTED, name, (attachment,)


def _rich_text(content: Json) -> tuple[MessageKind, str, tuple[Attachment, ...]]:
    pieces = content.get("richText")
    if not isinstance(pieces, list):
        raise Malformed("$.content.richText: must be a list")
    texts: list[str] = []
    attachments: list[Attachment] = []
    for n, piece in enumerate(cast("list[Any]", pieces)):
        if not isinstance(piece, dict):
            raise Malformed(f"$.content.richText[{n}]: must be an object")
        part = cast("Json", piece)
        if part.get("type") in _KINDS:
            attachments.append(_attachment(part, str(part["type"])))
        elif "text" in part:
            texts.append(_string(part, "text", f"$.content.richText[{n}]"))
    text = "".join(texts).strip()
    return MessageKind.TEXT, text, tuple(attachments)


def _attachment(content: Json, kind: str) -> Attachment:
    """`ref` is the download code; DingTalk's API turns it into a short-lived address."""
    return Attachment(
        kind=_KINDS[kind],
        name=_optional(content, "fileName"),
        ref=_optional(content, "downloadCode", 4096)
        or _optional(content, "pictureDownloadCode", 4096),
    )


def _object(body: Json, key: str) -> Json:
    found = body.get(key)
    if not isinstance(found, dict):
        raise Malformed(f"$.{key}: must be an object")
    return cast("Json", found)


def _string(body: Json, key: str, path: str) -> str:
    found = body.get(key)
    if not isinstance(found, str):
        raise Malformed(f"{path}.{key}: must be a text")
    return found


def _needed(body: Json, key: str) -> str:
    found = _string(body, key, "$")
    if not 0 < len(found) <= _ID_MAX:
        raise Malformed(f"$.{key}: must have 1 to {_ID_MAX} characters")
    return found


def _optional(body: Json, key: str, longest: int = _ID_MAX) -> str:
    found = body.get(key)
    return found if isinstance(found, str) and len(found) <= longest else ""
