"""What is not ready, and why: the content of `/readyz`."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

Check = Callable[[], str | None]
"""None when all is well, else the reason, with what to do. Quick: it does no input or output."""


class ChannelStatus(Protocol):
    """What is read of a channel's status (`channels.base.Status` is one)."""

    @property
    def state(self) -> str: ...
    @property
    def detail(self) -> str: ...
    @property
    def last_event_age_seconds(self) -> float | None: ...
    @property
    def connected(self) -> bool: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """Whether messages can be accepted, and the state of each channel.

    A channel that cannot reach its platform does not make the engine unready: readiness must not
    depend on someone else's service.
    """

    ready: bool
    reasons: tuple[str, ...]
    """`<check>: <reason>`, in the order of registration."""
    channels: Mapping[str, Mapping[str, Any]]

    def as_json(self) -> dict[str, Any]:
        """`{"ready": bool, "reasons": […], "channels": {name: {"state": …}}}`"""
        return {**asdict(self), "reasons": list(self.reasons)}


class Health:
    """The registry of checks. Unready until the first `start()`."""

    def __init__(self) -> None:
        self._checks: dict[str, Check] = {}
        self._channels: Callable[[], Mapping[str, ChannelStatus]] = dict
        self._state = "starting: the engine has not finished starting"

    def register(self, name: str, check: Check) -> None:
        """Add or replace a check."""
        self._checks[name] = check

    def unregister(self, name: str) -> None:
        self._checks.pop(name, None)

    def watch_channels(self, statuses: Callable[[], Mapping[str, ChannelStatus]]) -> None:
        """Where the channels' states come from."""
        self._channels = statuses

    def start(self) -> None:
        """All parts run."""
        self._state = ""

    def drain(self) -> None:
        """The engine stops: unready at once, so that load balancers turn away."""
        self._state = "draining: the engine is stopping and takes no new messages"

    def readiness(self) -> Readiness:
        """Ask every check. A check that fails by an exception counts as unready."""
        reasons = [self._state] if self._state else []
        for name, check in self._checks.items():
            try:
                reason = check()
            except Exception as error:  # noqa: BLE001 - a broken check means "not ready", in words
                reason = f"the check itself failed ({type(error).__name__})"
            if reason:
                reasons.append(f"{name}: {reason}")
        channels = {name: _plain(status) for name, status in self._channels().items()}
        return Readiness(ready=not reasons, reasons=tuple(reasons), channels=channels)


def _plain(status: ChannelStatus) -> dict[str, Any]:
    plain: dict[str, Any] = {"state": status.state, "connected": status.connected}
    if status.detail:
        plain["detail"] = status.detail
    if status.last_event_age_seconds is not None:
        plain["last_event_age_seconds"] = round(status.last_event_age_seconds, 3)
    return plain
