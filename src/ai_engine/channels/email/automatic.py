"""Mails that must not be answered: written by machines, or by ourselves (RFC 3834, section 2)."""

from collections import OrderedDict, deque
from collections.abc import Mapping
from typing import Final

from ai_engine.domain.clock import Clock

_MACHINES: Final = frozenset({
    "mailer-daemon", "postmaster", "noreply", "no-reply", "donotreply", "do-not-reply",
    "bounce", "bounces", "root", "daemon",
})  # fmt: skip
_LIST_FIELDS: Final = ("list-id", "list-unsubscribe", "list-post", "x-loop")
_HOUR_SECONDS: Final = 3600.0
SENDER_ANSWERS_MAX: Final = 60
"""Answers an hour to one sender."""
THREAD_ANSWERS_MAX: Final = 20
"""Answers an hour in one thread that has answers of ours: two machines would go on for ever."""
_KEPT_MAX: Final = 4096


def why_not(headers: Mapping[str, str], sender: str, ours: str) -> str:
    """Why a mail is not answered; empty when it may be.

    Args:
        headers: the first of each name, names in lower case.
        sender: the address in From. ours: the mailbox's.
    """
    if sender == ours:
        return "it is our own"
    if headers.get("return-path", "").replace(" ", "") == "<>":
        return "its return path is empty: a bounce or an automatic answer"
    submitted = headers.get("auto-submitted", "no").partition(";")[0].strip().lower()
    if submitted not in ("no", ""):
        return "it says that a program sent it (Auto-Submitted)"
    if headers.get("precedence", "").strip().lower() in ("bulk", "list", "junk"):
        return "it is bulk mail (Precedence)"
    if any(name in headers for name in _LIST_FIELDS):
        return "it comes from a mailing list"
    if _suppressed(headers):
        return "it asks for no automatic answer (X-Auto-Response-Suppress)"
    if _is_machine(sender):
        return "its sender is a program"
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    return "it is a report about another mail" if kind == "multipart/report" else ""


def _suppressed(headers: Mapping[str, str]) -> bool:
    """MS-OXCMAIL, 2.2.3.2.14: All, AutoReply and OOF speak of answers such as ours."""
    asked = headers.get("x-auto-response-suppress", "").lower().replace(" ", "").split(",")
    return not {"all", "autoreply", "oof"}.isdisjoint(asked)


def _is_machine(address: str) -> bool:
    local = address.partition("@")[0].partition("+")[0]
    return local in _MACHINES or local.startswith(("bounce-", "bounces-", "noreply-", "no-reply-"))


class Allowance:
    """How many answers an hour a sender or a thread has had; in memory, the oldest forgotten."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._taken: OrderedDict[str, deque[float]] = OrderedDict()

    def left(self, key: str, most: int) -> bool:
        """Whether one more is allowed."""
        taken = self._taken.get(key)
        if taken is None:
            return True
        since = self._clock.monotonic() - _HOUR_SECONDS
        while taken and taken[0] <= since:
            taken.popleft()
        return len(taken) < most

    def take(self, key: str) -> None:
        """One was taken."""
        taken = self._taken.setdefault(key, deque(maxlen=max(SENDER_ANSWERS_MAX, 1)))
        taken.append(self._clock.monotonic())
        self._taken.move_to_end(key)
        while len(self._taken) > _KEPT_MAX:
            self._taken.popitem(last=False)
