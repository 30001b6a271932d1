"""The Bot API's methods, as far as bots that talk need them."""

import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from aiohttp import web

from ai_engine.domain.ids import new_id
from ai_engine.domain.message import Json
from ai_engine.simulators.base import Handler
from ai_engine.simulators.telegram.chats import Chats
from ai_engine.simulators.telegram.gate import Gate
from ai_engine.simulators.telegram.params import ApiError, Params, bad
from ai_engine.simulators.telegram.updates import Hook

if TYPE_CHECKING:
    from ai_engine.simulators.telegram.server import TelegramSimulator

DOWNLOAD_BYTES_MAX = 20_000_000
ACTIONS = frozenset(
    {
        *("typing", "upload_photo", "record_video", "upload_video", "record_voice"),
        *("upload_voice", "upload_document", "choose_sticker", "find_location"),
        *("record_video_note", "upload_video_note"),
    }
)
_SECRET = re.compile(r"[A-Za-z0-9_-]{1,256}")


class Api:
    """Method names are case-insensitive, as Telegram's are."""

    def __init__(self, simulator: "TelegramSimulator") -> None:
        self._sim = simulator
        self.chats = Chats(simulator)
        self.gate = Gate(simulator, self.run)
        methods: dict[str, Callable[[Params], Awaitable[Any]]] = {
            "getMe": self._get_me,
            "getUpdates": simulator.updates.get,
            "setWebhook": self._set_webhook,
            "deleteWebhook": self._delete_webhook,
            "getWebhookInfo": self._webhook_info,
            "sendMessage": self.chats.send_message,
            "sendMessageDraft": self.chats.send_draft,
            "sendPhoto": self._sender("photo"),
            "sendDocument": self._sender("document"),
            "sendAudio": self._sender("audio"),
            "sendVideo": self._sender("video"),
            "sendVoice": self._sender("voice"),
            "editMessageText": self.chats.edit_text,
            "editMessageReplyMarkup": self.chats.edit_keyboard,
            "deleteMessage": self.chats.delete,
            "sendChatAction": self._chat_action,
            "answerCallbackQuery": self._answer_callback,
            "getFile": self._get_file,
            "getChat": self._get_chat,
        }
        self._methods = {name.lower(): method for name, method in methods.items()}

    def routes(self) -> list[tuple[str, str, Handler]]:
        return [
            ("POST", "/bot{token}/{method}", self.gate.call),
            ("GET", "/bot{token}/{method}", self.gate.call),
            ("GET", "/file/bot{token}/{path:.+}", self._download),
            ("GET", "/files/{code}", self._look),
        ]

    async def run(self, method: str, params: Params) -> Any:
        """One method. Raises ApiError."""
        found = self._methods.get(method.lower())
        if found is None or (method.lower() == "sendmessagedraft" and self._sim.faults.drafts_off):
            raise ApiError(404, "Not Found: method not found")
        return await found(params)

    async def _get_me(self, _: Params) -> Json:
        sim = self._sim
        return {
            **sim.bot,
            "can_join_groups": True,
            "can_read_all_group_messages": sim.faults.privacy_off,
            "supports_inline_queries": False,
        }

    # The webhook.

    async def _set_webhook(self, params: Params) -> bool:
        url, secret = params.text("url"), params.text("secret_token")
        if secret and not _SECRET.fullmatch(secret):
            raise bad("secret token contains unallowed characters")
        self._want(params)
        if not url:
            return await self._delete_webhook(params)
        if not url.startswith(("https://", "http://")):
            raise bad("bad webhook: An HTTPS URL must be provided for webhook")
        self._sim.wire.hide(secret, "<secret>")
        if params.flag("drop_pending_updates"):
            self._sim.updates.drop()
        self._sim.updates.set_hook(Hook(url=url, secret=secret))
        return True

    def _want(self, params: Params) -> None:
        allowed = params.json("allowed_updates")
        if isinstance(allowed, list):
            self._sim.updates.allowed = [str(kind) for kind in allowed]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]

    async def _delete_webhook(self, params: Params) -> bool:
        self._sim.updates.set_hook(None)
        if params.flag("drop_pending_updates"):
            self._sim.updates.drop()
        return True

    async def _webhook_info(self, _: Params) -> Json:
        updates = self._sim.updates
        hook = updates.hook
        info: Json = {
            "url": hook.url if hook else "",
            "has_custom_certificate": False,
            "pending_update_count": updates.waiting,
        }
        if updates.allowed:
            info["allowed_updates"] = updates.allowed
        if hook and hook.error:
            info |= {"last_error_date": int(hook.error_at), "last_error_message": hook.error}
        return info

    # Files.

    def _sender(self, field: str) -> Callable[[Params], Awaitable[Json]]:
        async def send(params: Params) -> Json:
            return await self.chats.send_file(field, params)

        return send

    async def _get_file(self, params: Params) -> Json:
        code = params.text("file_id").removesuffix("-small")
        file = self._sim.shelf.get(code)
        if file is None:
            raise bad("invalid file_id")
        if len(file.content) > DOWNLOAD_BYTES_MAX:
            raise bad("file is too big")
        ending = re.sub(r"[^A-Za-z0-9]", "", file.name.rpartition(".")[2]) or "bin"
        return {
            "file_id": params.text("file_id"),
            "file_unique_id": code[-16:],
            "file_size": len(file.content),
            "file_path": self._sim.faults.bad_file_path or f"files/{code}.{ending}",
        }

    async def _download(self, request: web.Request) -> web.Response:
        if not self.gate.is_token(request):
            return web.json_response(
                {"ok": False, "error_code": 401, "description": "Unauthorized"}, status=401
            )
        code = request.match_info["path"].removeprefix("files/").rpartition(".")[0]
        return self._content(code)

    async def _look(self, request: web.Request) -> web.Response:
        """For the chat page."""
        return self._content(request.match_info["code"])

    def _content(self, code: str) -> web.Response:
        file = self._sim.shelf.get(code)
        if file is None:
            return web.Response(status=404)
        return web.Response(body=file.content, content_type="application/octet-stream")

    # The rest.

    async def _chat_action(self, params: Params) -> bool:
        where = self.chats.where(params)
        if params.text("action") not in ACTIONS:
            raise bad("wrong parameter action in request")
        self._sim.actions.append((where.id, params.text("action")))
        return True

    async def _answer_callback(self, params: Params) -> bool:
        query = params.text("callback_query_id")
        if query not in self._sim.presses:
            raise bad("query is too old and response timeout expired or query ID is invalid")
        self._sim.presses[query] = {
            "text": params.text("text"),
            "show_alert": params.flag("show_alert"),
        }
        self._sim.feed.publish("answer", {"id": query, "text": params.text("text")})
        return True

    async def _get_chat(self, params: Params) -> Json:
        where = self.chats.where(params)
        chat = self._sim.chat_of(where)
        return {**chat, "accent_color_id": 0, "max_reaction_count": 11}


def next_callback() -> str:
    """A callback's id: digits, as Telegram's are."""
    return str(int(new_id("x").removeprefix("x_")[-15:], 16))
