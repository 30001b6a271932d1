"""The `dingtalk` channel: robot messages in by HTTP or Stream, answers out."""

import contextlib
import logging
from typing import Final

from ai_engine.channels.base import (
    Accept,
    Capabilities,
    Outgoing,
    Status,
    WebhookRequest,
    WebhookResponse,
)
from ai_engine.channels.dingtalk import codec, crypto
from ai_engine.channels.dingtalk.client import DingTalkClient, HookGone
from ai_engine.channels.dingtalk.stream import Stream
from ai_engine.channels.text import split
from ai_engine.config.schema import ChannelConfig
from ai_engine.domain.clock import Clock
from ai_engine.domain.errors import NotFound, SendRefused
from ai_engine.domain.message import Json
from ai_engine.security.egress import Egress, origin

log = logging.getLogger(__name__)

_EXPIRY_MARGIN_SECONDS: Final = 5.0


def problems(config: ChannelConfig) -> list[str]:
    """What an administrator should mend, in sentences; [] when all is well."""
    found: list[str] = []
    if not config.auth.app_secret.get_secret_value():
        found.append("auth.app_secret is empty: no message can be verified; set the app's secret.")
    if not config.auth.app_id:
        found.append(
            "auth.app_id is empty: Stream mode and answers after the session's end need it."
        )
    if config.reply == "card":
        found.append(
            "reply: card needs a card template, which this version does not configure; "
            "answers go out as markdown. Set reply to markdown or text."
        )
    for key, base in (("api", config.endpoints.api), ("oapi", config.endpoints.oapi)):
        with contextlib.suppress(ValueError):
            if base:
                origin(base)
            continue
        found.append(f"endpoints.{key} is not an http or https URL.")
    return found


class DingTalkChannel:
    """Implements `ai_engine.channels.base.Channel`."""

    type = "dingtalk"

    def __init__(self, name: str, config: ChannelConfig, egress: Egress, clock: Clock) -> None:
        self.name = name
        self._config = config
        self._egress = egress
        self._clock = clock
        self._stream: Stream | None = None
        self._form = "text" if config.reply == "text" else "markdown"
        self._client = DingTalkClient(config, egress, clock)
        self._problems = problems(config)
        self._last_event: float | None = None
        self._quota_used_up = False
        self.capabilities = Capabilities(
            text_limit=codec.TEXT_LIMIT_BYTES,
            text_unit="bytes",
            markdown=self._form == "markdown",
        )

    async def start(self) -> None:
        for problem in self._problems:
            log.warning("channel %s: %s", self.name, problem)

    async def close(self) -> None:
        await self._client.close()

    async def webhook(self, request: WebhookRequest, accept: Accept) -> WebhookResponse:
        """HTTP mode: verify, decode, accept, acknowledge. DingTalk ignores the answer's body."""
        if self._config.mode != "webhook" or request.path.strip("/"):
            raise NotFound(
                "nothing answers here", hint="for HTTP mode set the channel's mode to webhook"
            )
        if request.method != "POST":
            return WebhookResponse(status=405, headers={"Allow": "POST"})
        secret = self._config.auth.app_secret.get_secret_value()
        crypto.verify(request.headers, secret, int(self._clock.time() * 1000))
        await self._accept_body(codec.parse(request.body), accept)
        return WebhookResponse(body=b"{}")

    async def _accept_body(self, body: Json, accept: Accept) -> None:
        """Durable when it returns. Raises Malformed, Overloaded."""
        self._last_event = self._clock.monotonic()
        self._quota_used_up = codec.withheld(body)
        message = codec.decode(body, self.name, self._clock.time())
        if message is not None:
            await accept(message)

    async def run(self, accept: Accept) -> None:
        """Stream mode: hold a connection until cancelled. Nothing to hold in HTTP mode."""
        auth = self._config.auth
        if self._config.mode != "stream" or not (
            auth.app_id and auth.app_secret.get_secret_value()
        ):
            return

        async def take(body: Json) -> None:
            await self._accept_body(body, accept)

        self._stream = Stream(self.name, self._client, self._egress, self._clock, take)
        await self._stream.run()

    async def send(self, outgoing: Outgoing) -> None:
        """By the sessionWebhook while it lives, else by the proactive API."""
        words = codec.rendered(outgoing.reply, self._form)
        for part in split(words, codec.TEXT_LIMIT_BYTES, "bytes"):
            await self._send_part(part, outgoing)

    async def _send_part(self, words: str, outgoing: Outgoing) -> None:
        target = outgoing.target
        hook, expires = target.get("sessionWebhook", ""), target.get("expires", 0.0)
        if hook and (not expires or self._clock.time() < expires - _EXPIRY_MARGIN_SECONDS):
            mention = self._mention(target) if outgoing.reply.final else ""
            try:
                body = codec.session_body(words, self._form, mention)
                await self._client.send_by_session(hook, body, outgoing.reply.produced_by)
            except HookGone as gone:
                log.info("channel %s: sessionWebhook unusable (%s)", self.name, gone)
            else:
                return
        await self._send_proactive(words, target)

    @staticmethod
    def _mention(target: Json) -> str:
        """In a group the asker is notified; a long answer notifies once, with its last part."""
        return target.get("senderStaffId", "") if target.get("conversationType") == "2" else ""

    async def _send_proactive(self, words: str, target: Json) -> None:
        template = codec.template_body(words, self._form)
        auth = self._config.auth
        robot_code = auth.robot_code or target.get("robotCode") or auth.app_id
        if not robot_code:
            raise SendRefused(
                "the session's reply address is over and no robot code is known",
                hint="set auth.app_id, or auth.robot_code where it differs",
            )
        if target.get("conversationType") == "2":
            await self._client.send_group(target["conversationId"], robot_code, template)
        elif target.get("senderStaffId"):
            await self._client.send_private(target["senderStaffId"], robot_code, template)
        else:
            raise SendRefused(
                "the session's reply address is over and DingTalk gave no staff id of the person",
                hint="publish the app; people outside the organisation cannot be reached later",
            )

    async def open_stream(self, target: Json, key: str) -> Json | None:
        """Robot messages cannot be changed once sent."""
        return None

    async def update(self, handle: Json, text: str) -> None:
        """Never called: no stream is ever opened."""

    async def finish(self, handle: Json, outgoing: Outgoing) -> None:
        await self.send(outgoing)

    def status(self) -> Status:
        """In Stream mode the age is that of the last frame, pings included."""
        notes = list(self._problems)
        if self._quota_used_up:
            notes.append("DingTalk withholds message texts: the monthly quota is used up.")
        auth, last = self._config.auth, self._last_event
        usable = bool(auth.app_secret.get_secret_value())
        state = "ready" if usable else "failing"
        if self._config.mode == "stream":
            usable = usable and bool(auth.app_id)
            state = "connecting" if usable else "failing"
        if self._stream is not None:
            state, last = self._stream.state, self._stream.last_frame
            notes += [self._stream.detail] if self._stream.detail else []
            usable = state == "connected"
        return Status(
            state=state,
            detail=" ".join(notes),
            last_event_age_seconds=None if last is None else self._clock.monotonic() - last,
            connected=usable,
        )
