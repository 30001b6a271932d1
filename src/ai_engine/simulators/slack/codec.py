"""Slack's payloads as it sends them: events, interactions, commands.

Source: docs.slack.dev, "Events API", "block_actions payload", "Slash commands", "File object".
"""

from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

import msgspec

from ai_engine.domain.ids import new_id
from ai_engine.domain.message import Json
from ai_engine.simulators.people import Conversation, Person
from ai_engine.simulators.slack.faults import SlackFaults
from ai_engine.simulators.transcript import Entry

TEAM: Final = "T0SIMULATED"
FORM: Final = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bot:
    """The app and its bot user."""

    name: str
    app_id: str = "A0SIMULATED"
    user_id: str = "U0SIMBOT"
    bot_id: str = "B0SIMBOT"
    team_id: str = TEAM


def escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def unescaped(text: str) -> str:
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def channel_type(chat: Conversation) -> str:
    return "im" if chat.kind == "private" else "channel"


def written(text: str, bot: Bot, people: list[Person]) -> str:
    """A person's words as Slack stores them: entities, and mentions by id."""
    words = escaped(text).replace(f"@{bot.name}", f"<@{bot.user_id}>")
    for person in people:
        words = words.replace(f"@{person.name}", f"<@{person.id}>")
    return words


def message_event(
    *,
    person: Person,
    chat: Conversation,
    ts: str,
    text: str,
    thread_ts: str = "",
    file: Json | None = None,
) -> Json:
    """A post as the event `message` tells it."""
    event: Json = {
        "type": "message",
        "user": person.id,
        "text": text,
        "ts": ts,
        "channel": chat.id,
        "channel_type": channel_type(chat),
        "event_ts": ts,
        "team": TEAM,
        "client_msg_id": new_id("client"),
        "blocks": [{"type": "rich_text", "block_id": "b1", "elements": []}],
    }
    if thread_ts:
        event["thread_ts"] = thread_ts
    if file is not None:
        event |= {"subtype": "file_share", "files": [file], "upload": False}
    return event


def mention_event(message: Json) -> Json:
    """The same post as the event `app_mention` tells it."""
    kept = ("user", "text", "ts", "channel", "event_ts", "team", "thread_ts", "blocks", "files")
    return {"type": "app_mention", **{key: message[key] for key in kept if key in message}}


def changed_event(message: Json, text: str, event_ts: str) -> Json:
    """The event of an edited post."""
    new = {**_bare(message), "text": text, "edited": {"user": message["user"], "ts": event_ts}}
    return {
        "type": "message",
        "subtype": "message_changed",
        "message": new,
        "previous_message": _bare(message),
        "channel": message["channel"],
        "channel_type": message["channel_type"],
        "hidden": True,
        "ts": event_ts,
        "event_ts": event_ts,
    }


def deleted_event(message: Json, event_ts: str) -> Json:
    """The event of a deleted post."""
    return {
        "type": "message",
        "subtype": "message_deleted",
        "previous_message": _bare(message),
        "deleted_ts": message["ts"],
        "channel": message["channel"],
        "channel_type": message["channel_type"],
        "hidden": True,
        "ts": event_ts,
        "event_ts": event_ts,
    }


def _bare(message: Json) -> Json:
    """Within another event a message has no place of its own."""
    return {
        key: value
        for key, value in message.items()
        if key not in ("channel", "channel_type", "event_ts")
    }


def opened_event(person: Person, chat: Conversation, event_ts: str) -> Json:
    return {
        "type": "app_home_opened",
        "user": person.id,
        "channel": chat.id,
        "tab": "messages",
        "event_ts": event_ts,
    }


def envelope(event: Json, bot: Bot, *, now: float, faults: SlackFaults) -> Json:
    """`event_callback` around an event."""
    found: Json = {
        "token": "deprecated",
        "team_id": bot.team_id,
        "context_team_id": bot.team_id,
        "api_app_id": bot.app_id,
        "event": event,
        "type": "event_callback",
        "event_id": new_id("Ev"),
        "event_time": int(now),
        "is_ext_shared_channel": bool(faults.other_team),
        "event_context": new_id("4"),
    }
    if not faults.no_authorizations:
        found["authorizations"] = [
            {
                "enterprise_id": None,
                "team_id": bot.team_id,
                "user_id": bot.user_id,
                "is_bot": True,
                "is_enterprise_install": False,
            }
        ]
    if faults.other_team:
        event |= {"user_team": faults.other_team, "source_team": faults.other_team}
    return found


def spoiled(payload: Json, faults: SlackFaults) -> Json:
    """The event as the fault knobs want it."""
    event: Any = payload.get("event")
    if not isinstance(event, dict) or not (faults.unknown_msgtype or faults.oversized_bytes):
        return payload
    changed: Json = {**event}
    if faults.unknown_msgtype:
        changed |= {"text": "", "blocks": [{"type": "unknown_block"}]}
        changed.pop("files", None)
    if faults.oversized_bytes:
        changed["text"] = str(changed.get("text", "")) + "x" * faults.oversized_bytes
    return {**payload, "event": changed}


def http_body(kind: str, payload: Json, faults: SlackFaults) -> tuple[str, bytes]:
    """(content type, body): events are JSON, interactions JSON in a form, commands a form."""
    if kind == "slash_commands":
        return FORM, urlencode(payload).encode()
    data = msgspec.json.encode(spoiled(payload, faults))
    data = data[: len(data) // 2] if faults.malformed_json else data
    if kind == "interactive":
        return FORM, urlencode({"payload": data}).encode()
    return "application/json", data


def file_object(file_id: str, name: str, mime: str, size: int, kind: str, address: str) -> Json:
    """A file as events and `files.info` tell of it."""
    found: Json = {
        "id": file_id,
        "name": name,
        "title": name,
        "mimetype": mime,
        "filetype": name.rpartition(".")[2] or "binary",
        "mode": "hosted",
        "size": size,
        "is_external": False,
        "url_private": address,
        "url_private_download": address,
        "file_access": "visible",
    }
    if kind == "audio":
        found |= {"subtype": "slack_audio", "transcription": {"status": "processing"}}
    return found


def block_actions(
    *,
    person: Person,
    bot: Bot,
    entry: Entry,
    action: Json,
    thread_ts: str,
    response_url: str,
) -> Json:
    """A pressed element of the bot's message."""
    private = entry.chat == "private"
    message: Json = {"type": "message", "ts": entry.id, "bot_id": bot.bot_id, "text": entry.text}
    container: Json = {
        "type": "message",
        "message_ts": entry.id,
        "channel_id": entry.conversation,
        "is_ephemeral": False,
    }
    if thread_ts:
        message["thread_ts"] = container["thread_ts"] = thread_ts
    return {
        "type": "block_actions",
        "user": {
            "id": person.id,
            "username": person.id,
            "name": person.name,
            "team_id": bot.team_id,
        },
        "api_app_id": bot.app_id,
        "token": "deprecated",
        "container": container,
        "trigger_id": new_id("trigger"),
        "team": {"id": bot.team_id, "domain": "simulated"},
        "enterprise": None,
        "is_enterprise_install": False,
        "channel": {
            "id": entry.conversation,
            "name": "directmessage" if private else "project",
        },
        "message": message,
        "state": {"values": {}},
        "response_url": response_url,
        "actions": [action],
    }
