"""What the `matrix` connector says of itself."""

from typing import Final

from ai_engine.channels.about import About, Permission

_ROOM: Final = "the room's settings in the client: Roles & Permissions"

ABOUT: Final = About(
    type="matrix",
    zh="Matrix",
    en="Matrix",
    needs={"*": ("user", "access_token")},
    aliases={"user": "app_id", "access_token": "app_secret"},
    hints={
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
