"""Access tokens and session webhooks: what was issued, to whom, until when."""

import secrets
from collections import OrderedDict
from dataclasses import dataclass

from ai_engine.domain.clock import Clock
from ai_engine.simulators.dingtalk.faults import DingTalkFaults

SESSIONS_MAX = 100_000


class Tokens:
    """The app's current access token. Asking again while it holds gives the same one with a new
    life, as DingTalk documents it."""

    def __init__(self, clock: Clock, faults: DingTalkFaults) -> None:
        self._clock = clock
        self._faults = faults
        self._token = ""
        self._expires_at = 0.0

    def issue(self) -> tuple[str, int]:
        """The token and its life in seconds."""
        if not self.holds(self._token):
            self._token = secrets.token_hex(16)
        self._expires_at = self._clock.time() + self._faults.token_seconds
        return self._token, int(self._faults.token_seconds)

    def holds(self, token: str) -> bool:
        """Whether a call may be made with it now."""
        return bool(token) and token == self._token and self._clock.time() < self._expires_at

    def revoke(self) -> None:
        """Let the current token expire at once."""
        self._expires_at = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplySession:
    """What a sessionWebhook's `session` stands for."""

    message_id: str
    conversation: str
    expires_at: float


class ReplySessions:
    """One session a message; the oldest are forgotten above `SESSIONS_MAX`."""

    def __init__(self) -> None:
        self._sessions: OrderedDict[str, ReplySession] = OrderedDict()

    def issue(self, message_id: str, conversation: str, expires_at: float) -> str:
        """A session that cannot be guessed."""
        name = secrets.token_hex(16)
        self._sessions[name] = ReplySession(
            message_id=message_id, conversation=conversation, expires_at=expires_at
        )
        while len(self._sessions) > SESSIONS_MAX:
            self._sessions.popitem(last=False)
        return name

    def get(self, name: str) -> ReplySession | None:
        return self._sessions.get(name)
