"""Handlers of `/v1.0/card`, and what happens when somebody presses a button of a card."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

import aiohttp
import msgspec
from aiohttp import web

from ai_engine.domain.errors import Malformed, NotFound
from ai_engine.domain.ids import new_id
from ai_engine.domain.message import Json
from ai_engine.simulators.base import Handler
from ai_engine.simulators.control import answer_json
from ai_engine.simulators.dingtalk.cards import Card, Cards, Place, callback_body, place_of
from ai_engine.simulators.dingtalk.codec import CORP_ID, BadParam, read_object
from ai_engine.simulators.dingtalk.crypto import sign_card
from ai_engine.simulators.dingtalk.gate import api_error
from ai_engine.simulators.transcript import BOT, Entry

if TYPE_CHECKING:
    from ai_engine.simulators.dingtalk.server import DingTalkSimulator

CARD_TOPIC: Final = "/v1.0/card/instances/callback"
CALLBACK_SECONDS: Final = 2.0
WRITE_SCOPE: Final = "Card.Instance.Write"
STREAM_SCOPE: Final = "Card.Streaming.Write"


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where callbacks of cards with one route key go."""

    url: str
    secret: str


class CardApi:
    """Owned by the simulator."""

    def __init__(self, simulator: "DingTalkSimulator") -> None:
        self._sim = simulator
        self.cards = Cards(simulator.faults)
        self._routes: dict[str, Route] = {}

    def routes(self) -> list[tuple[str, str, Handler]]:
        base = "/v1.0/card"
        return [
            ("POST", f"{base}/instances", self._guarded(self._create)),
            ("PUT", f"{base}/instances", self._guarded(self._update)),
            ("POST", f"{base}/instances/deliver", self._guarded(self._deliver)),
            (
                "POST",
                f"{base}/instances/createAndDeliver",
                self._guarded(self._create_and_deliver, sends=True),
            ),
            ("PUT", f"{base}/streaming", self._guarded(self._stream, scope=STREAM_SCOPE)),
            ("POST", f"{base}/callbacks/register", self._guarded(self._register)),
        ]

    def _guarded(
        self, handler: Handler, *, sends: bool = False, scope: str = WRITE_SCOPE
    ) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            try:
                return await handler(request)
            except BadParam as bad:
                status = 500 if bad.code.startswith("system.") else 400
                return api_error(status, bad.code, bad.message)

        return self._sim.gate.with_token(handle, sends=sends, scope=scope)

    async def _create(self, request: web.Request) -> web.Response:
        card = self.cards.create(await _body(request))
        return answer_json({"success": True, "result": card.track})

    async def _update(self, request: web.Request) -> web.Response:
        self._refresh(self.cards.update(await _body(request)))
        return answer_json({"success": True, "result": True})

    async def _stream(self, request: web.Request) -> web.Response:
        self._refresh(self.cards.write(await _body(request)))
        return answer_json({"success": True, "result": True})

    async def _deliver(self, request: web.Request) -> web.Response:
        body = await _body(request)
        card = self.cards.to_deliver(body)
        result = self._delivered(card, place_of(body), request)
        return answer_json({"success": True, "result": [result]})

    async def _create_and_deliver(self, request: web.Request) -> web.Response:
        body = await _body(request)
        place = place_of(body)
        card = self.cards.create(body)
        result = self._delivered(card, place, request)
        if not result["success"]:
            self.cards.forget(card)
        answer = {"outTrackId": card.track, "deliverResults": [result]}
        return answer_json({"success": True, "result": answer})

    async def _register(self, request: web.Request) -> web.Response:
        body = await _body(request)
        key, url = body.get("callbackRouteKey"), body.get("callbackUrl")
        if not isinstance(key, str) or not key or not isinstance(url, str) or not url:
            raise BadParam("param.empty", "callbackRouteKey and callbackUrl are needed")
        known = self._routes.get(key)
        if known is not None and known.url != url and not body.get("forceUpdate"):
            raise BadParam("param.invalid", "this callbackRouteKey has another callbackUrl")
        secret = str(body.get("apiSecret") or "")
        self._routes[key] = Route(url=url, secret=secret)
        return answer_json({"success": True, "result": {"callbackUrl": url, "apiSecret": secret}})

    def _delivered(self, card: Card, place: Place, request: web.Request) -> Json:
        """Show it, and say where; a place that does not exist is no HTTP error."""
        sim = self._sim
        error = ""
        if place.kind == "IM_GROUP":
            group = sim.directory.find(place.id)
            if group is None or group.kind != "group":
                error = "the robot is in no such group"
            elif place.model.get("robotCode") != sim.robot.code:
                error = "the robot does not exist"
            conversation = place.id
        else:
            known = sim.directory.knows(place.id)
            conversation = sim.directory.private(place.id).id if known else ""
            error = "" if known else "the user does not exist"
        result: Json = {"spaceType": place.kind, "spaceId": place.id, "success": not error}
        if error:
            return result | {"errorMsg": error}
        entry = self._show(card, conversation, request)
        return result | {"carrierId": entry.id}

    def _show(self, card: Card, conversation: str, request: web.Request) -> Entry:
        sim = self._sim
        chat = sim.directory.find(conversation)
        entry = sim.transcript.add(
            id=f"card{new_id('dt')}",
            conversation=conversation,
            chat=chat.kind if chat else "private",
            sender=BOT,
            name=sim.robot.name,
            text=card.text,
            kind="card",
            at=sim.clock.time(),
            via="card",
            card=card.shown(),
            buttons=card.buttons,
            state=card.state,
            title=card.data.get("msgTitle", ""),
        )
        card.entries.append(entry.id)
        return entry

    def _refresh(self, card: Card) -> None:
        """Show what the card says now."""
        for entry_id in card.entries:
            entry = self._sim.transcript.get(entry_id)
            if entry is None:
                continue
            changed = entry.text != card.text
            self._sim.transcript.mark(
                entry_id,
                text=card.text,
                card=card.shown(),
                buttons=card.buttons,
                state=card.state,
                title=card.data.get("msgTitle", ""),
                edits=entry.edits + changed,
            )

    # Pressed buttons.

    async def press(self, entry_id: str, number: int, user: str) -> str:
        """See `Simulator.press`."""
        entry, card = self._sim.transcript.get(entry_id), self.cards.shown_as(entry_id)
        if entry is None or card is None or not 0 <= number < len(card.buttons):
            raise NotFound(f"no card {entry_id} with a button {number}")
        button = card.buttons[number]
        if button["url"] or not button["id"]:
            raise Malformed(f"the button {button['label']!r} opens a page and calls nobody")
        who = user or self._reader(entry)
        place = ("IM_GROUP", entry.conversation) if entry.chat == "group" else ("IM_ROBOT", who)
        body = callback_body(card, button, user=who, corp=CORP_ID, place=place)
        over = self._by_http if card.callback == "HTTP" else self._by_stream
        callback_id, answer = await over(card, body)
        taken = answer is not None
        detail = "" if taken else f"the pressed button {button['label']!r} was not taken"
        self._sim.transcript.mark(entry_id, detail=detail)
        if answer:
            self.cards.merge(card, answer.get("cardData"))
            self._refresh(card)
        return callback_id

    def _reader(self, entry: Entry) -> str:
        """Who was answered: in a private chat its person, in a group who wrote last before."""
        chat = self._sim.directory.find(entry.conversation)
        if chat is not None and chat.user:
            return chat.user
        people = [
            e.sender
            for e in self._sim.transcript.list(conversation=entry.conversation)
            if e.sender != BOT and e.n < entry.n
        ]
        return people[-1] if people else self._sim.directory.staff[0].id

    async def _by_stream(self, _: Card, body: Json) -> tuple[str, Json | None]:
        data = msgspec.json.encode(body).decode()
        callback_id, ack = await self._sim.stream.ask_card(CARD_TOPIC, data, CALLBACK_SECONDS)
        if ack is None or ack.get("code") != 200:
            return callback_id, None
        answer = read_object(str(ack.get("data", ""))) or {}
        response = answer.get("response")
        return callback_id, cast("Json", response) if isinstance(response, dict) else {}

    async def _by_http(self, card: Card, body: Json) -> tuple[str, Json | None]:
        route = self._routes.get(card.route_key)
        callback_id = new_id("press")
        if route is None:
            return callback_id, None
        faults, sim = self._sim.faults, self._sim
        stamp = str(int((sim.clock.time() + faults.clock_skew_seconds) * 1000))
        secret = route.secret + ("-wrong" if faults.wrong_secret else "")
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "x-ddpaas-signature-timestamp": stamp,
            "x-ddpaas-signature": sign_card(stamp, secret),
        }
        data = msgspec.json.encode(body)
        status, text = 0, b""
        try:
            async with sim.http.post(
                route.url,
                data=data,
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=CALLBACK_SECONDS),
                allow_redirects=False,
            ) as response:
                status, text = response.status, await response.content.read(65_536)
        except (TimeoutError, aiohttp.ClientError, OSError):
            text = b"no answer"
        sim.wire.add(
            direction="out",
            at=sim.clock.time(),
            method="POST",
            path=route.url,
            headers=headers,
            body=data,
            status=status,
            answer=text,
        )
        return callback_id, (read_object(text) or {}) if status == 200 else None


async def _body(request: web.Request) -> Json:
    """Raises BadParam."""
    body = read_object(await request.read())
    if body is None:
        raise BadParam("param.empty", "the body is no JSON object")
    return body
