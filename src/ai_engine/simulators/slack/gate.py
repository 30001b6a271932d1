"""What stands before every Web API method: arguments, faults, tokens, scopes."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec
from aiohttp import web

from ai_engine.domain.message import Json
from ai_engine.simulators.base import Handler
from ai_engine.simulators.control import answer_json

if TYPE_CHECKING:
    from ai_engine.simulators.slack.server import SlackSimulator

SCOPES: Final = (
    "app_mentions:read",
    "assistant:write",
    "channels:history",
    "chat:write",
    "commands",
    "files:read",
    "files:write",
    "groups:history",
    "im:history",
    "im:write",
    "mpim:history",
    "reactions:write",
    "users:read",
    "users:read.email",
)


class Refusal(Exception):
    """Answered `{"ok": false, "error": …}`, HTTP 200."""

    def __init__(self, error: str, **more: Any) -> None:
        super().__init__(error)
        self.body: Json = {"ok": False, "error": error, **more}


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One method call, its arguments from query, form or JSON."""

    args: Json
    request: web.Request

    def text(self, name: str, error: str = "invalid_arguments") -> str:
        """A needed argument. Raises Refusal."""
        found = self.args.get(name)
        if not isinstance(found, str) or not found:
            raise Refusal(error, response_metadata={"messages": [f"[ERROR] missing {name}"]})
        return found

    def maybe(self, name: str) -> str:
        found = self.args.get(name)
        return found if isinstance(found, str) else ""


Method = Callable[[Call], Awaitable[Json]]


class Gate:
    """Wraps methods. A method that reads takes no JSON: Slack looks for its arguments in the query
    or in a form only."""

    def __init__(self, simulator: "SlackSimulator") -> None:
        self._sim = simulator

    def method(
        self,
        work: Method,
        *,
        scope: str = "",
        json: bool = True,
        sends: bool = False,
        app: bool = False,
    ) -> Handler:
        """`app`: with the app-level token; `sends`: people see it, so it is throttled."""

        async def handle(request: web.Request) -> web.StreamResponse:
            faults = self._sim.faults
            if faults.take("error_burst"):
                return answer_json({"ok": False, "error": "service_unavailable"}, 503)
            if sends and faults.throttled():
                answer = answer_json({"ok": False, "error": "ratelimited"}, 429)
                answer.headers["Retry-After"] = str(faults.retry_after_seconds)
                return answer
            try:
                args = await arguments(request, json=json)
                self._check_token(request, args, app=app)
                self._check_scope(scope)
                body = {"ok": True, **await work(Call(args=args, request=request))}
            except Refusal as refusal:
                body = refusal.body
            answer = answer_json(body)
            answer.headers["x-oauth-scopes"] = ",".join(self.scopes())
            return await self._spoiled(request, answer)

        return handle

    def scopes(self) -> list[str]:
        """What the app was granted."""
        return [name for name in SCOPES if name != self._sim.faults.missing_scope]

    def _check_token(self, request: web.Request, args: Mapping[str, Any], *, app: bool) -> None:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        token = given or str(args.get("token", ""))
        if not token:
            raise Refusal("not_authed")
        if token != (self._sim.app_token if app else self._sim.bot_token):
            known = token in (self._sim.app_token, self._sim.bot_token)
            raise Refusal("not_allowed_token_type" if known else "invalid_auth")
        if self._sim.faults.token_revoked:
            raise Refusal("token_revoked")
        if self._sim.faults.take("expired_token"):
            raise Refusal("token_expired")

    def _check_scope(self, scope: str) -> None:
        if scope and scope == self._sim.faults.missing_scope:
            raise Refusal("missing_scope", needed=scope, provided=",".join(self.scopes()))

    async def _spoiled(self, request: web.Request, answer: web.Response) -> web.StreamResponse:
        """The answer late, cut, or not at all; its effect has been had."""
        faults = self._sim.faults
        if faults.answer_delay_seconds:
            await self._sim.clock.sleep(faults.answer_delay_seconds)
        if faults.take("drop_answer") and request.transport is not None:
            request.transport.abort()
        elif faults.take("malformed_answer") and isinstance(answer.body, bytes):
            answer.body = answer.body[: len(answer.body) // 2]
        return answer


async def arguments(request: web.Request, *, json: bool) -> Json:
    """From the query, and from a form or JSON. Raises Refusal."""
    args: Json = {name: _argument(name, value) for name, value in request.query.items()}
    if request.content_type == "application/json":
        found = _decoded(await request.read())
        if found is None:
            raise Refusal("invalid_json")
        return {**args, **found} if json else args
    form = await request.post()
    for name, value in form.items():
        if isinstance(value, str):
            args[name] = _argument(name, value)
    return args


def _decoded(data: bytes) -> Json | None:
    try:
        found: Any = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return cast("Json", found) if isinstance(found, dict) else None


def _argument(name: str, text: str) -> Any:
    """Lists come as JSON within a query or a form. Raises Refusal."""
    if name not in ("blocks", "chunks", "files"):
        return text
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refusal("invalid_arguments") from error
