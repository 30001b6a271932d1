"""Requests to a channel's address as its platform makes them, around whatever body a test wants."""

import io
import json
import secrets
from dataclasses import dataclass, field, replace
from typing import Any

from ai_engine.cli.verification.world import World
from ai_engine.simulators.dingtalk.crypto import EventCrypto
from ai_engine.simulators.dingtalk.crypto import sign as dingtalk_sign
from ai_engine.simulators.feishu import crypto as feishu
from ai_engine.simulators.slack.crypto import signature as slack_signature
from ai_engine.simulators.teams.crypto import bearer
from ai_engine.simulators.wecom_aibot import crypto as aibot

PROOFS = frozenset(
    {
        "authorization",
        "msg_signature",
        "sign",
        "token",
        "x-lark-signature",
        "x-slack-signature",
        "x-telegram-bot-api-secret-token",
    }
)
"""Headers and query fields without which nothing is proved."""


@dataclass(frozen=True)
class Shot:
    """One request."""

    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    query: dict[str, str] = field(default_factory=dict)
    method: str = "POST"

    def without_proof(self) -> "Shot":
        """The same, from somebody who knows no secret."""
        return replace(
            self,
            headers={k: v for k, v in self.headers.items() if k.lower() not in PROOFS},
            query={k: v for k, v in self.query.items() if k not in PROOFS},
        )


async def fired(world: World, shot: Shot) -> tuple[int, bytes]:
    """(status, body) of the engine's answer."""
    simulator = world.simulator
    async with simulator.http.request(
        shot.method,
        f"{simulator.engine}/api/message/{simulator.channel}",
        data=io.BytesIO(shot.body) if shot.body else None,
        headers=shot.headers,
        params=shot.query,
        allow_redirects=False,
    ) as answer:
        return answer.status, await answer.read()


def last_shot(world: World) -> tuple[Shot, int]:
    """What the platform sent to the engine last, byte for byte, and the answer's status."""
    row = world.simulator.wire.rows(direction="out")[-1]
    pairs = [pair.partition("=") for pair in row["query"].split("&") if pair]
    headers = {k: v for k, v in row["headers"].items() if k.lower() != "content-length"}
    query = {name: value for name, _, value in pairs}
    unmasked = _unmasked(world, headers)
    if world.about.type in ("wecom", "wecom_aibot"):
        unmasked = {"Content-Type": "text/xml"} | unmasked
    return Shot(body=row["body"].encode(), headers=unmasked, query=query), row["status"]


def _unmasked(world: World, headers: dict[str, str]) -> dict[str, str]:
    """The simulated Telegram masks its secret in its own log."""
    secret = getattr(world.simulator, "secret_token", "")
    return {name: value.replace("<secret>", secret) for name, value in headers.items()}


def sealed(world: World, plain: bytes) -> Shot:
    """`plain`, signed and where that is so encrypted, as this platform does it."""
    return _SEALS[world.about.type](world.simulator, plain)


def _dingtalk(sim: Any, plain: bytes) -> Shot:
    now = str(int(sim.clock.time() * 1000))
    headers = {"timestamp": now, "sign": dingtalk_sign(now, sim.app_secret)}
    return Shot(plain, {"Content-Type": "application/json", **headers})


def _wecom(sim: Any, plain: bytes) -> Shot:
    # The envelope is that of DingTalk's events; this one takes bytes that are no text, too.
    crypto = EventCrypto(sim.token, sim.aes_key, sim.corp_id)
    encrypted, query = crypto.encrypt(plain), _stamp(sim)
    query["msg_signature"] = crypto.sign(query["timestamp"], query["nonce"], encrypted)
    body = f"<xml><ToUserName>{sim.corp_id}</ToUserName><Encrypt>{encrypted}</Encrypt></xml>"
    return Shot(body.encode(), {"Content-Type": "text/xml"}, query)


def _wecom_aibot(sim: Any, plain: bytes) -> Shot:
    encrypted, query = aibot.seal(sim.aes_key, plain), _stamp(sim)
    query["msg_signature"] = aibot.sign(sim.token, query["timestamp"], query["nonce"], encrypted)
    return Shot(json.dumps({"encrypt": encrypted}).encode(), {}, query)


def _feishu(sim: Any, plain: bytes) -> Shot:
    body = json.dumps({"encrypt": feishu.encrypt(plain, sim.encrypt_key)}).encode()
    stamp = _stamp(sim)
    signature = feishu.signature(stamp["timestamp"], stamp["nonce"], sim.encrypt_key, body)
    headers = {
        "X-Lark-Request-Timestamp": stamp["timestamp"],
        "X-Lark-Request-Nonce": stamp["nonce"],
        "X-Lark-Signature": signature,
    }
    return Shot(body, {"Content-Type": "application/json", **headers})


def _slack(sim: Any, plain: bytes) -> Shot:
    now = int(sim.clock.time())
    headers = {
        "X-Slack-Request-Timestamp": str(now),
        "X-Slack-Signature": slack_signature(sim.signing_secret, now, plain),
    }
    return Shot(plain, {"Content-Type": "application/json", **headers})


def _teams(sim: Any, plain: bytes) -> Shot:
    try:
        service = json.loads(plain)["serviceUrl"]  # the token is bound to it
    except (ValueError, TypeError, KeyError, RecursionError):
        service = f"{sim.url}/"
    token = bearer(sim.app_id, service, sim.clock.time(), sim.faults)
    return Shot(plain, {"Content-Type": "application/json", "Authorization": token})


def _telegram(sim: Any, plain: bytes) -> Shot:
    headers = {"X-Telegram-Bot-Api-Secret-Token": sim.secret_token}
    return Shot(plain, {"Content-Type": "application/json", **headers})


def _mattermost(sim: Any, plain: bytes) -> Shot:
    headers = {"Authorization": f"Token {sim.webhook_token}"}
    return Shot(plain, {"Content-Type": "application/json", **headers})


def _stamp(sim: Any) -> dict[str, str]:
    return {"timestamp": str(int(sim.clock.time())), "nonce": secrets.token_hex(8)}


_SEALS = {
    "dingtalk": _dingtalk,
    "wecom": _wecom,
    "wecom_aibot": _wecom_aibot,
    "feishu": _feishu,
    "slack": _slack,
    "teams": _teams,
    "telegram": _telegram,
    "mattermost": _mattermost,
}
