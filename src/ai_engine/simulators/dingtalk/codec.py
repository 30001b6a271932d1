"""DingTalk's JSON: robot messages as it sends them, replies as it takes them."""

from dataclasses import dataclass
from typing import Any, cast

import msgspec

from ai_engine.domain.message import Json
from ai_engine.simulators.dingtalk.faults import DingTalkFaults
from ai_engine.simulators.people import Conversation, Person

CORP_ID = "dingsimulatedcorp"
TEXT_BYTES_MAX = 20_000
"""Longest text of one reply or custom robot message. Not in the public reference: our own bound."""
MSG_PARAM_BYTES_MAX = 15_000
AT_MAX = 50


class BadReply(Exception):
    """A reply that DingTalk refuses with `errcode`, in an HTTP 200."""

    def __init__(self, errcode: int, errmsg: str) -> None:
        super().__init__(errmsg)
        self.errcode = errcode
        self.errmsg = errmsg


class BadParam(Exception):
    """An API call that DingTalk refuses with a code, in an HTTP 400."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a reply looks like in the chat."""

    kind: str
    text: str
    title: str = ""
    media: str = ""
    """Media id of a picture or file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Robot:
    """The app's robot."""

    code: str
    name: str
    user_id: str = "$:LWCP_v1:$robot"


def opaque(user: str) -> str:
    """The `senderId` of a person: opaque, of no use for APIs."""
    return f"$:LWCP_v1:${user}"


def robot_message(
    *,
    message_id: str,
    robot: Robot,
    person: Person,
    conversation: Conversation,
    created_ms: int,
    webhook: str,
    webhook_expires_ms: int,
    content: Json,
) -> Json:
    """The body of a robot callback; `content` holds `msgtype` and its part."""
    group = conversation.kind == "group"
    message: Json = {
        "conversationId": conversation.id,
        "chatbotCorpId": CORP_ID,
        "chatbotUserId": robot.user_id,
        "msgId": message_id,
        "senderNick": person.name,
        "isAdmin": False,
        "senderStaffId": person.id,
        "sessionWebhookExpiredTime": webhook_expires_ms,
        "createAt": created_ms,
        "senderCorpId": CORP_ID,
        "conversationType": "2" if group else "1",
        "senderId": opaque(person.id),
        "sessionWebhook": webhook,
        "robotCode": robot.code,
        "senderPlatform": "Web",
    }
    if group:
        message["conversationTitle"] = conversation.title
        message["isInAtList"] = True
        message["atUsers"] = [{"dingtalkId": robot.user_id}]
    return message | content


def text_content(text: str, *, group: bool, robot_name: str) -> Json:
    """Text as the robot gets it: in a group without the @ and with a leading space."""
    if group:
        text = " " + text.replace(f"@{robot_name}", "").strip()
    return {"msgtype": "text", "text": {"content": text}}


def spoiled(message: Json, faults: DingTalkFaults) -> Json:
    """The message as the fault knobs want it."""
    message = dict(message)
    if faults.no_staff_id:
        message.pop("senderStaffId", None)
    if faults.unknown_msgtype:
        message.pop("text", None)
        message |= {"msgtype": "unknownMsgType", "content": {"unknownMsgType": "红包"}}
    if faults.oversized_bytes:
        text: Json = message.get("text") or {"content": ""}
        padded = text["content"] + "x" * faults.oversized_bytes
        message |= {"msgtype": "text", "text": {"content": padded}}
    if faults.over_quota:
        for part in ("text", "content"):
            message.pop(part, None)
        message |= {"errCode": 20001, "errMsg": "the organisation's quota is used up"}
    return message


def encoded(message: Json, faults: DingTalkFaults) -> bytes:
    """Message to bytes, cut in the middle when the knob says so."""
    body = msgspec.json.encode(message)
    return body[: len(body) // 2] if faults.malformed_json else body


def read_object(body: bytes | str) -> Json | None:
    """The JSON object in `body`, or None."""
    try:
        value: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return cast("Json", value) if isinstance(value, dict) else None


def _part(body: Json, name: str) -> Json:
    part: Any = body.get(name)
    if not isinstance(part, dict):
        raise BadReply(40035, f"缺少参数 {name}")
    return cast("Json", part)


def _words(part: Json, name: str) -> str:
    value = part.get(name)
    if not isinstance(value, str) or not value:
        raise BadReply(40035, f"缺少参数 {name}")
    return value


def read_reply(body: Json) -> Shown | None:
    """A reply to a sessionWebhook or a custom robot; None for msgtype `empty`.

    Raises:
        BadReply: with the errcode that DingTalk answers.
    """
    kind = body.get("msgtype")
    if not isinstance(kind, str) or not kind:
        raise BadReply(40035, "缺少参数 msgtype")
    if kind == "empty":
        return None
    reader = _READERS.get(kind)
    if reader is None:
        raise BadReply(400105, f"不支持的消息类型 {kind}")
    shown = reader(_part(body, kind))
    if len(shown.text.encode()) > TEXT_BYTES_MAX:
        raise BadReply(460101, f"消息内容超过 {TEXT_BYTES_MAX} 字节")
    at: Json = body.get("at") or {}
    if len(at.get("atUserIds") or []) + len(at.get("atMobiles") or []) > AT_MAX:
        raise BadReply(40035, f"一条消息最多 @ {AT_MAX} 人")
    return shown


def _read_text(part: Json) -> Shown:
    return Shown(kind="text", text=_words(part, "content"))


def _read_markdown(part: Json) -> Shown:
    return Shown(kind="markdown", title=_words(part, "title"), text=_words(part, "text"))


def _read_link(part: Json) -> Shown:
    title, text, url = (_words(part, name) for name in ("title", "text", "messageUrl"))
    return Shown(kind="link", title=title, text=f"**{title}**\n\n{text}\n\n[{url}]({url})")


def _read_action_card(part: Json) -> Shown:
    title, text = _words(part, "title"), _words(part, "text")
    buttons: list[Json] = part.get("btns") or []
    links = [(_words(button, "title"), _words(button, "actionURL")) for button in buttons]
    if not links:
        links = [(_words(part, "singleTitle"), _words(part, "singleURL"))]
    return Shown(kind="actionCard", title=title, text=_with_links(text, links))


def _read_feed_card(part: Json) -> Shown:
    links: list[Json] = part.get("links") or []
    if not links:
        raise BadReply(40035, "缺少参数 links")
    lines = [f"- [{_words(x, 'title')}]({_words(x, 'messageURL')})" for x in links]
    return Shown(kind="feedCard", text="\n".join(lines))


def _with_links(text: str, links: list[tuple[str, str]]) -> str:
    return "\n\n".join([text, *(f"[{label}]({url})" for label, url in links)])


_READERS = {
    "text": _read_text,
    "markdown": _read_markdown,
    "link": _read_link,
    "actionCard": _read_action_card,
    "feedCard": _read_feed_card,
}

_PARAMS: dict[str, tuple[str, ...]] = {
    "sampleText": ("content",),
    "sampleMarkdown": ("title", "text"),
    "sampleImageMsg": ("photoURL",),
    "sampleLink": ("text", "title", "picUrl", "messageUrl"),
    "sampleActionCard": ("title", "text", "singleTitle", "singleURL"),
    "sampleActionCard6": (
        *("title", "text", "buttonTitle1", "buttonUrl1", "buttonTitle2", "buttonUrl2"),
    ),
    "sampleAudio": ("mediaId", "duration"),
    "sampleFile": ("mediaId", "fileName", "fileType"),
    "sampleVideo": ("duration", "videoMediaId", "videoType", "picMediaId"),
} | {
    f"sampleActionCard{count}": (
        "title",
        "text",
        *(f"action{part}{n}" for n in range(1, count + 1) for part in ("Title", "URL")),
    )
    for count in range(2, 6)
}
"""What each message key's parameters must hold."""


def read_msg_param(key: Any, param: Any) -> Shown:
    """A proactive message: `msgKey` and its `msgParam`, a JSON string.

    Raises:
        BadParam: with the code that DingTalk answers.
    """
    if not key:
        raise BadParam("invalidParameter.msgKey.empty", "msgKey is empty")
    if not isinstance(key, str) or key not in _PARAMS:
        raise BadParam("invalidParameter.msgKey.invalid", f"msgKey {key!r} is invalid")
    if not isinstance(param, str):
        raise BadParam("invalidParameter.msgParam.invalid", "msgParam must be a JSON string")
    if len(param.encode()) > MSG_PARAM_BYTES_MAX:
        raise BadParam(
            "invalidParameter.msgParam.tooLong", f"msgParam is over {MSG_PARAM_BYTES_MAX} bytes"
        )
    fields = read_object(param)
    if fields is None:
        raise BadParam("invalidParameter.msgParam.invalid", "msgParam is no JSON object")
    for name in _PARAMS[key]:
        if not isinstance(fields.get(name), str) or not fields[name]:
            raise BadParam("invalidParameter.msgParam.invalid", f"msgParam lacks {name}")
    return _shown_param(key, fields)


def _shown_param(key: str, fields: dict[str, str]) -> Shown:
    title = fields.get("title", "")
    if key == "sampleText":
        return Shown(kind="text", text=fields["content"])
    if key == "sampleMarkdown":
        return Shown(kind="markdown", title=title, text=fields["text"])
    if key == "sampleImageMsg":
        return Shown(kind="image", text=f"![]({fields['photoURL']})")
    if key == "sampleLink":
        url = fields["messageUrl"]
        text = f"**{title}**\n\n{fields['text']}\n\n[{url}]({url})"
        return Shown(kind="link", title=title, text=text)
    if key.startswith("sampleActionCard"):
        labels = [v for k, v in fields.items() if "title" in k.lower() and k != "title"]
        urls = [v for k, v in fields.items() if "url" in k.lower()]
        text = _with_links(fields["text"], list(zip(labels, urls, strict=False)))
        return Shown(kind="actionCard", title=title, text=text)
    media = fields.get("mediaId") or fields["videoMediaId"]
    kind = {"sampleAudio": "audio", "sampleVideo": "video"}.get(key, "file")
    return Shown(kind=kind, text=fields.get("fileName", ""), media=media)
