"""The JSON of AI cards: data, buttons, spaces, pressed buttons.

Source: DingTalk, "Create and deliver cards", "Streaming update of AI cards", "Card event
callbacks"; the built-in template and its variables as the vendor's `dingtalk-stream` SDK has them
(`AIMarkdownCardInstance`, `MarkdownButtonCardInstance`).
"""

import hashlib
from collections.abc import Sequence
from typing import Any, Final, cast

import msgspec

from ai_engine.channels.dingtalk import codec
from ai_engine.channels.dingtalk.render import title
from ai_engine.channels.http import parse
from ai_engine.config.schema import ChannelConfig
from ai_engine.domain.errors import Malformed
from ai_engine.domain.message import (
    Chat,
    ChatKind,
    InboundMessage,
    Json,
    MessageKind,
    Sender,
)
from ai_engine.domain.reply import Button, Card

TEMPLATE: Final = "382e4302-551d-4880-bf29-a30acfab2e71.schema"
CONTENT_KEY: Final = "msgContent"
PROCESSING, INPUTING, FINISHED, FAILED = "1", "2", "3", "5"

CONTENT_BYTES_MAX: Final = 10_000
CONTENT_BYTES_SURE: Final = 3_000
"""The longest streamed text. DingTalk's pages disagree (3 KB advised on one, 10 KB on another): the
larger is tried first, and after a refusal as too large the smaller is kept to."""
VALUE_BYTES_MAX: Final = 1_000
"""A value of `cardParamMap` has at most 1 KB."""
INTERVAL_MS: Final = 400
"""Between two updates: DingTalk counts 20 calls a second for each app and API, and calls a
month."""
RESPONSIVE_WIDTH: Final = 440
"""Pixels; wider cards lay their blocks out side by side ("Responsive layout" of the builder)."""
BUTTONS_MAX: Final = 8
_ORDER: Final = (
    *("msgTitle", "msgContent", "staticMsgContent", "msgTextList"),
    *("msgImages", "msgSlider", "msgButtons"),
)
_COLORS: Final = {"primary": "blue", "danger": "red"}
_ID_MAX: Final = 512


def template_of(config: ChannelConfig) -> tuple[str, str]:
    """(template id, name of its content variable). The setting is an id, or `id#variable`."""
    chosen = config.auth.card_template_id or config.card_template_id or TEMPLATE
    found, _, key = chosen.partition("#")
    return found, key or CONTENT_KEY


def wants_cards(config: ChannelConfig) -> bool:
    """Whether answers are cards: a template is set, or `reply` says so."""
    return bool(config.reply == "card" or config.auth.card_template_id or config.card_template_id)


def track_id(channel: str, key: str) -> str:
    """64 hexadecimal digits, the same for the same key: it names the card for ever."""
    return hashlib.sha256(f"ai-engine\x1f{channel}\x1f{key}".encode()).hexdigest()


def guid(*parts: str) -> str:
    """DingTalk takes an update with a `guid` that it has seen for done."""
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:32]


def space(target: Json, robot_code: str) -> Json | None:
    """Where a card is delivered; None where DingTalk cannot: without a staff id."""
    user, conversation = target.get("senderStaffId", ""), target.get("conversationId", "")
    if target.get("conversationType") == "2" and conversation:
        model: Json = {"robotCode": robot_code}
        if user:
            model["atUserIds"] = {user: target.get("senderNick") or user}
        place = f"dtv1.card//IM_GROUP.{conversation}"
        return {"openSpaceId": place, "imGroupOpenDeliverModel": model}
    if user:
        model = {"spaceType": "IM_ROBOT", "robotCode": robot_code}
        return {"openSpaceId": f"dtv1.card//IM_ROBOT.{user}", "imRobotOpenDeliverModel": model}
    return None


def layout(card_width: int) -> dict[str, str]:
    """DingTalk has no widths in pixels: a card is narrow, or adapts to a computer's window."""
    wide = "true" if card_width > RESPONSIVE_WIDTH else "false"
    return {"config": f'{{"autoLayout":{wide}}}'}


def creation(track: str, template: str, data: dict[str, str], place: Json, callback: Json) -> Json:
    """Body of `createAndDeliver`. `callback`: callbackType and, over HTTP, callbackRouteKey."""
    forward = {"supportForward": True}
    return {
        "cardTemplateId": template,
        "outTrackId": track,
        "cardData": {"cardParamMap": data},
        **callback,
        "imGroupOpenSpaceModel": forward,
        "imRobotOpenSpaceModel": forward,
        "userIdType": 1,
        **place,
    }


def change(track: str, data: dict[str, str]) -> Json:
    """Body of an update that leaves what it does not name."""
    options = {"updateCardDataByKey": True, "updatePrivateDataByKey": True}
    return {
        "outTrackId": track,
        "cardData": {"cardParamMap": data},
        "cardUpdateOptions": options,
        "userIdType": 1,
    }


def finished_data(card: Card | None, buttons: Sequence[Json], words: str) -> dict[str, str]:
    """What a finished card has beside its text."""
    full: Json = {"order": list(_ORDER)}
    if buttons:
        full["msgButtons"] = list(buttons)
    data = {"flowStatus": FINISHED, "sys_full_json_obj": _json(full)}
    if card is not None and card.title:
        data["msgTitle"] = title(card.title) if len(card.title) > 60 else card.title
    elif card is not None:
        data["msgTitle"] = title(words)
    return data


def feedback_buttons(of: str) -> tuple[Button, ...]:
    """👍 and 👎 below an answer that may be rated."""
    return tuple(
        Button(label=label, value={"feedback": rating, "of": of})
        for label, rating in (("👍", "good"), ("👎", "bad"))
    )


def button_json(buttons: Sequence[Button], ref: str) -> list[Json]:
    """`msgButtons`. `ref` names the stored values; a button's id is its number and this."""
    found: list[Json] = []
    for n, button in enumerate(buttons[:BUTTONS_MAX]):
        shown: Json = {"text": button.label[:20], "color": _COLORS.get(button.style, "gray")}
        if button.url:
            shown |= {"url": button.url, "iosUrl": button.url}
        else:
            shown |= {"id": f"{n}.{ref}", "request": True}
        found.append(shown)
    return found


def values_json(buttons: Sequence[Button], target: Json) -> bytes:
    """What is stored for a card: each button's value, and the chat that a press belongs to."""
    kept = {key: target.get(key, "") for key in ("conversationId", "conversationType", "robotCode")}
    return msgspec.json.encode({"values": [b.value for b in buttons], "target": kept})


def pressed(body: Json) -> tuple[int, str]:
    """(number of the button, reference to the stored values) of a card callback.

    Raises:
        Malformed: it is no press of a button of ours.
    """
    content: Any = body.get("content")
    if isinstance(content, str):
        content = parse(content)
    private: Any = cast("Json", content).get("cardPrivateData") if isinstance(content, dict) else 0
    ids: Any = cast("Json", private).get("actionIds") if isinstance(private, dict) else None
    first: Any = cast("list[Any]", ids)[0] if isinstance(ids, list) and ids else None
    number, dot, ref = first.partition(".") if isinstance(first, str) else ("", "", "")
    if not dot or not (number.isascii() and number.isdigit()) or len(number) > 2 or not ref:
        raise Malformed("$.content.cardPrivateData.actionIds: names no button of the engine's")
    return int(number), ref


def press_message(
    body: Json, stored: bytes, number: int, *, channel: str, key: str, received_at: float
) -> InboundMessage:
    """A pressed button. `stored` is what `values_json` made, `key` the callback's own id.

    Raises:
        Malformed.
    """
    kept = parse(stored)
    values, target = kept.get("values"), cast("Json", kept.get("target") or {})
    user = body.get("userId")
    if not isinstance(user, str) or not 0 < len(user) <= _ID_MAX:
        raise Malformed("$.userId: must name who pressed the button")
    if not isinstance(values, list) or number >= len(cast("list[Any]", values)):
        raise Malformed("$.content.cardPrivateData.actionIds: names no button of this card")
    group = target.get("conversationType") == "2"
    conversation = str(target.get("conversationId", ""))
    answer_to = codec.chat_target(conversation, group=group, user=user)
    robot_code = str(target.get("robotCode", ""))
    corp = body.get("corpId")
    return InboundMessage(
        channel=channel,
        message_id=f"press:{key}",
        sender=Sender(
            platform="dingtalk", user_id=user, tenant=corp if isinstance(corp, str) else ""
        ),
        chat=Chat(kind=ChatKind.GROUP if group else ChatKind.PRIVATE, id=conversation or user),
        kind=MessageKind.BUTTON,
        payload=cast("Json", cast("list[Any]", values)[number]),
        target={"sessionWebhook": "", "expires": 0.0, "robotCode": robot_code, **answer_to},
        received_at=received_at,
    )


def callback_answer() -> Json:
    """Leaves the card as it is; the answer to the press is a message of its own."""
    nothing: Json = {"cardParamMap": {}}
    options = {"updateCardDataByKey": True, "updatePrivateDataByKey": True}
    return {"cardData": nothing, "userPrivateData": nothing, "cardUpdateOptions": options}


def _json(found: Json) -> str:
    return msgspec.json.encode(found).decode()
