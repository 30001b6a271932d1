"""A custom robot's webhook. Its address is a bearer secret: it is in no error and in no log."""

from typing import Final

from ai_engine.channels.dingtalk_robot.crypto import sign
from ai_engine.channels.http import Answer, Api
from ai_engine.config.schema import ChannelConfig
from ai_engine.domain.clock import Clock
from ai_engine.domain.errors import SendRefused, SendRetryable
from ai_engine.domain.message import Json
from ai_engine.security.egress import Egress

OAPI: Final = "https://oapi.dingtalk.com"
PENALTY_SECONDS: Final = 600.0
"""Who sends more than 20 messages a minute is not heard for ten minutes."""
_TOO_FAST: Final = frozenset({410100, 130101})
_BUSY: Final = -1
_BUSY_SECONDS: Final = 2.0
_HINTS: Final = {
    300001: "auth.token is not the access_token of this robot's webhook address",
    310000: "the robot's security settings refuse it: set auth.secret (加签), or allow this "
    "machine's address, or let the keyword appear in message_format.text_template",
    400101: "auth.token is empty or wrong",
    400102: "the robot was stopped: start it in the group's settings",
    400013: "the group does not exist any more",
    400106: "the robot is not in the group any more",
}


def throttle_seconds(answer: Answer) -> float | None:
    """How long to wait before the next message; None when this answer does not ask for a pause."""
    code = answer.json.get("errcode")
    if code in _TOO_FAST:
        return PENALTY_SECONDS
    if answer.status == 429 or answer.status >= 500 or code == _BUSY:
        return answer.retry_after if answer.retry_after is not None else _BUSY_SECONDS
    return None


class RobotClient:
    """One robot."""

    def __init__(self, config: ChannelConfig, egress: Egress, clock: Clock) -> None:
        self._auth = config.auth
        self._clock = clock
        self._http = Api("DingTalk", egress, clock)
        self._url = f"{config.endpoints.oapi.rstrip('/') or OAPI}/robot/send"

    async def send(self, body: Json) -> None:
        """Raises SendRetryable, SendRefused."""
        query = {"access_token": self._auth.plain("token")}
        if secret := self._auth.plain("secret"):
            timestamp = str(int(self._clock.time() * 1000))
            query |= {"timestamp": timestamp, "sign": sign(timestamp, secret)}
        answer = await self._http.call("POST", self._url, json=body, params=query)
        wait = throttle_seconds(answer)
        if wait is not None:
            raise SendRetryable(
                f"DingTalk throttles the robot ({_said(answer)})", retry_after_seconds=wait
            )
        code = answer.json.get("errcode")
        if answer.status == 200 and code == 0:
            return
        if answer.status == 200 and code is None:
            raise SendRetryable("DingTalk's answer cannot be read")
        hint = _HINTS.get(code, "") if isinstance(code, int) else ""
        raise SendRefused(f"DingTalk refused the message ({_said(answer)})", hint=hint)


def _said(answer: Answer) -> str:
    body = answer.json
    if "errcode" not in body:
        return f"HTTP {answer.status}"
    return f"errcode {body['errcode']}: {str(body.get('errmsg', ''))[:200]}"
