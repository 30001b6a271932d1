"""What outgoing webhooks and slash commands post to us, and what they take as an answer.

Source: developers.mattermost.com, "Outgoing webhooks" and "Slash commands"; the server's
`model.OutgoingWebhookPayload`. A form by default, JSON where the webhook is set so. A command's
`response_url` works for 30 minutes and five times.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final
from urllib.parse import parse_qsl

from ai_engine.channels.http import parse
from ai_engine.channels.mattermost import codec
from ai_engine.domain.errors import Malformed
from ai_engine.domain.message import InboundMessage, Json, Sender

FIELDS_MAX: Final = 200
RESPONSE_URL_SECONDS: Final = 1800.0
_DIRECT: Final = re.compile(r"[a-z0-9]{26}__[a-z0-9]{26}")


def read(body: bytes, headers: Mapping[str, str]) -> Json:
    """The fields of a webhook's or command's body. Raises Malformed."""
    if "json" in headers.get("content-type", ""):
        return parse(body)
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=FIELDS_MAX)
    except ValueError as error:
        raise Malformed("$: neither a form nor JSON") from error
    return dict(pairs)


def token(fields: Json, headers: Mapping[str, str]) -> str:
    """The proof: a field, and for commands also the header `Authorization: Token …`."""
    scheme, _, given = headers.get("authorization", "").partition(" ")
    return codec.text(fields, "token") or (given.strip() if scheme.lower() == "token" else "")


def decode(channel: str, fields: Json, me: codec.Me | None, now: float) -> InboundMessage | None:
    """A webhook's post or a command; None for the bot's own posts, which trigger webhooks too.

    Raises:
        Malformed: it is neither.
    """
    command = bool(codec.text(fields, "command"))
    source = codec.text(fields, "trigger_id" if command else "post_id")
    user, channel_id = codec.text(fields, "user_id"), codec.text(fields, "channel_id")
    if not source or not user or not channel_id:
        raise Malformed("$: user_id, channel_id and post_id (or trigger_id) are needed")
    if me is not None and user == me.id:
        return None
    where = _where(fields, channel_id, me)
    event = "command" if command else codec.POSTED
    found = codec.build(
        channel,
        (event, codec.short(source) if command else source, ""),
        Sender(platform=codec.PLATFORM, user_id=user, name=codec.text(fields, "user_name")),
        where,
        root="" if command else source,
        now=now,
    )
    answer: Json = {"hook": "command" if command else "webhook"}
    if command and (url := codec.text(fields, "response_url")):
        answer |= {"response_url": url, "expires": now + RESPONSE_URL_SECONDS}
    ids: Any = fields.get("file_ids")
    return replace(
        found,
        text=_words(fields, me, command=command),
        attachments=codec.file_refs(ids.split(",") if isinstance(ids, str) else ()),
        target={**found.target, **answer},
    )


def _words(fields: Json, me: codec.Me | None, *, command: bool) -> str:
    words = codec.text(fields, "text").strip()
    if not command:
        words = words.removeprefix(codec.text(fields, "trigger_word")).strip()
    return words if me is None else codec.without_mention(words, me)


def _where(fields: Json, channel_id: str, me: codec.Me | None) -> codec.Where:
    """A command may come from any channel; only the one with the bot itself is private."""
    name = codec.text(fields, "channel_name")
    private = me is not None and _DIRECT.fullmatch(name) is not None and me.id in name
    return codec.Where(id=channel_id, type="D" if private else "O", title=name)


def answer(hook: str, text: str, attachments: list[Json]) -> Json:
    """The body of an answer: into the thread of the post, or visible to the channel."""
    found: Json = {
        "text": text,
        "response_type": "in_channel" if hook == "command" else "comment",
    }
    if attachments:
        found["attachments"] = attachments
    return found
