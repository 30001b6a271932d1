"""What the `telegram` connector says of itself."""

from typing import Final

from ai_engine.channels.about import About, Permission

_GROUP: Final = "Telegram, the group's page: Permissions, or Administrators → the bot"

ABOUT: Final = About(
    type="telegram",
    zh="Telegram",
    en="Telegram",
    modes=("webhook", "poll"),
    needs={"*": ("token",), "webhook": ("secret_token",)},
    aliases={"token": "app_secret"},
    permissions=(
        Permission(
            name="can_send_messages",
            zh="在群里回答",
            en="to answer in groups",
            page=_GROUP,
            needed="groups",
        ),
        Permission(
            name="can_send_photos",
            zh="在群里发送图片",
            en="to send pictures in groups",
            page=_GROUP,
            needed="media",
        ),
        Permission(
            name="can_send_documents",
            zh="在群里发送文件",
            en="to send files in groups",
            page=_GROUP,
            needed="media",
        ),
        Permission(
            name="administrator",
            zh="在群里接收 👍 和 👎 表情回应（私聊不需要）",
            en="to hear of 👍 and 👎 reactions in groups (private chats need nothing)",
            page=_GROUP,
            needed="feedback",
        ),
    ),
    endpoints=("api",),
    console="https://t.me/BotFather",
)
