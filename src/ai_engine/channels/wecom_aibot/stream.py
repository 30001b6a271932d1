"""When a stream cannot be written any more, and what the two ways of answering share."""

from typing import Final, Protocol

from ai_engine.channels.base import Outgoing
from ai_engine.domain.message import Json

NO_STREAM: Final = -1001
"""Ours, beside WeCom's errcodes: this message has no stream, or nobody asked for it in time."""


def stream_over(code: int) -> bool:
    """Whether the answer must go another way, by the errcode of the stream's last frame.

    Throttling and "busy" have been raised before; what is left says that the stream is over
    (846608, after 6 minutes), unknown (846605), or that there is none.
    """
    return code != 0


class Road(Protocol):
    """How answers reach WeCom: `pull` over HTTP, `push` over the WebSocket."""

    async def open(self, target: Json) -> Json | None:
        """The handle of the message's stream; None when it has none."""
        ...

    async def update(self, handle: Json, text: str) -> None:
        """The text so far. May raise SendFailed."""
        ...

    async def finish(self, outgoing: Outgoing) -> int:
        """Show the answer in the message's stream: 0, or why it cannot be. Raises SendRetryable."""
        ...

    async def plain(self, outgoing: Outgoing) -> None:
        """Show it as a message of its own. Raises SendRetryable, SendRefused."""
        ...

    async def extras(self, outgoing: Outgoing) -> None:
        """What the stream could not carry. Raises SendRetryable, SendRefused."""
        ...
