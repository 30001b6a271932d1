"""Mattermost's REST API (`/api/v4`), as far as answers and catching up need it.

Errors are `{"id","message","detailed_error","status_code"}`; the rate limiter answers 429 with
`X-RateLimit-Reset` and `Retry-After` in seconds and no JSON. The token goes into a header, so that
no URL is a secret.
"""

import asyncio
import logging
import math
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final, cast
from urllib.parse import quote

import aiohttp
import msgspec

from ai_engine.channels.http import ANSWER_BYTES_MAX, Answer, Api
from ai_engine.channels.mattermost.codec import Me, Where, items, number, text
from ai_engine.domain.errors import PermissionMissing, SendRefused, SendRetryable
from ai_engine.domain.message import Json, Media, media_kind

log = logging.getLogger(__name__)

POSTS_BYTES_MAX: Final = 16 * 1_048_576
"""The largest answer that lists posts."""
_WAIT_SECONDS_MAX: Final = 600.0
_KNOWN_MAX: Final = 2_000
_PERMISSION: Final = re.compile(r"permission=([a-z_]+)")
_PENDING: Final = "api.post.deduplicate_create_post.pending"
_PERMISSION_ERROR: Final = "api.context.permissions.app_error"


class TokenRefused(SendRefused):
    """Mattermost does not accept the bot's token (any more)."""


class Declined(SendRefused):
    """The server says no to this call; `status` and `error_id` are its own."""

    def __init__(self, message: str, *, status: int, error_id: str) -> None:
        super().__init__(message)
        self.status = status
        self.error_id = error_id


def throttle_seconds(answer: Answer) -> float | None:
    """How long the server wants us to wait; None when it does not throttle."""
    if answer.status != 429:
        return None
    if answer.retry_after is not None:
        return answer.retry_after
    try:
        wait = float(answer.headers.get("x-ratelimit-reset", ""))
    except ValueError:
        return 1.0
    return min(max(wait, 0.0), _WAIT_SECONDS_MAX) if math.isfinite(wait) else 1.0


def stream_over(answer: Answer) -> bool:
    """Whether a post cannot be edited any more: deleted, too old (`PostEditTimeLimit`), or the
    bot may not edit; its text is within the limit, so that cannot be the reason."""
    return answer.status in (400, 403, 404)


class MattermostClient:
    """One bot's calls. `lacks` is told of missing permissions, `granted` of those that worked."""

    def __init__(
        self,
        api: Api,
        base: str,
        token: str,
        lacks: Callable[[PermissionMissing], PermissionMissing],
        granted: Callable[[str], None],
    ) -> None:
        self._api = api
        self.base = base
        self._lacks = lacks
        self._granted = granted
        self.headers: Mapping[str, str] = {"Authorization": f"Bearer {token}"}
        self._me: Me | None = None
        self._asking = asyncio.Lock()
        self._places: OrderedDict[str, Where] = OrderedDict()
        self._directs: OrderedDict[str, str] = OrderedDict()
        self._names: OrderedDict[str, str] = OrderedDict()

    @property
    def known_me(self) -> Me | None:
        """The bot's account, if it was asked for already."""
        return self._me

    async def me(self, *, again: bool = False) -> Me:
        """The bot's account; asked for once, however many want it at the same time."""
        async with self._asking:
            if self._me is None or again:
                found = await self.call("GET", "/users/me", "reading the bot's account")
                user_id, username = text(found, "id"), text(found, "username")
                if not user_id or not username:
                    raise SendRetryable("Mattermost's answer names no account")
                self._me = Me(id=user_id, username=username)
            return self._me

    # Posts.

    async def create_post(self, body: Json, extra: Mapping[str, str] | None = None) -> Json:
        """`POST /posts`. Raises SendRetryable, Declined, PermissionMissing, TokenRefused."""
        found = await self.call(
            "POST", "/posts", "sending", json=body, permission="create_post", extra=extra
        )
        if not text(found, "id"):
            raise SendRetryable("Mattermost's answer to the post cannot be read")
        return found

    async def patch_post(self, post_id: str, body: Json) -> Answer:
        """`PUT /posts/{id}/patch`, as it was answered: see `stream_over` and `checked`."""
        path = f"/posts/{quote(post_id, safe='')}/patch"
        return await self._request("PUT", path, json=body)

    async def post(self, post_id: str) -> Json:
        """One post. Raises Declined when there is none, or the bot may not read it."""
        path = f"/posts/{quote(post_id, safe='')}"
        return await self.call("GET", path, "reading a post", permission="read_channel")

    async def posts(self, channel_id: str, params: Mapping[str, str]) -> list[Json]:
        """Posts of a channel, oldest first."""
        found = await self.call(
            "GET",
            f"/channels/{quote(channel_id, safe='')}/posts",
            "reading posts",
            params=params,
            permission="read_channel",
            bytes_max=POSTS_BYTES_MAX,
        )
        posts: Any = found.get("posts")
        known = cast("dict[str, Any]", posts).values() if isinstance(posts, dict) else ()
        whole = [cast("Json", post) for post in known if isinstance(post, dict)]
        return sorted(whole, key=lambda post: number(post, "create_at"))

    # Channels and people.

    async def where(self, channel_id: str) -> Where:
        """A channel by its id; kept in memory."""
        known = self._places.get(channel_id)
        if known is None:
            path = f"/channels/{quote(channel_id, safe='')}"
            found = await self.call("GET", path, "reading a channel", permission="read_channel")
            known = self.learn(place(found))
        return known

    def learn(self, where: Where) -> Where:
        """Keep what is known of a channel."""
        self._places[where.id] = where
        if len(self._places) > _KNOWN_MAX:
            self._places.popitem(last=False)
        return where

    async def my_channels(self) -> list[Json]:
        """Every channel that the bot is in."""
        me = await self.me()
        answer = await self._request("GET", f"/users/{me.id}/channels", bytes_max=POSTS_BYTES_MAX)
        self.checked(answer, "listing the bot's channels", "read_channel")
        try:
            return msgspec.json.decode(answer.body, type=list[Json])
        except msgspec.DecodeError:
            raise SendRetryable("Mattermost's list of channels cannot be read") from None

    async def direct(self, user_id: str) -> str:
        """The direct channel with a person, made if there is none yet; its id."""
        known = self._directs.get(user_id)
        if known is None:
            me = await self.me()
            found = await self.call(
                "POST",
                "/channels/direct",
                "opening a direct channel",
                json=[me.id, user_id],
                permission="create_direct_channel",
            )
            known = text(found, "id")
            if not known:
                raise SendRetryable("Mattermost's answer names no channel")
            self._directs[user_id] = known
            if len(self._directs) > _KNOWN_MAX:
                self._directs.popitem(last=False)
        return known

    async def user(self, user_id: str) -> Json | None:
        """A person's account; None when there is none."""
        path = f"/users/{quote(user_id, safe='')}"
        try:
            return await self.call("GET", path, "reading a profile", permission="view_members")
        except Declined as declined:
            if declined.status in (400, 404):
                return None
            raise

    async def username(self, user_id: str) -> str:
        """A person's name where no event tells it; kept in memory, empty when not readable."""
        if user_id not in self._names:
            try:
                found = await self.user(user_id)
            except PermissionMissing as missing:
                log.info("a sender's name is not readable: %s", missing.message)
                return ""
            self._names[user_id] = text(found or {}, "username")
            if len(self._names) > _KNOWN_MAX:
                self._names.popitem(last=False)
        return self._names[user_id]

    # Small signs.

    async def react(self, post_id: str, emoji: str) -> None:
        """The bot's own reaction; a repeated one shows once."""
        me = await self.me()
        body = {"user_id": me.id, "post_id": post_id, "emoji_name": emoji}
        await self.call("POST", "/reactions", "reacting", json=body, permission="add_reaction")

    async def typing(self, channel_id: str, root: str) -> None:
        """ "The bot is typing", for about five seconds."""
        me = await self.me()
        body = {"channel_id": channel_id, "parent_id": root}
        await self.call("POST", f"/users/{me.id}/typing", "showing the typing sign", json=body)

    # Files.

    async def download(self, file_id: str, name: str, mime: str, bytes_max: int) -> Media:
        """A file's content; its name and type too where they are not known yet."""
        path = f"/files/{quote(file_id, safe='')}"
        if not mime:
            info = await self.call("GET", f"{path}/info", "reading a file's description")
            name, mime = name or text(info, "name"), text(info, "mime_type")
            if number(info, "size") > bytes_max:
                raise SendRefused(f"the file {name!r} has more than {bytes_max} bytes")
        answer = await self._request("GET", path, bytes_max=bytes_max)
        self.checked(answer, "downloading a file", "read_channel")
        return Media(kind=media_kind(mime), content=answer.body, name=name, mime=mime)

    async def upload(self, channel_id: str, media: Media) -> str:
        """The file's id, to be named by a post."""
        form = aiohttp.FormData()
        form.add_field("channel_id", channel_id)
        form.add_field("files", media.content, filename=media.name, content_type=media.mime)
        answer = await self._request("POST", "/files", data=form)
        self.checked(answer, "uploading a file", "upload_file")
        for info in items(answer.json, "file_infos"):
            if isinstance(info, dict) and (found := text(cast("Json", info), "id")):
                return found
        raise SendRetryable("Mattermost's answer names no file")

    # One call.

    async def call(
        self,
        method: str,
        path: str,
        what: str,
        *,
        json: Any = None,
        params: Mapping[str, str] | None = None,
        permission: str = "",
        bytes_max: int = ANSWER_BYTES_MAX,
        extra: Mapping[str, str] | None = None,
    ) -> Json:
        """One call and its JSON object. `permission`: what it needs, should it be refused.

        Raises:
            SendRetryable: throttled, unreachable, 5xx. TokenRefused: 401. PermissionMissing: 403.
            Declined: any other no.
        """
        answer = await self._request(
            method, path, json=json, params=params, bytes_max=bytes_max, extra=extra
        )
        self.checked(answer, what, permission)
        return answer.json

    async def _request(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        data: Any = None,
        params: Mapping[str, str] | None = None,
        bytes_max: int = ANSWER_BYTES_MAX,
        extra: Mapping[str, str] | None = None,
    ) -> Answer:
        return await self._api.call(
            method,
            f"{self.base}/api/v4{path}",
            json=json,
            data=data,
            params=params,
            headers={**self.headers, **(extra or {})},
            bytes_max=bytes_max,
        )

    def checked(self, answer: Answer, what: str, permission: str = "") -> None:
        """Raises as `call` does, unless the answer is a success."""
        if 200 <= answer.status < 300:
            if permission:
                self._granted(permission)
            return
        wait = throttle_seconds(answer)
        if wait is not None:
            raise SendRetryable("Mattermost throttles the bot", retry_after_seconds=wait)
        body = answer.json
        error_id = text(body, "id")
        said = f"{error_id or f'HTTP {answer.status}'}: {text(body, 'message')[:200]}"
        if answer.status == 401:
            raise TokenRefused(
                f"Mattermost does not accept the bot's token ({said})",
                hint="make a new token of the bot account, set auth.token, replay dead letters",
            )
        if answer.status == 403 and error_id in ("", _PERMISSION_ERROR):
            raise self._lacks(_missing(text(body, "detailed_error"), permission, what))
        if answer.status == 408 or answer.status >= 500:
            wait = 1.0 if error_id == _PENDING else answer.retry_after
            raise SendRetryable(f"Mattermost failed at {what} ({said})", retry_after_seconds=wait)
        raise Declined(
            f"Mattermost refused {what} ({said})", status=answer.status, error_id=error_id
        )


def _missing(detail: str, permission: str, what: str) -> PermissionMissing:
    """The server names the permission only in developer mode; else it is what the call needs."""
    named = _PERMISSION.search(detail)
    name = named[1] if named else permission or "(not named by Mattermost)"
    return PermissionMissing(
        f"the bot lacks the permission {name} ({what})",
        permission=name,
        hint="add the bot to the team and the channel; "
        f"grant {name} in System Console > User Management > Permissions",
    )


def place(channel: Json) -> Where:
    """A channel of the API."""
    return Where(
        id=text(channel, "id"),
        type=text(channel, "type"),
        title=text(channel, "display_name") or text(channel, "name"),
    )
