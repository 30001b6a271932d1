"""The control API and the chat page, the same for every simulated platform."""

import asyncio
import base64
import binascii
import importlib.resources
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import msgspec
from aiohttp import web

from ai_engine.domain.errors import Forbidden, Malformed, NotFound, Overloaded, Refused
from ai_engine.domain.message import Json
from ai_engine.simulators.feed import FeedFull
from ai_engine.simulators.files import SharedFile
from ai_engine.simulators.names import names_of
from ai_engine.simulators.transcript import entry_json

if TYPE_CHECKING:
    from ai_engine.simulators.base import Simulator

WAIT_SECONDS_MAX = 60.0
HEARTBEAT_SECONDS = 15.0
PAGE_FILES = {
    "": ("chat.html", "text/html"),
    "chat.css": ("chat.css", "text/css"),
    **{
        name: (name, "text/javascript")
        for name in (
            "acts.js",
            "browser.js",
            "bubbles.js",
            "cards.js",
            "chat.js",
            "connect.js",
            "dom.js",
            "drawer.js",
            "markdown.js",
            "text.js",
        )
    },
}
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class FileIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    kind: str = "file"
    name: str = "file"
    mime: str = "application/octet-stream"
    base64: str = ""


class SendIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /sim/send`."""

    user: str
    text: str = ""
    chat: str = "private"
    conversation: str = ""
    name: str = ""
    at: bool | None = None
    file: FileIn | None = None


class PressIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    entry: str
    button: int = 0
    user: str = ""


class EditIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    message_id: str
    text: str


class RecallIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    message_id: str


class RateIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    entry: str
    rating: Literal["good", "bad", "none"]
    text: str = ""
    user: str = ""


class EnterIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    user: str
    name: str = ""


class ResendIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    message_id: str
    replay: bool = False


def answer_json(body: Any, status: int = 200) -> web.Response:
    """A JSON answer."""
    return web.Response(
        body=msgspec.json.encode(body), status=status, content_type="application/json"
    )


def guarded(handler: Handler) -> Handler:
    """Refusals as JSON; and no other site's page may use the control API through a browser."""

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            origin = request.headers.get("Origin", "")
            if origin and urlsplit(origin).netloc != request.host:
                raise Forbidden("the control API is not for pages of other sites")
            return await handler(request)
        except Refused as refused:
            answer = answer_json(
                {"error": refused.code, "message": refused.message, "hint": refused.hint},
                refused.status,
            )
            if isinstance(refused, Overloaded):
                answer.headers["Retry-After"] = str(refused.retry_after_seconds)
            return answer

    return handle


def mount(app: web.Application, simulator: "Simulator") -> None:
    """Add the page and `/sim/…` to a simulator's application."""
    api = _Control(simulator)
    for method, path, handler in (
        ("POST", "/sim/send", api.send),
        ("POST", "/sim/resend", api.resend),
        ("POST", "/sim/press", api.press),
        ("POST", "/sim/edit", api.edit),
        ("POST", "/sim/recall", api.recall),
        ("POST", "/sim/rate", api.rate),
        ("POST", "/sim/enter", api.enter),
        ("GET", "/sim/transcript", api.transcript),
        ("GET", "/sim/events", api.events),
        ("POST", "/sim/faults", api.change_faults),
        ("GET", "/sim/faults", api.faults),
        ("DELETE", "/sim/faults", api.clear_faults),
        ("GET", "/sim/requests", api.requests),
        ("DELETE", "/sim/requests", api.clear_requests),
        ("GET", "/sim/info", api.info),
        ("GET", "/", api.page),
        ("GET", "/page/{name}", api.page),
    ):
        app.router.add_route(method, path, guarded(handler))


async def read_json(request: web.Request, kind: type[Any]) -> Any:
    """The request's body as `kind`.

    Raises:
        Malformed: it is not.
    """
    try:
        return msgspec.json.decode(await request.read(), type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(f"the body is not what {request.path} takes: {error}") from error


def number(request: web.Request, name: str, default: float = 0) -> float:
    """A number of the query string.

    Raises:
        Malformed: it is no number.
    """
    try:
        return float(request.query.get(name, default))
    except ValueError as error:
        raise Malformed(f"{name} must be a number") from error


class _Control:
    def __init__(self, simulator: "Simulator") -> None:
        self._sim = simulator

    async def send(self, request: web.Request) -> web.Response:
        body: SendIn = await read_json(request, SendIn)
        message_id = await self._sim.say(
            body.user,
            body.text,
            chat=body.chat,
            conversation=body.conversation,
            name=body.name,
            at=body.at,
            file=_file(body.file) if body.file else None,
        )
        entry = self._sim.transcript.get(message_id)
        return answer_json(
            {"message_id": message_id, "conversation": entry.conversation if entry else ""}
        )

    async def resend(self, request: web.Request) -> web.Response:
        body: ResendIn = await read_json(request, ResendIn)
        await self._sim.resend(body.message_id, replay=body.replay)
        return answer_json({"message_id": body.message_id})

    async def press(self, request: web.Request) -> web.Response:
        body: PressIn = await read_json(request, PressIn)
        return answer_json({"id": await self._sim.press(body.entry, body.button, user=body.user)})

    async def edit(self, request: web.Request) -> web.Response:
        body: EditIn = await read_json(request, EditIn)
        transcript = self._sim.transcript
        before = transcript.get(body.message_id)
        event_id = await self._sim.edit(body.message_id, body.text)
        after = transcript.get(body.message_id)
        if before is not None and after is not None and after.edits <= before.edits:
            transcript.mark(body.message_id, text=body.text, edits=before.edits + 1)
        return answer_json({"id": event_id})

    async def recall(self, request: web.Request) -> web.Response:
        body: RecallIn = await read_json(request, RecallIn)
        event_id = await self._sim.recall(body.message_id)
        self._sim.transcript.mark(body.message_id, recalled=True)
        return answer_json({"id": event_id})

    async def rate(self, request: web.Request) -> web.Response:
        body: RateIn = await read_json(request, RateIn)
        found = await self._sim.rate(body.entry, body.rating, text=body.text, user=body.user)
        self._sim.transcript.mark(body.entry, rating="" if body.rating == "none" else body.rating)
        return answer_json({"id": found})

    async def enter(self, request: web.Request) -> web.Response:
        body: EnterIn = await read_json(request, EnterIn)
        return answer_json({"id": await self._sim.enter(body.user, name=body.name)})

    async def transcript(self, request: web.Request) -> web.Response:
        transcript = self._sim.transcript
        conversation = request.query.get("conversation", "")
        after = int(number(request, "after"))
        limit = int(number(request, "limit"))
        wait = min(number(request, "wait"), WAIT_SECONDS_MAX)

        def look() -> list[Json] | None:
            entries = transcript.list(conversation=conversation, after=after, limit=limit)
            return [entry_json(entry) for entry in entries] or None

        found = look()
        if found is None and wait > 0:
            try:
                found = await transcript.wait(conversation, look, wait)
            except TimeoutError:
                found = None
        return answer_json(found or [])

    async def events(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events: `hello`, then `entry`, `status`, `request`, `state`, `faults`."""
        stream = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
        )
        try:
            async with self._sim.feed.listen() as news:
                await stream.prepare(request)
                await self._sim.probe()
                await _event(stream, "hello", {"last": self._sim.transcript.last})
                await _event(stream, "state", self._sim.state())
                while (item := await _next(news)) is not None:
                    await _event(stream, *item)
        except FeedFull as error:
            raise Overloaded("too many listeners") from error
        except ConnectionError:
            pass  # the listener went away, which is how these streams end
        return stream

    async def faults(self, _: web.Request) -> web.Response:
        return answer_json(self._sim.shared_faults.as_json())

    async def change_faults(self, request: web.Request) -> web.Response:
        changes: Json = await read_json(request, dict[str, Any])
        self._sim.shared_faults.change(changes)
        return await self._told_faults(request)

    async def clear_faults(self, request: web.Request) -> web.Response:
        self._sim.shared_faults.clear()
        return await self._told_faults(request)

    async def _told_faults(self, request: web.Request) -> web.Response:
        self._sim.feed.publish("faults", self._sim.shared_faults.as_json())
        return await self.faults(request)

    async def requests(self, request: web.Request) -> web.Response:
        rows = self._sim.wire.rows(
            direction=request.query.get("direction", ""),
            path=request.query.get("path", ""),
            after=int(number(request, "after")),
        )
        lines = b"".join(msgspec.json.encode(row) + b"\n" for row in rows)
        return web.Response(body=lines, content_type="application/x-ndjson")

    async def clear_requests(self, _: web.Request) -> web.Response:
        self._sim.wire.clear()
        return answer_json({})

    async def info(self, _: web.Request) -> web.Response:
        sim = self._sim
        await sim.probe()
        name_zh, name_en = names_of(sim.platform)
        common: Json = {
            "platform": sim.platform,
            "name_zh": name_zh,
            "name_en": name_en,
            "can": sim.can(),
            "credentials": sim.credentials(),
            "url": sim.url,
            "engine": sim.engine,
            "channel": sim.channel,
            "state": sim.state(),
            "people": [
                {
                    "id": p.id,
                    "name": p.name,
                    "title": p.title,
                    "private": sim.directory.private(p.id).id,
                }
                for p in sim.directory.staff
            ],
            "group_conversation": sim.directory.group().id,
        }
        return answer_json(common | sim.info())

    async def page(self, request: web.Request) -> web.Response:
        file = PAGE_FILES.get(request.match_info.get("name", ""))
        if file is None:
            raise NotFound("no such file of the page")
        name, media_type = file
        content = await asyncio.to_thread(_page_file, name)
        return web.Response(
            body=content,
            content_type=media_type,
            charset="utf-8",
            headers={
                "Content-Security-Policy": PAGE_POLICY,
                "X-Content-Type-Options": "nosniff",
                "Referrer-Policy": "no-referrer",
                "Cache-Control": "no-cache",
            },
        )


def _page_file(name: str) -> bytes:
    return (importlib.resources.files("ai_engine") / "static" / "simulators" / name).read_bytes()


def _file(given: FileIn) -> SharedFile:
    try:
        content = base64.b64decode(given.base64, validate=True)
    except binascii.Error as error:
        raise Malformed("file.base64 is not base64") from error
    return SharedFile(kind=given.kind, name=given.name, mime=given.mime, content=content)


async def _next(news: asyncio.Queue[tuple[str, Json] | None]) -> tuple[str, Json] | None:
    try:
        async with asyncio.timeout(HEARTBEAT_SECONDS):
            return await news.get()
    except TimeoutError:
        return ("alive", {})


async def _event(stream: web.StreamResponse, kind: str, body: Json) -> None:
    await stream.write(
        b"event: " + kind.encode() + b"\ndata: " + msgspec.json.encode(body) + b"\n\n"
    )
