"""From a verified payload to accepted messages: the same for HTTP and for Socket Mode."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

from ai_engine.channels.base import Accept
from ai_engine.channels.host import Host
from ai_engine.channels.http import json_object, parse
from ai_engine.channels.slack import codec, interactive
from ai_engine.channels.slack.client import SlackClient
from ai_engine.channels.slack.people import People
from ai_engine.config.schema import ChannelConfig
from ai_engine.domain.errors import Malformed, SendFailed
from ai_engine.domain.message import InboundMessage, Json, MessageKind

log = logging.getLogger(__name__)

LOOK_UPS_SECONDS_MAX: Final = 2.0
"""What is asked of Slack before its event is acknowledged, all together: it wants that within 3 s.
"""
_WELCOMED_MAX: Final = 10_000


class Inbox:
    """Owned by the channel."""

    def __init__(
        self, name: str, config: ChannelConfig, host: Host, client: SlackClient, people: People
    ) -> None:
        self._name = name
        self._config = config
        self._host = host
        self._client = client
        self._people = people
        self._known: OrderedDict[str, None] = OrderedDict()
        """Private chats that are not new."""

    async def take(self, kind: str, payload: Json, accept: Accept) -> None:
        """`kind`: events_api | interactive | slash_commands, as Socket Mode calls them.

        Durable when it returns. Raises Malformed, Overloaded.
        """
        until = asyncio.get_running_loop().time() + LOOK_UPS_SECONDS_MAX
        if kind == "events_api":
            message = await self._event(payload, until)
        elif kind == "interactive":
            message = await self._interaction(payload, until)
        elif kind == "slash_commands":
            await self._people.learn(interactive.people_in(payload), until)
            message = interactive.decode_command(payload, self._context())
        else:
            log.debug("channel %s: nothing is known of %r", self._name, kind)
            return
        if message is not None and self._allowed(message.sender.tenant):
            await accept(message)
            if message.kind is MessageKind.WELCOME:
                self._remember(message.chat.id)

    def _allowed(self, tenant: str) -> bool:
        allowed = self._config.allow_tenants
        if not allowed or tenant in allowed:
            return True
        log.warning(
            "channel %s: a message of workspace %r was not taken: it is not in allow_tenants",
            self._name,
            tenant[:64],
        )
        return False

    def _context(self, bots: frozenset[str] = frozenset()) -> codec.Context:
        return codec.Context(
            channel=self._name,
            received_at=self._host.clock.time(),
            bots=bots,
            name_of=self._people.name,
        )

    async def _own_ids(self, envelope: Json, until: float) -> frozenset[str]:
        """As the event says, else by `auth.test`, which is asked once."""
        told = codec.bots_of(envelope)
        if told:
            return told
        try:
            async with asyncio.timeout_at(until):
                found = await self._client.identity()
        except (SendFailed, TimeoutError) as error:
            why = str(error) or type(error).__name__
            log.warning("channel %s: the bot's own id is not known: %s", self._name, why)
            return frozenset()
        return frozenset((found.user_id,)) - {""}

    async def _event(self, envelope: Json, until: float) -> InboundMessage | None:
        if envelope.get("type") == "app_rate_limited":
            log.warning("channel %s: Slack withholds events: more than 30,000 an hour", self._name)
        if envelope.get("type") != "event_callback":
            return None
        codec.part(envelope, "event")
        bots = await self._own_ids(envelope, until)
        await self._people.learn((i for i in codec.people_in(envelope) if i not in bots), until)
        message = codec.decode(envelope, self._context(bots))
        if message is not None and message.kind is MessageKind.WELCOME:
            wanted = self._config.welcome and await self._is_new(message.chat.id, until)
            return message if wanted else None
        return message

    async def _is_new(self, chat: str, until: float) -> bool:
        """Slack tells of every opening of the chat; it is the first when nothing was said yet."""
        if chat in self._known:
            return False
        try:
            async with asyncio.timeout_at(until):
                found = await self._client.call(
                    "conversations.history", form={"channel": chat, "limit": "1"}
                )
        except (SendFailed, TimeoutError) as error:
            why = str(error) or type(error).__name__
            log.info("channel %s: nobody is greeted: %s", self._name, why)
            return False
        if not found.get("messages"):
            return True
        self._remember(chat)
        return False

    def _remember(self, chat: str) -> None:
        """It is not new: somebody has written there, or a greeting is on its way."""
        self._known[chat] = None
        while len(self._known) > _WELCOMED_MAX:
            self._known.popitem(last=False)

    async def _interaction(self, payload: Json, until: float) -> InboundMessage | None:
        written = interactive.pressed_value(payload)
        value: Json | None = {}
        if written.startswith("blob:"):
            kept = await self._host.media.get(written)
            value = None if kept is None else json_object(kept.content)
        elif written:
            value = json_object(written)
        await self._people.learn(interactive.people_in(payload), until)
        return interactive.decode_action(payload, value, self._context())


def http_payload(headers: Mapping[str, str], body: bytes) -> tuple[str, Json]:
    """What a verified request brings, in Socket Mode's terms. Raises Malformed."""
    if not headers.get("content-type", "").lower().startswith("application/x-www-form-urlencoded"):
        return "events_api", parse(body)
    form = interactive.read_form(body)
    if "payload" in form:
        return "interactive", interactive.interaction(form)
    if "command" in form:
        return "slash_commands", form
    if "ssl_check" in form:
        return "ssl_check", form
    raise Malformed("$: neither an interaction nor a command")
