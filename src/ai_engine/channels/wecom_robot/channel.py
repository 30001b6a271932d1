"""The `wecom_robot` channel: messages into the one group that a group robot belongs to."""

from functools import partial
from typing import Final

from ai_engine.channels.base import Address, Capabilities, Outgoing
from ai_engine.channels.connector import Connector, address_parts, outgoing_media
from ai_engine.channels.host import Host
from ai_engine.channels.progress import Progress
from ai_engine.channels.wecom_robot import render
from ai_engine.channels.wecom_robot.about import ABOUT
from ai_engine.channels.wecom_robot.client import RobotClient, WrongKey
from ai_engine.config.schema import ChannelConfig
from ai_engine.domain.errors import Malformed, SendRefused, Unauthenticated
from ai_engine.domain.message import Attachment, Chat, ChatKind, Json, Media

MEDIA_BYTES_MAX: Final = 20 * 1024 * 1024
_MEDIA_BYTES_MIN: Final = 6
_GROUP: Final = "group"


class WeComRobotChannel(Connector):
    """Implements `ai_engine.channels.base.Channel`."""

    def __init__(self, name: str, config: ChannelConfig, host: Host) -> None:
        super().__init__(ABOUT, name, config, host)
        self._form = "text" if config.reply == "text" else "markdown"
        self._client = RobotClient(
            key=self.auth("token"),
            base=config.endpoints.api,
            egress=host.egress,
            clock=host.clock,
        )
        self._done = Progress(host.notes)
        limit = render.TEXT_BYTES_MAX if self._form == "text" else render.MARKDOWN_BYTES_MAX
        self.capabilities = Capabilities(
            text_limit=limit - 200,  # a mention and a code block that goes on find room
            text_unit="bytes",
            markdown=self._form == "markdown",
            cards=True,
            images=True,
            files=True,
            media_bytes_max=MEDIA_BYTES_MAX,
        )

    async def send(self, outgoing: Outgoing) -> None:
        """Text, the card, images and files. WeCom takes no idempotency key here: what an earlier
        attempt has sent is not sent again."""
        mention, told = str(outgoing.target.get("mention", "")), self._told(outgoing)

        async def file(attachment: Attachment) -> None:
            await self._client.send(await self._file(attachment), told)

        bodies = render.messages(outgoing.reply, self._form, mention)
        words = [partial(self._client.send, body, told) for body in bodies]
        files = [partial(file, attachment) for attachment in outgoing.reply.media]
        await self._done.run(outgoing.reply.id, [*words, *files])

    async def _file(self, attachment: Attachment) -> Json:
        media = await outgoing_media(self.host, attachment, MEDIA_BYTES_MAX)
        shown = render.image(media) if attachment.kind == "image" else None
        if shown is not None:
            return shown
        if len(media.content) < _MEDIA_BYTES_MIN:
            raise SendRefused(f"WeCom takes no file as small as {media.name!r}")
        kind = render.upload_kind(media)
        return {"msgtype": kind, kind: {"media_id": await self._client.upload(kind, media)}}

    def _told(self, outgoing: Outgoing) -> dict[str, str]:
        """For a simulator's page, which shows which part of the engine answered."""
        part = outgoing.reply.produced_by[:100]
        if not self.config.endpoints.api or not part.isascii() or not part.isprintable():
            return {}
        return {"X-AI-Engine-Produced-By": part}

    def address(self, to: str) -> Address:
        """`group:<any name>`: the robot's one group. `user:<UserID>`: there too, notifying them."""
        word, id_ = address_parts(to, {"group": "name", "user": "UserID"})
        if word == "user" and not set(id_).isdisjoint("<>|\n"):
            raise Malformed(f"{to!r} is no UserID of WeCom's")
        name = id_ if word == "group" else _GROUP
        mention = id_ if word == "user" else ""
        return Address(
            chat=Chat(kind=ChatKind.GROUP, id=name),
            user_id="",
            target={"mention": mention, "conversation": name},
        )

    async def check(self) -> str:
        """Uploads a file of a few bytes, which nobody sees: proves the key."""
        probe = Media(
            kind="file", content=b"ai-engine check\n", name="check.txt", mime="text/plain"
        )
        try:
            await self._client.upload("file", probe)
        except WrongKey as error:
            raise Unauthenticated(error.message, hint=error.hint) from None
        return "WeCom group robot: the key is right"


def build(name: str, config: ChannelConfig, host: Host) -> WeComRobotChannel:
    return WeComRobotChannel(name, config, host)
