"""The `webhook` channel: signed JSON in; answers in the same request, or posted to a callback."""

import logging
from collections.abc import Sequence
from typing import Final

import aiohttp
import msgspec

from ai_engine.channels.backoff import retry_after_seconds
from ai_engine.channels.base import (
    Accept,
    Capabilities,
    Outgoing,
    WebhookRequest,
    WebhookResponse,
)
from ai_engine.channels.connector import Connector
from ai_engine.channels.host import Host
from ai_engine.channels.webhook import codec, crypto
from ai_engine.channels.webhook.about import ABOUT
from ai_engine.channels.webhook.waiting import SLOTS_MAX, Slot, Waiting
from ai_engine.config.schema import ChannelConfig
from ai_engine.domain.errors import Malformed, NotFound, SendRefused, SendRetryable
from ai_engine.domain.message import InboundMessage, Json
from ai_engine.domain.reply import Reply
from ai_engine.security.egress import origin

log = logging.getLogger(__name__)

WAIT_SECONDS_MAX: Final = 30.0
_LOOK_SECONDS: Final = 1.0
"""How often the journal is asked for replies that nobody handed over."""
_TIMEOUT: Final = aiohttp.ClientTimeout(total=20, sock_connect=5)
_TEXT_LIMIT: Final = 100_000


class WebhookChannel(Connector):
    """Implements `ai_engine.channels.base.Channel`."""

    def __init__(
        self, name: str, config: ChannelConfig, host: Host, *, slots_max: int = SLOTS_MAX
    ) -> None:
        super().__init__(ABOUT, name, config, host)
        self._secret = self.auth("secret")
        self._waiting = Waiting(slots_max)
        if config.callback_url and not _is_url(config.callback_url):
            self.problems.append(
                "callback_url is not an http or https URL without user and password."
            )
        self.capabilities = Capabilities(
            text_limit=_TEXT_LIMIT,
            text_unit="chars",
            markdown=config.reply != "text",
            cards=config.reply != "text",
            idempotent=True,
        )

    async def webhook(self, request: WebhookRequest, accept: Accept) -> WebhookResponse:
        """Verify, decode, accept; with `?wait=true` also wait for the answer."""
        if request.path.strip("/"):
            raise NotFound("nothing answers here", hint="post to /api/message/<channel>")
        if request.method != "POST":
            return WebhookResponse(status=405, headers={"Allow": "POST"})
        header = request.headers.get(crypto.HEADER.lower(), "")
        crypto.verify(header, request.body, self._secret, self.clock.time())
        self.noticed()
        seconds = _wait_seconds(request)
        message = codec.decode(request.body, self.name, self.clock.time())
        if seconds > 0:
            return await self._accept_and_wait(message, accept, seconds)
        accepted = await accept(message)
        return _json(message.message_id, "duplicate" if accepted.duplicate else "accepted")

    async def _accept_and_wait(
        self, message: InboundMessage, accept: Accept, seconds: float
    ) -> WebhookResponse:
        """The slot is taken before the message is accepted: no answer can be too quick for it."""
        message_id = message.message_id
        with self._waiting.slot(message_id) as slot:
            accepted = await accept(message)
            if accepted.duplicate:
                known = await self.host.stored(message_id)
                if known is not None:
                    return self._answered(message, known)
            if slot is None:
                return _json(message_id, "accepted", status=202)
            known = await self._wait(slot, message_id, seconds)
            if known is not None:
                return self._answered(message, known)
        return _json(message_id, "accepted", status=202)

    async def _wait(self, slot: Slot, message_id: str, seconds: float) -> Sequence[Reply] | None:
        """The replies; None when they have not come in time.

        Nothing is handed over of what is handled without a reply (`/stop`, a rule that drops, a
        cancelled message) or delivered by another process: so the journal is asked as well.
        """
        seen = False
        while seconds > 0:
            step = min(seconds, _LOOK_SECONDS)
            if await slot.wait(step, self.clock):
                return slot.replies
            seconds -= step
            known = await self.host.stored(message_id)
            if slot.complete:
                return slot.replies
            if known is not None and (not known or seen or seconds <= 0):
                return known
            seen = known is not None
        return None

    def _answered(self, message: InboundMessage, replies: Sequence[Reply]) -> WebhookResponse:
        found = [self._encode(reply, message.message_id, message.target) for reply in replies]
        return _json(message.message_id, "answered", replies=found)

    def _encode(self, reply: Reply, in_reply_to: str, target: Json) -> Json:
        form = self.config.reply
        return codec.encode(reply, in_reply_to=in_reply_to, target=target, form=form)

    async def send(self, outgoing: Outgoing) -> None:
        """To who waits for it, else to the callback, else it stays readable for 24 h."""
        message_id = outgoing.in_reply_to
        if self._waiting.hand_over(message_id, outgoing.reply):
            return
        if self.config.callback_url:
            for earlier in self._waiting.left_behind(message_id):
                await self._post(earlier, outgoing)
            await self._post(outgoing.reply, outgoing)
        self._waiting.settled(message_id)

    async def _post(self, reply: Reply, outgoing: Outgoing) -> None:
        body = msgspec.json.encode(self._encode(reply, outgoing.in_reply_to, outgoing.target))
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": reply.id,
            crypto.HEADER: crypto.sign(body, self._secret, int(self.clock.time())),
        }
        try:
            async with self.host.egress.session.post(
                self.config.callback_url,
                data=body,
                headers=headers,
                timeout=_TIMEOUT,
                allow_redirects=False,
            ) as response:
                wait = response.headers.get("Retry-After")
                _check(response.status, retry_after_seconds(wait, self.clock.time()))
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # Not chained: such an error's text may hold the URL, and the URL a token.
            name = type(error).__name__
            raise SendRetryable(f"the callback could not be reached ({name})") from None


def _check(status: int, retry_after: float | None) -> None:
    """2xx is delivered; what may pass is tried again; the rest is not."""
    if 200 <= status < 300:
        return
    if status in (408, 429) or status >= 500:
        raise SendRetryable(f"the callback answered HTTP {status}", retry_after_seconds=retry_after)
    hint = "set callback_url to the final address" if 300 <= status < 400 else ""
    raise SendRefused(f"the callback refused the reply (HTTP {status})", hint=hint)


def _wait_seconds(request: WebhookRequest) -> float:
    """How long to hold the request; 0 when its sender does not wait."""
    wait = request.query.get("wait", "false").lower()
    if wait in ("false", "0", ""):
        return 0.0
    if wait not in ("true", "1"):
        raise Malformed("?wait: must be true or false")
    try:
        seconds = float(request.query.get("timeout", WAIT_SECONDS_MAX))
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= WAIT_SECONDS_MAX:
        raise Malformed(f"?timeout: must be more than 0 and at most {WAIT_SECONDS_MAX:g} seconds")
    return seconds


def _json(
    message_id: str, outcome: str, *, status: int = 200, replies: list[Json] | None = None
) -> WebhookResponse:
    body: Json = {"message_id": message_id, "status": outcome}
    if replies is not None:
        # The answer itself is what most callers want; only a long one has more parts than one.
        body |= replies[-1] if replies else {}
        body["replies"] = replies
    return WebhookResponse(status=status, body=msgspec.json.encode(body))


def _is_url(url: str) -> bool:
    try:
        origin(url)
    except ValueError:
        return False
    return True


def build(name: str, config: ChannelConfig, host: Host) -> WebhookChannel:
    return WebhookChannel(name, config, host)
