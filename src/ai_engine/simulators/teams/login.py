"""Where keys are published and access tokens are given."""

import secrets
from typing import TYPE_CHECKING

from aiohttp import web

from ai_engine.simulators.base import Handler
from ai_engine.simulators.control import answer_json
from ai_engine.simulators.teams.crypto import ISSUER, published

if TYPE_CHECKING:
    from ai_engine.simulators.teams.platform import TeamsPlatform

METADATA_PATH = "/v1/.well-known/openidconfiguration"
KEYS_PATH = "/v1/.well-known/keys"
SCOPE = "https://api.botframework.com/.default"


class Tokens:
    """Access tokens in force. Each request gives a new one; the older ones hold until they end."""

    def __init__(self, simulator: "TeamsPlatform") -> None:
        self._sim = simulator
        self._until: dict[str, float] = {}

    def issue(self) -> tuple[str, int]:
        """The token and its life in seconds."""
        now = self._sim.clock.time()
        self._until = {token: until for token, until in self._until.items() if until > now}
        token = f"sim.{secrets.token_urlsafe(32)}"
        self._until[token] = now + self._sim.faults.token_seconds
        return token, int(self._sim.faults.token_seconds)

    def holds(self, token: str) -> bool:
        return self._sim.clock.time() < self._until.get(token, 0.0)

    def revoke(self) -> None:
        """Let every token end at once."""
        self._until.clear()


class Login:
    def __init__(self, simulator: "TeamsPlatform") -> None:
        self._sim = simulator

    def routes(self) -> list[tuple[str, str, Handler]]:
        gate = self._sim.gate
        return [
            ("GET", METADATA_PATH, gate.open(self._metadata)),
            ("GET", KEYS_PATH, gate.open(self._keys)),
            ("POST", "/{authority}/oauth2/v2.0/token", gate.open(self._token)),
        ]

    async def _metadata(self, _: web.Request) -> web.Response:
        if self._sim.faults.keys_down:
            return web.Response(status=503)
        return answer_json(
            {
                "issuer": ISSUER,
                "authorization_endpoint": "https://invalid.botframework.com",
                "jwks_uri": f"{self._sim.url}{KEYS_PATH}",
                "id_token_signing_alg_values_supported": ["RS256"],
                "token_endpoint_auth_methods_supported": ["private_key_jwt"],
            }
        )

    async def _keys(self, _: web.Request) -> web.Response:
        return answer_json(published(self._sim.faults))

    async def _token(self, request: web.Request) -> web.Response:
        form = await request.post()
        given = {name: str(form.get(name, "")) for name in ("client_id", "client_secret", "scope")}
        if form.get("grant_type") != "client_credentials":
            return _refused("unsupported_grant_type", "AADSTS70003: unsupported grant type")
        if request.match_info["authority"] not in self._sim.authorities:
            return _refused("invalid_request", "AADSTS90002: Tenant not found")
        if given["scope"] != SCOPE:
            return _refused("invalid_scope", "AADSTS70011: the scope is not valid")
        same = self._sim.is_app(given["client_id"], given["client_secret"])
        if not same or self._sim.faults.login_refused:
            return _refused("invalid_client", "AADSTS7000215: Invalid client secret", 401)
        token, life = self._sim.tokens.issue()
        return answer_json(
            {
                "token_type": "Bearer",
                "expires_in": life,
                "ext_expires_in": life,
                "access_token": token,
            }
        )


def _refused(error: str, description: str, status: int = 400) -> web.Response:
    return answer_json({"error": error, "error_description": description}, status)
