"""What stands before every API handler: faults, tokens, limits, and the error style."""

from collections import deque
from typing import TYPE_CHECKING

from aiohttp import web

from ai_engine.simulators.base import Handler
from ai_engine.simulators.control import answer_json
from ai_engine.simulators.teams.codec import BadActivity

if TYPE_CHECKING:
    from ai_engine.simulators.teams.platform import TeamsPlatform

LIMITS = ((1.0, 7), (30.0, 60))
"""(seconds, messages) of one bot in one conversation."""
CONVERSATIONS_MAX = 10_000


def refused(status: int, code: str, message: str, retry_after: str = "") -> web.Response:
    """An error of the connector API."""
    answer = answer_json({"error": {"code": code, "message": message}}, status)
    if retry_after:
        answer.headers["Retry-After"] = retry_after
    return answer


class Gate:
    """Wraps handlers with what the fault knobs ask for."""

    def __init__(self, simulator: "TeamsPlatform") -> None:
        self._sim = simulator
        self._sends: dict[str, deque[float]] = {}

    def open(self, handler: Handler) -> Handler:
        """For calls that need no access token."""

        async def handle(request: web.Request) -> web.StreamResponse:
            if self._sim.faults.take("error_burst"):
                answer: web.StreamResponse = refused(503, "ServiceError", "try again later")
            else:
                try:
                    answer = await handler(request)
                except BadActivity as bad:
                    wait = "1" if bad.status == 429 else ""
                    answer = refused(bad.status, bad.code, bad.message, wait)
            return await self._spoiled(request, answer)

        return handle

    def with_token(self, handler: Handler, *, sends: bool = False) -> Handler:
        """For calls that need an access token; `sends`: it shows a message and is throttled."""

        async def handle(request: web.Request) -> web.StreamResponse:
            faults = self._sim.faults
            if faults.take("expired_token"):
                self._sim.tokens.revoke()
            scheme, _, token = request.headers.get("Authorization", "").partition(" ")
            if scheme != "Bearer" or not self._sim.tokens.holds(token):
                text = "Authorization has been denied for this request."
                return answer_json({"message": text}, 401)
            if faults.not_installed:
                raise BadActivity(
                    403, "BotNotInConversationRoster", "The bot is not part of the roster."
                )
            if sends and (faults.throttled() or self._too_many(request)):
                raise BadActivity(429, "TooManyRequests", "API calls quota exceeded!")
            return await handler(request)

        return self.open(handle)

    def _too_many(self, request: web.Request) -> bool:
        if not self._sim.faults.rate_limits:
            return False
        now = self._sim.clock.time()
        where = request.match_info["conversation"]
        times = self._sends.setdefault(where, deque(maxlen=LIMITS[-1][1]))
        if any(sum(now - at < span for at in times) >= most for span, most in LIMITS):
            return True
        times.append(now)
        while len(self._sends) > CONVERSATIONS_MAX:
            self._sends.pop(next(iter(self._sends)))
        return False

    async def _spoiled(
        self, request: web.Request, answer: web.StreamResponse
    ) -> web.StreamResponse:
        """The answer late, cut, or not at all; its effect has been had."""
        faults = self._sim.faults
        if faults.answer_delay_seconds:
            await self._sim.clock.sleep(faults.answer_delay_seconds)
        if faults.take("drop_answer") and request.transport is not None:
            request.transport.abort()
        elif faults.take("malformed_answer") and isinstance(answer, web.Response):
            body = answer.body
            answer.body = body[: len(body) // 2] if isinstance(body, bytes) else b"{"
        return answer
