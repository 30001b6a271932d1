"""The `dingtalk` channel: robot messages in by HTTP or Stream, answers out."""

import logging
from typing import Final

from ai_engine.channels.base import (
    Accept,
    Capabilities,
    Outgoing,
    WebhookRequest,
    WebhookResponse,
)
from ai_engine.channels.connector import Connector
from ai_engine.channels.dingtalk import codec, crypto
from ai_engine.channels.dingtalk.about import ABOUT
from ai_engine.channels.dingtalk.client import DingTalkClient, HookGone
from ai_engine.channels.dingtalk.stream import Stream
from ai_engine.channels.host import Host
from ai_engine.channels.text import split
from ai_engine.config.schema import ChannelConfig
from ai_engine.domain.errors import NotFound, SendRefused
from ai_engine.domain.message import Json

log = logging.getLogger(__name__)

_EXPIRY_MARGIN_SECONDS: Final = 5.0


class DingTalkChannel(Connector):
    """Implements `ai_engine.channels.base.Channel`."""

    def __init__(self, name: str, config: ChannelConfig, host: Host) -> None:
        super().__init__(ABOUT, name, config, host)
        self._stream: Stream | None = None
        self._form = "text" if config.reply == "text" else "markdown"
        self._client = DingTalkClient(config, host.egress, host.clock)
        self._quota_used_up = False
        self.capabilities = Capabilities(
            text_limit=codec.TEXT_LIMIT_BYTES,
            text_unit="bytes",
            markdown=self._form == "markdown",
        )

    async def close(self) -> None:
        await self._client.close()

    async def webhook(self, request: WebhookRequest, accept: Accept) -> WebhookResponse:
        """HTTP mode: verify, decode, accept, acknowledge. DingTalk ignores the answer's body."""
        if self.mode != "webhook" or request.path.strip("/"):
            raise NotFound(
                "nothing answers here", hint="for HTTP mode set the channel's mode to webhook"
            )
        if request.method != "POST":
            return WebhookResponse(status=405, headers={"Allow": "POST"})
        secret = self.config.auth.app_secret.get_secret_value()
        crypto.verify(request.headers, secret, int(self.clock.time() * 1000))
        await self._accept_body(codec.parse(request.body), accept)
        return WebhookResponse(body=b"{}")

    async def _accept_body(self, body: Json, accept: Accept) -> None:
        """Durable when it returns. Raises Malformed, Overloaded."""
        self.noticed()
        self._quota_used_up = codec.withheld(body)
        message = codec.decode(body, self.name, self.clock.time())
        if message is not None:
            await accept(message)

    async def run(self, accept: Accept) -> None:
        """Stream mode: hold a connection until cancelled. Nothing to hold in HTTP mode."""
        auth = self.config.auth
        if self.mode != "stream" or not (auth.app_id and auth.app_secret.get_secret_value()):
            return

        async def take(body: Json) -> None:
            await self._accept_body(body, accept)

        self._stream = Stream(self.name, self._client, self.host.egress, self.clock, take)
        await self._stream.run()

    async def send(self, outgoing: Outgoing) -> None:
        """By the sessionWebhook while it lives, else by the proactive API."""
        words = codec.rendered(outgoing.reply, self._form)
        for part in split(words, codec.TEXT_LIMIT_BYTES, "bytes"):
            await self._send_part(part, outgoing)

    async def _send_part(self, words: str, outgoing: Outgoing) -> None:
        target = outgoing.target
        hook, expires = target.get("sessionWebhook", ""), target.get("expires", 0.0)
        if hook and (not expires or self.clock.time() < expires - _EXPIRY_MARGIN_SECONDS):
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
        auth = self.config.auth
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

    def connection(self) -> tuple[str, str, float | None]:
        """In Stream mode the age is that of the last frame, pings included."""
        quota = "DingTalk withholds message texts: the monthly quota is used up."
        detail = quota if self._quota_used_up else ""
        if self._stream is not None:
            lines = (detail, self._stream.detail)
            return self._stream.state, " ".join(filter(None, lines)), self._stream.last_frame
        state = "connecting" if self.mode == "stream" else "ready"
        return state, detail, self._last_event


def build(name: str, config: ChannelConfig, host: Host) -> DingTalkChannel:
    return DingTalkChannel(name, config, host)
