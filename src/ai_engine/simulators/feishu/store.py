"""Messages as the platform keeps them, people's and the bot's."""

from collections import OrderedDict
from dataclasses import dataclass

from ai_engine.domain.ids import new_id
from ai_engine.domain.message import Json
from ai_engine.simulators.feishu.events import chat_id
from ai_engine.simulators.feishu.gate import No

MESSAGES_MAX = 50_000
UUIDS_MAX = 10_000
UUID_SECONDS = 3_600.0


@dataclass(slots=True, kw_only=True)
class Message:
    """One message."""

    id: str
    conversation: str
    kind: str
    content: str
    """As the API gives it: a JSON text."""
    sender: str
    """A person's user id; empty for the bot."""
    created_ms: int
    parent: str = ""
    thread: str = ""
    deleted: bool = False
    edits: int = 0
    files: tuple[str, ...] = ()
    """Codes of what can be downloaded from it."""

    def as_json(self, app_id: str) -> Json:
        """As the API shows it."""
        by_app = {"id": app_id, "id_type": "app_id", "sender_type": "app"}
        by_user = {"id": f"ou_{self.sender}", "id_type": "open_id", "sender_type": "user"}
        found: Json = {
            "message_id": self.id,
            "root_id": self.parent,
            "parent_id": self.parent,
            "msg_type": self.kind,
            "create_time": str(self.created_ms),
            "update_time": str(self.created_ms),
            "deleted": self.deleted,
            "updated": self.edits > 0,
            "chat_id": chat_id(self.conversation),
            "sender": by_user if self.sender else by_app,
            "body": {"content": self.content},
        }
        return found | ({"thread_id": self.thread} if self.thread else {})


class Store:
    """The newest messages, and which idempotency keys have been used."""

    def __init__(self) -> None:
        self._messages: OrderedDict[str, Message] = OrderedDict()
        self._uuids: OrderedDict[tuple[str, str], tuple[str, float]] = OrderedDict()

    def add(self, message: Message) -> None:
        self._messages[message.id] = message
        while len(self._messages) > MESSAGES_MAX:
            self._messages.popitem(last=False)

    def get(self, message_id: str) -> Message | None:
        return self._messages.get(message_id)

    def present(self, message_id: str) -> Message:
        """Raises No: there is none, or it was recalled."""
        found = self._messages.get(message_id)
        if found is None:
            raise No(231003, "The message is not found, maybe not exist or deleted.")
        if found.deleted:
            raise No(230011, "The message was withdrawn.")
        return found

    def used(self, place: str, uuid: object, now: float) -> Message | None:
        """The message that this key has sent there within the hour."""
        found = self._uuids.get((place, str(uuid)))
        if not uuid or found is None or now - found[1] > UUID_SECONDS:
            return None
        return self._messages.get(found[0])

    def use(self, place: str, uuid: object, message: Message, now: float) -> None:
        """Remember a key."""
        if uuid:
            self._uuids[place, str(uuid)] = (message.id, now)
        while len(self._uuids) > UUIDS_MAX:
            self._uuids.popitem(last=False)


def new_message_id() -> str:
    return f"om_{new_id('x')}"
