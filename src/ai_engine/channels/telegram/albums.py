"""Albums: Telegram sends each picture of one as a message of its own; here they become one.

Source: Bot API, Message.media_group_id. Nothing says how many there are, so that the first waits
a moment for the others. Each is acknowledged only when the whole is durable.
"""

import asyncio
from dataclasses import replace
from typing import Final

from ai_engine.channels.base import Accept, Accepted
from ai_engine.domain.clock import Clock
from ai_engine.domain.errors import Overloaded
from ai_engine.domain.message import InboundMessage, MessageKind

WAIT_SECONDS: Final = 0.8
PARTS_MAX: Final = 10
"""Of one album (Bot API, sendMediaGroup)."""
_OPEN_MAX: Final = 1_000


class Albums:
    """Owned by the channel; `close` ends what waits."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._open: dict[str, tuple[list[InboundMessage], asyncio.Task[Accepted | None]]] = {}

    @property
    def waiting(self) -> int:
        """Parts that wait for others."""
        return sum(len(parts) for parts, _ in self._open.values())

    async def take(self, message: InboundMessage, accept: Accept) -> None:
        """Returns when the album that this is a part of is durable, or was not for the bot.

        Raises:
            Overloaded: too many albums wait, or what `accept` raises.
        """
        key = f"{message.chat.id}/{message.sender.user_id}/{message.target['album']}"
        known = self._open.get(key)
        if known is not None and len(known[0]) < PARTS_MAX:
            known[0].append(message)
            await _durable(known[1])
            return
        if len(self._open) >= _OPEN_MAX:
            raise Overloaded("too many albums wait for their parts")
        parts = [message]
        task = asyncio.create_task(self._settle(key, parts, accept), name=f"album {key}")
        self._open[key] = (parts, task)
        await _durable(task)

    async def _settle(
        self, key: str, parts: list[InboundMessage], accept: Accept
    ) -> Accepted | None:
        try:
            await self._clock.sleep(WAIT_SECONDS)
        finally:
            self._open.pop(key, None)
        if not any(part.target["addressed"] for part in parts):
            return None
        return await accept(merged(parts))

    async def close(self) -> None:
        """Parts that wait are not acknowledged: Telegram sends them again."""
        tasks = [task for _, task in self._open.values()]
        self._open.clear()  # one that had not begun to run does not take itself out
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _durable(album: asyncio.Task[Accepted | None]) -> None:
    """One request that goes away must not take the album from the others; and one whose album was
    closed has not gone away itself: it is answered."""
    await asyncio.wait((album,))
    if album.cancelled():
        raise Overloaded("the channel was closed while an album waited for its parts")
    album.result()


def merged(parts: list[InboundMessage]) -> InboundMessage:
    """One message: the first's key, everybody's words and files."""
    parts = sorted(parts, key=lambda part: part.target["message_id"])
    said = [p.text for p in parts if p.text and p.kind is MessageKind.TEXT]
    kind = MessageKind.TEXT
    if not said and all(part.kind is MessageKind.UNSUPPORTED for part in parts):
        kind, said = MessageKind.UNSUPPORTED, [parts[0].text]
    hidden = ("album", "addressed")
    return replace(
        parts[0],
        kind=kind,
        text="\n".join(said),
        quote=next((part.quote for part in parts if part.quote), ""),
        attachments=tuple(file for part in parts for file in part.attachments),
        target={name: value for name, value in parts[0].target.items() if name not in hidden},
    )
