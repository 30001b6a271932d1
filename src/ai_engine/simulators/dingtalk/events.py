"""The organisation's events by HTTP push: encrypted, signed, repeated after 10 s and 30 s.

Source: DingTalk, "Event subscription" (HTTP push) and "Retries of failed events".
"""

from typing import TYPE_CHECKING, Any, Final

import aiohttp
import msgspec

from ai_engine.domain.ids import new_id
from ai_engine.domain.message import Json
from ai_engine.simulators.dingtalk.codec import CORP_ID, read_object
from ai_engine.simulators.dingtalk.crypto import EventCrypto

if TYPE_CHECKING:
    from ai_engine.simulators.dingtalk.server import DingTalkSimulator

ANSWER_SECONDS: Final = 2.5
RETRIES: Final = (10.0, 30.0)


class Events:
    """Pushes events to `<engine>/api/message/<channel>/events`."""

    def __init__(self, simulator: "DingTalkSimulator", token: str, aes_key: str) -> None:
        self._sim = simulator
        self._token = token
        self._aes_key = aes_key
        self.outcomes: dict[str, str] = {}
        """By event id: taken | lost."""

    @property
    def possible(self) -> bool:
        """Whether an engine URL and the keys of the push are set."""
        return bool(self._sim.engine and self._token and self._aes_key)

    def push(self, event_type: str, data: Json) -> str:
        """The new event's id; it is sent by a task of the simulator's."""
        sim = self._sim
        event_id = new_id("event")
        event: Json = {
            "EventType": event_type,
            "EventTime": int(sim.clock.time() * 1000),
            "CorpId": CORP_ID,
            "eventId": event_id,
            **data,
        }
        sim.own(self._deliver(event_id, event))
        return event_id

    async def _deliver(self, event_id: str, event: Json) -> None:
        for pause in (*RETRIES, 0.0):
            copies = 1 + self._sim.faults.duplicate
            taken = [await self._taken(event) for _ in range(copies)]
            if all(taken):
                self.outcomes[event_id] = "taken"
                return
            await self._sim.clock.sleep(pause)
        self.outcomes[event_id] = "lost"

    async def _taken(self, event: Json) -> bool:
        sim = self._sim
        token = self._token + ("-wrong" if sim.faults.wrong_secret else "")
        crypto = EventCrypto(token, self._aes_key, sim.app_id)
        stamp = str(int((sim.clock.time() + sim.faults.clock_skew_seconds) * 1000))
        nonce = new_id("n")[-8:]
        encrypt = crypto.encrypt(msgspec.json.encode(event))
        query = {"signature": crypto.sign(stamp, nonce, encrypt), "timestamp": stamp}
        body = msgspec.json.encode({"encrypt": encrypt})
        if sim.faults.malformed_json:
            body = body[: len(body) // 2]
        status, text = await self._post({**query, "nonce": nonce}, body)
        answer: Any = read_object(text) if status == 200 else None
        return answer is not None and crypto.opened(answer) == b"success"

    async def _post(self, query: dict[str, str], body: bytes) -> tuple[int, bytes]:
        sim = self._sim
        path = f"/api/message/{sim.channel}/events"
        status, text = 0, b""
        try:
            async with sim.http.post(
                f"{sim.engine}{path}",
                params=query,
                data=body,
                headers={"Content-Type": "application/json"},
                timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS),
                allow_redirects=False,
            ) as response:
                status, text = response.status, await response.content.read(65_536)
        except (TimeoutError, aiohttp.ClientError, OSError):
            text = b"no answer"
        sim.wire.add(
            direction="out",
            at=sim.clock.time(),
            method="POST",
            path=path,
            query="&".join(f"{k}={v}" for k, v in query.items()),
            body=body,
            status=status,
            answer=text,
        )
        return status, text
