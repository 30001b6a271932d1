"""The `webhook` channel's JSON: what callers post, and what they get back."""

from typing import Any, Final, cast

import msgspec

from ai_engine.channels.text import plain, with_card
from ai_engine.domain.errors import Malformed
from ai_engine.domain.message import Attachment, Chat, ChatKind, InboundMessage, Json, Sender
from ai_engine.domain.reply import Reply

_ID_MAX: Final = 256
_TEXT_MAX: Final = 200_000
_ATTACHMENTS_MAX: Final = 10
_ATTACHMENT_KINDS: Final = ("image", "audio", "video", "file")
_URL_STARTS: Final = ("https://", "http://", "data:")


def decode(body: bytes, channel: str, received_at: float) -> InboundMessage:
    """The message in `{"message_id","session","user","text","chat"?,"attachments"?}`.

    Raises:
        Malformed: it names the JSON path of what is missing or wrong.
    """
    found = _object(body)
    session, user = _id(found, "session"), _id(found, "user")
    attachments = _attachments(found.get("attachments"))
    return InboundMessage(
        channel=channel,
        message_id=_id(found, "message_id"),
        sender=Sender(platform="webhook", user_id=user),
        chat=Chat(kind=_chat(found), id=session),
        text=_text(found, needed=not attachments),
        attachments=attachments,
        target={"session": session, "user": user},
        received_at=received_at,
    )


def encode(reply: Reply, *, in_reply_to: str, target: Json, form: str) -> Json:
    """The reply for callers. `form` `text` takes markdown marks away and sends no card."""
    found: Json = {
        "reply_id": reply.id,
        "in_reply_to": in_reply_to,
        "session": target.get("session", ""),
        "user": target.get("user", ""),
        "text": with_card(reply.text, reply.card),
    }
    if form == "text":
        found["text"] = plain(found["text"])
    elif reply.card is not None:
        found["card"] = msgspec.to_builtins(reply.card)
    found["final"] = reply.final
    return found


def _object(body: bytes) -> Json:
    try:
        found: Any = msgspec.json.decode(body)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"$: not JSON ({str(error)[:200]})") from error
    if not isinstance(found, dict):
        raise Malformed("$: must be a JSON object")
    return cast("Json", found)


def _id(body: Json, key: str) -> str:
    found = body.get(key)
    if not isinstance(found, str):
        raise Malformed(f"$.{key}: must be a text" if key in body else f"$.{key}: is missing")
    if not found.strip() or len(found) > _ID_MAX:
        raise Malformed(f"$.{key}: must have 1 to {_ID_MAX} characters")
    return found


def _text(body: Json, *, needed: bool) -> str:
    found = body.get("text", None if needed else "")
    if not isinstance(found, str):
        raise Malformed("$.text: must be a text" if "text" in body else "$.text: is missing")
    if len(found) > _TEXT_MAX:
        raise Malformed(f"$.text: has more than {_TEXT_MAX} characters")
    if needed and not found.strip():
        raise Malformed("$.text: must not be blank")
    return found


def _chat(body: Json) -> ChatKind:
    found = body.get("chat", "private")
    if found not in ("private", "group"):
        raise Malformed('$.chat: must be "private" or "group"')
    return ChatKind(found)


def _attachments(found: object) -> tuple[Attachment, ...]:
    if found is None:
        return ()
    if not isinstance(found, list):
        raise Malformed("$.attachments: must be a list")
    items = cast("list[Any]", found)
    if len(items) > _ATTACHMENTS_MAX:
        raise Malformed(f"$.attachments: has more than {_ATTACHMENTS_MAX} entries")
    return tuple(_attachment(item, f"$.attachments[{n}]") for n, item in enumerate(items))


def _attachment(found: object, path: str) -> Attachment:
    if not isinstance(found, dict):
        raise Malformed(f"{path}: must be an object")
    item = cast("Json", found)
    kind, url = item.get("kind"), item.get("url")
    if kind not in _ATTACHMENT_KINDS:
        raise Malformed(f"{path}.kind: must be one of {', '.join(_ATTACHMENT_KINDS)}")
    if not isinstance(url, str) or not url.startswith(_URL_STARTS):
        raise Malformed(f"{path}.url: must be an https, http or data URL")
    name, mime = item.get("name", ""), item.get("mime", "")
    if not isinstance(name, str) or not isinstance(mime, str):
        raise Malformed(f"{path}: name and mime must be texts")
    return Attachment(kind=kind, url=url, name=name, mime=mime)
