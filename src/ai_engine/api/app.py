"""The whole HTTP application of one running engine."""

from starlette.requests import Request
from starlette.routing import WebSocketRoute
from starlette.types import ASGIApp

from ai_engine.api.chat import ChatPage
from ai_engine.api.websocket import ChatSocket
from ai_engine.domain.errors import Throttled
from ai_engine.engine import Engine
from ai_engine.gateway import build_app
from ai_engine.security.egress import is_loopback


def http_app(engine: Engine, *, host: str) -> ASGIApp:
    """Callbacks, chat, admin API and operations. `host` is the listener's address."""
    open_to_all = is_loopback(host)

    def may_see(request: Request) -> bool:
        """Operational details: on loopback for everyone, else with a token."""
        if open_to_all:
            return True
        remote = request.client.host if request.client else ""
        try:
            return engine.access.authenticate(request.headers, remote) is not None
        except Throttled:
            return False

    def admin() -> ASGIApp:
        from ai_engine.api.admin import Admin, build

        return build(
            Admin(
                journal=engine.journal,
                access=engine.access,
                plan=lambda: engine.plan,
                readiness=engine.readiness,
                accept=engine.ingress.accept,
            )
        )

    socket = ChatSocket(
        engine.journal,
        engine.events,
        engine.ingress.accept,
        engine.access,
        engine.clock,
        session_key=engine.ingress.key,
    )
    return build_app(
        messages=engine.message_endpoint(),
        operations=engine.operations(may_see),
        chat_routes=[WebSocketRoute("/api/ws", socket), *ChatPage(engine.access).routes()],
        admin=admin,
    )
