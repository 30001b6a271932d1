"""Who works in the simulated company and which chats they have."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

PEOPLE_MAX = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    id: str
    name: str
    title: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    id: str
    kind: str
    """private | group"""
    title: str = ""
    user: str = ""
    """Private: the one person in it, besides the robot."""


STAFF = (
    Person(id="zhangsan", name="张三", title="产品经理 · Product"),
    Person(id="lisi", name="李四", title="研发工程师 · Engineering"),
    Person(id="alice", name="Alice Wang", title="Sales"),
)
GROUP = Conversation(id="cid-group-ops", kind="group", title="项目组 · Project team")


class Directory:
    """People and conversations, learned as they speak; the oldest learned go first when full."""

    def __init__(self) -> None:
        self._people: OrderedDict[str, Person] = OrderedDict((p.id, p) for p in STAFF)
        self._conversations: OrderedDict[str, Conversation] = OrderedDict({GROUP.id: GROUP})
        self._private: OrderedDict[str, str] = OrderedDict()
        for person in STAFF:
            self.private(person.id)

    def person(self, user: str, name: str = "") -> Person:
        """The person with this user id, who joins the company if new."""
        known = self._people.get(user)
        if known is None or (name and known.name != name):
            title = known.title if known else ""
            known = self._people[user] = Person(id=user, name=name or user, title=title)
            _bound(self._people)
        return known

    def knows(self, user: str) -> bool:
        return user in self._people

    def private(self, user: str, conversation: str = "") -> Conversation:
        """The person's private chat with the robot; the one named last is the current one."""
        chosen = conversation or self._private.get(user) or f"cid-private-{user}"
        self._private[user] = chosen
        _bound(self._private)
        return self._chat(Conversation(id=chosen, kind="private", user=user))

    def group(self, conversation: str = "") -> Conversation:
        """A group by its id, founded if new; the default group without one."""
        chosen = conversation or GROUP.id
        return self._conversations.get(chosen) or self._chat(
            Conversation(id=chosen, kind="group", title=chosen)
        )

    def find(self, conversation: str) -> Conversation | None:
        return self._conversations.get(conversation)

    def _chat(self, conversation: Conversation) -> Conversation:
        self._conversations[conversation.id] = conversation
        _bound(self._conversations)
        return conversation

    @property
    def staff(self) -> list[Person]:
        """The people whom the chat page offers."""
        return [self._people[p.id] for p in STAFF if p.id in self._people]


def _bound(table: OrderedDict[str, Any]) -> None:
    while len(table) > PEOPLE_MAX:
        table.popitem(last=False)
