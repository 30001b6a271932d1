"""What stands before every API handler: faults, the token, permissions, Mattermost's errors."""

import asyncio
import hmac
from typing import TYPE_CHECKING

from aiohttp import web

from ai_engine.domain.ids import new_id
from ai_engine.simulators.base import Handler
from ai_engine.simulators.control import answer_json

if TYPE_CHECKING:
    from ai_engine.simulators.mattermost.server import MattermostSimulator


class AppError(Exception):
    """An error of Mattermost's API."""

    def __init__(self, status: int, error_id: str, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.error_id = error_id
        self.message = message
        self.detail = detail


def error_answer(error: AppError, *, detailed: bool = False) -> web.Response:
    """`{"id","message","detailed_error","request_id","status_code"}`."""
    return answer_json(
        {
            "id": error.error_id,
            "message": error.message,
            "detailed_error": error.detail if detailed else "",
            "request_id": new_id("req"),
            "status_code": error.status,
        },
        error.status,
    )


class Gate:
    """Wraps handlers with what the fault knobs ask for."""

    def __init__(self, simulator: "MattermostSimulator") -> None:
        self._sim = simulator

    def open(
        self, handler: Handler, *, permission: str = "", sends: bool = False, token: bool = True
    ) -> Handler:
        """`permission`: what the call needs. `sends`: it shows a post, and is throttled."""

        async def handle(request: web.Request) -> web.StreamResponse:
            faults = self._sim.faults
            answer: web.StreamResponse
            try:
                if faults.take("error_burst"):
                    raise AppError(503, "app.server.unavailable", "the server is not available")
                if token:
                    self._check_token(request)
                if sends and faults.throttled():
                    answer = _too_many()
                else:
                    self._check_permission(permission)
                    answer = await handler(request)
            except AppError as error:
                answer = error_answer(error, detailed=faults.developer_mode)
            return await self._spoiled(request, answer)

        return handle

    def token_is_right(self, header: str) -> bool:
        """Whether an Authorization header carries the bot's token."""
        scheme, _, given = header.partition(" ")
        right = hmac.compare_digest(given.encode(), self._sim.token.encode())
        return scheme.lower() == "bearer" and right

    def _check_token(self, request: web.Request) -> None:
        expired = self._sim.faults.take("expired_token")
        if expired or not self.token_is_right(request.headers.get("Authorization", "")):
            raise AppError(
                401,
                "api.context.session_expired.app_error",
                "Invalid or expired session, please login again.",
            )

    def _check_permission(self, permission: str) -> None:
        if permission and self._sim.faults.missing_permission == permission:
            raise AppError(
                403,
                "api.context.permissions.app_error",
                "You do not have the appropriate permissions.",
                f"userId={self._sim.store.bot['id']}, permission={permission}",
            )

    async def _spoiled(
        self, request: web.Request, answer: web.StreamResponse
    ) -> web.StreamResponse:
        """The answer late, cut, or not at all; its effect has been had."""
        faults = self._sim.faults
        if faults.answer_delay_seconds:
            await asyncio.sleep(faults.answer_delay_seconds)
        if faults.take("drop_answer") and request.transport is not None:
            request.transport.abort()
        elif faults.take("malformed_answer") and isinstance(answer, web.Response):
            body = answer.body
            answer.body = body[: len(body) // 2] if isinstance(body, bytes) else b"{"
        return answer


def _too_many() -> web.Response:
    """The rate limiter's answer: plain text, and how long to wait in headers."""
    headers = {
        "X-RateLimit-Limit": "10",
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset": "1",
        "Retry-After": "1",
    }
    return web.Response(status=429, text="limit exceeded\n", headers=headers)
