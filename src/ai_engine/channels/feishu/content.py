"""The content of one message as text and attachments.

Source: Feishu, "Receive message content": `content` is a JSON string whose form depends on
`message_type`.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any, Final, cast

from ai_engine.channels.http import parse
from ai_engine.domain.errors import Malformed
from ai_engine.domain.message import Attachment, Json, MessageKind

Content = tuple[MessageKind, str, tuple[Attachment, ...]]

_NAMES: Final = {
    "audio": "语音 / voice message",
    "media": "视频 / video",
    "sticker": "表情包 / sticker",
    "interactive": "卡片 / card",
    "share_chat": "群名片 / group card",
    "share_user": "个人名片 / contact card",
    "merge_forward": "合并转发的消息 / forwarded messages",
    "location": "位置 / location",
    "share_calendar_event": "日程 / calendar event",
    "video_chat": "视频会议 / video meeting",
    "todo": "任务 / task",
    "vote": "投票 / vote",
    "hongbao": "红包 / red packet",
}
_EVERYONE: Final = re.compile(r"(?<![\w.-])@_all(?!\w)", re.ASCII)
_NAME_MAX: Final = 256
_DEPTH_MAX: Final = 12
_KEY: Final = re.compile(r"[\w.-]{1,256}", re.ASCII)
_TAG: Final = re.compile(r"</?[a-z]+[^<>]{0,200}>")


def read(kind: str, content: str, message_id: str) -> Content:
    """What was said, honestly: what cannot be read is named, not guessed.

    Raises:
        Malformed: it is not what its kind says.
    """
    body = parse(content) if content else {}
    reader = _READERS.get(kind)
    if reader is not None:
        return reader(body, message_id)
    attachments = _file(body, kind, message_id) if kind in ("audio", "media") else ()
    return MessageKind.UNSUPPORTED, _NAMES.get(kind, kind[:64]), attachments


def calls_all(kind: str, content: str) -> bool:
    """Whether it says @all. Often `mentions` does not tell: then the key is in a text, which is how
    Feishu writes it, or a post has a piece for it. The same letters as a part of a word, in a link,
    a file's name or a post's words are no call.

    Source: larksuite/oapi-sdk-python, `channel/normalize` and its issue 138.

    Raises:
        Malformed: it is not what its kind says.
    """
    if kind not in ("text", "post") or "all" not in content:
        return False
    body = parse(content)
    if kind == "text":
        text = body.get("text")
        return isinstance(text, str) and _EVERYONE.search(text) is not None
    return any(_is_all(piece) for line in _lines(body) for piece in line)


def without_all(text: str) -> str:
    """A text's words without the key of @all."""
    return _EVERYONE.sub("", text)


def _is_all(piece: Json) -> bool:
    return piece.get("tag") == "at" and piece.get("user_id") in ("all", "@_all")


def _text(body: Json, _: str) -> Content:
    text = body.get("text")
    if not isinstance(text, str):
        raise Malformed("$.event.message.content.text: must be a text")
    return MessageKind.TEXT, text, ()


def _image(body: Json, message_id: str) -> Content:
    return MessageKind.TEXT, "", (_picture(body, message_id),)


def _document(body: Json, message_id: str) -> Content:
    return MessageKind.TEXT, "", _file(body, "file", message_id)


def _picture(body: Json, message_id: str) -> Attachment:
    return Attachment(kind="image", ref=_ref(message_id, body.get("image_key"), "image"))


def _file(body: Json, kind: str, message_id: str) -> tuple[Attachment, ...]:
    name = body.get("file_name")
    shown = name if isinstance(name, str) and len(name) <= _NAME_MAX else ""
    kinds = {"audio": "audio", "media": "video"}
    ref = _ref(message_id, body.get("file_key"), "file")
    return (Attachment(kind=kinds.get(kind, "file"), name=shown, ref=ref),)


def _ref(message_id: str, key: object, kind: str) -> str:
    """`<message id>/<key>/<image|file>`: what the resource API wants."""
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        raise Malformed("$.event.message.content: its key is missing or is none")
    return f"{message_id}/{key}/{kind}"


def resource(ref: str) -> tuple[str, str, str] | None:
    """(message id, key, image|file) of an attachment's `ref`; None when it is none of ours."""
    parts = ref.split("/")
    if len(parts) != 3 or parts[2] not in ("image", "file") or not all(map(_KEY.fullmatch, parts)):
        return None
    return parts[0], parts[1], parts[2]


def _post(body: Json, message_id: str) -> Content:
    """Rich text: a title and lines of pieces; bots get one language, without a wrapper."""
    title = _unwrapped(body).get("title")
    texts = [title] if isinstance(title, str) and title else []
    attachments: list[Attachment] = []
    for shown in _lines(body):
        texts.append("".join(map(_piece, shown)))
        attachments += [_picture(p, message_id) for p in shown if p.get("tag") == "img"]
        for piece in shown:
            if piece.get("tag") == "media":
                attachments += _file(piece, "media", message_id)
    return MessageKind.TEXT, "\n".join(texts).strip(), tuple(attachments)


def _unwrapped(body: Json) -> Json:
    if "content" in body:
        return body
    wrapped = [cast("Json", each) for each in body.values() if isinstance(each, dict)]
    return next((each for each in wrapped if "content" in each), body)


def _lines(body: Json) -> Iterator[list[Json]]:
    """The pieces of each line of a post. Raises Malformed."""
    lines = _unwrapped(body).get("content")
    if not isinstance(lines, list):
        raise Malformed("$.event.message.content.content: must be a list")
    for line in cast("list[Any]", lines):
        pieces = cast("list[Any]", line) if isinstance(line, list) else []
        yield [cast("Json", piece) for piece in pieces if isinstance(piece, dict)]


def _piece(piece: Json) -> str:
    text = piece.get("text")
    shown = text if isinstance(text, str) else ""
    match piece.get("tag"):
        case "a":
            href = piece.get("href")
            return f"{shown} ({href})" if isinstance(href, str) and href != shown else shown
        case "at":
            return "" if _is_all(piece) else str(piece.get("user_id", ""))
        case "code_block":
            return f"\n```{piece.get('language', '')}\n{shown}\n```\n".replace("\n\n```", "\n```")
        case "emotion":
            return f"[{piece.get('emoji_type', '')}]"
        case "hr":
            return "\n---\n"
        case _:
            return shown


def _card(body: Json, _: str) -> Content:
    """A card that a person forwarded: its words, without what only clients draw."""
    words = [_TAG.sub("", text).strip() for text in _words(body, 0)]
    text = "\n".join(word for word in words if word)
    return (
        (MessageKind.TEXT, text, ())
        if text
        else (MessageKind.UNSUPPORTED, _NAMES["interactive"], ())
    )


def _words(found: Any, depth: int) -> Iterator[str]:
    if depth > _DEPTH_MAX:
        return
    if isinstance(found, list):
        for each in cast("list[Any]", found):
            yield from _words(each, depth + 1)
    elif isinstance(found, dict):
        for name, value in cast("Json", found).items():
            if name in ("text", "content", "title") and isinstance(value, str):
                yield value
            elif name not in ("config", "value", "behaviors"):
                yield from _words(value, depth + 1)


_READERS: Final[dict[str, Callable[[Json, str], Content]]] = {
    "text": _text,
    "post": _post,
    "image": _image,
    "file": _document,
    "interactive": _card,
}
