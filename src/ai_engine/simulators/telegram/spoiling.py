"""What the fault knobs do to updates."""

import msgspec

from ai_engine.domain.message import Json
from ai_engine.simulators.telegram.faults import TelegramFaults

_CONTENT = (
    *("text", "entities", "caption", "caption_entities", "photo", "document", "audio", "video"),
    *("voice", "sticker"),
)


def spoiled(update: Json, faults: TelegramFaults) -> Json:
    """The update as the knobs want it."""
    message = update.get("message")
    if not isinstance(message, dict):
        return update
    body: Json = dict(message)  # pyright: ignore[reportUnknownArgumentType]
    if faults.clock_skew_seconds:
        body["date"] += int(faults.clock_skew_seconds)
    if faults.unknown_msgtype:
        body = {key: value for key, value in body.items() if key not in _CONTENT}
        body["unknownMsgType"] = {"unknownMsgType": "红包"}
    if faults.oversized_bytes:
        body["text"] = str(body.get("text", "")) + "x" * faults.oversized_bytes
    return {**update, "message": body}


def encoded(update: Json, faults: TelegramFaults) -> bytes:
    """The update's bytes, cut in the middle if the knob says so."""
    body = msgspec.json.encode(update)
    return body[: len(body) // 2] if faults.malformed_json else body


def in_order(updates: list[Json], faults: TelegramFaults) -> list[Json]:
    """Of one answer to getUpdates: runs reversed and updates repeated, as the knobs want."""
    size = faults.reorder
    if size > 1:
        runs = [updates[n : n + size][::-1] for n in range(0, len(updates), size)]
        updates = [update for run in runs for update in run]
    return [update for update in updates for _ in range(1 + faults.duplicate)]
