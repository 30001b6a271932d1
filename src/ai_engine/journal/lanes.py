"""Ordered lanes, one a session: at most one item in flight in each, many lanes at once."""

import heapq
from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, Protocol, TypeVar


class Sequenced(Protocol):
    seq: int


T = TypeVar("T", bound=Sequenced)


class _Lane(Generic[T]):
    __slots__ = ("busy", "items", "until")

    def __init__(self) -> None:
        self.items: deque[T] = deque()
        self.busy = False
        self.until = 0.0
        """The head must wait until this time (seconds since the Unix epoch)."""


class Lanes(Generic[T]):
    """Items wait in order of their `seq` in the lane of their key. A lane exists only while it
    holds something, so that idle sessions cost nothing."""

    def __init__(self, on_head: Callable[[T], None] | None = None) -> None:
        """`on_head` is told each item that has come to the front of its lane."""
        self._lanes: dict[str, _Lane[T]] = {}
        self._ready: deque[str] = deque()
        self._paused: list[tuple[float, str]] = []
        self._on_head = on_head
        self._waiting = 0
        self._busy = 0

    def __len__(self) -> int:
        """Items that wait (those in flight are not among them)."""
        return self._waiting

    def __iter__(self) -> Iterator[T]:
        """All that wait."""
        for lane in self._lanes.values():
            yield from lane.items

    @property
    def busy(self) -> int:
        """Items in flight."""
        return self._busy

    def has(self, key: str) -> bool:
        """Whether this key has anything, waiting or in flight."""
        return key in self._lanes

    def push(self, key: str, item: T) -> bool:
        """Give the item its place in its lane; True when it is the first and only one there."""
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = _Lane()
        self._waiting += 1
        items = lane.items
        if not items or items[-1].seq < item.seq:
            items.append(item)
        else:
            at = next(i for i, other in enumerate(items) if other.seq > item.seq)
            items.insert(max(at, 1) if lane.until else at, item)  # a failing head stays the head
        if len(items) == 1 and not lane.busy:
            self._ready.append(key)
            return True
        return False

    def reserve(self, key: str) -> bool:
        """Make the lane busy for an item that is on its way, until `done`; False when the lane
        holds something already."""
        if key in self._lanes:
            return False
        lane = self._lanes[key] = _Lane()
        lane.busy = True
        self._busy += 1
        return True

    def peek(self) -> T | None:
        """The next item that `pop` would give."""
        while self._ready:
            lane = self._lanes.get(self._ready[0])
            if lane is not None and lane.items and not lane.busy and not lane.until:
                return lane.items[0]
            self._ready.popleft()
        return None

    def pop(self) -> T | None:
        """The next item of any lane that is free; its lane is busy until `done` or `again`."""
        item = self.peek()
        if item is None:
            return None
        lane = self._lanes[self._ready.popleft()]
        lane.items.popleft()
        lane.busy = True
        self._waiting -= 1
        self._busy += 1
        return item

    def done(self, key: str) -> None:
        """The item in flight is finished; the next one of its lane may go."""
        lane = self._lanes[key]
        lane.busy = False
        self._busy -= 1
        self._free(key, lane)

    def again(self, key: str, item: T, not_before: float) -> None:
        """The item in flight goes back to the front; its lane waits until `not_before`
        (0: it is ready at once)."""
        lane = self._lanes[key]
        lane.busy = False
        self._busy -= 1
        self._waiting += 1
        lane.items.appendleft(item)
        self._hold(key, lane, not_before)

    def hold(self, key: str, not_before: float) -> None:
        """The lane's head must not go before this time."""
        self._hold(key, self._lanes[key], not_before)

    def _hold(self, key: str, lane: _Lane[T], not_before: float) -> None:
        lane.until = not_before
        if not_before:
            heapq.heappush(self._paused, (not_before, key))
        else:
            self._ready.append(key)

    def _free(self, key: str, lane: _Lane[T]) -> None:
        if not lane.items:
            del self._lanes[key]
            return
        if self._on_head is not None:
            self._on_head(lane.items[0])
        self._ready.append(key)

    def next_due(self) -> float | None:
        """When the first paused lane may go on."""
        return self._paused[0][0] if self._paused else None

    def promote(self, now: float) -> None:
        """Let the lanes go on whose pause is over."""
        while self._paused and self._paused[0][0] <= now:
            at, key = heapq.heappop(self._paused)
            lane = self._lanes.get(key)
            if lane is not None and lane.until == at and not lane.busy:
                lane.until = 0.0
                self._ready.append(key)

    def take(self, key: str, chosen: Callable[[T], bool]) -> list[T]:
        """Take the chosen items out of the lane; none of them is in flight."""
        lane = self._lanes.get(key)
        if lane is None:
            return []
        head = lane.items[0] if lane.items else None
        taken = [item for item in lane.items if chosen(item)]
        if not taken:
            return []
        gone = {item.seq for item in taken}
        lane.items = deque(item for item in lane.items if item.seq not in gone)
        self._waiting -= len(taken)
        if not lane.busy and head is taken[0]:
            lane.until = 0.0
            self._free(key, lane)
        return taken

    def clear(self) -> None:
        """Forget everything (another owner has it now)."""
        self._lanes.clear()
        self._ready.clear()
        self._paused.clear()
        self._waiting = self._busy = 0
