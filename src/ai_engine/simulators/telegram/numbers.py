"""Telegram's numbers for the people and chats of the simulated company."""

import zlib

from ai_engine.simulators.people import Conversation, Directory

_USERS_FROM = 100_000_000
_GROUPS_FROM = 1_000_000_000_000


class Numbers:
    """User and chat ids. A private chat has its person's id, a group a negative one."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._users: dict[int, str] = {}
        self._groups: dict[int, str] = {}
        for person in directory.staff:
            self.user(person.id)
        self.group(directory.group().id)

    def user(self, name: str) -> int:
        """The number of a user id; digits stand for themselves."""
        plain = name.isascii() and name.isdigit() and len(name) < 16
        number = int(name) if plain else _USERS_FROM + zlib.crc32(name.encode())
        self._users[number] = name
        return number

    def group(self, conversation: str) -> int:
        digits = conversation.removeprefix("-")
        plain = conversation.startswith("-") and digits.isascii() and digits.isdigit()
        number = int(conversation) if plain else -_GROUPS_FROM - zlib.crc32(conversation.encode())
        self._groups[number] = conversation
        return number

    def chat(self, where: Conversation) -> int:
        return self.group(where.id) if where.kind == "group" else self.user(where.user)

    def person(self, number: int) -> str:
        """The user id of a number; empty when nobody has it."""
        return self._users.get(number, "")

    def find(self, chat_id: int) -> Conversation | None:
        """The conversation of a chat id."""
        if chat_id in self._groups:
            return self._directory.group(self._groups[chat_id])
        user = self._users.get(chat_id)
        return None if user is None else self._directory.private(user)
