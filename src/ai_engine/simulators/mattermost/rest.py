"""The part of `/api/v4` that bots use."""

from typing import TYPE_CHECKING, Any, cast

import msgspec
from aiohttp import web

from ai_engine.domain.message import Json
from ai_engine.simulators.base import Handler
from ai_engine.simulators.control import answer_json
from ai_engine.simulators.files import FILE_BYTES_MAX, SharedFile
from ai_engine.simulators.mattermost.events import entries, shown
from ai_engine.simulators.mattermost.gate import AppError

if TYPE_CHECKING:
    from ai_engine.simulators.mattermost.server import MattermostSimulator

MESSAGE_RUNES_MAX = 16_383
FILES_MAX = 10
SINCE_MAX = 1_000
_STYLES = frozenset({"", "default", "primary", "success", "good", "warning", "danger"})


def bad(what: str, error_id: str = "api.context.invalid_body_param.app_error") -> AppError:
    return AppError(400, error_id, f"Invalid or missing {what} in request body.")


def gone(what: str, error_id: str) -> AppError:
    return AppError(404, error_id, f"Unable to find the {what}.")


class Rest:
    """Handlers of the API."""

    def __init__(self, simulator: "MattermostSimulator") -> None:
        self._sim = simulator
        self._store = simulator.store

    def routes(self) -> list[tuple[str, str, Handler]]:
        gate = self._sim.gate.open
        read, one = "read_channel", "/posts/{post}"
        found: list[tuple[str, str, Handler]] = [
            ("GET", "/system/ping", gate(self._ping, token=False)),
            ("GET", "/users/me", gate(self._me)),
            ("GET", "/users/username/{name}", gate(self._by_name, permission="view_members")),
            ("GET", "/users/{user}", gate(self._user, permission="view_members")),
            ("GET", "/users/{user}/channels", gate(self._channels, permission=read)),
            ("POST", "/users/{user}/typing", gate(self._typing)),
            ("POST", "/channels/direct", gate(self._direct, permission="create_direct_channel")),
            ("GET", "/channels/{channel}", gate(self._channel, permission=read)),
            ("GET", "/channels/{channel}/posts", gate(self._posts, permission=read)),
            ("POST", "/posts", gate(self._create, permission="create_post", sends=True)),
            ("GET", one, gate(self._post, permission=read)),
            ("DELETE", one, gate(self._delete, permission="delete_post")),
            ("PUT", f"{one}/patch", gate(self._patch, permission="edit_post", sends=True)),
            ("GET", f"{one}/reactions", gate(self._reactions)),
            ("POST", "/reactions", gate(self._react, permission="add_reaction")),
            ("POST", "/files", gate(self._upload, permission="upload_file")),
            ("GET", "/files/{file}/info", gate(self._info, permission=read)),
            ("GET", "/files/{file}", gate(self._file, permission=read)),
        ]
        return [(method, f"/api/v4{path}", handler) for method, path, handler in found]

    async def _ping(self, _: web.Request) -> web.Response:
        return answer_json({"status": "OK"})

    # Accounts and channels.

    async def _me(self, _: web.Request) -> web.Response:
        return answer_json(self._store.bot)

    async def _user(self, request: web.Request) -> web.Response:
        return answer_json(self._account(request.match_info["user"]))

    async def _by_name(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        for user in self._store.users.values():
            if user["username"] == name:
                return answer_json(user)
        raise gone("user", "app.user.missing_account.const")

    def _account(self, user_id: str) -> Json:
        if user_id == "me":
            return self._store.bot
        found = self._store.users.get(user_id)
        if found is None:
            raise gone("user", "app.user.missing_account.const")
        return found

    async def _channels(self, request: web.Request) -> web.Response:
        self._account(request.match_info["user"])
        return answer_json(list(self._store.channels.values()))

    async def _channel(self, request: web.Request) -> web.Response:
        return answer_json(self._known_channel(request.match_info["channel"]))

    def _known_channel(self, channel_id: str) -> Json:
        found = self._store.channels.get(channel_id)
        if found is None:
            raise gone("channel", "app.channel.get.existing.app_error")
        return found

    async def _direct(self, request: web.Request) -> web.Response:
        ids: Any = _json(await request.read())
        if not isinstance(ids, list) or len(cast("list[Any]", ids)) != 2:
            raise bad("user_ids")
        others = [str(i) for i in cast("list[Any]", ids) if i != self._store.bot["id"]]
        person = self._store.person_of(others[0]) if others else ""
        if not person:
            raise bad("user_ids", "api.channel.create_direct_channel.invalid_user.app_error")
        return answer_json(self._store.channel(self._sim.directory.private(person)), 201)

    async def _typing(self, request: web.Request) -> web.Response:
        body = await _body(request)
        channel = self._known_channel(str(body.get("channel_id", "")))
        self._sim.typed.append((channel["id"], str(body.get("parent_id", ""))))
        return answer_json({"status": "OK"})

    # Posts.

    async def _posts(self, request: web.Request) -> web.Response:
        channel = self._known_channel(request.match_info["channel"])
        posts = self._store.of_channel(channel["id"])
        since = int(request.query.get("since") or 0)
        if since:
            posts = [p for p in posts if p["update_at"] > since][:SINCE_MAX]
        else:
            size, page = (
                int(request.query.get("per_page") or 60),
                int(request.query.get("page") or 0),
            )
            posts = [p for p in posts if not p["delete_at"]][page * size : (page + 1) * size]
        self._sim.were_read(posts)
        return answer_json(
            {
                "order": [p["id"] for p in posts],
                "posts": {p["id"]: shown(p) for p in posts},
                "next_post_id": "",
                "prev_post_id": "",
            }
        )

    def _known_post(self, request: web.Request) -> Json:
        found = self._store.posts.get(request.match_info["post"])
        if found is None or found["delete_at"]:
            raise gone("post", "app.post.get.app_error")
        return found

    async def _post(self, request: web.Request) -> web.Response:
        return answer_json(shown(self._known_post(request)))

    async def _create(self, request: web.Request) -> web.Response:
        body = await _body(request)
        pending = str(body.get("pending_post_id") or "")
        known = self._store.pending(pending)
        if known is not None:
            return answer_json(shown(known), 201)
        channel = self._known_channel(str(body.get("channel_id", "")))
        root = self._root(str(body.get("root_id") or ""), channel["id"])
        message, props = self._content(body)
        files = self._named_files(body.get("file_ids"))
        post = self._store.add_post(
            channel_id=channel["id"],
            user_id=self._store.bot["id"],
            root_id=root,
            message=message,
            props={**props, "from_bot": "true"},
            file_ids=files,
            pending_post_id=pending,
        )
        self._store.remember(pending, post["id"])
        await self._sim.bot_posted(post, request)
        return answer_json(shown(post), 201)

    def _content(self, body: Json) -> tuple[str, Json]:
        message: Any = body.get("message", "")
        props: Any = body.get("props") or {}
        if not isinstance(message, str) or not isinstance(props, dict):
            raise bad("post")
        if len(message) > MESSAGE_RUNES_MAX:
            raise bad("message", "model.post.is_valid.message_length.app_error")
        known = cast("Json", props)
        for attachment in entries(known, "attachments"):
            _check_actions(attachment)
        return message, known

    def _root(self, root_id: str, channel_id: str) -> str:
        if not root_id:
            return ""
        root = self._store.posts.get(root_id)
        if root is None or root["delete_at"] or root["root_id"]:
            raise bad("root_id", "api.post.create_post.root_id.app_error")
        if root["channel_id"] != channel_id:
            raise bad("root_id", "api.post.create_post.channel_root_id.app_error")
        return root_id

    def _named_files(self, ids: Any) -> list[str]:
        names = [str(i) for i in cast("list[Any]", ids)] if isinstance(ids, list) else []
        if len(names) > FILES_MAX or any(self._store.file_info(i) is None for i in names):
            raise bad("file_ids")
        return names

    async def _patch(self, request: web.Request) -> web.Response:
        post, body = self._known_post(request), await _body(request)
        if post["user_id"] != self._store.bot["id"]:
            raise AppError(403, "api.context.permissions.app_error", "not yours")
        if self._sim.faults.edits_over:
            error_id = "api.post.update_post.permissions_time_limit.app_error"
            raise AppError(400, error_id, "Post edit is only allowed for a time.")
        message, props = self._content({"message": post["message"], "props": post["props"], **body})
        edited = message != post["message"]
        self._store.change(post, message=message, props=props)
        if edited:
            self._store.change(post, edit_at=post["update_at"])
        await self._sim.bot_edited(post)
        return answer_json(shown(post))

    async def _delete(self, request: web.Request) -> web.Response:
        post = self._known_post(request)
        self._store.change(post, delete_at=self._store.now_ms())
        return answer_json({"status": "OK"})

    # Reactions and files.

    async def _react(self, request: web.Request) -> web.Response:
        body = await _body(request)
        post = self._store.posts.get(str(body.get("post_id", "")))
        if post is None or body.get("user_id") != self._store.bot["id"]:
            raise bad("reaction", "api.reaction.save_reaction.invalid.app_error")
        found = self._sim.reacted(post, self._store.bot["id"], str(body.get("emoji_name", "")))
        await self._sim.tell_reaction("reaction_added", found, post)
        return answer_json(found, 201)

    async def _reactions(self, request: web.Request) -> web.Response:
        return answer_json(self._sim.reactions.get(self._known_post(request)["id"], []))

    async def _upload(self, request: web.Request) -> web.Response:
        form = await request.post()
        channel_id = str(form.get("channel_id") or request.query.get("channel_id", ""))
        channel, media = self._known_channel(channel_id), form.get("files")
        if not isinstance(media, web.FileField):
            raise bad("files", "api.file.upload_file.no_files.app_error")
        content = media.file.read(FILE_BYTES_MAX + 1)
        if len(content) > FILE_BYTES_MAX:
            raise AppError(413, "api.file.upload_file.too_large.app_error", "the file is too large")
        kind = media.content_type.partition("/")[0].replace("image", "picture")
        file = SharedFile(
            kind=kind if kind in ("picture", "audio", "video") else "file",
            name=media.filename,
            mime=media.content_type,
            content=content,
        )
        info = self._store.add_file(file, channel["id"], self._store.bot["id"])
        return answer_json({"file_infos": [info], "client_ids": []}, 201)

    async def _info(self, request: web.Request) -> web.Response:
        info = self._store.file_info(request.match_info["file"])
        if info is None:
            raise gone("file", "app.file_info.get.app_error")
        return answer_json(info)

    async def _file(self, request: web.Request) -> web.Response:
        file_id = request.match_info["file"]
        file, info = self._store.file(file_id), self._store.file_info(file_id)
        if file is None or info is None:
            raise gone("file", "app.file_info.get.app_error")
        return web.Response(body=file.content, content_type=info["mime_type"])


def _check_actions(attachment: Json) -> None:
    """What the server refuses of a button (`PostAction.IsValid`)."""
    for action in entries(attachment, "actions"):
        integration: Json = action.get("integration") or {}
        url = str(integration.get("url", ""))
        known = action.get("type") == "button" and str(action.get("id", "")).isalnum()
        styled = action.get("style", "") in _STYLES
        if not known or not styled or not action.get("name") or not url.startswith("http"):
            raise bad("attachments", "model.post.is_valid.props.app_error")


def _json(data: bytes) -> Any:
    try:
        return msgspec.json.decode(data)
    except msgspec.DecodeError as error:
        raise bad("body") from error


async def _body(request: web.Request) -> Json:
    found: Any = _json(await request.read())
    if not isinstance(found, dict):
        raise bad("body")
    return cast("Json", found)
