"""How many parts of an answer a platform has taken, where it knows no idempotency keys: the next
attempt goes on after them, after a restart too."""

from ai_engine.channels.base import Notes


class Progress:
    """Kept as notes of the channel."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes

    async def of(self, key: str) -> int:
        """Parts that were sent. Ask for answers of several parts only: it may read the journal."""
        return int(await self._notes.get(_note(key)) or 0)

    def put(self, key: str, parts: int) -> None:
        self._notes.put(_note(key), str(parts))


def _note(key: str) -> str:
    return f"sent {key}"
