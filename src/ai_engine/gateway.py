"""The HTTP edge: platform callbacks, health, metrics, the WebSocket, and the mounted admin API."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from ai_engine.channels.base import Accept, Channel, WebhookRequest, WebhookResponse
from ai_engine.domain.errors import (
    EngineError,
    Malformed,
    NotFound,
    Overloaded,
    Refused,
    TooLarge,
)
from ai_engine.domain.within import within
from ai_engine.observe.metrics import Metrics

log = logging.getLogger(__name__)

_PREFIX: Final = "/api/message/"
QUERY_FIELDS_MAX: Final = 50
BODY_SECONDS_MAX: Final = 10.0
"""A request body must be complete in this time; a slower client is turned away."""


class Disconnected(Exception):
    """The client went away before its body was complete; nobody is left to answer."""


async def read_body(receive: Receive, bytes_max: int) -> bytes:
    """The whole body. Raises TooLarge above the limit, Disconnected when the client left."""
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > bytes_max:
            raise TooLarge(f"the body is larger than {bytes_max} bytes")
        if chunk:
            chunks.append(chunk)
        if not message.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def refusal(error: Refused) -> WebhookResponse:
    """A refusal as JSON: code, message, what to do."""
    body = {"error": {"code": error.code, "message": error.message, "hint": error.hint}}
    headers: dict[str, str] = {}
    if isinstance(error, Overloaded):
        headers["retry-after"] = str(error.retry_after_seconds)
    return WebhookResponse(status=error.status, body=msgspec.json.encode(body), headers=headers)


class MessageEndpoint:
    """`/api/message/<channel>` as plain ASGI, because every message passes here."""

    def __init__(
        self,
        channels: Callable[[], Mapping[str, Channel]],
        accept: Accept,
        metrics: Metrics,
        body_bytes_max: Callable[[], int],
    ) -> None:
        self._channels = channels
        self._accept = accept
        self._metrics = metrics
        self._body_bytes_max = body_bytes_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        name, _, rest = scope["path"].removeprefix(_PREFIX).partition("/")
        try:
            response = await self._answer(name, rest, scope, receive)
        except Disconnected:
            return
        except Refused as error:
            response = self._refused(name, scope, error)
        except EngineError as error:
            log.error("a message was not accepted: %s", error)
            response = refusal(Overloaded("not accepted: an internal fault", hint="send it again"))
        await _send(send, response)

    async def _answer(
        self, name: str, rest: str, scope: Scope, receive: Receive
    ) -> WebhookResponse:
        channels = self._channels()
        channel = channels.get(name) or _alike(channels, name)
        if channel is None:
            raise NotFound(f"there is no channel {name!r}", hint="see `ai-engine channels list`")
        try:
            with within(BODY_SECONDS_MAX):
                body = await read_body(receive, self._body_bytes_max())
        except TimeoutError as error:
            raise Refused("the body did not arrive in time") from error
        client = scope.get("client")
        request = WebhookRequest(
            method=scope["method"],
            path=rest,
            headers={k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]},
            query=_query(scope["query_string"]),
            body=body,
            remote=client[0] if client else "",
        )
        answer = channel.webhook(request, self._accept)
        # A query may ask to wait for the reply; a client that left must not be waited for.
        return await (_while_connected(answer, receive) if request.query else answer)

    def _refused(self, name: str, scope: Scope, error: Refused) -> WebhookResponse:
        client = scope.get("client")
        known = name if name in self._channels() else "unknown"
        if not isinstance(error, Overloaded):  # ingress has counted that, for every channel
            self._metrics.inbound(known, f"refused:{error.code}")
        if not isinstance(error, Overloaded):
            log.warning(
                "refused a request to a channel",
                extra={
                    "audit": "channel.refused",
                    "channel": known,
                    "remote": client[0] if client else "",
                    "reason": error.message,
                    "status": error.status,
                },
            )
        return refusal(error)


def _alike(channels: Mapping[str, Channel], name: str) -> Channel | None:
    """Hyphens and underscores are the same in a channel's name; no two differ by them alone."""
    wanted = name.replace("-", "_")
    return next((c for n, c in channels.items() if n.replace("-", "_") == wanted), None)


async def _while_connected(
    answer: Coroutine[Any, Any, WebhookResponse], receive: Receive
) -> WebhookResponse:
    """The answer; cancelled, with Disconnected raised, when the client goes away first."""
    working = asyncio.ensure_future(answer)
    leaving = asyncio.ensure_future(_left(receive))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise Disconnected
    finally:
        leaving.cancel()
        working.cancel()
        await asyncio.wait({working, leaving})


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _query(raw: bytes) -> Mapping[str, str]:
    if not raw:
        return {}
    try:
        pairs = parse_qsl(
            raw.decode("latin-1"), keep_blank_values=True, max_num_fields=QUERY_FIELDS_MAX
        )
    except ValueError as error:
        raise Malformed(f"the query has more than {QUERY_FIELDS_MAX} fields") from error
    return dict(pairs)


async def _send(send: Send, response: WebhookResponse) -> None:
    headers = [
        (b"content-type", response.media_type.encode("latin-1")),
        (b"content-length", str(len(response.body)).encode("ascii")),
    ]
    headers += [(k.lower().encode(), v.encode("latin-1")) for k, v in response.headers.items()]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})


class LazyApp:
    """Imports and builds an ASGI app at its first request, off the event loop."""

    def __init__(self, build: Callable[[], ASGIApp]) -> None:
        self._build = build
        self._app: ASGIApp | None = None
        self._lock = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._app is None:
            async with self._lock:
                if self._app is None:
                    self._app = await asyncio.to_thread(self._build)
        await self._app(scope, receive, send)


Readiness = Callable[[], dict[str, Any]]


class Operations:
    """`/healthz`, `/readyz`, `/metrics`: details only for those who may see them."""

    def __init__(
        self,
        readiness: Readiness,
        render_metrics: Callable[[], Awaitable[bytes]],
        may_see: Callable[[Request], bool],
    ) -> None:
        self._readiness = readiness
        self._render_metrics = render_metrics
        self._may_see = may_see

    async def healthz(self, _: Request) -> Response:
        """The process answers."""
        return JSONResponse({"status": "ok"})

    async def readyz(self, request: Request) -> Response:
        """200 when messages can be accepted; what is not ready, when the asker may know."""
        state = self._readiness()
        status = 200 if state["ready"] else 503
        shown = state if self._may_see(request) else {"ready": state["ready"]}
        return JSONResponse(shown, status_code=status)

    async def metrics(self, request: Request) -> Response:
        """Prometheus text; a Bearer token is needed unless the listener is loopback."""
        if not self._may_see(request):
            return JSONResponse(
                {"error": {"code": "unauthenticated", "message": "a token is needed"}},
                status_code=401,
                headers={"www-authenticate": "Bearer"},
            )
        return Response(await self._render_metrics(), media_type="text/plain; version=0.0.4")


async def _home(_: Request) -> Response:
    return RedirectResponse("/chat")


def build_app(
    *,
    messages: MessageEndpoint,
    operations: Operations,
    chat_routes: list[BaseRoute],
    admin: Callable[[], ASGIApp],
) -> ASGIApp:
    """The whole HTTP surface. Platform callbacks go straight to their endpoint."""
    others = Starlette(
        routes=[
            Route("/healthz", operations.healthz),
            Route("/readyz", operations.readyz),
            Route("/metrics", operations.metrics),
            *chat_routes,
            Mount("/api/v1", LazyApp(admin)),
            Route("/", _home),
        ]
    )

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(_PREFIX):
            await messages(scope, receive, send)
        else:
            await others(scope, receive, send)

    return app
