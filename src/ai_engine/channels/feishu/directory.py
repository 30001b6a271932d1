"""People in Feishu's directory.

Source: Feishu, "Get a user's information" (contact v3): which fields come back depends on the app's
rights and on its range of contacts.
"""

import asyncio
import logging
from typing import Any, Final, cast

from ai_engine.channels.base import Profile
from ai_engine.channels.feishu.client import FeishuClient
from ai_engine.channels.feishu.refusals import ApiRefused
from ai_engine.domain.errors import PermissionMissing
from ai_engine.domain.message import Json

log = logging.getLogger(__name__)

_DEPARTMENTS_MAX: Final = 5
_UNKNOWN: Final = frozenset({41012, 41050, 40011, 99992351, 99992352, 40001})
"""No such user id, or outside the app's range of contacts."""


async def profile(client: FeishuClient, open_id: str) -> Profile | None:
    """None when Feishu does not know the person, or not for this app.

    Raises:
        SendRetryable, SendRefused, PermissionMissing.
    """
    try:
        user = await client.user(open_id)
    except ApiRefused as error:
        if error.number in _UNKNOWN:
            return None
        raise
    if not user:
        return None
    ids = _texts(user, "department_ids")[:_DEPARTMENTS_MAX]
    names = await asyncio.gather(*(_department(client, each) for each in ids))
    return Profile(
        user_id=open_id,
        name=str(user.get("name", "")),
        email=str(user.get("email") or user.get("enterprise_email") or ""),
        departments=tuple(names),
        manager=str(user.get("leader_user_id") or ""),
    )


async def _department(client: FeishuClient, department_id: str) -> str:
    """Its name; its id when the app may not read names."""
    try:
        return await client.department(department_id) or department_id
    except (ApiRefused, PermissionMissing) as error:
        log.debug("a department's name is not known: %s", error)
        return department_id


def _texts(body: Json, key: str) -> list[str]:
    found: Any = body.get(key)
    if not isinstance(found, list):
        return []
    return [each for each in cast("list[Any]", found) if isinstance(each, str)]
