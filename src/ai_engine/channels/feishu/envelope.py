"""What arrives over HTTP: proven, decrypted and parsed, in this order.

Source: Feishu, "Receive events" and "Configure the request address": schema 2.0
`{"schema","header","event"}`, the challenge `{"challenge","token","type":"url_verification"}`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

from ai_engine.channels.feishu import crypto
from ai_engine.channels.http import parse
from ai_engine.domain.errors import Malformed
from ai_engine.domain.message import Json

URL_VERIFICATION: Final = "url_verification"


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """Of the app's page Events & Callbacks."""

    encrypt_key: str = field(repr=False)
    token: str = field(repr=False)
    """Verification Token."""


def opened(headers: Mapping[str, str], body: bytes, keys: Keys, now: float) -> Json:
    """The event in a request that Feishu sent.

    With an Encrypt Key the signature and the encryption are required (only the check of the address
    comes unsigned); without one the Verification Token is. With neither nothing gets in.

    Raises:
        Unauthenticated, Forbidden: not proven, or stale. Malformed: proven, and no event.
    """
    if not keys.encrypt_key:
        return _by_token(body, keys.token)
    signed = crypto.SIGNATURE in headers
    if signed:
        crypto.verify(headers, body, keys.encrypt_key, now)
    event = _decrypted(body, keys.encrypt_key, signed=signed)
    if not signed and event.get("type") != URL_VERIFICATION:
        raise crypto.unproven()
    if keys.token:
        crypto.check_token(_token(event), keys.token)
    return event


def _by_token(body: bytes, token: str) -> Json:
    try:
        event = parse(body)
    except Malformed:
        if not token:
            raise crypto.unproven() from None
        raise
    crypto.check_token(_token(event), token)
    return event


def _decrypted(body: bytes, encrypt_key: str, *, signed: bool) -> Json:
    """What cannot be read says so only to who has signed it."""
    try:
        encrypted = parse(body).get("encrypt")
    except Malformed:
        if signed:
            raise
        raise crypto.unproven() from None
    if not isinstance(encrypted, str):
        raise crypto.unproven()
    plain = crypto.decrypt(encrypted, encrypt_key)
    try:
        return parse(plain)
    except Malformed:
        if signed:
            raise
        raise crypto.unproven() from None


def _token(event: Json) -> object:
    """In the header of schema 2.0; at the top of schema 1.0 and of the challenge."""
    header: Any = event.get("header")
    if isinstance(header, dict):
        return cast("Json", header).get("token")
    return event.get("token")
