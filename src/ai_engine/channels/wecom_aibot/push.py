"""Answers over the WebSocket: stream frames with the callback's req_id, and pushed messages.

Source: WeCom, "Long connection" of AI robots (101463). Replies and pushes of one chat share 30 a
minute and 1000 an hour. A stream there carries neither pictures nor cards: both are pushed after.
"""

from collections.abc import Callable
from typing import Final

from ai_engine.channels.base import Outgoing
from ai_engine.channels.connector import outgoing_media
from ai_engine.channels.host import Host
from ai_engine.channels.progress import Progress
from ai_engine.channels.wecom_aibot import cards, render
from ai_engine.channels.wecom_aibot.client import settled
from ai_engine.channels.wecom_aibot.link import AibotLink
from ai_engine.channels.wecom_aibot.stream import NO_STREAM
from ai_engine.channels.wecom_aibot.upload import upload
from ai_engine.config.schema import ChannelConfig
from ai_engine.domain.errors import SendRefused
from ai_engine.domain.message import Attachment, Json
from ai_engine.domain.reply import Card, Reply

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
        self._sent = Progress(host.notes)
        """1 when the words are out, then one for each part."""

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
        if self._repeatable(reply) and await self._sent.of(reply.id):
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
            self._words_are_out(reply)
        return code

    def _card(self, reply: Reply) -> Card | None:
        """The card that follows the words."""
        return reply.card if self._form != "text" and cards.native(reply.card) else None

    def _parts(self, reply: Reply) -> int:
        """How many messages follow the words."""
        return len(reply.media) + (self._card(reply) is not None)

    def _repeatable(self, reply: Reply) -> bool:
        """Whether its words may be out already: a stream is finished twice, or parts follow."""
        return reply.stream is not None or self._parts(reply) > 0

    def _words_are_out(self, reply: Reply) -> None:
        if self._repeatable(reply):
            self._sent.put(reply.id, 1)

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
            self._words_are_out(outgoing.reply)
        return code

    async def plain(self, outgoing: Outgoing) -> None:
        words = render.words(outgoing.reply, self._form)
        for page in render.pages([(outgoing.reply.id, words)]):
            if page.text:
                await self._push(outgoing.target, render.markdown(page.text))
        self._words_are_out(outgoing.reply)

    async def extras(self, outgoing: Outgoing) -> None:
        """The card, then each file. A later attempt, after a restart too, does not send again what
        is out."""
        reply, card = outgoing.reply, self._card(outgoing.reply)
        parts: list[Card | Attachment] = [*([card] if card else []), *reply.media]
        if not parts:
            return
        done = max(1, await self._sent.of(reply.id))
        for n, part in enumerate(parts[done - 1 :], done):
            await self._push(outgoing.target, await self._body(part, reply))
            self._sent.put(reply.id, n + 1)

    async def _body(self, part: Card | Attachment, reply: Reply) -> Json:
        """Raises SendRetryable, SendRefused: a file cannot be brought to WeCom."""
        if isinstance(part, Card):
            found = await cards.template(part, reply.id, self._host.media)
            return {"msgtype": "template_card", "template_card": found}
        media = await outgoing_media(self._host, part, MEDIA_BYTES_MAX)
        kind, media_id = await upload(self._connected(), media)
        return {"msgtype": kind, kind: {"media_id": media_id}}

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
