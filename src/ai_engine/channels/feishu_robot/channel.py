"""The `feishu_robot` channel: messages into one group, nothing back."""

from typing import Final

from ai_engine.channels.base import Address, Capabilities, Outgoing
from ai_engine.channels.connector import Connector
from ai_engine.channels.feishu_robot import codec
from ai_engine.channels.feishu_robot.about import ABOUT
from ai_engine.channels.feishu_robot.client import RobotClient
from ai_engine.channels.host import Host
from ai_engine.config.schema import ChannelConfig
from ai_engine.domain.errors import Malformed, SendRefused
from ai_engine.domain.message import Chat, ChatKind

SENDS_PER_SECOND: Final = 100 / 60
"""Feishu takes 100 messages a minute of one bot, five a second at most."""


class FeishuRobotChannel(Connector):
    """Implements `ai_engine.channels.base.Channel`."""

    def __init__(self, name: str, config: ChannelConfig, host: Host) -> None:
        super().__init__(ABOUT, name, config, host)
        self._form = "text" if config.reply == "text" else "markdown"
        self._client = RobotClient(config, host.egress, host.clock)
        self.capabilities = Capabilities(
            text_limit=codec.TEXT_LIMIT_BYTES,
            text_unit="bytes",
            markdown=self._form == "markdown",
            cards=self._form == "markdown",
            sends_per_second=SENDS_PER_SECOND,
        )

    async def send(self, outgoing: Outgoing) -> None:
        """Raises SendRetryable, SendRefused."""
        body = codec.message(outgoing.reply, self._form)
        if body is not None:
            await self._client.send(body)
        if outgoing.reply.media:
            raise SendRefused(
                "a custom bot cannot upload pictures or files",
                hint="use an app's bot (channel type feishu)",
            )

    def address(self, to: str) -> Address:
        """`group:`, with or without a name: the bot has but one group."""
        word, colon, _ = to.partition(":")
        if word != "group" or not colon:
            raise Malformed(f"{to!r} is no address here", hint="use group:")
        return Address(
            chat=Chat(kind=ChatKind.GROUP, id=self.name),
            user_id="",
            target={"conversation": self.name},
        )


def build(name: str, config: ChannelConfig, host: Host) -> FeishuRobotChannel:
    return FeishuRobotChannel(name, config, host)
