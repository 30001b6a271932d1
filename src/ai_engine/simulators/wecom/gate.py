"""What stands before every API handler: faults, tokens, limits. HTTP 200; the errcode says."""

import secrets
from typing import Any

from aiohttp import web

from ai_engine.domain.clock import Clock
from ai_engine.simulators.base import Handler
from ai_engine.simulators.control import answer_json
from ai_engine.simulators.wecom.faults import WeComFaults


def answer(errcode: int = 0, errmsg: str = "ok", **more: Any) -> web.Response:
    """WeCom's answer to any call."""
    return answer_json({"errcode": errcode, "errmsg": errmsg, **more})


class Refusal(Exception):
    """A call that is answered with an errcode."""

    def __init__(self, errcode: int, errmsg: str) -> None:
        super().__init__(errmsg)
        self.errcode = errcode
        self.errmsg = errmsg


class Tokens:
    """The app's access token. Asking again while it holds gives the same one (path/91039)."""

    def __init__(self, clock: Clock, faults: WeComFaults) -> None:
        self._clock = clock
        self._faults = faults
        self._token = ""
        self._until = 0.0

    def issue(self) -> tuple[str, int]:
        """The token and the rest of its life in seconds."""
        if self.fault(self._token):
            self._token = secrets.token_urlsafe(48)
            self._until = self._clock.time() + self._faults.token_seconds
        return self._token, int(self._until - self._clock.time())

    def fault(self, token: str) -> int:
        """0, or the errcode of a call with this token."""
        if not token or token != self._token:
            return 40014
        return 0 if self._clock.time() < self._until else 42001

    def revoke(self) -> None:
        """Let the current token expire at once."""
        self._until = 0.0


class Gate:
    """Wraps handlers with what the fault knobs ask for."""

    def __init__(self, clock: Clock, faults: WeComFaults, tokens: Tokens) -> None:
        self._clock = clock
        self._faults = faults
        self._tokens = tokens

    def open(self, handler: Handler, *, sends: bool = False) -> Handler:
        """For calls that need no access token."""

        async def handle(request: web.Request) -> web.StreamResponse:
            return await self._spoiled(request, await self._answered(request, handler, sends=sends))

        return handle

    def with_token(self, handler: Handler, *, sends: bool = False) -> Handler:
        """For calls that need one."""

        async def handle(request: web.Request) -> web.StreamResponse:
            if self._faults.ip_refused:
                hint = f"not allow to access from your ip, from ip: {self._faults.ip_refused}"
                raise Refusal(60020, hint)
            if "access_token" not in request.query:
                raise Refusal(41001, "access_token missing")
            if self._faults.take("expired_token"):
                self._tokens.revoke()
            if code := self._tokens.fault(request.query["access_token"]):
                words = "access_token expired" if code == 42001 else "invalid access_token"
                raise Refusal(code, words)
            if sends and self._faults.throttled():
                raise Refusal(45009, "api freq out of limit")
            return await handler(request)

        return self.open(handle)

    async def _answered(
        self, request: web.Request, handler: Handler, *, sends: bool
    ) -> web.StreamResponse:
        if self._faults.take("error_burst"):
            return web.Response(status=503)
        try:
            if sends and self._faults.throttled():
                raise Refusal(45009, "api freq out of limit")
            return await handler(request)
        except Refusal as refusal:
            return answer(refusal.errcode, refusal.errmsg)

    async def _spoiled(self, request: web.Request, found: web.StreamResponse) -> web.StreamResponse:
        """The answer late, cut, or not at all; its effect has been had."""
        if self._faults.answer_delay_seconds:
            await self._clock.sleep(self._faults.answer_delay_seconds)
        if self._faults.take("drop_answer") and request.transport is not None:
            request.transport.abort()
        elif self._faults.take("malformed_answer") and isinstance(found, web.Response):
            body = found.body
            found.body = body[: len(body) // 2] if isinstance(body, bytes) else b"{"
        return found
