"""Answers without the bot: in a callback's own HTTP response, or to a command's response_url."""

import logging
from collections.abc import Sequence
from typing import Final

import msgspec

from ai_engine.channels.base import Accept, Outgoing, WebhookResponse
from ai_engine.channels.host import Host
from ai_engine.channels.http import Api
from ai_engine.channels.mattermost import cards, hooks
from ai_engine.channels.mattermost.waiting import WAIT_SECONDS_MAX, Slot, Waiting
from ai_engine.domain.errors import SendRefused
from ai_engine.domain.message import InboundMessage, Json
from ai_engine.security.egress import Egress

log = logging.getLogger(__name__)

_LOOK_SECONDS: Final = 1.0
"""How often the journal is asked whether a message was handled without an answer."""


class Callbacks:
    """Of one channel. `trusted`: base URLs on whose hosts a response_url may be."""

    def __init__(
        self,
        api: Api,
        host: Host,
        trusted: Sequence[str],
        form: str,
        buttons: cards.Buttons | None,
        *,
        rate: bool,
    ) -> None:
        self._api = api
        self._host = host
        self._trusted = trusted
        self._form = form
        self._buttons = buttons
        self._rate = rate
        self._waiting = Waiting()

    async def accept_and_wait(self, message: InboundMessage, accept: Accept) -> WebhookResponse:
        """The place is taken before the message is accepted: no answer can be too quick for it."""
        with self._waiting.slot(message.message_id) as slot:
            accepted = await accept(message)
            if slot is None or accepted.duplicate:
                return WebhookResponse(body=b"{}")
            await self._wait(slot, message.message_id)
            found = list(slot.parts.values())
        texts = [text for text, _ in found if text]
        attachments = [one for _, several in found for one in several]
        if not texts and not attachments:
            return WebhookResponse(body=b"{}")
        hook = str(message.target.get("hook", ""))
        body = hooks.answer(hook, "\n\n".join(texts), attachments)
        return WebhookResponse(body=msgspec.json.encode(body))

    async def _wait(self, slot: Slot, message_id: str) -> None:
        left = WAIT_SECONDS_MAX
        while left > 0:
            step = min(left, _LOOK_SECONDS)
            if await slot.wait(step, self._host.clock):
                return
            left -= step
            known = await self._host.stored(message_id)
            if known is not None and not known:
                return  # handled without a reply: `/stop`, a rule that drops

    def reachable(self, target: Json) -> bool:
        """Whether a response_url can still be used."""
        expires = target.get("expires", 0.0)
        alive = isinstance(expires, int | float) and self._host.clock.time() < expires
        return alive and bool(target.get("response_url"))

    async def answer(self, outgoing: Outgoing) -> None:
        """Raises SendRefused when neither way is left, SendRetryable."""
        target, reply = outgoing.target, outgoing.reply
        text, attachments = await cards.rendered(
            reply, self._form, target, self._buttons, rate=self._rate and bool(reply.feedback)
        )
        slot = self._waiting.find(outgoing.in_reply_to)
        if slot is not None:
            slot.put(reply.id, text, attachments, final=reply.final)
            return
        if not self.reachable(target):
            raise SendRefused(
                "the callback has ended, and without the bot's token nothing else reaches the chat",
                hint="set auth.token: answers then do not depend on the callback",
            )
        url = Egress.check_host(str(target["response_url"]), self._trusted)
        body = hooks.answer("command", text, attachments)
        answer = await self._api.call("POST", url, json=body)
        self._api.refuse_failure(answer, "the command's answer")
