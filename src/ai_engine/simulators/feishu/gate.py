"""What stands before every API handler: faults, tokens, rights, and Feishu's way of saying no."""

import asyncio
import secrets
from typing import Any, cast

import msgspec
from aiohttp import web

from ai_engine.domain.clock import Clock
from ai_engine.domain.ids import new_id
from ai_engine.domain.message import Json
from ai_engine.simulators.base import Handler
from ai_engine.simulators.control import answer_json
from ai_engine.simulators.feishu.faults import FeishuFaults


class No(Exception):
    """A call that Feishu refuses with `code`."""

    def __init__(self, code: int, msg: str, status: int = 400) -> None:
        super().__init__(msg)
        self.code = code
        self.msg = msg
        self.status = status


def yes(data: Json | None = None, **more: Any) -> web.Response:
    """A success."""
    return answer_json({"code": 0, "msg": "success", **({"data": data or {}} | more)})


def said(no: No) -> web.Response:
    """A refusal."""
    body = {"code": no.code, "msg": no.msg, "error": {"log_id": new_id("log")}}
    return answer_json(body, no.status)


async def read(request: web.Request) -> Json:
    """The body's JSON object, whatever its Content-Type. Raises No."""
    try:
        found: Any = msgspec.json.decode(await request.read())
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise No(9499, "Bad Request: the body is no JSON") from error
    if not isinstance(found, dict):
        raise No(9499, "Bad Request: the body is no JSON object")
    return found  # pyright: ignore[reportUnknownVariableType]


def part(body: Any, name: str) -> Json:
    """An object of the body, or {}."""
    found: Any = cast("Json", body).get(name) if isinstance(body, dict) else None
    return cast("Json", found) if isinstance(found, dict) else {}


def words(body: Json, name: str) -> str:
    """A text of the body. Raises No."""
    found = body.get(name)
    if not isinstance(found, str) or not found:
        raise No(99992402, f"field validation failed: {name} is required")
    return found


class Gate:
    """Wraps handlers; holds the app's access token."""

    def __init__(self, faults: FeishuFaults, clock: Clock, app_id: str) -> None:
        self._faults = faults
        self._clock = clock
        self._app_id = app_id
        self._token = ""
        self._token_until = 0.0

    def issue(self) -> tuple[str, int]:
        """The token and its life in seconds; the same one while more than half an hour is left."""
        now = self._clock.time()
        life = self._faults.token_seconds
        if not self._token or self._token_until - now < 1800:
            self._token, self._token_until = f"t-{secrets.token_hex(16)}", now + life
        return self._token, int(self._token_until - now)

    def open(self, handler: Handler) -> Handler:
        """For calls that need no access token."""

        async def handle(request: web.Request) -> web.StreamResponse:
            try:
                self._busy()
                answer = await handler(request)
            except No as no:
                answer = said(no)
            return await self._spoiled(request, answer)

        return handle

    def api(self, handler: Handler, *scopes: str, sends: bool = False) -> Handler:
        """For calls with an access token, that any of `scopes` allows. `sends`: it shows a message
        to people and is therefore throttled."""

        async def handle(request: web.Request) -> web.StreamResponse:
            self._check_token(request)
            if self._faults.missing_scope and self._faults.missing_scope in scopes:
                return self._lacks(self._faults.missing_scope)
            if sends and self._faults.throttled():
                raise No(230020, "This operation triggers the frequency limit.")
            return await handler(request)

        return self.open(handle)

    def _busy(self) -> None:
        if self._faults.take("error_burst"):
            raise No(5000, "internal error", 503)
        if self._faults.take("gateway_limit"):
            raise No(99991400, "request trigger frequency limit", 429)

    def _check_token(self, request: web.Request) -> None:
        if self._faults.take("expired_token"):
            self._token = ""
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        if kind != "Bearer" or not token:
            raise No(99991661, "Missing access token for authorization.")
        if token != self._token or self._clock.time() >= self._token_until:
            raise No(99991663, "Invalid access token for authorization.")

    def _lacks(self, scope: str) -> web.Response:
        url = f"https://open.feishu.cn/app/{self._app_id}/auth?q={scope}"
        error: Json = {
            "log_id": new_id("log"),
            "permission_violations": [{"type": "action_scope_required", "subject": scope}],
            "helps": [{"url": url, "description": "Learn more about scopes"}],
        }
        msg = f"Access denied. One of the following scopes is required: [{scope}]"
        return answer_json({"code": 99991672, "msg": msg, "error": error}, 400)

    async def _spoiled(
        self, request: web.Request, answer: web.StreamResponse
    ) -> web.StreamResponse:
        """The answer late, cut, or not at all; its effect has been had."""
        if self._faults.answer_delay_seconds:
            await asyncio.sleep(self._faults.answer_delay_seconds)
        if self._faults.take("drop_answer") and request.transport is not None:
            request.transport.abort()
        elif self._faults.take("malformed_answer") and isinstance(answer, web.Response):
            body = answer.body
            answer.body = body[: len(body) // 2] if isinstance(body, bytes) else b"{"
        return answer
