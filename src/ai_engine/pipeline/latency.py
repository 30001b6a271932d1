"""The engine's own share of a message's latency, handed from the turn to the delivery."""

from collections import OrderedDict


class OwnShare:
    """Remembers, for messages on their way, what part of their time was not the engine's.

    In memory and bounded: a message whose turn ran in another life of the process is not measured.
    """

    def __init__(self, size: int = 20_000) -> None:
        self._size = size
        self._known: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def put(self, inbound_id: str, received_at: float, excluded_seconds: float) -> None:
        """`excluded_seconds`: inside models, tools and platforms, and behind earlier turns."""
        self._known[inbound_id] = (received_at, excluded_seconds)
        if len(self._known) > self._size:
            self._known.popitem(last=False)

    def take(self, inbound_id: str, now: float) -> float | None:
        """Seconds of the engine's own, at hand-over of the first reply; None when not known."""
        found = self._known.pop(inbound_id, None)
        if found is None:
            return None
        received_at, excluded = found
        return max(0.0, now - received_at - excluded)
