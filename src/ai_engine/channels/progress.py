"""How many parts of an answer a platform has taken, where it knows no idempotency keys: the next
attempt goes on after them, after a restart too."""

from collections.abc import Awaitable, Callable, Sequence

from ai_engine.channels.base import Notes

Step = Callable[[], Awaitable[None]]
"""Sends one part."""


class Progress:
    """Kept as notes of the channel."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes

    async def of(self, key: str) -> int:
        """Parts that were sent. Ask for answers of several parts only: it may read the journal."""
        return int(await self._notes.get(_note(key)) or 0)

    def put(self, key: str, parts: int) -> None:
        self._notes.put(_note(key), str(parts))

    async def run(self, key: str, steps: Sequence[Step]) -> None:
        """The parts in their order, which every attempt must give alike; those that an earlier
        attempt has sent are passed over. Raises what a step raises."""
        several = len(steps) > 1
        done = await self.of(key) if several else 0
        for n, step in enumerate(steps[done:], done + 1):
            await step()
            if several:
                self.put(key, n)


def _note(key: str) -> str:
    return f"sent {key}"
