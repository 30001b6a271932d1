"""Accounts, channels, posts and files of the simulated server, in Mattermost's own JSON."""

import hashlib
import re
import secrets
from collections import OrderedDict
from typing import Any

from ai_engine.domain.clock import Clock
from ai_engine.domain.message import Json
from ai_engine.simulators.files import SharedFile, Shelf
from ai_engine.simulators.people import Conversation, Directory

POSTS_MAX = 20_000
PENDING_SECONDS = 30.0
"""How long a `pending_post_id` is remembered."""
TEAM_ID = "simulatedteam1234567890abc"
TEAM_NAME = "simulated"
_ALPHABET = "ybndrfg8ejkmcpqxot1uwisza345h769"
_USERNAME = re.compile(r"[a-z][a-z0-9._-]{1,63}")


def new_wire_id() -> str:
    """26 characters, as every id of Mattermost's."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(26))


def wire_id(name: str) -> str:
    """The same 26 characters for the same name."""
    digest = hashlib.sha256(name.encode()).digest()
    return "".join(_ALPHABET[byte % 32] for byte in digest[:26])


class Store:
    """What the server keeps. The oldest posts go first when there are too many."""

    def __init__(self, clock: Clock, directory: Directory, shelf: Shelf, robot_name: str) -> None:
        self._clock = clock
        self._directory = directory
        self._shelf = shelf
        self.bot: Json = self._account(wire_id("the bot"), "ai-assistant", robot_name, bot=True)
        self.users: dict[str, Json] = {self.bot["id"]: self.bot}
        self._people: dict[str, str] = {}
        self.channels: dict[str, Json] = {}
        self._conversations: dict[str, str] = {}
        self.posts: OrderedDict[str, Json] = OrderedDict()
        self._pending: OrderedDict[str, tuple[str, float]] = OrderedDict()
        self._files: dict[str, Json] = {}
        self._codes: dict[str, str] = {}

    def now_ms(self) -> int:
        return int(self._clock.time() * 1000)

    # Accounts.

    def _account(self, user_id: str, username: str, name: str, *, bot: bool = False) -> Json:
        now = self.now_ms()
        return {
            "id": user_id,
            "create_at": now,
            "update_at": now,
            "delete_at": 0,
            "username": username,
            "email": f"{username}@example.org",
            "nickname": "",
            "first_name": name,
            "last_name": "",
            "position": "",
            "roles": "system_user",
            "locale": "en",
            "is_bot": bot,
        }

    def user(self, person_id: str) -> Json:
        """The account of somebody of the directory."""
        user_id = wire_id(f"user {person_id}")
        person = self._directory.person(person_id)
        if user_id not in self.users:
            name = person_id.lower()
            username = name if _USERNAME.fullmatch(name) else f"u{user_id[:8]}"
            self.users[user_id] = self._account(user_id, username, person.name)
            self._people[user_id] = person_id
        return self.users[user_id]

    def person_of(self, user_id: str) -> str:
        """Back from an account to the directory's person; empty for the bot and strangers."""
        return self._people.get(user_id, "")

    # Channels.

    def channel(self, conversation: Conversation) -> Json:
        """The channel of a conversation."""
        channel_id = wire_id(f"channel {conversation.id}")
        found = self.channels.get(channel_id)
        if found is None:
            private = conversation.kind == "private"
            peer = self.user(conversation.user)["id"] if private else ""
            found = self.channels[channel_id] = {
                "id": channel_id,
                "create_at": self.now_ms(),
                "update_at": self.now_ms(),
                "delete_at": 0,
                "team_id": "" if private else TEAM_ID,
                "type": "D" if private else "O",
                "name": f"{peer}__{self.bot['id']}" if private else channel_id[:12],
                "display_name": "" if private else conversation.title,
                "last_post_at": 0,
                "total_msg_count": 0,
            }
            self._conversations[channel_id] = conversation.id
        return found

    def conversation_of(self, channel_id: str) -> str:
        return self._conversations.get(channel_id, "")

    # Posts.

    def add_post(self, **fields: Any) -> Json:
        """A new post with these fields, in its channel."""
        now = self.now_ms()
        channel = self.channels[fields["channel_id"]]
        now = max(now, channel["last_post_at"] + 1)  # no two posts of a channel at one time
        file_ids: list[str] = fields.get("file_ids") or []
        post: Json = {
            "id": new_wire_id(),
            "create_at": now,
            "update_at": now,
            "edit_at": 0,
            "delete_at": 0,
            "is_pinned": False,
            "root_id": "",
            "original_id": "",
            "message": "",
            "type": "",
            "props": {},
            "hashtags": "",
            "pending_post_id": "",
            "reply_count": 0,
            "metadata": {"files": [self._files[f] for f in file_ids]} if file_ids else {},
            **fields,
            "file_ids": file_ids,
        }
        self.posts[post["id"]] = post
        while len(self.posts) > POSTS_MAX:
            self.posts.popitem(last=False)
        channel["last_post_at"] = now
        return post

    def pending(self, key: str) -> Json | None:
        """The post that was made for this `pending_post_id` within the last 30 s."""
        found = self._pending.get(key) if key else None
        if found is None or self._clock.monotonic() - found[1] > PENDING_SECONDS:
            return None
        return self.posts.get(found[0])

    def remember(self, key: str, post_id: str) -> None:
        if key:
            self._pending[key] = (post_id, self._clock.monotonic())
            if len(self._pending) > POSTS_MAX:
                self._pending.popitem(last=False)

    def forget_pending(self) -> None:
        """As if 30 seconds had passed since every post."""
        self._pending.clear()

    def of_channel(self, channel_id: str) -> list[Json]:
        """Newest first, deleted ones too."""
        found = [post for post in self.posts.values() if post["channel_id"] == channel_id]
        return sorted(found, key=lambda post: -post["create_at"])

    def change(self, post: Json, **changes: Any) -> None:
        post.update(changes)
        post["update_at"] = max(self.now_ms(), post["update_at"] + 1)

    # Files.

    def add_file(self, file: SharedFile, channel_id: str, user_id: str) -> Json:
        """Keep a file; its info."""
        file_id = new_wire_id()
        code = self._shelf.put(file, "mm")
        info: Json = {
            "id": file_id,
            "user_id": user_id,
            "channel_id": channel_id,
            "create_at": self.now_ms(),
            "update_at": self.now_ms(),
            "delete_at": 0,
            "name": file.name,
            "extension": file.name.rpartition(".")[2],
            "size": len(file.content),
            "mime_type": file.mime,
        }
        self._files[file_id] = info
        self._codes[file_id] = code
        return info

    def file_info(self, file_id: str) -> Json | None:
        return self._files.get(file_id)

    def file(self, file_id: str) -> SharedFile | None:
        return self._shelf.get(self._codes.get(file_id, ""))

    def file_code(self, file_id: str) -> str:
        return self._codes.get(file_id, "")
