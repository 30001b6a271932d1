"""Answers over the WebSocket: stream frames with the callback's req_id, and pushed messages.

Source: WeCom, "Long connection" of AI robots (101463). Replies and pushes of one chat share 30 a
minute and 1000 an hour. A stream there carries neither pictures nor cards: both are pushed after.
"""

from collections.abc import Callable
from typing import Final

from ai_engine.channels.base import Outgoing
from ai_engine.channels.connector import outgoing_media
from ai_engine.channels.host import Host
from ai_engine.channels.wecom_aibot import cards, render
from ai_engine.channels.wecom_aibot.client import settled
from ai_engine.channels.wecom_aibot.link import AibotLink
from ai_engine.channels.wecom_aibot.stream import NO_STREAM, Recent
from ai_engine.channels.wecom_aibot.upload import upload
from ai_engine.config.schema import ChannelConfig
from ai_engine.domain.errors import SendRefused
from ai_engine.domain.message import Json

MEDIA_BYTES_MAX: Final = 20_000_000
WELCOME_SECONDS_MAX: Final = 5.0
_REPLY_SECONDS_MAX: Final = 86_400.0
"""A callback can be answered for 24 h; its stream, once begun, for 6 minutes."""

Connected = Callable[[], AibotLink]
"""The live connection. Raises SendRetryable: there is none."""


class Push:
    """Implements `stream.Road` for the stream mode."""

    def __init__(self, config: ChannelConfig, host: Host, connected: Connected) -> None:
        self._feedback = config.feedback
        self._form = config.reply
        self._host = host
        self._connected = connected
        self._said = Recent()
        """Replies whose words are out: repeated for the sake of what follows them."""

    async def open(self, target: Json) -> Json | None:
        if target.get("event") or not target.get("req_id") or self._too_late(target):
            return None
        return {"message_id": target["message_id"], "req_id": target["req_id"]}

    async def update(self, handle: Json, text: str) -> None:
        code = await self._respond(handle, render.shown(text), finish=False)
        if code:
            raise SendRefused(f"WeCom takes no more of this stream (errcode {code})")

    async def finish(self, outgoing: Outgoing) -> int:
        target, reply = outgoing.target, outgoing.reply
        if reply.id in self._said:
            return 0
        if target.get("event") == "enter_chat":
            return await self._greet(outgoing)
        if not await self._leads(outgoing):
            return NO_STREAM
        first, *rest = render.pages([(reply.id, render.words(reply, self._form))])
        code = await self._respond(target, first.text, finish=True)
        if code == 0:
            for page in rest:
                await self._push(target, render.markdown(page.text))
            self._said.add(reply.id)
        return code

    async def _leads(self, outgoing: Outgoing) -> bool:
        """Whether this reply is the one that the message's stream shows: the first."""
        target, reply = outgoing.target, outgoing.reply
        own = outgoing.in_reply_to == target.get("message_id")
        if not own or await self.open(target) is None:
            return False
        if reply.stream is not None:
            return True
        stored = await self._host.stored(outgoing.in_reply_to)
        return not stored or stored[0].id == reply.id

    async def _greet(self, outgoing: Outgoing) -> int:
        target = outgoing.target
        if self._age(target) >= WELCOME_SECONDS_MAX:
            return NO_STREAM
        body = {"msgtype": "text", "text": {"content": render.words(outgoing.reply, "text")}}
        link = self._connected()
        code = settled(await link.request("aibot_respond_welcome_msg", target["req_id"], body))
        if code == 0:
            self._said.add(outgoing.reply.id)
        return code

    async def plain(self, outgoing: Outgoing) -> None:
        words = render.words(outgoing.reply, self._form)
        for page in render.pages([(outgoing.reply.id, words)]):
            if page.text:
                await self._push(outgoing.target, render.markdown(page.text))
        self._said.add(outgoing.reply.id)

    async def extras(self, outgoing: Outgoing) -> None:
        """The card, then each file; a repeated attempt does not send again what is out."""
        reply, target = outgoing.reply, outgoing.target
        card = reply.card if self._form != "text" and cards.native(reply.card) else None
        if card is not None and f"{reply.id}/card" not in self._said:
            found = await cards.template(card, reply.id, self._host.media)
            await self._push(target, {"msgtype": "template_card", "template_card": found})
            self._said.add(f"{reply.id}/card")
        for n, attachment in enumerate(reply.media):
            if f"{reply.id}/{n}" in self._said:
                continue
            media = await outgoing_media(self._host, attachment, MEDIA_BYTES_MAX)
            kind, media_id = await upload(self._connected(), media)
            await self._push(target, {"msgtype": kind, kind: {"media_id": media_id}})
            self._said.add(f"{reply.id}/{n}")

    async def _respond(self, target: Json, content: str, *, finish: bool) -> int:
        body = render.stream(target["message_id"], content, finish=finish, feedback=self._feedback)
        link = self._connected()
        return settled(await link.request("aibot_respond_msg", target["req_id"], body))

    async def seen(self, target: Json) -> None:
        """An empty stream: WeCom shows that the robot is at work."""
        handle = await self.open(target)
        if handle is not None:
            await self.update(handle, "")

    async def _push(self, target: Json, body: Json) -> None:
        """Raises SendRefused: WeCom does not let the robot write there."""
        where = {"chatid": target["conversation"], "chat_type": target.get("chat_type", 0)}
        code = settled(await self._connected().request("aibot_send_msg", body={**where, **body}))
        if code:
            raise SendRefused(
                f"WeCom refused the message (errcode {code})",
                hint="a robot may write to people and groups that have written to it before",
            )

    def _age(self, target: Json) -> float:
        return self._host.clock.time() - float(target.get("at", 0.0))

    def _too_late(self, target: Json) -> bool:
        return self._age(target) >= _REPLY_SECONDS_MAX
