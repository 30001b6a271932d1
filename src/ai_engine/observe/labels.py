"""Bounded labels: whatever arrives, the number of time series stays small."""

from typing import Generic, Protocol, TypeVar

OTHER = "other"
"""The value that all further values share once a label has its `values_max`."""
VALUES_MAX = 100
_VALUE_CHARS_MAX = 80

Child = TypeVar("Child", covariant=True)


class Labelled(Protocol[Child]):
    """A metric of prometheus-client with labels."""

    def labels(self, *labelvalues: object) -> Child: ...


class Vocabulary:
    """The values that one label has taken, first come first served."""

    __slots__ = ("_known", "_values_max")

    def __init__(self, values_max: int = VALUES_MAX) -> None:
        self._known: set[str] = set()
        self._values_max = values_max

    def bounded(self, value: str) -> str:
        """The value itself, or `other` when the label has enough values already."""
        value = value[:_VALUE_CHARS_MAX].encode("utf-8", "replace").decode("utf-8")
        if value in self._known:
            return value
        if len(self._known) >= self._values_max:
            return OTHER
        self._known.add(value)
        return value


class Bounded(Generic[Child]):
    """A metric whose label values come from vocabularies; bound children are kept."""

    __slots__ = ("_children", "_metric", "_vocabularies")

    def __init__(self, metric: Labelled[Child], vocabularies: tuple[Vocabulary, ...]) -> None:
        self._metric = metric
        self._vocabularies = vocabularies
        self._children: dict[tuple[str, ...], Child] = {}

    def child(self, *values: str) -> Child:
        """The time series of these values."""
        found = self._children.get(values)
        if found is not None:
            return found
        bounded = tuple(
            vocabulary.bounded(value)
            for vocabulary, value in zip(self._vocabularies, values, strict=True)
        )
        found = self._children.get(bounded)
        if found is None:
            found = self._children[bounded] = self._metric.labels(*bounded)
        return found
