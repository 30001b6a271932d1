"""The connector API: conversations, activities, members, attachments."""

import re
from typing import TYPE_CHECKING, Any

from aiohttp import web

from ai_engine.domain.message import Json
from ai_engine.simulators.base import Handler
from ai_engine.simulators.control import answer_json
from ai_engine.simulators.files import FILE_BYTES_MAX, SharedFile
from ai_engine.simulators.people import Conversation
from ai_engine.simulators.teams.codec import (
    BadActivity,
    account,
    dig,
    objects,
    read_message,
    read_object,
)
from ai_engine.simulators.teams.streams import stream_info
from ai_engine.simulators.transcript import BOT

if TYPE_CHECKING:
    from ai_engine.simulators.teams.platform import TeamsPlatform

MIME = re.compile(r"[a-z]+/[\w.+-]+")
RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
PRODUCED_BY_HEADER = "X-AI-Engine-Produced-By"


class ConnectorApi:
    """Handlers of `/v3/…`, and of the addresses where people's files are."""

    def __init__(self, simulator: "TeamsPlatform") -> None:
        self._sim = simulator

    def routes(self) -> list[tuple[str, str, Handler]]:
        gate, base = self._sim.gate, "/v3/conversations"
        one = f"{base}/{{conversation}}"
        activity = f"{one}/activities/{{activity}}"
        return [
            ("POST", base, gate.with_token(self._create)),
            ("POST", f"{one}/activities", gate.with_token(self._post, sends=True)),
            ("POST", activity, gate.with_token(self._post, sends=True)),
            ("PUT", activity, gate.with_token(self._put, sends=True)),
            ("DELETE", activity, gate.with_token(self._delete)),
            ("GET", f"{one}/members", gate.with_token(self._members)),
            ("GET", f"{one}/members/{{user}}", gate.with_token(self._member)),
            ("GET", "/v3/attachments/{code}/views/original", gate.with_token(self._view)),
            ("GET", "/files/{code}", gate.open(self._view)),
            ("PUT", "/uploads/{code}", gate.open(self._upload)),
        ]

    async def _body(self, request: web.Request) -> Json:
        body = read_object(await request.read())
        if body is None:
            raise BadActivity(400, "BadSyntax", "the body is no JSON object")
        return body

    def _conversation(self, request: web.Request) -> Conversation:
        found = self._sim.directory.find(request.match_info["conversation"])
        if found is None:
            raise BadActivity(404, "ConversationNotFound", "Conversation not found.")
        return found

    def _user(self, id_: str) -> str:
        """By Entra object id or by `29:…`."""
        user = id_.removeprefix("29:")
        if not self._sim.directory.knows(user):
            raise BadActivity(404, "MemberNotFoundInConversation", "no such member")
        return user

    async def _create(self, request: web.Request) -> web.Response:
        body = await self._body(request)
        members = objects(body, "members")
        tenant = body.get("tenantId") or dig(body, "channelData", "tenant").get("id")
        if body.get("isGroup") or len(members) != 1:
            raise BadActivity(400, "BadSyntax", "one member for a chat of one person")
        if tenant != self._sim.tenant:
            raise BadActivity(403, "Forbidden", "the bot is not known in this tenant")
        user = self._user(str(members[0].get("id", "")))
        chat = self._sim.directory.private(user)
        return answer_json({"id": chat.id}, 201)

    async def _post(self, request: web.Request) -> web.Response:
        sim = self._sim
        body, chat = await self._body(request), self._conversation(request)
        reply_to = request.match_info.get("activity")
        if reply_to and sim.faults.not_found:
            raise BadActivity(404, "ActivityNotFoundInConversation", "Activity not found.")
        if reply_to and sim.transcript.get(reply_to) is None:
            reply_to = None  # the SDK answers made-up ids when it opens a chat: Teams shows it
        info = stream_info(body)
        if info is not None:
            answer = sim.streams.take(chat.id, body, info, reply_to)
            self._note_producer(request, str(info.get("streamId", "")))
            return answer_json(answer, 201 if not info.get("streamId") else 202)
        if body.get("type") == "typing":
            sim.typed.append(chat.id)
            return answer_json({"id": sim.new_id()}, 201)
        if body.get("type") != "message":
            raise BadActivity(400, "BadArgument", "only messages and typing are shown")
        shown = read_message(body)
        entry = sim.show(shown, chat, reply_to=reply_to)
        self._note_producer(request, entry.id)
        return answer_json({"id": entry.id}, 201)

    async def _put(self, request: web.Request) -> web.Response:
        body, chat = await self._body(request), self._conversation(request)
        id_ = request.match_info["activity"]
        self._own(id_, chat)
        self._sim.replace_shown(id_, read_message(body))
        self._note_producer(request, id_)
        return answer_json({"id": id_})

    def _note_producer(self, request: web.Request, id_: str) -> None:
        """An engine may say which of its parts answered."""
        if produced := request.headers.get(PRODUCED_BY_HEADER, "")[:100]:
            self._sim.transcript.mark(id_, produced_by=produced)

    async def _delete(self, request: web.Request) -> web.Response:
        id_ = request.match_info["activity"]
        self._own(id_, self._conversation(request))
        self._sim.transcript.mark(id_, status="deleted", state="", buttons=())
        return web.Response(status=200)

    def _own(self, id_: str, chat: Conversation) -> None:
        entry = self._sim.transcript.get(id_)
        if entry is None or entry.sender != BOT or entry.conversation != chat.id:
            raise BadActivity(404, "ActivityNotFoundInConversation", "Activity not found.")

    async def _members(self, request: web.Request) -> web.Response:
        chat = self._conversation(request)
        people = [chat.user] if chat.user else [person.id for person in self._sim.directory.staff]
        return answer_json([self._shown_member(user) for user in people])

    async def _member(self, request: web.Request) -> web.Response:
        chat = self._conversation(request)
        user = self._user(request.match_info["user"])
        if chat.kind == "private" and chat.user != user:
            raise BadActivity(404, "MemberNotFoundInConversation", "no such member")
        return answer_json(self._shown_member(user))

    def _shown_member(self, user: str) -> Json:
        person = self._sim.directory.person(user)
        return {
            **account(person),
            "objectId": person.id,
            "email": f"{user}@contoso.example",
            "userPrincipalName": f"{user}@contoso.example",
            "tenantId": self._sim.tenant,
            "userRole": "user",
        }

    async def _view(self, request: web.Request) -> web.Response:
        file = self._sim.shelf.get(request.match_info["code"])
        if file is None:
            raise BadActivity(404, "NotFound", "no such file")
        return web.Response(
            body=file.content,
            content_type=file.mime if MIME.fullmatch(file.mime) else "application/octet-stream",
            headers={"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox"},
        )

    async def _upload(self, request: web.Request) -> web.Response:
        """An upload session of OneDrive, in one piece."""
        offered: Any = self._sim.uploads.pop(request.match_info["code"], None)
        if offered is None:
            raise BadActivity(404, "itemNotFound", "no such upload session")
        content = await request.read()
        found = RANGE.fullmatch(request.headers.get("Content-Range", ""))
        size = len(content)
        if found is None or tuple(map(int, found.groups())) != (0, size - 1, size):
            raise BadActivity(416, "invalidRange", "Content-Range must name the whole file")
        if size > FILE_BYTES_MAX:
            raise BadActivity(413, "tooLarge", "the file is too large")
        file = SharedFile(
            kind="file", name=offered, mime="application/octet-stream", content=content
        )
        self._sim.uploaded.append(file)
        return answer_json({"id": "item", "name": offered, "size": size}, 201)
