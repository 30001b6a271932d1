"""Events of the organisation that DingTalk pushes: encrypted over HTTP, as frames in Stream mode.

Source: DingTalk, "Event subscription" (HTTP push: query `signature`, `timestamp`, `nonce`, body
`{"encrypt"}`, answered by an encrypted "success") and "A cool app was installed in a group".
"""

import logging
from typing import Final

import msgspec

from ai_engine.channels import callback_crypto
from ai_engine.channels.base import WebhookRequest, WebhookResponse
from ai_engine.channels.dingtalk import codec, crypto
from ai_engine.channels.http import parse
from ai_engine.domain.errors import Malformed
from ai_engine.domain.ids import derived_id
from ai_engine.domain.message import Chat, ChatKind, InboundMessage, Json, MessageKind, Sender

log = logging.getLogger(__name__)

ADDED_TO_GROUP: Final = "im_cool_app_install"
"""Somebody added the app, with its robot, to a group. DingTalk tells of no opened private chat."""
_SECONDS_DIGITS: Final = 11
_ID_MAX: Final = 512


def opened(request: WebhookRequest, token: str, aes_key: str, owner: str, now_ms: int) -> Json:
    """The event of an HTTP push, its proof checked first.

    Raises:
        Malformed: no `encrypt`, or not JSON in it. Unauthenticated, Forbidden.
    """
    query = request.query
    timestamp = query.get("timestamp") or query.get("timeStamp", "")
    given = query.get("signature") or query.get("msg_signature", "")
    encrypted = parse(request.body).get("encrypt")
    if not isinstance(encrypted, str):
        raise Malformed("$.encrypt: must be a text")
    callback_crypto.verify(token, timestamp, query.get("nonce", ""), encrypted, given)
    # DingTalk's own examples have it in milliseconds and in seconds.
    in_ms = timestamp if len(timestamp) > _SECONDS_DIGITS else f"{timestamp}000"
    crypto.fresh(in_ms, now_ms)
    return parse(callback_crypto.decrypt(aes_key, encrypted, owner))


def success(token: str, aes_key: str, owner: str, nonce: str, now_ms: int) -> WebhookResponse:
    """What DingTalk takes for "done": the word, encrypted and signed."""
    encrypted = callback_crypto.encrypt(aes_key, "success", owner)
    timestamp = str(now_ms)
    body = {
        "msg_signature": callback_crypto.signature(token, timestamp, nonce, encrypted),
        "encrypt": encrypted,
        "timeStamp": timestamp,
        "nonce": nonce,
    }
    return WebhookResponse(body=msgspec.json.encode(body))


def decode(event: Json, channel: str, received_at: float) -> InboundMessage | None:
    """The greeting that an event asks for; None for all other events, which mean nothing here."""
    kind = _text(event, "eventType") or _text(event, "EventType")
    conversation, operator = _text(event, "openConversationId"), _text(event, "operator")
    if kind != ADDED_TO_GROUP or not conversation or not operator:
        log.debug("channel %s: event %r acknowledged", channel, kind)
        return None
    event_id = _text(event, "eventId") or derived_id(
        "event", kind, conversation, _text(event, "operateTime")
    )
    target = codec.chat_target(conversation, group=True, user=operator)
    return InboundMessage(
        channel=channel,
        message_id=f"event:{event_id}",
        sender=Sender(
            platform="dingtalk",
            user_id=operator,
            tenant=_text(event, "eventCorpId") or _text(event, "CorpId"),
        ),
        chat=Chat(kind=ChatKind.GROUP, id=conversation),
        kind=MessageKind.WELCOME,
        target={
            "sessionWebhook": "",
            "expires": 0.0,
            "robotCode": _text(event, "robotCode"),
            **target,
        },
        received_at=received_at,
    )


def _text(found: Json, key: str) -> str:
    value = found.get(key)
    return value if isinstance(value, str) and len(value) <= _ID_MAX else ""
