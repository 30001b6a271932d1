"""WeCom's JSON: what people do as the robot gets it, answers as WeCom takes them."""

import base64
import binascii
import hashlib
from dataclasses import dataclass, field, replace
from typing import Any, cast

import msgspec

from ai_engine.domain.message import Json
from ai_engine.simulators.people import Conversation, Person
from ai_engine.simulators.wecom_aibot.faults import AibotFaults

CONTENT_BYTES_MAX = 20_480
PICTURES_MAX = 10
PICTURE_BYTES_MAX = 10 * 1024 * 1024
KEY_BYTES_MAX = 1024
INVALID = 40058
"""errcode of a body that is not as documented. WeCom's reference names none for robots."""


class Bad(Exception):
    """An answer that WeCom refuses."""

    def __init__(self, errmsg: str, errcode: int = INVALID) -> None:
        super().__init__(errmsg)
        self.errcode = errcode


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One state of an answer as people see it."""

    text: str = ""
    kind: str = "markdown"
    stream: str = ""
    finish: bool = True
    feedback: str = ""
    pictures: tuple[bytes, ...] = ()
    card: Json | None = None
    buttons: tuple[Json, ...] = ()
    task_id: str = ""
    card_type: str = ""
    media_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """Who did it and where."""

    bot_id: str
    message_id: str
    person: Person
    conversation: Conversation
    at: float
    more: Json = field(default_factory=dict[str, Any])


def message(about: About, content: Json) -> Json:
    """The body of a message callback; `content` holds `msgtype` and its part."""
    group = about.conversation.kind == "group"
    where: Json = {"chatid": about.conversation.id} if group else {}
    return {
        "msgid": about.message_id,
        "create_time": int(about.at),
        "aibotid": about.bot_id,
        **where,
        "chattype": "group" if group else "single",
        "from": {"userid": about.person.id},
        **about.more,
        **content,
    }


def event(about: About, kind: str, part: Json) -> Json:
    """The body of an event callback."""
    return message(about, {"msgtype": "event", "event": {"eventtype": kind, kind: part}})


def spoiled(body: Json, faults: AibotFaults) -> Json:
    """The message as the fault knobs want it."""
    if faults.unknown_msgtype:
        body = {**body, "msgtype": "red_packet", "red_packet": {}}
        body.pop("text", None)
    if faults.oversized_bytes and "text" in body:
        words = body["text"]["content"] + "x" * faults.oversized_bytes
        body = {**body, "text": {"content": words}}
    return body


def encoded(body: Json, faults: AibotFaults) -> bytes:
    """To bytes, cut in the middle when the knob says so."""
    data = msgspec.json.encode(body)
    return data[: len(data) // 2] if faults.malformed_json else data


def read_object(body: bytes | str) -> Json | None:
    """The JSON object in `body`, or None."""
    try:
        value: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return cast("Json", value) if isinstance(value, dict) else None


def part(body: Json, name: str) -> Json:
    """An object in it. Raises Bad."""
    found: Any = body.get(name)
    if not isinstance(found, dict):
        raise Bad(f"missing parameter {name}")
    return cast("Json", found)


def text(body: Json, name: str, *, empty: bool = False) -> str:
    """A text in it. Raises Bad."""
    found = body.get(name)
    if not isinstance(found, str) or not (found or empty):
        raise Bad(f"missing parameter {name}")
    return found


def _content(body: Json, *, empty: bool = False) -> str:
    found = text(body, "content", empty=empty)
    if len(found.encode()) > CONTENT_BYTES_MAX:
        raise Bad(f"content has more than {CONTENT_BYTES_MAX} bytes")
    return found


def read_answer(body: Json, *, kinds: tuple[str, ...]) -> Shown:
    """What is shown of a reply or a push; `kinds`: what may be sent this way. Raises Bad."""
    kind = text(body, "msgtype")
    if kind not in kinds:
        raise Bad(f"msgtype {kind} is not supported here")
    if kind == "text":
        return Shown(kind="text", text=_content(part(body, "text")))
    if kind == "markdown":
        found = part(body, "markdown")
        return Shown(text=_content(found), feedback=_feedback(found))
    if kind == "stream":
        return read_stream(part(body, "stream"))
    if kind == "template_card":
        return read_card(part(body, "template_card"))
    if kind == "stream_with_template_card":
        return _both(body)
    return Shown(kind="picture" if kind == "image" else kind, media_id=_media(body, kind))


def _both(body: Json) -> Shown:
    stream = read_stream(part(body, "stream"))
    if "template_card" not in body:
        return stream
    card = read_card(part(body, "template_card"))
    return replace(
        stream,
        card=card.card,
        buttons=card.buttons,
        task_id=card.task_id,
        card_type=card.card_type,
    )


def _media(body: Json, kind: str) -> str:
    return text(part(body, kind), "media_id")


def _feedback(found: Json) -> str:
    given = found.get("feedback")
    if given is None:
        return ""
    name = text(part(found, "feedback"), "id")
    if len(name.encode()) > 256:
        raise Bad("feedback.id has more than 256 bytes")
    return name


def read_stream(found: Json) -> Shown:
    """One state of a stream. Raises Bad."""
    finish = found.get("finish", False)
    if not isinstance(finish, bool):
        raise Bad("finish must be a bool")
    items: Any = found.get("msg_item") or []
    if items and not finish:
        raise Bad("msg_item is only supported when finish is true")
    if not isinstance(items, list) or len(cast("list[Any]", items)) > PICTURES_MAX:
        raise Bad(f"msg_item must be a list of at most {PICTURES_MAX}")
    return Shown(
        text=_content(found, empty=True),
        stream=text(found, "id"),
        finish=finish,
        feedback=_feedback(found),
        pictures=tuple(_picture(item) for item in cast("list[Any]", items)),
    )


def _picture(item: Any) -> bytes:
    image = part(cast("Json", item) if isinstance(item, dict) else {}, "image")
    try:
        content = base64.b64decode(text(image, "base64"), validate=True)
    except binascii.Error:
        raise Bad("image.base64 is no base64") from None
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if md5 != image.get("md5"):
        raise Bad("image.md5 is wrong")
    if not content.startswith((b"\x89PNG", b"\xff\xd8\xff")) or len(content) > PICTURE_BYTES_MAX:
        raise Bad("an image must be a JPG or PNG of at most 10 MB")
    return content


def read_card(found: Json) -> Shown:
    """A template card in the page's neutral form. Raises Bad."""
    kind = text(found, "card_type")
    title = part(found, "main_title") if "main_title" in found else {}
    rows: list[Json] = found.get("horizontal_content_list") or []
    if len(rows) > 6:
        raise Bad("horizontal_content_list has more than 6 rows")
    buttons = _buttons(found, kind)
    card: Json = {
        "title": title.get("title", ""),
        "markdown": found.get("sub_title_text", ""),
        "fields": [[text(row, "keyname"), row.get("value", "")] for row in rows],
    }
    if kind == "news_notice":
        card["image"] = text(part(found, "card_image"), "url")
    if not card["title"] and not card["markdown"]:
        raise Bad("main_title or sub_title_text must not be empty")
    task_id = found.get("task_id", "")
    if kind == "button_interaction" and not task_id:
        raise Bad("missing parameter task_id")
    if len(task_id) > 128 or not all(c.isalnum() or c in "_-@" for c in task_id):
        raise Bad("task_id is not as documented")
    return Shown(
        kind="actionCard",
        text=card["markdown"],
        card=card,
        buttons=buttons,
        task_id=task_id,
        card_type=kind,
        feedback=_feedback(found),
    )


def _buttons(found: Json, kind: str) -> tuple[Json, ...]:
    if kind == "button_interaction":
        listed: list[Json] = found.get("button_list") or []
        if not 1 <= len(listed) <= 6:
            raise Bad("button_list must have 1 to 6 buttons")
        keys = [text(button, "key") for button in listed]
        if len(set(keys)) < len(keys) or any(len(k.encode()) > KEY_BYTES_MAX for k in keys):
            raise Bad("a button's key is too long or there twice")
        return tuple({"label": text(b, "text"), "key": text(b, "key")} for b in listed)
    if kind not in ("text_notice", "news_notice"):
        raise Bad(f"the simulator shows no cards of type {kind}")
    if part(found, "card_action").get("type") not in (1, 2):
        raise Bad("card_action must lead somewhere")
    jumps: list[Json] = found.get("jump_list") or []
    if len(jumps) > 3:
        raise Bad("jump_list has more than 3 entries")
    return tuple({"label": text(j, "title"), "url": j.get("url", "")} for j in jumps)
