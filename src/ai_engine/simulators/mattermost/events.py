"""The JSON of events and callbacks, as the server writes it."""

import base64
from typing import Any, cast

import msgspec

from ai_engine.domain.message import Json
from ai_engine.simulators.mattermost.store import TEAM_ID, TEAM_NAME, new_wire_id


def read(data: bytes) -> Json:
    """The JSON object in an answer; {} when there is none."""
    try:
        found: Any = msgspec.json.decode(data)
    except msgspec.DecodeError:
        return {}
    return cast("Json", found) if isinstance(found, dict) else {}


def entries(of: Json, name: str) -> list[Json]:
    """The objects in a list within an object."""
    found: Any = of.get(name)
    several = cast("list[Any]", found) if isinstance(found, list) else []
    return [cast("Json", one) for one in several if isinstance(one, dict)]


def posted(post: Json, channel: Json, user: Json, bot: Json) -> Json:
    """The data of a `posted` event."""
    mentions = [bot["id"]] if f"@{bot['username']}" in post["message"] else []
    return {
        "channel_display_name": channel["display_name"],
        "channel_name": channel["name"],
        "channel_type": channel["type"],
        "mentions": msgspec.json.encode(mentions).decode(),
        "post": msgspec.json.encode(shown(post)).decode(),
        "sender_name": f"@{user['username']}",
        "set_online": True,
        "team_id": channel["team_id"],
    }


def permalink(quoted: Json) -> Json:
    """The preview of a linked post."""
    return {"type": "permalink", "url": "", "data": {"post_id": quoted["id"], "post": quoted}}


def outgoing(post: Json, channel: Json, user: Json, token: str, trigger: str, at_ms: int) -> Json:
    """`model.OutgoingWebhookPayload`."""
    return {
        "token": token,
        "team_id": TEAM_ID,
        "team_domain": TEAM_NAME,
        "channel_id": channel["id"],
        "channel_name": channel["name"],
        "timestamp": at_ms,
        "user_id": user["id"],
        "user_name": user["username"],
        "post_id": post["id"],
        "text": post["message"],
        "trigger_word": trigger if post["message"].startswith(trigger) else "",
        "file_ids": ",".join(post["file_ids"]),
    }


def trigger_id(of: str, user_id: str) -> str:
    """Opaque: an id, the user, a time and a signature, in base64."""
    return base64.b64encode(f"{of}:{user_id}:0:signature".encode()).decode()


def actions(post: Json) -> list[Json]:
    """The buttons of a post, with what only the server knows."""
    found = entries(post["props"], "attachments")
    return [action for one in found for action in entries(one, "actions")]


def pressed(post: Json, action: Json, channel: Json, user: Json) -> Json:
    """`model.PostActionIntegrationRequest`."""
    return {
        "user_id": user["id"],
        "user_name": user["username"],
        "channel_id": channel["id"],
        "channel_name": channel["name"],
        "team_id": channel["team_id"],
        "team_domain": TEAM_NAME if channel["team_id"] else "",
        "post_id": post["id"],
        "trigger_id": trigger_id(new_wire_id(), user["id"]),
        "type": "button",
        "data_source": "",
        "context": action["integration"].get("context") or {},
    }


def look(post: Json, state: str) -> Json:
    """A bot's post for the page: text, card, buttons, and whether it still grows."""
    marks: Any = post["props"].get("ai_engine") or {}
    growing = isinstance(marks, dict) and bool(cast("Json", marks).get("stream"))
    cards = [_card(found) for found in entries(post["props"], "attachments")]
    first = next((card for card in cards if card), None)
    return {
        "text": post["message"],
        "state": "streaming" if growing else "finished" if state else "",
        "card": first,
        "buttons": tuple(
            {"label": action["name"], "style": action.get("style") or "default"}
            for action in actions(post)
        ),
    }


def _card(attachment: Json) -> Json:
    found: Json = {
        "title": attachment.get("title"),
        "markdown": attachment.get("text"),
        "fields": [[f["title"], f["value"]] for f in entries(attachment, "fields")],
        "image": attachment.get("image_url"),
    }
    return {name: value for name, value in found.items() if value}


def shown(post: Json) -> Json:
    """A post as clients get it: what the server keeps for itself is taken out of its buttons."""
    found = entries(post["props"], "attachments")
    if not found:
        return dict(post)
    bare = [{**one, "actions": [_public(a) for a in entries(one, "actions")]} for one in found]
    return {**post, "props": {**post["props"], "attachments": bare}}


def _public(action: Json) -> Json:
    return {name: value for name, value in action.items() if name != "integration"}
