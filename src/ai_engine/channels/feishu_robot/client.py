"""A custom bot's webhook. Its address is a bearer secret: it is in no error and in no log."""

from typing import Final
from urllib.parse import quote

from ai_engine.channels.feishu_robot.crypto import sign
from ai_engine.channels.http import Answer, Api
from ai_engine.config.schema import ChannelConfig
from ai_engine.domain.clock import Clock
from ai_engine.domain.errors import SendRefused, SendRetryable
from ai_engine.domain.message import Json
from ai_engine.security.egress import Egress

API: Final = "https://open.feishu.cn"
_TOO_FAST: Final = frozenset({11232, 99991400})
_WAIT_SECONDS: Final = 1.0
_HINTS: Final = {
    19001: "auth.token is not what follows /bot/v2/hook/ in this bot's webhook address",
    19021: "auth.secret is not the bot's (签名校验), or the machine's clock is wrong",
    19022: "allow this machine's address in the bot's security settings",
    19024: "let the bot's keyword appear in message_format.text_template",
}


def throttle_seconds(answer: Answer) -> float | None:
    """How long to wait before the next message; None when this answer does not ask for a pause."""
    if answer.status == 429 or answer.status >= 500 or _code(answer) in _TOO_FAST:
        return answer.retry_after if answer.retry_after is not None else _WAIT_SECONDS
    return None


class RobotClient:
    """One bot."""

    def __init__(self, config: ChannelConfig, egress: Egress, clock: Clock) -> None:
        self._auth = config.auth
        self._clock = clock
        self._http = Api("Feishu", egress, clock)
        base = config.endpoints.api.rstrip("/") or API
        self._url = f"{base}/open-apis/bot/v2/hook/{quote(self._auth.plain('token'), safe='')}"

    async def send(self, body: Json) -> None:
        """Raises SendRetryable, SendRefused."""
        sent = dict(body)
        if secret := self._auth.plain("secret"):
            timestamp = str(int(self._clock.time()))
            sent |= {"timestamp": timestamp, "sign": sign(timestamp, secret)}
        answer = await self._http.call("POST", self._url, json=sent)
        wait = throttle_seconds(answer)
        code = _code(answer)
        said = f"{code}: {str(answer.json.get('msg', ''))[:200]}"
        if wait is not None:
            raise SendRetryable(f"Feishu throttles the bot ({said})", retry_after_seconds=wait)
        if code == 0:
            return
        if code is None:
            raise SendRetryable(f"Feishu's answer cannot be read (HTTP {answer.status})")
        raise SendRefused(f"Feishu refused the message ({said})", hint=_HINTS.get(code, ""))


def _code(answer: Answer) -> int | None:
    """0 is success."""
    found = answer.json.get("code", answer.json.get("StatusCode"))
    return found if isinstance(found, int) else None
