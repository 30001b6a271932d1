"""`/chat`: the page, its files, and signing in by a one-time link or the admin token."""

import hashlib
import mimetypes
from collections.abc import Collection
from dataclasses import dataclass
from importlib import resources
from typing import Final
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from ai_engine.api.origin import from_our_page
from ai_engine.domain.errors import Throttled
from ai_engine.security.access import COOKIE, Access

SECURITY_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # not "no-referrer": with it, browsers send our own form with `Origin: null`
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_PRIVATE: Final = {**SECURITY_HEADERS, "Cache-Control": "no-store"}
_FORM_BYTES_MAX = 4096
_TYPES: Final = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    body: bytes
    media_type: str
    etag: str


def _load() -> dict[str, _File]:
    """The page's few files, read once; they are part of the program."""
    files: dict[str, _File] = {}
    for item in (resources.files("ai_engine") / "static" / "chat").iterdir():
        dot = item.name.rfind(".")
        kind = _TYPES.get(item.name[dot:]) or mimetypes.guess_type(item.name)[0]
        if dot <= 0 or kind is None or not item.is_file():
            continue
        body = item.read_bytes()
        etag = f'"{hashlib.sha256(body).hexdigest()[:24]}"'
        files[item.name] = _File(body=body, media_type=kind, etag=etag)
    return files


def chat_routes(access: Access, *, origins: Collection[str] = ()) -> list[Route]:
    """The routes of the page. `origins` may post its forms, besides this server's own pages."""
    return ChatPage(access, origins=origins).routes()


class ChatPage:
    """The page's handlers. Its files are public; the conversation is not in them."""

    def __init__(self, access: Access, *, origins: Collection[str] = ()) -> None:
        self._access = access
        self._origins = frozenset(origins)
        self._files = _load()

    def routes(self) -> list[Route]:
        return [
            Route("/chat", self.page, methods=["GET"]),
            Route("/chat/sign-in", self.sign_in, methods=["POST"]),
            Route("/chat/sign-out", self.sign_out, methods=["POST"]),
            Route("/chat/static/{name}", self.file, methods=["GET"]),
        ]

    async def page(self, request: Request) -> Response:
        """The chat, for those who may; else the sign-in page. `?code=` redeems a one-time link."""
        code = request.query_params.get("code")
        try:
            if code:
                return self._admit(request, self._access.redeem(code, _remote(request)))
            identity = self._access.authenticate(dict(request.headers), _remote(request))
        except Throttled as error:
            return _throttled(error)
        if identity is None:
            return self._html("sign-in.html", status=401)
        return self._html("index.html")

    async def sign_in(self, request: Request) -> Response:
        """The admin token, from the sign-in page's form."""
        if from_our_page(request.headers, self._origins) is False:
            return _plain(403, "This form belongs to another page.")
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > _FORM_BYTES_MAX:
                return _plain(413, "The form is too large.")
        try:
            session = self._access.log_in(_token(body), _remote(request))
        except Throttled as error:
            return _throttled(error)
        return self._admit(request, session)

    async def sign_out(self, request: Request) -> Response:
        if from_our_page(request.headers, self._origins) is False:
            return _plain(403, "This form belongs to another page.")
        self._access.log_out(request.headers)
        answer = RedirectResponse("/chat", status_code=303, headers=_PRIVATE)
        answer.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
        return answer

    async def file(self, request: Request) -> Response:
        file = self._files.get(request.path_params["name"])
        if file is None or file.media_type == "text/html":
            return _plain(404, "There is no such file.")
        headers = {**SECURITY_HEADERS, "ETag": file.etag, "Cache-Control": "no-cache"}
        if file.etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(file.body, media_type=file.media_type, headers=headers)

    def _admit(self, request: Request, session: str | None) -> Response:
        """To the page, with a session; the code does not stay in the address."""
        if session is None:
            return self._html("sign-in.html", status=401)
        answer = RedirectResponse("/chat", status_code=303, headers=_PRIVATE)
        answer.set_cookie(
            COOKIE,
            session,
            max_age=self._access.session_seconds,
            path="/",
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return answer

    def _html(self, name: str, *, status: int = 200) -> Response:
        return Response(
            self._files[name].body, status_code=status, media_type="text/html", headers=_PRIVATE
        )


def _remote(request: Request) -> str:
    return request.client.host if request.client else ""


def _token(form: bytes) -> str:
    """`token` of an `application/x-www-form-urlencoded` body."""
    return parse_qs(form.decode("ascii", "replace")).get("token", [""])[0].strip()


def _plain(status: int, text: str, headers: dict[str, str] | None = None) -> Response:
    return Response(
        text, status_code=status, media_type="text/plain", headers={**_PRIVATE, **(headers or {})}
    )


def _throttled(error: Throttled) -> Response:
    return _plain(error.status, str(error), {"Retry-After": str(error.retry_after_seconds)})
