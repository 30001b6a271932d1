"""The part of the admin API that reaches platforms: checks, people, messages of our own."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import FastAPI, Path
from pydantic import BaseModel, ConfigDict, Field

from ai_engine.api import views
from ai_engine.channels.base import Accepted, Channel
from ai_engine.domain.errors import EngineError, Malformed, NotFound, PermissionMissing
from ai_engine.domain.ids import new_id
from ai_engine.domain.message import InboundMessage, Json, MessageKind, Sender
from ai_engine.pipeline.plan import Plan
from ai_engine.security.egress import is_loopback, origin

Name = Annotated[str, Path(max_length=64)]
Person = Annotated[str, Path(max_length=512)]
May = Callable[[str], Any]
TEXT_MAX = 20_000


class Note(BaseModel):
    """A message that answers nothing."""

    model_config = ConfigDict(use_attribute_docstrings=True, extra="forbid")

    channel: str
    """The channel's name."""
    to: Annotated[str, Field(max_length=512)]
    """`user:<id>`, `group:<id>`, or what else the channel knows."""
    text: Annotated[str, Field(min_length=1, max_length=TEXT_MAX)]
    """Markdown."""
    id: Annotated[str, Field(max_length=128)] = ""
    """Idempotency key: the same one is sent once within 24 h. Empty: a new one."""


class Registration(BaseModel):
    """Where the platform shall call."""

    model_config = ConfigDict(use_attribute_docstrings=True, extra="forbid")

    url: Annotated[str, Field(min_length=1, max_length=2048)]
    """The engine's public base URL, such as `https://ai.example.com`."""


def public_base(url: str, *, plain: bool) -> str:
    """The base URL, without a slash at its end. `plain`: http is enough, on a network of one's own.

    Raises:
        Malformed: it is no base URL, or not https where it must be.
    """
    try:
        scheme, host, _ = origin(url)
    except ValueError as error:
        raise Malformed(f"body.url: {error}", hint="such as https://ai.example.com") from error
    if "?" in url or "#" in url or "/api/message/" in url:
        raise Malformed(
            "body.url: not a base URL", hint="the channel's own path is added: leave it out"
        )
    if scheme != "https" and not (plain or is_loopback(host)):
        raise Malformed(
            "body.url: platforms call https addresses only",
            hint="give the https address of the engine or of the proxy before it",
        )
    return url.rstrip("/")


async def _told(call: Awaitable[str]) -> Json:
    """What the platform says, or why it does not."""
    try:
        said = await call
    except EngineError as error:
        missing = error.permission if isinstance(error, PermissionMissing) else ""
        return {"ok": False, "said": error.message, "hint": error.hint, "permission": missing}
    return {"ok": True, "said": said, "hint": "", "permission": ""}


def routes(
    app: FastAPI,
    plan: Callable[[], Plan],
    accept: Callable[[InboundMessage], Awaitable[Accepted]],
    may: May,
) -> None:
    """Add them to the API."""

    def channel_of(name: str) -> Channel:
        found = plan().channels.get(name)
        if found is None:
            raise NotFound(f"there is no channel {name!r}", hint="see `ai-engine channels list`")
        return found

    @app.post("/channels/{name}/check", dependencies=[may("channel.check")])
    async def check(name: Name) -> Json:
        """Call the platform once with the channel's credentials."""
        return await _told(channel_of(name).check())

    @app.post("/channels/{name}/register", dependencies=[may("channel.register")])
    async def register(name: Name, wanted: Registration) -> Json:
        """Tell the platform where this channel is called, where it takes that by a call."""
        channel = channel_of(name)
        config = plan().config.channels.get(name)
        base = public_base(wanted.url, plain=bool(config and config.endpoints.api))
        return await _told(channel.register(base))

    @app.get("/channels/{name}/people/{user_id:path}", dependencies=[may("people.read")])
    async def person(name: Name, user_id: Person) -> Json:
        """A person as the platform's directory knows them."""
        found = await channel_of(name).profile(user_id)
        if found is None:
            raise NotFound(f"the platform's directory knows no {user_id!r}")
        return views.profile(found)

    @app.post("/messages", dependencies=[may("message.send")], status_code=202)
    async def send(note: Note) -> Json:
        """Send a message that answers nothing: durable when this answers."""
        channel = channel_of(note.channel)
        try:
            to = channel.address(note.to)
        except Malformed as error:
            raise Malformed(f"body.to: {error.message}", hint=error.hint) from error
        message_id = f"note/{note.id or new_id('n')}"
        taken = await accept(
            InboundMessage(
                channel=note.channel,
                message_id=message_id,
                sender=Sender(platform=channel.type, user_id=to.user_id, tenant=to.tenant),
                chat=to.chat,
                kind=MessageKind.NOTICE,
                payload={"say": note.text},
                target=to.target,
            )
        )
        return {"id": taken.id, "message_id": message_id, "duplicate": taken.duplicate}
