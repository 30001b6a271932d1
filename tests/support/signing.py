"""Signed requests as callers and DingTalk make them, written apart from the code under test."""

import base64
import hashlib
import hmac
import json
from typing import Any


def webhook_signature(body: bytes, secret: str, at: float) -> str:
    """The value of X-AI-Engine-Signature for `body` at `at` (Unix seconds)."""
    message = f"{int(at)}.".encode() + body
    return f"t={int(at)},v1={hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()}"


def webhook_request(message: Any, secret: str, at: float) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a POST to /api/message/<webhook channel>."""
    body = json.dumps(message, ensure_ascii=False).encode()
    headers = {
        "content-type": "application/json",
        "x-ai-engine-signature": webhook_signature(body, secret, at),
    }
    return body, headers


def dingtalk_headers(app_secret: str, at: float) -> dict[str, str]:
    """Headers of DingTalk's robot callback in HTTP mode at `at` (Unix seconds)."""
    timestamp = str(int(at * 1000))
    text = f"{timestamp}\n{app_secret}".encode()
    digest = hmac.new(app_secret.encode(), text, hashlib.sha256).digest()
    return {
        "content-type": "application/json; charset=utf-8",
        "timestamp": timestamp,
        "sign": base64.b64encode(digest).decode(),
    }


def dingtalk_message(text: str, /, *, message_id: str = "msg1", **changes: Any) -> dict[str, Any]:
    """A robot message as DingTalk sends it; `changes` replace fields, None takes one away."""
    body: dict[str, Any] = {
        "conversationId": "cidAbc==",
        "conversationType": "1",
        "chatbotUserId": "$:LWCP_v1:$bot",
        "chatbotCorpId": "dingcorp",
        "msgId": message_id,
        "msgtype": "text",
        "text": {"content": text},
        "senderId": "$:LWCP_v1:$u",
        "senderNick": "Zhang",
        "senderStaffId": "u001",
        "senderCorpId": "dingcorp",
        "robotCode": "dingapp",
        "createAt": 1_700_000_000_000,
        "sessionWebhook": "https://oapi.dingtalk.com/robot/sendBySession?session=s1",
        "sessionWebhookExpiredTime": 1_700_005_400_000,
    }
    body.update(changes)
    return {key: value for key, value in body.items() if value is not None}


def dingtalk_request(message: Any, app_secret: str, at: float) -> tuple[bytes, dict[str, str]]:
    """Body and headers of DingTalk's POST to /api/message/<dingtalk channel>."""
    return json.dumps(message, ensure_ascii=False).encode(), dingtalk_headers(app_secret, at)
