"""Pressed buttons, ratings and slash commands as our messages.

Source: docs.slack.dev, "block_actions payload" and "Slash commands". By HTTP both come as a form;
Socket Mode brings the same fields as JSON.
"""

from typing import Any, Final, cast
from urllib.parse import parse_qsl

from ai_engine.channels.http import parse
from ai_engine.channels.slack.cards import FEEDBACK_ACTION
from ai_engine.channels.slack.codec import (
    Context,
    needed,
    optional,
    part,
    sender,
    target,
)
from ai_engine.channels.slack.markup import as_text
from ai_engine.domain.errors import Malformed
from ai_engine.domain.message import Chat, ChatKind, InboundMessage, Json, MessageKind

RESPONSE_SECONDS: Final = 1800.0
"""A `response_url` works for 30 minutes, five times."""
FIELDS_MAX: Final = 100
EXPIRED: Final = "按钮已过期 / this button has expired"


def read_form(body: bytes) -> Json:
    """The fields of a form. Raises Malformed."""
    try:
        pairs = parse_qsl(
            body.decode("utf-8"), keep_blank_values=True, max_num_fields=FIELDS_MAX, errors="strict"
        )
    except ValueError as error:
        raise Malformed("$: not a form") from error
    return dict(pairs)


def interaction(form: Json) -> Json:
    """The JSON in a form's field `payload`. Raises Malformed."""
    found = form.get("payload")
    if not isinstance(found, str):
        raise Malformed("$.payload: must be a text with JSON")
    return parse(found)


def pressed_value(payload: Json) -> str:
    """The value of the pressed element; empty when nothing of ours was pressed."""
    action = _action(payload)
    return optional(action, "value", 4000) if action is not None else ""


def decode_action(payload: Json, value: Json | None, context: Context) -> InboundMessage | None:
    """`value` is what the pressed value stands for; None: it is not kept any more.

    Raises:
        Malformed: it names the JSON path of what is missing or wrong.
    """
    action = _action(payload)
    if action is None:
        return None
    user = part(payload, "user")
    container = _maybe(payload, "container")
    channel = optional(_maybe(payload, "channel"), "id") or needed(
        container, "channel_id", "$.container"
    )
    private = channel.startswith("D") or (
        optional(_maybe(payload, "channel"), "name") == "directmessage"
    )
    post = optional(container, "message_ts") or optional(_maybe(payload, "message"), "ts")
    thread = optional(container, "thread_ts") or optional(_maybe(payload, "message"), "thread_ts")
    if not private:
        thread = thread or post
    who = needed(user, "id", "$.user")
    team = optional(user, "team_id") or optional(_maybe(payload, "team"), "id")
    parts = (channel, post, optional(action, "action_id"), needed(action, "action_ts", "$.action"))
    kind, content = _meaning(action, value)
    return InboundMessage(
        channel=context.channel,
        message_id="action:" + ":".join((*parts, who)),
        sender=sender(who, team, context),
        chat=Chat(kind=ChatKind.PRIVATE if private else ChatKind.GROUP, id=channel, thread=thread),
        kind=kind,
        text=EXPIRED if kind is MessageKind.UNSUPPORTED else "",
        payload=content,
        target=target(channel, thread, "", who, team, private=private),
        received_at=context.received_at,
    )


def _meaning(action: Json, value: Json | None) -> tuple[MessageKind, Json]:
    if value is None:
        return MessageKind.UNSUPPORTED, {}
    if action.get("action_id") == FEEDBACK_ACTION:
        rating, of = value.get("feedback"), value.get("of")
        return MessageKind.FEEDBACK, {"rating": rating, "of": of, "text": ""}
    return MessageKind.BUTTON, value


def decode_command(fields: Json, context: Context) -> InboundMessage:
    """A slash command is its words. Raises Malformed."""
    user, channel = needed(fields, "user_id"), needed(fields, "channel_id")
    private = channel.startswith("D") or optional(fields, "channel_name") == "directmessage"
    team = optional(fields, "team_id")
    words = as_text(optional(fields, "text", 100_000), (), context.name_of)
    found = sender(user, team, context)
    where = target(channel, "", "", user, team, private=private)
    where["response_url"] = optional(fields, "response_url", 4096)
    where["response_until"] = context.received_at + RESPONSE_SECONDS
    return InboundMessage(
        channel=context.channel,
        message_id="command:" + needed(fields, "trigger_id"),
        sender=found,
        chat=Chat(kind=ChatKind.PRIVATE if private else ChatKind.GROUP, id=channel),
        text=words or optional(fields, "command"),
        target=where,
        received_at=context.received_at,
    )


def people_in(fields: Json) -> list[str]:
    """Whose name a reader of this interaction or command wants to know."""
    found = optional(_maybe(fields, "user"), "id") or optional(fields, "user_id")
    return [found] if found else []


def _action(payload: Json) -> Json | None:
    """The first action of a pressed element; a link's button has no value and means nothing."""
    if payload.get("type") != "block_actions":
        return None
    found: Any = payload.get("actions")
    entries = cast("list[Any]", found) if isinstance(found, list) else []
    if not entries or not isinstance(entries[0], dict):
        raise Malformed("$.actions: must be a list of objects")
    action = cast("Json", entries[0])
    return action if action.get("value") else None


def _maybe(body: Json, key: str) -> Json:
    found: Any = body.get(key)
    return cast("Json", found) if isinstance(found, dict) else {}
