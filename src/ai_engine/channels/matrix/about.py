"""What the `matrix` connector says of itself."""

from typing import Final

from ai_engine.channels.about import About, Permission

_ROOM: Final = "the room's settings in the client: Roles & Permissions"

ABOUT: Final = About(
    type="matrix",
    zh="Matrix",
    en="Matrix",
    needs={"*": ("homeserver|endpoints.api", "user", "access_token")},
    aliases={"user": "app_id", "access_token": "app_secret"},
    labels={
        "homeserver": (
            "家服务器的地址,例如 https://matrix.example.org",
            "the homeserver's base URL, such as https://matrix.example.org",
        ),
        "user": (
            "机器人的完整 ID,例如 @bot:example.org",
            "the bot's full id, such as @bot:example.org",
        ),
        "access_token": (
            "访问令牌:用机器人的密码登录一次(POST /_matrix/client/v3/login),复制 access_token",
            "the access token: log the bot in once (POST /_matrix/client/v3/login) and copy it",
        ),
    },
    steps={
        "*": (
            (
                "邀请机器人进入房间,或与它开始私聊。",
                "Invite the bot into a room, or begin a private chat with it.",
            ),
        ),
    },
    hints={
        "homeserver": "Set it to the homeserver's base URL, such as https://matrix.example.org .",
        "user": "Set it to the bot's full id, such as @bot:example.org.",
        "access_token": (
            "Log the bot in once with its password (POST /_matrix/client/v3/login) and copy the "
            "access_token of the answer; secrets best as ${ENV_NAME} or ${file:PATH} "
            "(auth.app_secret is taken for it, too)."
        ),
    },
    permissions=(
        Permission(
            name="m.room.message",
            zh="在限制发言的房间里回答（权力级别不低于“发送消息”所需）",
            en='to answer in rooms that restrict it (a power level of at least "Send messages")',
            page=f"{_ROOM} → Send messages",
            needed="groups",
        ),
    ),
    endpoints=("api",),
    console="https://matrix.org/docs/",
)
