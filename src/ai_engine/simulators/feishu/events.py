"""Events as Feishu sends them."""

from typing import Any

import msgspec

from ai_engine.domain.ids import new_id
from ai_engine.domain.message import Json
from ai_engine.simulators.feishu.faults import FeishuFaults
from ai_engine.simulators.people import Conversation, Person

TENANT = "tenant-simulated"
BOT_OPEN_ID = "ou_bot"
EVERYONE = ("@所有人", "@all")


def ids(user: str) -> Json:
    """A person's three ids."""
    return {"open_id": f"ou_{user}", "user_id": user, "union_id": f"on_{user}"}


def chat_id(conversation: str) -> str:
    return f"oc_{conversation}"


def envelope(kind: str, body: Json, *, app_id: str, token: str, now: float, tenant: str) -> Json:
    """An event of schema 2.0."""
    header = {
        "event_id": new_id("ev"),
        "event_type": kind,
        "create_time": str(int(now * 1000)),
        "token": token,
        "app_id": app_id,
        "tenant_key": tenant or TENANT,
    }
    return {"schema": "2.0", "header": header, "event": body}


def spoken(text: str, *, group: bool, robot: str, people: list[Person]) -> tuple[str, list[Json]]:
    """The text with keys in place of mentions, and the mentions."""
    named = [(f"@{robot}", robot, {"open_id": BOT_OPEN_ID, "user_id": "", "union_id": "on_bot"})]
    named += [(f"@{p.name}", p.name, ids(p.id)) for p in people]
    for sign in EVERYONE if group else ():
        text = text.replace(sign, "@_all")
    mentions: list[Json] = []
    for sign, name, who in named if group else ():
        if sign in text:
            key = f"@_user_{len(mentions) + 1}"
            text = text.replace(sign, key)
            mentions.append({"key": key, "id": who, "name": name, "tenant_key": TENANT})
    return text, mentions


def message_event(
    *,
    message_id: str,
    person: Person,
    conversation: Conversation,
    kind: str,
    content: Json,
    mentions: list[Json],
    now: float,
    parent: str,
    thread: str,
    tenant: str,
    sender_type: str,
) -> Json:
    """The `event` of im.message.receive_v1."""
    group = conversation.kind == "group"
    message: Json = {
        "message_id": message_id,
        "root_id": parent,
        "parent_id": parent,
        "create_time": str(int(now * 1000)),
        "update_time": str(int(now * 1000)),
        "chat_id": chat_id(conversation.id),
        "chat_type": "group" if group else "p2p",
        "message_type": kind,
        "content": msgspec.json.encode(content).decode(),
    }
    if thread and group:
        message["thread_id"] = thread
    if mentions:
        message["mentions"] = mentions
    sender: Json = {"sender_id": ids(person.id), "sender_type": sender_type}
    return {"sender": sender | {"tenant_key": tenant or TENANT}, "message": message}


def spoiled(event: Json, faults: FeishuFaults) -> Json:
    """The event as the fault knobs want it."""
    message: Any = event.get("event", {}).get("message")
    if not isinstance(message, dict):
        return event
    changed: Json = dict(message)  # pyright: ignore[reportUnknownArgumentType]
    if faults.unknown_msgtype:
        changed |= {"message_type": "unknown_kind", "content": "{}"}
    if faults.oversized_bytes:
        padded = {"text": "x" * faults.oversized_bytes}
        changed |= {"message_type": "text", "content": msgspec.json.encode(padded).decode()}
    return {**event, "event": {**event["event"], "message": changed}}


def old(event: Json) -> Json:
    """The same in schema 1.0."""
    header = event["header"]
    return {
        "uuid": header["event_id"],
        "token": header["token"],
        "ts": header["create_time"],
        "type": "event_callback",
        "event": {"type": header["event_type"], **event["event"]},
    }
