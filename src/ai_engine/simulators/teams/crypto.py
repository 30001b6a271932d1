"""The signed tokens of the simulated Bot Framework, written from its documentation."""

import base64
from functools import lru_cache
from typing import Any

import msgspec
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

from ai_engine.domain.message import Json
from ai_engine.simulators.teams.faults import TeamsFaults

ISSUER = "https://api.botframework.com"
LIFE_SECONDS = 3600
KID = "simulated-1"


@lru_cache(maxsize=4)
def key(name: str) -> RSAKey:
    """A private key by its name, made once a process: making one takes a while."""
    return RSAKey.generate_key(2048, parameters={"kid": name})


def published(faults: TeamsFaults) -> Json:
    """The JWK set."""
    public: Json = dict(key(KID).as_dict(private=False))
    endorsements = ["skype"] if faults.not_endorsed else ["msteams", "webchat"]
    entry = {**public, "use": "sig", "kid": KID, "x5t": KID, "endorsements": endorsements}
    return {"keys": [entry]}


def bearer(app_id: str, service_url: str, now: float, faults: TeamsFaults) -> str:
    """The value of the Authorization header, spoiled as the knobs want it."""
    at = int(now + faults.clock_skew_seconds)
    claims: dict[str, Any] = {
        "iss": "https://elsewhere.example" if faults.wrong_issuer else ISSUER,
        "aud": "another-app" if faults.wrong_audience else app_id,
        "serviceurl": "https://elsewhere.example/" if faults.wrong_service_claim else service_url,
        "nbf": at,
        "exp": at + LIFE_SECONDS,
    }
    kid = "never-published" if faults.unknown_kid else KID
    header = {"typ": "JWT", "alg": faults.algorithm, "kid": kid, "x5t": kid}
    return f"Bearer {_signed(header, claims, faults)}"


def _signed(header: dict[str, Any], claims: dict[str, Any], faults: TeamsFaults) -> str:
    if faults.algorithm == "none":
        return f"{_part(header)}.{_part(claims)}."
    if faults.algorithm == "HS256":  # the well-known confusion: a public key used as a secret
        public = key(KID).as_pem(private=False)
        bare = public[27:]  # without its first line: the library takes no PEM for a secret
        return jwt.encode(header, claims, OctKey.import_key(bare), algorithms=["HS256"])
    signer = key("wrong" if faults.wrong_secret else KID)
    return jwt.encode(header, claims, signer, algorithms=[faults.algorithm])


def _part(found: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(found)).rstrip(b"=").decode()
