"""What stands before every API handler: faults, tokens, limits, and the two error styles."""

import asyncio
import time
from collections import deque
from typing import Any

from aiohttp import web

from ai_engine.domain.ids import new_id
from ai_engine.simulators.base import Handler
from ai_engine.simulators.control import answer_json
from ai_engine.simulators.dingtalk.faults import DingTalkFaults
from ai_engine.simulators.dingtalk.tokens import Tokens

OLD_HOST_TOKEN_ERROR = 40014


def api_error(
    status: int, code: str, message: str, *, scopes: tuple[str, ...] = ()
) -> web.Response:
    """An error of `api.dingtalk.com`."""
    body: dict[str, Any] = {"code": code, "requestid": new_id("req").upper(), "message": message}
    if scopes:
        body["accessdenieddetail"] = {"requiredScopes": list(scopes)}
    return answer_json(body, status)


def old_answer(errcode: int = 0, errmsg: str = "ok", **more: Any) -> web.Response:
    """An answer of `oapi.dingtalk.com`: HTTP 200 whatever happened."""
    return answer_json({"errcode": errcode, "errmsg": errmsg, **more})


class Gate:
    """Wraps handlers with what the fault knobs ask for.

    `old` chooses the older API's error style, `sends` says that the call shows a message to people
    and is therefore throttled.
    """

    def __init__(self, faults: DingTalkFaults, tokens: Tokens) -> None:
        self._faults = faults
        self._tokens = tokens
        self._calls: dict[str, deque[float]] = {}

    def open(self, handler: Handler, *, old: bool = False, sends: bool = False) -> Handler:
        """For calls that need no access token."""

        async def handle(request: web.Request) -> web.StreamResponse:
            answer = self._refusal(old=old, sends=sends) or await handler(request)
            return await self._spoiled(request, answer)

        return handle

    def with_token(
        self, handler: Handler, *, old: bool = False, sends: bool = False, scope: str = ""
    ) -> Handler:
        """For calls that need an access token, and an app that has `scope`."""

        async def handle(request: web.Request) -> web.StreamResponse:
            refusal = (
                self._bad_token(request, old=old)
                or (None if old else self._over_limit(request))
                or self._lacks_scope(scope, old=old)
            )
            return refusal or await handler(request)

        return self.open(handle, old=old, sends=sends)

    def _refusal(self, *, old: bool, sends: bool) -> web.Response | None:
        if self._faults.take("error_burst"):
            return api_error(503, "ServiceUnavailable", "the service is not available, try later")
        if not sends or not self._faults.throttled():
            return None
        return old_answer(410100, "发送速度太快而限流") if old else _too_many("AppkeyAndApi")

    def _bad_token(self, request: web.Request, *, old: bool) -> web.Response | None:
        name = "access_token" if old else "x-acs-dingtalk-access-token"
        token = (request.query if old else request.headers).get(name, "")
        if self._faults.take("expired_token"):
            self._tokens.revoke()
        if self._tokens.holds(token):
            return None
        if old:
            return old_answer(OLD_HOST_TOKEN_ERROR, "不合法的access_token")
        if not token:
            return api_error(400, "MissingAccessToken", f"the header {name} is missing")
        return api_error(400, "InvalidAuthentication", "不合法的access_token")

    def _over_limit(self, request: web.Request) -> web.Response | None:
        if self._faults.monthly_quota:
            code = "Forbidden.AccessDenied.ApiCountLimitForOrg"
            return api_error(403, code, "the organisation's calls of this month are used up")
        if self._faults.qps_limit <= 0:
            return None
        now = time.monotonic()
        calls = self._calls.setdefault(request.path, deque(maxlen=1000))
        while calls and now - calls[0] >= 1.0:
            calls.popleft()
        if len(calls) >= self._faults.qps_limit:
            return _too_many("AppkeyAndApi")
        calls.append(now)
        return None

    def _lacks_scope(self, scope: str, *, old: bool) -> web.Response | None:
        if not scope or scope != self._faults.missing_scope:
            return None
        if old:
            said = f"应用尚未开通所需的权限：[{scope}]"
            return old_answer(88, "ding talk error", sub_code="60011", sub_msg=said)
        code = "Forbidden.AccessDenied.AccessTokenPermissionDenied"
        return api_error(403, code, f"the app lacks the permission {scope}", scopes=(scope,))

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


def _too_many(which: str) -> web.Response:
    code = f"Forbidden.AccessDenied.QpsLimitFor{which}"
    return api_error(403, code, "too many calls a second, try again after 1 s")
