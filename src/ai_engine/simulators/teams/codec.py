"""Activities as Teams sends them, and messages as it takes them."""

import base64
import binascii
import html
from dataclasses import dataclass, replace
from typing import Any, cast

import msgspec

from ai_engine.domain.message import Json
from ai_engine.simulators.people import Conversation, Person
from ai_engine.simulators.teams.faults import TeamsFaults

TENANT = "00000000-aaaa-bbbb-cccc-5e1ec7ed0001"
CHANNEL = "msteams"
ADAPTIVE = "application/vnd.microsoft.card.adaptive"
CONSENT = "application/vnd.microsoft.teams.card.file.consent"
FILE_INFO = "application/vnd.microsoft.teams.card.file.info"
DOWNLOAD = "application/vnd.microsoft.teams.file.download.info"
MESSAGE_BYTES_MAX = 100 * 1024
CARD_BYTES_MAX = 28 * 1024
PICTURE_BYTES_MAX = 1024 * 1024
VERSIONS = ("1.0", "1.1", "1.2", "1.3", "1.4", "1.5")


class BadActivity(Exception):
    """An activity that the connector refuses."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a message looks like in the chat."""

    kind: str
    text: str
    title: str = ""
    card: Json | None = None
    buttons: tuple[Json, ...] = ()
    picture: tuple[str, bytes] | None = None
    """MIME type and content."""
    url: str = ""
    feedback: bool = False
    """Teams shows 👍 and 👎 beneath it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bot:
    app_id: str
    name: str

    @property
    def account(self) -> Json:
        return {"id": f"28:{self.app_id}", "name": self.name}


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """What every activity of one conversation has."""

    bot: Bot
    person: Person
    conversation: Conversation
    service_url: str
    tenant: str
    timestamp: str
    channel_id: str = CHANNEL

    def activity(self, type_: str, id_: str, **more: Any) -> Json:
        kind = kind_of(self.conversation)
        return {
            "type": type_,
            "id": id_,
            "timestamp": self.timestamp,
            "channelId": self.channel_id,
            "serviceUrl": self.service_url,
            "from": account(self.person),
            "conversation": {
                "id": self.conversation.id,
                "conversationType": kind,
                "isGroup": kind != "personal",
                "tenantId": self.tenant,
            },
            "recipient": self.bot.account,
            "channelData": {"tenant": {"id": self.tenant}},
            **more,
        }


def account(person: Person) -> Json:
    """The simulated company's Entra object ids are its user ids."""
    return {"id": f"29:{person.id}", "name": person.name, "aadObjectId": person.id}


def kind_of(conversation: Conversation) -> str:
    """personal | groupChat | channel"""
    if conversation.kind == "private":
        return "personal"
    return "channel" if "@thread.tacv2" in conversation.id else "groupChat"


def words(text: str, bot: Bot, *, at: bool) -> Json:
    """Text with the mention of the bot as Teams writes it."""
    mark = f"<at>{bot.name}</at>"
    entities: list[Json] = [{"type": "clientInfo", "locale": "zh-CN", "platform": "Web"}]
    if at:
        text = text.replace(f"@{bot.name}", mark) if f"@{bot.name}" in text else f"{mark} {text}"
        entities.append({"type": "mention", "mentioned": bot.account, "text": mark})
    return {"text": text, "textFormat": "plain", "entities": entities}


def quoted(text: str) -> Json:
    """The attachment that shows which message is answered."""
    shown = html.escape(text)
    content = (
        '<blockquote itemscope="" itemtype="http://schema.skype.com/Reply" itemid="1">'
        f'<strong itemprop="mri">Bot</strong><span itemprop="time"></span>'
        f'<p itemprop="preview">{shown}</p></blockquote>'
    )
    return {"contentType": "text/html", "content": content}


def encoded(activity: Json, faults: TeamsFaults) -> bytes:
    """As the knobs want it."""
    if faults.unknown_msgtype:
        activity = {**activity, "text": "", "attachments": [{"contentType": "x/red-envelope"}]}
    if faults.oversized_bytes:
        activity = {**activity, "text": f"{activity.get('text', '')}{'x' * faults.oversized_bytes}"}
    body = msgspec.json.encode(activity)
    return body[: len(body) // 2] if faults.malformed_json else body


def read_object(body: bytes | str) -> Json | None:
    """The JSON object in `body`, or None."""
    try:
        value: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return cast("Json", value) if isinstance(value, dict) else None


def dig(body: Json, *path: str) -> Json:
    """The object at `path`, or {}."""
    found: Any = body
    for name in path:
        found = cast("Json", found).get(name) if isinstance(found, dict) else None
    return cast("Json", found) if isinstance(found, dict) else {}


def objects(body: Json, name: str) -> list[Json]:
    """The objects in a list, or []."""
    found: Any = body.get(name)
    listed = cast("list[Any]", found) if isinstance(found, list) else []
    return [cast("Json", one) for one in listed if isinstance(one, dict)]


def read_message(activity: Json) -> Shown:
    """A message activity.

    Raises:
        BadActivity: as the connector refuses it.
    """
    text = activity.get("text", "")
    if not isinstance(text, str):
        raise BadActivity(400, "BadArgument", "text must be a string")
    attachments = objects(activity, "attachments")
    if not text and not attachments:
        raise BadActivity(400, "BadSyntax", "a message needs a text or an attachment")
    bare: Json = {name: value for name, value in activity.items() if name != "attachments"}
    if len(msgspec.json.encode(bare)) > MESSAGE_BYTES_MAX:
        raise BadActivity(413, "MessageSizeTooBig", "Message size too large.")
    shown = Shown(
        kind="text" if activity.get("textFormat") == "plain" else "markdown",
        text=text,
        feedback=bool(dig(activity, "channelData", "feedbackLoop"))
        or dig(activity, "channelData").get("feedbackLoopEnabled") is True,
    )
    for attachment in attachments:
        shown = _with(shown, attachment)
    return shown


def _with(shown: Shown, attachment: Json) -> Shown:
    kind = str(attachment.get("contentType", ""))
    content = dig(attachment, "content")
    name = str(attachment.get("name", ""))
    if kind == ADAPTIVE:
        return _with_card(shown, content)
    if kind.startswith("image/"):
        picture = _picture(str(attachment.get("contentUrl", "")), kind)
        return replace(shown, kind="picture", text=shown.text or name, picture=picture)
    if kind == CONSENT:
        return _consent(shown, name, content)
    if kind == FILE_INFO:
        url = str(attachment.get("contentUrl", ""))
        return replace(shown, kind="file", text=shown.text or name, url=url)
    raise BadActivity(400, "BadArgument", f"attachments of type {kind!r} are not shown")


def _picture(url: str, kind: str) -> tuple[str, bytes]:
    head, comma, data = url.partition(",")
    if not comma or head != f"data:{kind};base64":
        raise BadActivity(400, "BadArgument", "a picture is a base64 data URL of its type")
    try:
        content = base64.b64decode(data, validate=True)
    except binascii.Error:
        raise BadActivity(400, "BadArgument", "the picture is no base64") from None
    if len(content) > PICTURE_BYTES_MAX:
        raise BadActivity(413, "MessageSizeTooBig", "a picture has at most 1 MB")
    return kind, content


def _consent(shown: Shown, name: str, content: Json) -> Shown:
    accept, decline = dig(content, "acceptContext"), dig(content, "declineContext")
    if not name or not isinstance(content.get("sizeInBytes"), int):
        raise BadActivity(400, "BadArgument", "a file consent card needs name and sizeInBytes")
    buttons: tuple[Json, ...] = (
        {"label": "允许 · Allow", "style": "primary", "consent": "accept", "context": accept},
        {"label": "拒绝 · Decline", "consent": "decline", "context": decline},
    )
    return replace(shown, kind="file", text=shown.text or name, title=name, buttons=buttons)


def _with_card(shown: Shown, content: Json) -> Shown:
    if content.get("type") != "AdaptiveCard" or content.get("version") not in VERSIONS:
        raise BadActivity(400, "BadArgument", "no Adaptive Card of version 1.0 to 1.5")
    if len(msgspec.json.encode(content)) > CARD_BYTES_MAX:
        raise BadActivity(413, "MessageSizeTooBig", "a card has at most 28 KB")
    card: Json = {}
    buttons: list[Json] = [_button(action) for action in objects(content, "actions")]
    for element in objects(content, "body"):
        if element.get("type") == "ActionSet":
            buttons += [_button(action) for action in objects(element, "actions")]
        else:
            _add_element(card, element)
    if dig(content, "msteams").get("width") == "Full":
        card["width"] = "Full"
    return replace(shown, card=card, buttons=tuple(buttons))


def _add_element(card: Json, element: Json) -> None:
    text = str(element.get("text", ""))
    match element.get("type"):
        case "TextBlock" if element.get("weight") == "Bolder" and "title" not in card:
            card["title"] = text
        case "TextBlock":
            card["markdown"] = f"{card['markdown']}\n\n{text}" if "markdown" in card else text
        case "FactSet":
            facts = objects(element, "facts")
            card["fields"] = [[str(f.get("title")), str(f.get("value"))] for f in facts]
        case "Image":
            card["image"] = str(element.get("url", ""))
        case other:
            raise BadActivity(400, "BadArgument", f"element {other!r} is not shown")


def _button(action: Json) -> Json:
    style = {"positive": "primary", "destructive": "danger"}.get(str(action.get("style")), "")
    button: Json = {"label": str(action.get("title", ""))}
    if style:
        button["style"] = style
    match action.get("type"):
        case "Action.OpenUrl":
            button["url"] = str(action.get("url", ""))
        case "Action.Execute":
            button |= {"execute": dig(action, "data"), "verb": str(action.get("verb", ""))}
            button["submit"] = dig(action, "fallback", "data")
        case "Action.Submit":
            button["submit"] = dig(action, "data")
        case other:
            raise BadActivity(400, "BadArgument", f"action {other!r} is not shown")
    return button
