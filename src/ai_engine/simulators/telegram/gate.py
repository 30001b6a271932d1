"""What stands before every method: the token, faults, limits, and Telegram's way of answering."""

import asyncio
import hmac
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from aiohttp import web

from ai_engine.simulators.control import answer_json
from ai_engine.simulators.telegram.params import ApiError, Params, read_params

if TYPE_CHECKING:
    from ai_engine.simulators.telegram.server import TelegramSimulator

CHATS_MAX = 10_000
Run = Callable[[str, Params], Awaitable[Any]]


class Limits:
    """How many messages went out: over all, in a chat, in a group (Bots FAQ)."""

    def __init__(self, simulator: "TelegramSimulator") -> None:
        self._sim = simulator
        self._sends: OrderedDict[str, deque[float]] = OrderedDict()

    def count(self, chat_id: int) -> None:
        """One message. Raises ApiError 429, with how long to wait."""
        faults = self._sim.faults
        rules = [
            ("all", faults.messages_per_second, 1.0),
            (f"chat {chat_id}", faults.chat_per_second, 1.0),
        ]
        if chat_id < 0:
            rules.append((f"group {chat_id}", faults.group_per_minute, 60.0))
        full = any(most and self._full(key, most, period) for key, most, period in rules)
        if full or faults.throttled():
            raise too_many(faults.retry_after)
        now = self._sim.clock.monotonic()
        for key, most, _ in rules:
            if most:
                self._sends[key].append(now)

    def _full(self, key: str, most: int, period: float) -> bool:
        sends = self._sends.setdefault(key, deque())
        self._sends.move_to_end(key)
        while len(self._sends) > CHATS_MAX:
            self._sends.popitem(last=False)
        now = self._sim.clock.monotonic()
        while sends and now - sends[0] >= period:
            sends.popleft()
        return len(sends) >= most


def too_many(seconds: int) -> ApiError:
    """HTTP 429."""
    return ApiError(429, f"Too Many Requests: retry after {seconds}", retry_after=seconds)


class Gate:
    """The one handler of `/bot<token>/<method>`."""

    def __init__(self, simulator: "TelegramSimulator", run: Run) -> None:
        self._sim = simulator
        self._run = run

    async def call(self, request: web.Request) -> web.StreamResponse:
        """`{"ok": true, "result": …}`, or `{"ok": false, "error_code", "description", …}`."""
        try:
            self._let_in(request)
            result = await self._run(request.match_info["method"], await read_params(request))
            answer = answer_json({"ok": True, "result": result})
        except ApiError as error:
            body: dict[str, Any] = {
                "ok": False,
                "error_code": error.status,
                "description": error.description,
            }
            if error.parameters:
                body["parameters"] = error.parameters
            answer = answer_json(body, error.status)
        return await self._spoiled(request, answer)

    def _let_in(self, request: web.Request) -> None:
        if self._sim.faults.take("error_burst"):
            raise ApiError(503, "Service Unavailable")
        if not self.is_token(request) or self._sim.faults.take("expired_token"):
            raise ApiError(401, "Unauthorized")

    def is_token(self, request: web.Request) -> bool:
        """Whether the path holds the bot's token."""
        given = request.match_info["token"].encode()
        return hmac.compare_digest(given, self._sim.token.encode())

    async def _spoiled(self, request: web.Request, answer: web.Response) -> web.Response:
        """The answer late, cut, or not at all; its effect has been had."""
        faults = self._sim.faults
        if faults.answer_delay_seconds:
            await asyncio.sleep(faults.answer_delay_seconds)
        if faults.take("drop_answer") and request.transport is not None:
            request.transport.abort()
        elif faults.take("malformed_answer"):
            body = answer.body
            answer.body = body[: len(body) // 2] if isinstance(body, bytes) else b"{"
        return answer
