"""People, as the organisation's directory knows them.

Source: DingTalk, "Query the details of a user" (`topapi/v2/user/get`, permission
`qyapi_get_member`) and "Query the details of a department" (`topapi/v2/department/get`).
"""

import logging
from typing import Any, Final, cast

from ai_engine.channels.base import Profile
from ai_engine.channels.dingtalk.about import CONTACT, DEPARTMENT
from ai_engine.channels.dingtalk.answers import ApiRefused
from ai_engine.channels.dingtalk.client import DingTalkClient
from ai_engine.domain.errors import SendRefused
from ai_engine.domain.message import Json

log = logging.getLogger(__name__)

_UNKNOWN: Final = ("60121", "33012")
_DEPARTMENTS_MAX: Final = 5


async def profile(client: DingTalkClient, user_id: str) -> Profile | None:
    """None: nobody of this organisation has the staff id.

    Raises:
        SendRetryable, SendRefused, PermissionMissing.
    """
    body = {"userid": user_id, "language": "zh_CN"}
    try:
        answer = await client.old(
            "/topapi/v2/user/get", body, what="looking up a person", permission=CONTACT
        )
    except ApiRefused as error:
        if error.reason in _UNKNOWN:
            return None
        raise
    found: Any = answer.get("result")
    person = cast("Json", found) if isinstance(found, dict) else {}
    return Profile(
        user_id=user_id,
        name=_text(person, "name"),
        email=_text(person, "org_email") or _text(person, "email"),
        departments=await _departments(client, person.get("dept_id_list")),
        manager=_text(person, "manager_userid"),
    )


async def _departments(client: DingTalkClient, ids: Any) -> tuple[str, ...]:
    """Their names; without the right to read them, none: the rest of a profile stands."""
    names: list[str] = []
    found = cast("list[Any]", ids) if isinstance(ids, list) else []
    for number in found[:_DEPARTMENTS_MAX]:
        try:
            answer = await client.old(
                "/topapi/v2/department/get",
                {"dept_id": number, "language": "zh_CN"},
                what="looking up a department",
                permission=DEPARTMENT,
            )
        except SendRefused as error:
            log.info("departments are not shown: %s", error)
            break
        result: Any = answer.get("result")
        if isinstance(result, dict) and (name := _text(cast("Json", result), "name")):
            names.append(name)
    return tuple(names)


def _text(found: Json, key: str) -> str:
    value = found.get(key)
    return value if isinstance(value, str) else ""
