"""Who is who: members and departments of the organisation, as far as the app may see them."""

from collections import OrderedDict
from typing import Any, Final, cast

from ai_engine.channels.base import Profile
from ai_engine.channels.wecom.client import WeComClient
from ai_engine.domain.clock import Clock
from ai_engine.domain.errors import PermissionMissing
from ai_engine.domain.message import Json

_DEPARTMENTS_MAX: Final = 10
"""Of one person; more are left out."""
_KEPT_MAX: Final = 5_000
_KEPT_SECONDS: Final = 3600.0


class Directory:
    """Looks people up; departments' names are kept for an hour."""

    def __init__(self, client: WeComClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._names: OrderedDict[int, tuple[str, float]] = OrderedDict()

    async def profile(self, user_id: str) -> Profile | None:
        """None: nobody has this id. Raises SendRetryable, SendRefused, PermissionMissing."""
        found = await self._client.user(user_id)
        if found is None:
            return None
        leaders = _list(found, "direct_leader")
        departments = [d for d in _list(found, "department") if isinstance(d, int)]
        return Profile(
            user_id=user_id,
            name=_text(found, "name"),
            email=_text(found, "email") or _text(found, "biz_mail"),
            departments=tuple([await self._name(d) for d in departments[:_DEPARTMENTS_MAX]]),
            manager=str(leaders[0]) if leaders else "",
        )

    async def _name(self, department: int) -> str:
        """Its name; its number where the app may not see the name."""
        name, until = self._names.get(department, ("", 0.0))
        if self._clock.monotonic() < until:
            return name
        try:
            found = await self._client.department(department)
        except PermissionMissing:
            found = None
        name = _text(found or {}, "name") or str(department)
        self._names[department] = (name, self._clock.monotonic() + _KEPT_SECONDS)
        if len(self._names) > _KEPT_MAX:
            self._names.popitem(last=False)
        return name


def _text(found: Json, name: str) -> str:
    value = found.get(name)
    return value if isinstance(value, str) else ""


def _list(found: Json, name: str) -> list[Any]:
    value = found.get(name)
    return cast("list[Any]", value) if isinstance(value, list) else []
