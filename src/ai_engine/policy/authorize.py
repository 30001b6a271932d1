"""The one policy point: who may do what. Pure, and no unless a role says yes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache


class Effect(StrEnum):
    """Ordered by how much is allowed: deny, ask, allow."""

    DENY = "deny"
    ASK = "ask"
    """Allowed once the person (or an approver) has said yes to this one call."""
    ALLOW = "allow"


_RANK = {Effect.DENY: 0, Effect.ASK: 1, Effect.ALLOW: 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who acts: always the message's sender, or the holder of a token."""

    id: str
    """Such as `dingtalk:manager4220`; for the audit, never for the decision."""
    roles: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """One line of a role. `*` in a pattern stands for any characters, also none."""

    action: str
    """Such as `chat.use`, `skill:weather_query.use`, `skill:*.use`."""
    resource: str = "*"
    effect: Effect = Effect.ALLOW


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The answer, with a reason that a person can read."""

    effect: Effect
    reason: str

    @property
    def allowed(self) -> bool:
        return self.effect is Effect.ALLOW


class Policy:
    """A role table. Grants add up: a further role never takes anything away."""

    def __init__(self, roles: Mapping[str, Iterable[Grant]]) -> None:
        self._roles = {name: tuple(grants) for name, grants in roles.items()}
        # Few combinations of roles and actions recur endlessly; resources are as many as sessions.
        self._grants = lru_cache(maxsize=1024)(self._grants_of)
        self._for_all = lru_cache(maxsize=1024)(self._decision_for_all)

    @classmethod
    def default(cls) -> "Policy":
        """The built-in roles: employee, administrator, owner."""
        return cls(BUILTIN_ROLES)

    @property
    def roles(self) -> frozenset[str]:
        """The names of the roles."""
        return frozenset(self._roles)

    def authorize(self, actor: Actor, action: str, resource: str = "") -> Decision:
        """Allow, ask or deny; deny when no role of the actor says otherwise."""
        for_all = self._for_all(actor.roles, action)
        if for_all is not None:
            return for_all
        for effect, grant, role in self._grants(actor.roles, action):
            if _matches(grant.resource, resource):
                return _granted(effect, role, action)
        held = ", ".join(sorted(actor.roles)) or "no role"
        return Decision(effect=Effect.DENY, reason=f"no role allows {action} (held: {held})")

    def _decision_for_all(self, roles: frozenset[str], action: str) -> Decision | None:
        """The decision, when the first grant that counts holds for every resource."""
        for effect, grant, role in self._grants(roles, action)[:1]:
            if grant.resource == "*":
                return _granted(effect, role, action)
        return None

    def _grants_of(
        self, roles: frozenset[str], action: str
    ) -> tuple[tuple[Effect, Grant, str], ...]:
        """The grants that speak of this action, the most generous first."""
        found = [
            (grant.effect, grant, role)
            for role in sorted(roles)
            for grant in self._roles.get(role, ())
            if grant.effect is not Effect.DENY and _matches(grant.action, action)
        ]
        return tuple(sorted(found, key=lambda one: -_RANK[one[0]]))


def _granted(effect: Effect, role: str, action: str) -> Decision:
    verb = "allows" if effect is Effect.ALLOW else "asks before"
    return Decision(effect=effect, reason=f"role {role} {verb} {action}")


def _matches(pattern: str, value: str) -> bool:
    """Glob with `*` only, linear in the length of the value."""
    first, *rest = pattern.split("*")
    if not rest:
        return pattern == value
    *middle, last = rest
    if not value.startswith(first):
        return False
    at = len(first)
    for piece in middle:
        found = value.find(piece, at)
        if found < 0:
            return False
        at = found + len(piece)
    return len(value) - len(last) >= at and value.endswith(last)


BUILTIN_ROLES: Mapping[str, tuple[Grant, ...]] = {
    "employee": (
        Grant(action="chat.use"),
        Grant(action="skill:calendar_query.use"),
        Grant(action="skill:calendar_add.use"),
        Grant(action="skill:weather_query.use"),
    ),
    "administrator": (
        Grant(action="chat.*"),
        Grant(action="skill:*.use"),
        Grant(action="session.*"),
        Grant(action="trace.*"),
        Grant(action="deadletter.*"),
        Grant(action="channel.*"),
        Grant(action="model.*"),
        Grant(action="route.*"),
        Grant(action="config.read"),
    ),
    "owner": (Grant(action="*"),),
}
"""What each built-in role may do. Whoever arrives through an authenticated channel is an
`employee`; the holder of the admin token is the `owner`."""
