"""The frames of `/api/ws`, version 1: what a client may say and what it is told.

docs/reference/websocket.md is this module's contract with programs that others write.
"""

from typing import Annotated, Final

import msgspec

from ai_engine.domain.errors import Malformed
from ai_engine.domain.message import Json
from ai_engine.domain.session import SessionEvent

VERSION = 1
ClientId = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9_.:-]{1,64}\Z")]
EventNumber = Annotated[int, msgspec.Meta(ge=0)]


class Hello(msgspec.Struct, tag="hello", tag_field="type", frozen=True):
    """The first frame. `token` may stay empty when the browser's cookie proves who this is."""

    v: int = VERSION
    token: str = ""
    last_event: EventNumber = 0
    """The newest event that this client has; 0 for everything that is kept."""
    session: str = ""
    """What `welcome` said that `last_event` belongs to; empty: the session that it finds."""


class Send(msgspec.Struct, tag="send", tag_field="type", frozen=True):
    """A message. The same `client_id` again is the same message."""

    client_id: ClientId
    text: str


class Stop(msgspec.Struct, tag="stop", tag_field="type", frozen=True):
    """Stop the answer in progress."""

    client_id: ClientId = ""


ClientFrame = Hello | Send | Stop


class Welcome(msgspec.Struct, tag="welcome", tag_field="type", frozen=True):
    v: int
    session: str
    """Opaque; give it back in the next `hello`."""
    n: int
    """The newest event there is now; the client has caught up when it has this one."""
    user: str
    text_chars_max: int
    idle_seconds: float


class Reset(msgspec.Struct, tag="reset", tag_field="type", frozen=True):
    """Events between the client's last one and `n` are gone; what follows begins after `n`."""

    n: int


class Event(msgspec.Struct, tag="event", tag_field="type", frozen=True):
    n: int
    kind: str
    at: float
    body: Json


class PartialFrame(
    msgspec.Struct, tag="partial", tag_field="type", frozen=True, omit_defaults=True
):
    turn: str
    offset: int
    text: str
    done: bool = False


class Ack(msgspec.Struct, tag="ack", tag_field="type", frozen=True):
    client_id: str
    id: str
    duplicate: bool


class Error(msgspec.Struct, tag="error", tag_field="type", frozen=True, omit_defaults=True):
    code: str
    message_zh: str
    message_en: str
    client_id: str = ""
    """The message that was not accepted, when it is about one."""
    retry_after_seconds: int = 0


ServerFrame = Welcome | Reset | Event | PartialFrame | Ack | Error

_decoder = msgspec.json.Decoder(ClientFrame)
_encoder = msgspec.json.Encoder()


def decode(data: str) -> ClientFrame:
    """Raises Malformed, saying which field is wrong."""
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise Malformed(
            f"Not a frame of this protocol: {error}.", hint="see docs/reference/websocket.md"
        ) from error


def encode(frame: ServerFrame) -> str:
    return _encoder.encode(frame).decode()


def message_id(user_id: str, client_id: str) -> str:
    """The channel's id of a message: the same for the same person and client id, so that a
    message sent again is recognised. A client id holds no colon."""
    return f"{user_id}:{client_id}"


PUBLIC_FIELDS: Final = {
    "message": ("id", "message_id", "user", "name", "text"),
    "reply": ("id", "in_reply_to", "text", "card", "produced_by", "final"),
    "cleared": ("in_reply_to",),
    "stopped": ("in_reply_to",),
}


def event_frame(event: SessionEvent) -> Event:
    """The public form of a log entry: what devices show, whatever else the entry holds.

    A message also gets the `client_id` that its sender gave it.
    """
    public = PUBLIC_FIELDS.get(event.kind, ())
    body: Json = {name: event.body[name] for name in public if name in event.body}
    if event.kind == "message":
        body["client_id"] = str(body.get("message_id", "")).rpartition(":")[2]
    return Event(n=event.n, kind=event.kind, at=event.at, body=body)
