"""WeCom's server API as far as an app needs it: tokens, messages, media, the directory.

Errors come as HTTP 200 with `errcode` (developer.work.weixin.qq.com/document/path/90313). Each
becomes one of the engine's own. The access token and the secret are query parameters, so no URL is
in any message or log.
"""

import io
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn, cast
from urllib.parse import unquote

import aiohttp

from ai_engine.channels.http import CALL_SECONDS_MAX, Answer, Api
from ai_engine.channels.token import TokenCache
from ai_engine.channels.wecom.about import API_ACCESS, PAGES, TRUSTED_IP, VISIBLE
from ai_engine.domain.clock import Clock
from ai_engine.domain.errors import PermissionMissing, SendRefused, SendRetryable
from ai_engine.domain.message import Json, Media
from ai_engine.security.egress import Egress

VENDOR: Final = "https://qyapi.weixin.qq.com"

_BAD_TOKEN: Final = frozenset({40014, 42001})
_BAD_CREDENTIALS: Final = frozenset({40001, 40013, 40091, 41002, 41004})
_THROTTLE_SECONDS: Final = {45009: 5.0, 45033: 1.0}
"""errcode → how long to wait: too many calls a minute; too many at the same time."""
_TRANSIENT: Final = frozenset({-1, 50003, 6000})
_NOBODY: Final = 81013
_UNKNOWN_PERSON: Final = frozenset({60111, 40003})
_PERMISSIONS: Final = {
    60020: TRUSTED_IP,
    60011: VISIBLE,
    48002: API_ACCESS,
    301002: API_ACCESS,
}
"""errcode → what has to be granted. 48002 and 301002: the app may not call this, or not for that
app id; 60011: a member or department outside the app's range."""
_FROM_IP: Final = re.compile(r"from ip: ?([0-9a-fA-F.:]{3,45})")
_FILENAME: Final = re.compile(r"filename\*?=(?:UTF-8'')?\"?([^\";]+)", re.IGNORECASE)
_UPLOAD_SECONDS_MAX: Final = 60.0

Body = Callable[[], Any]
"""Makes the request's body anew for each attempt: a form can be sent but once."""


class WrongCredentials(SendRefused):
    """WeCom does not know the corp id, or the secret is another app's."""


def throttle_seconds(answer: Answer) -> float | None:
    """How long WeCom wants us to wait; None when it does not throttle."""
    if answer.status == 429:
        return answer.retry_after or _THROTTLE_SECONDS[45009]
    return _THROTTLE_SECONDS.get(_code(answer.json))


def _code(body: Json) -> int:
    """The `errcode`; 0 where there is none that can be read."""
    code = body.get("errcode", 0)
    return code if isinstance(code, int) else 0


class WeComClient:
    """One app's calls. Owns the token cache; `close` ends it."""

    def __init__(
        self,
        *,
        corp_id: str,
        secret: str,
        base: str,
        token_seconds_max: float,
        egress: Egress,
        clock: Clock,
    ) -> None:
        self._corp_id = corp_id
        self._secret = secret
        self._base = (base or VENDOR).rstrip("/") + "/cgi-bin"
        self._api = Api("WeCom", egress, clock)
        self.tokens = TokenCache(self._fetch_token, token_seconds_max, clock)

    async def close(self) -> None:
        await self.tokens.close()

    async def send(self, body: Json, headers: Mapping[str, str] | None = None) -> Json:
        """An application message to one member, `touser`. Raises SendRetryable, SendRefused."""
        answer = await self._call("POST", "/message/send", body=body, headers=headers)
        for name, hint in (
            ("invaliduser", f"add them at {PAGES[VISIBLE]}; or they have left"),
            ("unlicenseduser", "give them an interface licence (接口许可) in WeCom's console"),
        ):
            if answer.get(name):
                raise SendRefused("WeCom cannot write to the receiver", hint=hint)
        return answer

    async def send_group(self, body: Json, headers: Mapping[str, str] | None = None) -> Json:
        """A message to a group chat that this app founded (`chatid`; path/90248)."""
        return await self._call("POST", "/appchat/send", body=body, headers=headers)

    async def update_card(self, agent_id: int, user: str, response_code: str, label: str) -> None:
        """A card's buttons become one that says `label` and cannot be pressed. The code works once,
        within 72 h (path/94888). Raises SendRetryable, SendRefused."""
        body: Json = {
            "userids": [user],
            "agentid": agent_id,
            "response_code": response_code,
            "button": {"replace_name": label},
        }
        await self._call("POST", "/message/update_template_card", body=body)

    async def upload(self, kind: str, media: Media) -> str:
        """The media id, good for three days. `kind`: image | voice | video | file (path/90253).
        Raises SendRetryable, SendRefused."""

        def form() -> aiohttp.FormData:
            data = aiohttp.FormData(quote_fields=False)
            data.add_field(
                "media",
                io.BytesIO(media.content),
                filename=media.name,
                content_type=media.mime or None,
            )
            return data

        answer = await self._call(
            "POST",
            "/media/upload",
            params={"type": kind},
            form=form,
            seconds_max=_UPLOAD_SECONDS_MAX,
        )
        found = answer.get("media_id")
        if not isinstance(found, str) or not found:
            raise SendRetryable("WeCom's answer holds no media id")
        return found

    async def download(self, media_id: str, kind: str, bytes_max: int) -> Media:
        """The content behind a media id (path/90254). Raises SendRetryable, SendRefused."""
        answer = await self._answer(
            "GET",
            "/media/get",
            params={"media_id": media_id},
            seconds_max=_UPLOAD_SECONDS_MAX,
            bytes_max=bytes_max,
        )
        disposition = answer.headers.get("content-disposition", "")
        named = _FILENAME.search(disposition)
        mime = answer.headers.get("content-type", "").partition(";")[0].strip()
        return Media(
            kind=kind,
            content=answer.body,
            name=unquote(named[1].strip()) if named else "",
            mime=mime,
        )

    async def user(self, user_id: str) -> Json | None:
        """A member (path/90196); None when nobody has this id."""
        return await self._look_up("/user/get", {"userid": user_id})

    async def department(self, department_id: int) -> Json | None:
        """A department (path/95351); None when there is none."""
        found = await self._look_up("/department/get", {"id": str(department_id)})
        inner = (found or {}).get("department")
        return cast("Json", inner) if isinstance(inner, dict) else None

    async def agent(self, agent_id: str) -> Json:
        """The app itself (path/90227). Raises SendRetryable, SendRefused."""
        return await self._call("GET", "/agent/get", params={"agentid": agent_id})

    async def _look_up(self, path: str, params: Mapping[str, str]) -> Json | None:
        answer = await self._answer("GET", path, params=params, known=_UNKNOWN_PERSON)
        return None if _code(answer.json) else answer.json

    async def _call(self, method: str, path: str, **details: Any) -> Json:
        answer = await self._answer(method, path, **details)
        found = answer.json
        if "errcode" not in found:
            raise SendRetryable(f"WeCom's answer to {path} cannot be read")
        return found

    async def _answer(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Json | None = None,
        form: Body | None = None,
        headers: Mapping[str, str] | None = None,
        seconds_max: float = CALL_SECONDS_MAX,
        bytes_max: int = 1_048_576,
        known: frozenset[int] = frozenset(),
    ) -> Answer:
        """With an access token; one that WeCom refuses is renewed once. `known`: errcodes that are
        an answer, not a failure."""
        for last in (False, True):
            token = await self.tokens.get()
            answer = await self._api.call(
                method,
                self._base + path,
                params={"access_token": token, **(params or {})},
                json=body,
                data=form() if form else None,
                headers=headers,
                seconds_max=seconds_max,
                bytes_max=bytes_max,
            )
            code = 0 if _is_content(answer) else _code(answer.json)
            if code in _BAD_TOKEN and not last:
                self.tokens.invalidate(token)
                continue
            if code not in known:
                self._refuse(answer, code, path)
            return answer
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def _fetch_token(self) -> tuple[str, float]:
        answer = await self._api.call(
            "GET",
            f"{self._base}/gettoken",
            params={"corpid": self._corp_id, "corpsecret": self._secret},
        )
        found = answer.json
        code = _code(found)
        if code in _BAD_CREDENTIALS:
            raise WrongCredentials(
                f"WeCom does not accept the corp id and secret (errcode {code})",
                hint="compare auth.corp_id (我的企业, 企业ID) and auth.secret (the app's page)",
            )
        self._refuse(answer, code, "/gettoken")
        token, life = found.get("access_token"), found.get("expires_in")
        if not isinstance(token, str) or not token or not isinstance(life, int | float):
            raise SendRetryable("WeCom's answer holds no access token")
        return token, float(life)

    def _refuse(self, answer: Answer, code: int, path: str) -> None:
        """Raises the engine's error for a failed call."""
        wait = throttle_seconds(answer)
        if wait is not None and not _is_content(answer):
            raise SendRetryable(f"WeCom throttles the app ({path})", retry_after_seconds=wait)
        self._api.refuse_failure(answer, path)
        if code:
            _raise_for(code, str(answer.json.get("errmsg", "")), path)


def _is_content(answer: Answer) -> bool:
    """A downloaded file, which may itself be JSON; an error has no Content-Disposition."""
    return "content-disposition" in answer.headers


def _raise_for(code: int, said: str, path: str) -> NoReturn:
    if code in _TRANSIENT:
        raise SendRetryable(f"WeCom is busy (errcode {code})")
    if code in _PERMISSIONS:
        permission = _PERMISSIONS[code]
        address = _FROM_IP.search(said)
        what = f"add {address[1]}" if address else "grant it"
        raise PermissionMissing(
            f"the WeCom app lacks {permission} (errcode {code}, {path})",
            permission=permission,
            hint=f"{what} at {PAGES[permission]}",
        )
    if code == _NOBODY:
        raise SendRefused(
            "WeCom knows none of the receivers (errcode 81013)",
            hint=f"add them at {PAGES[VISIBLE]}; or they have left",
        )
    if code in _BAD_TOKEN or code in _BAD_CREDENTIALS:
        raise SendRefused(
            f"WeCom refuses a new access token (errcode {code})",
            hint="auth.secret may be another app's: compare it with the app's page",
        )
    raise SendRefused(f"WeCom refused {path} (errcode {code}: {said[:200]})")
