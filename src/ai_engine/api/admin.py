"""The admin REST API, mounted at `/api/v1`. Every route passes the one policy point."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from ai_engine import __version__
from ai_engine.api import channels, views
from ai_engine.channels.base import Accept
from ai_engine.config.explain import masked
from ai_engine.domain.errors import (
    EngineError,
    Forbidden,
    Malformed,
    NotFound,
    Overloaded,
    Refused,
    Throttled,
    Unauthenticated,
)
from ai_engine.domain.message import Json
from ai_engine.journal.base import Journal
from ai_engine.pipeline.plan import Plan
from ai_engine.policy.authorize import Actor
from ai_engine.security.access import Access

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Admin:
    """What the API needs of the running engine."""

    journal: Journal
    access: Access
    plan: Callable[[], Plan]
    readiness: Callable[[], Json]
    accept: Accept


class RouteTest(BaseModel):
    """A text to try on the routing rules, as if it came from somewhere."""

    text: Annotated[str, Field(max_length=20_000)]
    channel: str = "webchat"
    chat: str = "private"
    roles: tuple[str, ...] = ("employee",)


MessageId = Annotated[str, Path(max_length=512)]
Limit = Annotated[int, Query(ge=1, le=1000)]


class Fault(BaseModel):
    """Why a request was refused."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    code: str
    """Stable; docs/reference/errors.md lists them."""
    message: str
    hint: str
    """What to do; may be empty."""


class Refusal(BaseModel):
    """The body of every answer that is no success."""

    error: Fault


_FAULTS: dict[int | str, dict[str, Any]] = {
    401: {"model": Refusal, "description": "No token, or a wrong one."},
    403: {"model": Refusal, "description": "None of the caller's roles allows it."},
    404: {"model": Refusal, "description": "There is nothing of that id."},
    422: {"model": Refusal, "description": "A parameter or the body is not as described."},
    429: {"model": Refusal, "description": "Too many wrong tokens; `Retry-After` says how long."},
    503: {"model": Refusal, "description": "Not now; `Retry-After` says when."},
}


def build(admin: Admin) -> FastAPI:
    """The sub-application with its OpenAPI description at `/api/v1/openapi.json`."""
    app = FastAPI(
        title="ai-engine",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        responses=_FAULTS,
    )
    app.add_exception_handler(EngineError, _failed)
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _unrouted)

    def may(action: str) -> Any:
        async def check(request: Request) -> None:
            remote = request.client.host if request.client else ""
            headers = {k.lower(): v for k, v in request.headers.items()}
            identity = admin.access.authenticate(headers, remote)
            if identity is None:
                raise Unauthenticated(
                    "a Bearer token is needed", hint="it is in admin.token in the data directory"
                )
            actor = Actor(id=f"admin:{identity.user_id}", roles=frozenset(identity.roles))
            if not admin.plan().policy.authorize(actor, action).allowed:
                raise Forbidden(f"not allowed: {action}")

        return Depends(check)

    _sessions(app, admin, may)
    _messages(app, admin, may)
    _state(app, admin, may)
    channels.routes(app, admin.plan, admin.accept, may)
    return app


async def _refused(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Refused)
    headers = {"www-authenticate": "Bearer"} if isinstance(error, Unauthenticated) else {}
    if isinstance(error, Overloaded | Throttled):
        headers["retry-after"] = str(error.retry_after_seconds)
    body = {"error": {"code": error.code, "message": error.message, "hint": error.hint}}
    return JSONResponse(body, status_code=error.status, headers=headers)


async def _failed(request: Request, error: Exception) -> JSONResponse:
    """The journal could not be read, say: nothing that the caller did."""
    assert isinstance(error, EngineError)
    log.error("the admin API could not answer: %s", error)
    return await _refused(request, Overloaded(error.message, hint=error.hint))


async def _unrouted(request: Request, error: Exception) -> JSONResponse:
    """No such path, or not by this method."""
    assert isinstance(error, HTTPException)
    refused = NotFound("nothing answers here", hint="see /api/v1/openapi.json")
    answer = await _refused(request, refused)
    answer.status_code = error.status_code
    answer.headers.update(error.headers or {})
    return answer


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    """A wrong parameter or body, in the same shape as every other refusal."""
    assert isinstance(error, RequestValidationError)
    found = [f"{'.'.join(str(part) for part in e['loc'])}: {e['msg']}" for e in error.errors()]
    return await _refused(request, Malformed("; ".join(found)))


May = Callable[[str], Any]


def _sessions(app: FastAPI, admin: Admin, may: May) -> None:
    @app.get("/sessions", dependencies=[may("session.read")])
    async def sessions(limit: Limit = 100) -> list[Json]:
        """Live sessions, most recently active first."""
        return [views.session(s) for s in await admin.journal.sessions(limit)]

    @app.get("/sessions/{session_id}", dependencies=[may("session.read")])
    async def session(session_id: MessageId) -> Json:
        """One session: id, user, context, expiry."""
        found = await admin.journal.session(session_id)
        if found is None:
            raise NotFound(f"there is no session {session_id!r}", hint="it may have expired")
        return views.session(found)

    @app.get("/sessions/{session_id}/events", dependencies=[may("session.read")])
    async def events(session_id: MessageId, after: int = 0, limit: Limit = 100) -> list[Json]:
        """The session's event log after entry `after`."""
        found = await admin.journal.session(session_id)
        if found is None:
            raise NotFound(f"there is no session {session_id!r}", hint="it may have expired")
        return [views.event(e) for e in await admin.journal.events(found.key, after, limit)]


def _messages(app: FastAPI, admin: Admin, may: May) -> None:
    @app.get("/messages/{message_id:path}/trace", dependencies=[may("trace.read")])
    async def trace(message_id: MessageId) -> Json:
        """A message's whole story, by the platform's id or ours."""
        found = await admin.journal.trace(message_id)
        if found is None:
            raise NotFound(f"no message {message_id!r} is known", hint="traces are kept 7 days")
        return found

    @app.get("/deadletters", dependencies=[may("deadletter.read")])
    async def dead_letters(limit: Limit = 100) -> list[Json]:
        """Messages and replies that were given up, newest first."""
        return [views.dead_letter(d) for d in await admin.journal.dead_letters(limit)]

    @app.post("/deadletters/{dead_letter_id}/replay", dependencies=[may("deadletter.replay")])
    async def replay(dead_letter_id: MessageId) -> Json:
        """Queue it again, attempts from zero."""
        if not await admin.journal.replay(dead_letter_id):
            raise NotFound(f"there is no dead letter {dead_letter_id!r}")
        return {"id": dead_letter_id, "status": "replayed"}


def _state(app: FastAPI, admin: Admin, may: May) -> None:
    @app.get("/openapi.json", dependencies=[may("status.read")])
    async def description() -> Json:
        """What this API offers."""
        return app.openapi()

    @app.get("/status", dependencies=[may("status.read")])
    async def status() -> Json:
        """Version, readiness, journal figures."""
        stats = await admin.journal.stats()
        return {
            "version": __version__,
            **admin.readiness(),
            "journal": views.stats(stats),
        }

    @app.get("/channels", dependencies=[may("channel.read")])
    async def all_channels() -> list[Json]:
        """Every configured channel and how it is."""
        return [views.channel(c) for c in admin.plan().channels.values()]

    @app.get("/config", dependencies=[may("config.read")])
    async def config() -> Json:
        """The configuration in force; secrets are masked."""
        return masked(admin.plan().config)

    @app.post("/routes/test", dependencies=[may("route.read")])
    async def route_test(test: RouteTest) -> Json:
        """Which rule would win, and why."""
        decision = admin.plan().routes.match(
            test.text, channel=test.channel, chat_kind=test.chat, roles=test.roles
        )
        return views.decision(decision)
