"""Every error the engine raises on purpose, in one tree.

EngineError                    code, message, hint
├── ConfigInvalid              the administrator must act; carries every problem found
├── Refused                    an edge says no; carries the HTTP status
│   ├── Unauthenticated  401   missing or wrong proof
│   ├── Forbidden        403   proof is right, permission is not; or it is stale
│   ├── NotFound         404
│   ├── TooLarge         413
│   ├── Malformed        422   the body is not what the protocol says
│   ├── Throttled        429   too many wrong proofs; try again after `retry_after_seconds`
│   └── Overloaded       503   try again after `retry_after_seconds`
├── LostLease                  another owner took over; drop the work, it is not lost
├── SendFailed                 a platform did not take a reply
│   ├── SendRetryable          later may work: network, 5xx, throttling
│   └── SendRefused            never will: a dead letter
│       └── PermissionMissing  an administrator must grant a right on the platform
├── ModelFailed                no model answered
└── SkillFailed                a tool could not do its work; the text is for model and person
"""

from dataclasses import dataclass


class EngineError(Exception):
    """The root. `code` is stable and documented, `hint` says what to do."""

    code = "error"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One fault of a configuration: where it is, what is wrong, what to do."""

    where: str
    """`file: $.json.path` or `file:line`."""
    what: str
    fix: str
    severity: str = "error"
    """error | warning"""


class ConfigInvalid(EngineError):
    code = "config_invalid"

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(f"{p.where}: {p.what} {p.fix}" for p in problems))
        self.problems = problems


class Refused(EngineError):
    code = "refused"
    status = 400


class Unauthenticated(Refused):
    code = "unauthenticated"
    status = 401


class Forbidden(Refused):
    code = "forbidden"
    status = 403


class NotFound(Refused):
    code = "not_found"
    status = 404


class TooLarge(Refused):
    code = "too_large"
    status = 413


class Malformed(Refused):
    code = "malformed"
    status = 422


class Throttled(Refused):
    """This remote gave too many wrong proofs; nothing was looked at."""

    code = "throttled"
    status = 429

    def __init__(self, message: str, *, retry_after_seconds: int = 60, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.retry_after_seconds = retry_after_seconds


class Overloaded(Refused):
    """The backlog is full or the engine is draining; nothing was accepted."""

    code = "overloaded"
    status = 503

    def __init__(self, message: str, *, retry_after_seconds: int = 5, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.retry_after_seconds = retry_after_seconds


class LostLease(EngineError):
    code = "lost_lease"


class SendFailed(EngineError):
    code = "send_failed"


class SendRetryable(SendFailed):
    code = "send_retryable"

    def __init__(
        self, message: str, *, retry_after_seconds: float | None = None, hint: str = ""
    ) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_seconds = retry_after_seconds


class SendRefused(SendFailed):
    code = "send_refused"


class PermissionMissing(SendRefused):
    """The platform's app lacks a right; `permission` is its exact name there."""

    code = "permission_missing"

    def __init__(self, message: str, *, permission: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.permission = permission


class ModelFailed(EngineError):
    code = "model_failed"

    def __init__(self, message: str, *, reason: str = "unreachable", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.reason = reason
        """unreachable (also: broken, too slow) | language | none_configured | refused"""


class SkillFailed(EngineError):
    code = "skill_failed"
