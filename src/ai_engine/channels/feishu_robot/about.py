"""What the `feishu_robot` connector says of itself."""

from typing import Final

from ai_engine.channels.about import About

ABOUT: Final = About(
    type="feishu_robot",
    zh="飞书自定义机器人",
    en="Feishu custom bot",
    needs={"*": ("token",)},
    hints={
        "token": "Copy what follows /bot/v2/hook/ in the bot's webhook address (the group's "
        "settings, Bots); best as ${ENV_NAME} or ${file:PATH}.",
    },
    replies=("markdown", "text"),
    endpoints=("api",),
    outgoing_only=True,
)
