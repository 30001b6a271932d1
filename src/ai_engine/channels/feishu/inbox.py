"""From a proven event to a durable message, the same for HTTP and the long connection."""

import asyncio
import logging
from dataclasses import replace
from typing import Any, Final, cast

import msgspec

from ai_engine.channels.base import Accept
from ai_engine.channels.feishu import codec, happenings
from ai_engine.channels.feishu.client import FeishuClient
from ai_engine.channels.feishu.codec import Event
from ai_engine.channels.feishu.recent import Messages, Seen
from ai_engine.channels.host import Host
from ai_engine.config.schema import ChannelConfig
from ai_engine.domain.errors import Forbidden, SendFailed
from ai_engine.domain.message import InboundMessage, Json, MessageKind
from ai_engine.domain.within import within

log = logging.getLogger(__name__)

BOT_SECONDS_MAX: Final = 1.5
"""How long a group message waits for who the bot is; Feishu wants its answer within 3 s."""


class Inbox:
    """Decodes and accepts. Owns who the bot is."""

    def __init__(
        self,
        name: str,
        config: ChannelConfig,
        host: Host,
        client: FeishuClient,
        messages: Messages,
    ) -> None:
        self._name = name
        self._config = config
        self._host = host
        self._client = client
        self._messages = messages
        self._bot = ""
        self._asking = asyncio.Lock()

    async def bot_id(self) -> str:
        """The bot's own open_id, asked once. Raises SendRetryable, SendRefused."""
        async with self._asking:
            if not self._bot:
                self._bot = str((await self._client.bot()).get("open_id", ""))
        return self._bot

    async def take(self, found: Json, accept: Accept) -> Json | None:
        """Durable when it returns; what a pressed button is answered, else None.

        Raises:
            Malformed, Forbidden (an organisation that is not allowed), Overloaded.
        """
        event = codec.event_of(found)
        self._check_tenants(event)
        if event.type == codec.PRESSED:
            return await self._pressed(event, accept)
        message = await self._decoded(event)
        if message is not None:
            await accept(message)
            self._remember(message)
        return None

    def _check_tenants(self, event: Event) -> None:
        allowed = self._config.allow_tenants
        strange = codec.tenants_of(event) - set(allowed) if allowed else set[str]()
        if strange:
            raise Forbidden(
                f"messages of the organisation {', '.join(sorted(strange))} are not taken",
                hint="add its tenant_key to allow_tenants if they should be",
            )

    async def _decoded(self, event: Event) -> InboundMessage | None:
        now = self._host.clock.time()
        match event.type:
            case codec.MESSAGE:
                return await self._message(event, now)
            case codec.RECALLED:
                found = await self._messages.get(happenings.message_of(event))
                return happenings.recall(event, self._name, found, now)
            case codec.REACTED | codec.UNREACTED:
                if not happenings.is_thumb(event):
                    return None
                found = await self._messages.get(happenings.message_of(event))
                return happenings.reaction(event, self._name, found, now)
            case codec.ENTERED | codec.ADDED if self._config.welcome:
                return happenings.welcome(event, self._name, now)
            case _:
                log.debug("channel %s: an event %s has no use here", self._name, event.type)
                return None

    async def _message(self, event: Event, now: float) -> InboundMessage | None:
        if codec.from_bot(event):
            return None
        bot = await self._bot_in_time(event)
        if not codec.mentions_bot(event, bot):
            return None
        message = codec.decode_message(event, self._name, bot, now)
        quoted = await self._messages.get(codec.parent_of(event))
        if quoted is None or not quoted.text:
            return message
        return replace(message, quote=quoted.text)

    async def _bot_in_time(self, event: Event) -> str:
        """Empty when Feishu does not tell in time: then every @ counts as the bot's."""
        if self._bot or not codec.has_mentions(event):
            return self._bot
        try:
            with within(BOT_SECONDS_MAX):
                return await self.bot_id()
        except (SendFailed, TimeoutError) as error:
            log.warning("channel %s: who the bot is cannot be asked: %s", self._name, error)
            return ""

    async def _pressed(self, event: Event, accept: Accept) -> Json:
        """Our own cards' buttons only; the toast is what the person sees at once."""
        given = happenings.pressed(event)
        payload = await self._payload(given)
        if payload is None:
            return _toast("这张卡片已失效", "This card is no longer valid", "warning")
        message = happenings.button(event, self._name, given, payload, self._host.clock.time())
        await accept(message)
        if "feedback" in payload:
            return _toast("感谢反馈", "Thanks for the feedback", "success")
        return _toast("已收到", "Got it", "info")

    async def _payload(self, given: Json) -> Json | None:
        """The pressed button's value; None when it is none of ours, or kept no more."""
        value: Any = given.get("v")
        if isinstance(given.get("ref"), str):
            kept = await self._host.media.get(str(given["ref"]))
            value = msgspec.json.decode(kept.content) if kept is not None else None
        return cast("Json", value) if isinstance(value, dict) else None

    def _remember(self, message: InboundMessage) -> None:
        if message.kind not in (MessageKind.TEXT, MessageKind.UNSUPPORTED):
            return
        seen = Seen(
            text=message.text,
            chat=message.chat,
            sender=message.sender,
            conversation=str(message.target["conversation"]),
        )
        self._messages.put(message.message_id, seen)


def _toast(zh: str, en: str, kind: str) -> Json:
    texts = {"zh_cn": zh, "en_us": en}
    return {"toast": {"type": kind, "content": f"{zh} / {en}", "i18n": texts}}
