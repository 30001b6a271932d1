"""Cards as Mattermost message attachments, and their buttons.

Source: developers.mattermost.com, "Message attachments" and "Interactive messages". A button
has an `integration`: a URL that the server posts to, and a `context` that it gives back. There is
no button that only opens a page: it becomes a link.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from ai_engine.channels.host import MediaStore
from ai_engine.channels.http import parse
from ai_engine.channels.mattermost import codec, crypto
from ai_engine.channels.text import plain, with_card
from ai_engine.domain.errors import Malformed, NotFound
from ai_engine.domain.message import InboundMessage, Json, MessageKind, Sender
from ai_engine.domain.reply import Button, Card, Reply, card_as_markdown

_VALUE_CHARS_MAX: Final = 4_000
"""A longer value is kept by the engine; the button holds its reference."""
_FEEDBACK: Final = (("👍", "good"), ("👎", "bad"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Press:
    """A button callback, taken apart: what it gives as proof, and what would be right."""

    body: Json
    seal: Json
    mac: str
    expected: str


class Buttons:
    """Makes and reads the buttons of one channel. `url`: where the server posts to."""

    def __init__(self, url: str, secret: str, media: MediaStore) -> None:
        self._url = url
        self._key = crypto.button_key(secret)
        self._media = media

    async def integration(self, reply_id: str, target: Json, n: int, value: Json) -> Json:
        """The `integration` of button `n` of an answer."""
        # As text: the server's codec would change numbers (1.0 becomes 1), and the MAC with them.
        kept = msgspec.json.encode(value).decode()
        if len(kept) > _VALUE_CHARS_MAX:
            kept = await self._media.put(kept.encode(), mime="application/json")
        seal: Json = {
            "reply": reply_id,
            "kind": str(target.get("kind", "")),
            "root": str(target.get("root", "")),
            "n": str(n),
            "value": kept,
        }
        mac = self._mac(seal, str(target.get("channel", "")))
        return {"url": self._url, "context": {codec.PROPS: {**seal, "mac": mac}}}

    def _mac(self, seal: Json, channel_id: str) -> str:
        names = ("reply", "kind", "root", "n", "value")
        return crypto.button_mac(self._key, channel_id, *(codec.text(seal, name) for name in names))

    def opened(self, body: Json) -> Press:
        """Reads a callback; nothing of it is proved yet."""
        seal = codec.part(codec.part(body, "context"), codec.PROPS)
        expected = self._mac(seal, codec.text(body, "channel_id"))
        return Press(body=body, seal=seal, mac=codec.text(seal, "mac"), expected=expected)

    async def message(self, channel: str, press: Press, now: float) -> InboundMessage:
        """What a proved press says. Raises Malformed, NotFound (its value is not kept any more)."""
        body, seal = press.body, press.seal
        user, trigger = codec.text(body, "user_id"), codec.text(body, "trigger_id")
        where_id = codec.text(body, "channel_id")
        if not user or not trigger or not where_id:
            raise Malformed("$: user_id, channel_id and trigger_id are needed")
        private = codec.text(seal, "kind") == "private"
        where = codec.Where(id=where_id, type="D" if private else "O")
        found = codec.build(
            channel,
            ("action", codec.text(body, "post_id"), codec.short(trigger)),
            Sender(platform=codec.PLATFORM, user_id=user, name=codec.text(body, "user_name")),
            where,
            root=codec.text(seal, "root"),
            now=now,
        )
        payload = await self._value(codec.text(seal, "value"))
        return replace(found, kind=MessageKind.BUTTON, payload=payload)

    async def _value(self, kept: str) -> Json:
        if not kept.startswith("blob:"):
            return parse(kept)
        found = await self._media.get(kept)
        if found is None:
            raise NotFound("the button's value is not kept any more", hint="ask again")
        return parse(found.content)


async def rendered(
    reply: Reply, form: str, target: Json, buttons: Buttons | None, *, rate: bool
) -> tuple[str, list[Json]]:
    """A reply as (message, attachments). `rate`: offer 👍 and 👎 as buttons."""
    card = reply.card
    if form == "text":
        return plain(with_card(reply.text, card)), []
    whole = reply.text.strip()
    found: list[Json] = []
    if card is not None:
        found.append(await _attachment(card, whole, reply.id, target, buttons))
        if whole in (card.markdown.strip(), _whole(card)):
            whole = ""
    if rate and buttons is not None:
        said = [Button(label=sign, value=_rating(value, reply)) for sign, value in _FEEDBACK]
        first = len(card.buttons) if card is not None else 0
        actions = await _actions(said, reply.id, target, buttons, first)
        found.append({"fallback": "👍 👎", "actions": actions})
    return whole, found


def _whole(card: Card) -> str:
    return card_as_markdown(card).strip()


def _rating(value: str, reply: Reply) -> Json:
    return {"feedback": value, "of": reply.feedback}


async def _attachment(
    card: Card, said: str, reply_id: str, target: Json, buttons: Buttons | None
) -> Json:
    """The card; its text is left out where a longer message says it already."""
    known = card.markdown in said and said != card.markdown.strip() and said != _whole(card)
    lines = [card.markdown] if card.markdown and not known else []
    links = [b for b in card.buttons if b.url]
    values = [b for b in card.buttons if not b.url]
    lines += [f"[{b.label}]({b.url})" for b in links]
    found: Json = {"fallback": card.title or card.markdown[:200] or "…"}
    if buttons is None:
        lines += [f"[{b.label}]" for b in values]
    elif values:
        found["actions"] = await _actions(values, reply_id, target, buttons, 0)
    if card.title:
        found["title"] = card.title
    if lines:
        found["text"] = "\n\n".join(lines)
    if card.fields:
        found["fields"] = [
            {"title": name, "value": value, "short": len(value) <= 40}
            for name, value in card.fields
        ]
    if card.image_url:
        found["image_url"] = card.image_url
    return found


async def _actions(
    values: Sequence[Button], reply_id: str, target: Json, buttons: Buttons, first: int
) -> list[Json]:
    # An action's id takes part in a URL of the server's: letters and digits only.
    return [
        {
            "id": f"b{n}",
            "type": "button",
            "name": button.label,
            "style": button.style,
            "integration": await buttons.integration(reply_id, target, n, button.value),
        }
        for n, button in enumerate(values, first)
    ]
