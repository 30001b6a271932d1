"""Interactive cards and AI cards: what was made, where it is shown, what it says now.

Source: DingTalk, "Create a card", "Deliver a card", "Update a card", "Streaming update of AI
cards". An AI card goes processing (1) → inputting (2) → finished (3), or failed (5); which code a
write to a finished card gets is not in the public reference.
"""

import re
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Final, cast

import msgspec

from ai_engine.domain.message import Json
from ai_engine.simulators.dingtalk.codec import BadParam, read_object
from ai_engine.simulators.dingtalk.faults import DingTalkFaults

CARDS_MAX: Final = 20_000
GUIDS_MAX: Final = 2_000
KEY_BYTES_MAX: Final = 100
AI_TEMPLATE: Final = "382e4302-551d-4880-bf29-a30acfab2e71.schema"
INPUTING, FINISHED, FAILED = "2", "3", "5"
_SPACE: Final = re.compile(r"dtv1\.card//(IM_GROUP|IM_ROBOT)\.(.+)")
_MODELS: Final = {
    "IM_GROUP": "imGroupOpenDeliverModel",
    "IM_ROBOT": "imRobotOpenDeliverModel",
}
_CALLBACKS: Final = ("STREAM", "HTTP")


@dataclass(slots=True, kw_only=True)
class Card:
    """One card instance."""

    track: str
    template: str
    data: dict[str, str]
    callback: str = ""
    """STREAM | HTTP | empty"""
    route_key: str = ""
    text_key: str = "msgContent"
    over: bool = False
    """Its last streamed frame has come, or it has failed."""
    guids: OrderedDict[str, None] = field(default_factory=OrderedDict[str, None])
    entries: list[str] = field(default_factory=list[str])
    """Ids of the transcript's entries that show it."""

    @property
    def text(self) -> str:
        return self.data.get(self.text_key, "")

    @property
    def state(self) -> str:
        """For the transcript: streaming | finished | failed; empty: no AI card."""
        status = self.data.get("flowStatus")
        if status is None:
            return ""
        return {FINISHED: "finished", FAILED: "failed"}.get(status, "streaming")

    @property
    def buttons(self) -> tuple[Json, ...]:
        """`msgButtons` of the built-in template, in the page's form."""
        found = _full(self.data).get("msgButtons")
        shown: list[Json] = []
        for button in cast("list[Any]", found) if isinstance(found, list) else []:
            if isinstance(button, dict):
                each = cast("Json", button)
                style = {"blue": "primary", "red": "danger"}.get(each.get("color", ""), "default")
                shown.append(
                    {
                        "label": str(each.get("text", "")),
                        "url": str(each.get("url", "")),
                        "style": style,
                        "id": str(each.get("id", "")),
                    }
                )
        return tuple(shown)

    def shown(self) -> Json:
        """In the page's neutral form."""
        return {"title": self.data.get("msgTitle", ""), "markdown": self.text}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a card is to be delivered."""

    kind: str
    """IM_GROUP | IM_ROBOT"""
    id: str
    """The group's open conversation id, or the person's user id."""
    model: Json


class Cards:
    """The cards of the app; the oldest are forgotten above `CARDS_MAX`."""

    def __init__(self, faults: DingTalkFaults) -> None:
        self._faults = faults
        self._cards: OrderedDict[str, Card] = OrderedDict()

    def get(self, track: object) -> Card | None:
        return self._cards.get(track) if isinstance(track, str) else None

    def shown_as(self, entry_id: str) -> Card | None:
        """The card that a transcript entry shows."""
        return next((c for c in self._cards.values() if entry_id in c.entries), None)

    def create(self, body: Json) -> Card:
        """Raises BadParam."""
        if self._faults.card_refused:
            raise BadParam(self._faults.card_refused, "refused by the simulator's fault knob")
        template, track = body.get("cardTemplateId"), body.get("outTrackId")
        if not isinstance(template, str) or not template:
            raise _bad("cardTemplateIdEmpty")
        if not isinstance(track, str) or not track:
            raise _bad("outTrackIdEmpty")
        if track in self._cards:
            raise _bad("cardAlreadyExist")
        if not template.endswith(".schema"):
            raise _bad("templateNotExist")
        callback, route = body.get("callbackType", ""), body.get("callbackRouteKey", "")
        if callback and callback not in _CALLBACKS:
            raise _bad("invalid")
        data = self._data(body.get("cardData"))
        if data is None:
            raise _bad("cardPublicDataEmpty")
        card = Card(
            track=track,
            template=template,
            data=data,
            callback=str(callback or ""),
            route_key=str(route or ""),
        )
        self._cards[track] = card
        while len(self._cards) > CARDS_MAX:
            self._cards.popitem(last=False)
        return card

    def forget(self, card: Card) -> None:
        """It could not be delivered: as if it had never been made."""
        self._cards.pop(card.track, None)

    def to_deliver(self, body: Json) -> Card:
        """Raises BadParam."""
        if not body.get("outTrackId"):
            raise _bad("outTrackIdEmpty")
        return self._known(body)

    def _known(self, body: Json) -> Card:
        card = self.get(body.get("outTrackId"))
        if card is None or self._faults.cards_gone:
            raise _bad("cardNotExist")
        return card

    def update(self, body: Json) -> Card:
        """Raises BadParam. Replaces all data unless the options say otherwise."""
        if not body.get("outTrackId"):
            raise _bad("outTrackIdEmpty")
        data = self._data(body.get("cardData"))
        if data is None and not body.get("privateData"):
            raise _bad("cardDataAndPrivateDataBothEmpty")
        card = self._known(body)
        if data is not None:
            options: Any = body.get("cardUpdateOptions")
            by_key = isinstance(options, dict) and cast("Json", options).get("updateCardDataByKey")
            card.data = {**card.data, **data} if by_key else data
            card.over = card.over or card.state in ("finished", "failed")
        return card

    def merge(self, card: Card, data: object) -> None:
        """What a card callback was answered with. Raises BadParam."""
        found = self._data(data)
        if found:
            card.data = {**card.data, **found}

    def write(self, body: Json) -> Card:
        """One frame of a stream; nothing changes for a `guid` that was seen. Raises BadParam."""
        for name in ("key", "content", "guid"):
            if not isinstance(body.get(name), str) or not body[name]:
                raise BadParam(f"param.stream.{name}Empty", f"param.stream.{name}Empty")
        card = self.get(body.get("outTrackId"))
        if card is None or self._faults.cards_gone:
            raise BadParam("param.stream.outTrackId", "card is not exist")
        if card.callback != "STREAM" and self._faults.stream_needs_stream_callback:
            raise BadParam("system.busy", "streaming needs a card with callbackType STREAM")
        if body["guid"] in card.guids:
            return card
        if card.over:
            raise _bad("invalid")
        self._take(card, body)
        card.guids[body["guid"]] = None
        while len(card.guids) > GUIDS_MAX:
            card.guids.popitem(last=False)
        return card

    def _take(self, card: Card, body: Json) -> None:
        key, content, full = body["key"], body["content"], body.get("isFull")
        if full is None or (not full and card.template == AI_TEMPLATE):
            # The built-in template's variable is markdown, which takes the whole text only.
            raise BadParam("param.stream.isFull", "streaming update the parameter isFull is null")
        whole = content if full else card.data.get(key, "") + content
        if len(whole.encode()) > self._faults.stream_bytes_max:
            raise BadParam("param.stream.content", "content is too large")
        card.text_key = key
        card.data[key] = whole
        if body.get("isError"):
            card.data["flowStatus"], card.over = FAILED, True
        elif body.get("isFinalize"):
            card.data["flowStatus"], card.over = FINISHED, True
        else:
            card.data["flowStatus"] = INPUTING

    def _data(self, found: object) -> dict[str, str] | None:
        """`cardParamMap`: texts by name. None when there is none. Raises BadParam."""
        given = cast("Json", found).get("cardParamMap") if isinstance(found, dict) else None
        if not isinstance(given, dict):
            return None
        data: dict[str, str] = {}
        for key, value in cast("Json", given).items():
            if not isinstance(value, str) or len(key.encode()) > KEY_BYTES_MAX:
                raise _bad("invalid")
            limit = self._faults.card_value_bytes_max
            if limit and len(value.encode()) > limit:
                raise _bad("invalid")
            data[key] = value
        return data


def place_of(body: Json) -> Place:
    """Raises BadParam."""
    space = body.get("openSpaceId")
    if not isinstance(space, str) or not space:
        raise _bad("openSpaceIdEmpty")
    found = _SPACE.fullmatch(space)
    if found is None:
        raise _bad("openSpaceIdInvalid")
    model: Any = body.get(_MODELS[found[1]])
    if not isinstance(model, dict) or not model:
        raise _bad("openDeliverModelEmpty")
    return Place(kind=found[1], id=found[2], model=cast("Json", model))


def callback_body(
    card: Card, button: Json, *, user: str, corp: str, place: tuple[str, str]
) -> Json:
    """What a pressed button sends, over Stream and over HTTP."""
    params: Json = {}
    private = {"cardPrivateData": {"actionIds": [button["id"]], "params": params}}
    return {
        "type": "actionCallback",
        "outTrackId": card.track,
        "corpId": corp,
        "userId": user,
        "userIdType": 1,
        "spaceType": place[0],
        "spaceId": place[1],
        "extension": "{}",
        "content": msgspec.json.encode(private).decode(),
    }


def _full(data: dict[str, str]) -> Json:
    return read_object(data.get("sys_full_json_obj", "")) or {}


def _bad(name: str) -> BadParam:
    return BadParam(f"param.{name}", f"param.{name}")
