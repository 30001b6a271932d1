"""The robot's messages and events as ours.

Source: WeCom, "Receive messages" (100719), "Receive events" (101027) and "Long connection"
(101463) of AI robots; the body is the same over HTTP (decrypted) and over the WebSocket.
"""

import re
from typing import Any, Final, cast

import msgspec

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
_TEXT_MAX: Final = 200_000
_URL_MAX: Final = 4096
_STREAM: Final = "stream:"
_MENTION: Final = re.compile(r"\s*@(?:[^\s@][^@\u2005]{0,63}\u2005|\S+)\s*")
"""The leading `@name`: up to the separator that clients write after a mention, else one word."""
_KINDS: Final = {"image": "image", "file": "file", "video": "video"}
_NAMES: Final = {
    "image": "图片 / picture",
    "file": "文件 / file",
    "video": "视频 / video",
    "voice": "语音 / voice message",
}
_RATINGS: Final = {1: "good", 2: "bad", 3: "none"}
_REASONS: Final = {
    1: "与问题无关 / off the point",
    2: "内容不完整 / incomplete",
    3: "内容有错误 / wrong",
    4: "数据分析错误 / wrong analysis",
}


def parse(data: bytes | str) -> Json:
    """The JSON object in `data`. Raises Malformed."""
    try:
        found: Any = msgspec.json.decode(data)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"$: not JSON ({str(error)[:200]})") from error
    if not isinstance(found, dict):
        raise Malformed("$: must be a JSON object")
    return cast("Json", found)


def message_key(body: Json) -> str:
    """WeCom repeats a callback with the same `msgid`. Raises Malformed."""
    return _needed(body, "msgid")


def stream_id(message_id: str) -> str:
    """The stream that answers this message; also the id of its feedback."""
    return _STREAM + message_id


def message_of(stream: str) -> str:
    """The message that a stream or a feedback id belongs to; empty when it is not one of ours."""
    return stream.removeprefix(_STREAM) if stream.startswith(_STREAM) else ""


def polled(body: Json) -> str | None:
    """The message whose stream WeCom asks for; None when this body is no such question.

    Raises:
        Malformed: it asks for a stream that is none of ours.
    """
    if body.get("msgtype") != "stream":
        return None
    found = message_of(_text(_object(body, "stream"), "id", _ID_MAX + len(_STREAM)))
    if not found:
        raise Malformed("$.stream.id: no stream of this robot")
    return found


def decode(body: Json, channel: str, now: float, req_id: str = "") -> InboundMessage | None:
    """The message, or None for what does not concern us. `now`: seconds since the Unix epoch.

    A button's payload is `{"key", "task"}`, a feedback's `of` WeCom's id: `events` completes both.

    Raises:
        Malformed: it names the JSON path of what is missing or wrong.
    """
    message_id = message_key(body)
    user = _needed(_object(body, "from"), "userid", "$.from")
    if user == body.get("aibotid"):
        return None
    chat = _chat(body, user)
    event = ""
    if body.get("msgtype") == "event":
        found = _event(_object(body, "event"))
        if found is None:
            return None
        event, kind, text, payload = found
        attachments: tuple[Attachment, ...] = ()
    else:
        kind, text, attachments = _content(body, _needed(body, "msgtype"))
        payload = {}
    if chat.kind is ChatKind.GROUP and kind is MessageKind.TEXT:
        text = without_mention(text)
    quote, quoted = _quote(body)
    return InboundMessage(
        channel=channel,
        message_id=message_id,
        sender=Sender(
            platform="wecom_aibot",
            user_id=user,
            tenant=_text(_object(body, "from"), "corpid"),
        ),
        chat=chat,
        kind=kind,
        text=text.strip(),
        quote=quote,
        attachments=attachments + quoted,
        payload=payload,
        target={
            "conversation": chat.id,
            "chat_type": 2 if chat.kind is ChatKind.GROUP else 1,
            "message_id": message_id,
            "at": now,
            "event": event,
            "req_id": req_id,
            "response_url": _text(body, "response_url", _URL_MAX),
        },
        received_at=now,
    )


def without_mention(text: str) -> str:
    """A group's text without the leading `@name` of the robot; other mentions stay as written."""
    found = _MENTION.match(text)
    return text if found is None else text[found.end() :]


def _chat(body: Json, user: str) -> Chat:
    kind = body.get("chattype", "group" if body.get("chatid") else "single")
    if kind == "group":
        return Chat(kind=ChatKind.GROUP, id=_needed(body, "chatid"))
    if kind != "single":
        raise Malformed("$.chattype: must be single or group")
    return Chat(kind=ChatKind.PRIVATE, id=user)


def _content(body: Json, kind: str) -> tuple[MessageKind, str, tuple[Attachment, ...]]:
    """What was said, honestly: what cannot be read is named, not guessed."""
    if kind == "text":
        return MessageKind.TEXT, _said(_object(body, "text")), ()
    if kind == "mixed":
        text, attachments = _mixed(_object(body, "mixed"))
        return MessageKind.TEXT, text, attachments
    if kind == "voice":
        spoken = _said(_object(body, "voice")).strip()
        if spoken:
            return MessageKind.TEXT, spoken, ()
        return MessageKind.UNSUPPORTED, _NAMES["voice"], ()
    if kind not in _KINDS:
        return MessageKind.UNSUPPORTED, kind[:64], ()
    attachments = (_attachment(_object(body, kind), kind),)
    if kind == "video":
        return MessageKind.UNSUPPORTED, _NAMES["video"], attachments
    return MessageKind.TEXT, "", attachments


def _mixed(mixed: Json) -> tuple[str, tuple[Attachment, ...]]:
    items: Any = mixed.get("msg_item")
    if not isinstance(items, list):
        raise Malformed("$.mixed.msg_item: must be a list")
    texts: list[str] = []
    attachments: list[Attachment] = []
    for n, item in enumerate(cast("list[Any]", items)):
        if not isinstance(item, dict):
            raise Malformed(f"$.mixed.msg_item[{n}]: must be an object")
        part = cast("Json", item)
        if part.get("msgtype") == "text":
            texts.append(_said(_object(part, "text")))
        elif part.get("msgtype") == "image":
            attachments.append(_attachment(_object(part, "image"), "image"))
    return "\n".join(filter(None, texts)), tuple(attachments)


def _attachment(part: Json, kind: str) -> Attachment:
    """`ref` holds the URL, good for five minutes, and over the WebSocket its own key."""
    ref = {"url": _text(part, "url", _URL_MAX), "aeskey": _text(part, "aeskey")}
    return Attachment(
        kind=_KINDS[kind],
        name=_text(part, "filename"),
        ref=msgspec.json.encode(ref).decode() if ref["url"] else "",
    )


def _quote(body: Json) -> tuple[str, tuple[Attachment, ...]]:
    """The quoted words and files; a quote that cannot be read is left out."""
    found = body.get("quote")
    if not isinstance(found, dict):
        return "", ()
    quote = cast("Json", found)
    kind = _text(quote, "msgtype")
    try:
        if kind == "mixed":
            return _mixed(_object(quote, "mixed"))
        if kind in ("text", "voice"):
            return _said(_object(quote, kind)), ()
        if kind in _KINDS:
            return _NAMES[kind], (_attachment(_object(quote, kind), kind),)
    except Malformed:
        return "", ()
    return "", ()


def _event(event: Json) -> tuple[str, MessageKind, str, Json] | None:
    kind = _text(event, "eventtype")
    if kind == "enter_chat":
        return kind, MessageKind.WELCOME, "", {}
    if kind == "template_card_event":
        part = _object(event, kind)
        pressed = {"key": _text(part, "event_key", 2048), "task": _text(part, "task_id")}
        return kind, MessageKind.BUTTON, "", pressed
    if kind == "feedback_event":
        part = _object(event, kind)
        rating = part.get("type")
        rated = {
            "rating": _RATINGS.get(rating, "none") if isinstance(rating, int) else "none",
            "of": _text(part, "id", 1024),
            "text": _complaint(part),
        }
        return kind, MessageKind.FEEDBACK, "", rated
    return None


def _complaint(part: Json) -> str:
    lines = [_text(part, "content", 10_000)]
    reasons: Any = part.get("inaccurate_reason_list")
    if isinstance(reasons, list):
        known = [found for found in cast("list[Any]", reasons)[:10] if isinstance(found, int)]
        lines.extend(_REASONS.get(found, "") for found in known)
    return "\n".join(filter(None, lines))


def _said(part: Json) -> str:
    found = part.get("content")
    if not isinstance(found, str) or len(found) > _TEXT_MAX:
        raise Malformed("$.content: must be a text")
    return found


def _object(body: Json, key: str) -> Json:
    found = body.get(key)
    if not isinstance(found, dict):
        raise Malformed(f"$.{key}: must be an object")
    return cast("Json", found)


def _needed(body: Json, key: str, path: str = "$") -> str:
    found = body.get(key)
    if not isinstance(found, str) or not 0 < len(found) <= _ID_MAX:
        raise Malformed(f"{path}.{key}: must be a text of 1 to {_ID_MAX} characters")
    return found


def _text(body: Json, key: str, longest: int = _ID_MAX) -> str:
    found = body.get(key)
    return found if isinstance(found, str) and len(found) <= longest else ""
