"""What the `dingtalk_robot` connector says of itself."""

from typing import Final

from ai_engine.channels.about import About

ABOUT: Final = About(
    type="dingtalk_robot",
    zh="钉钉自定义机器人",
    en="DingTalk custom robot",
    needs={"*": ("token",)},
    hints={
        "token": "Copy what follows access_token= in the robot's webhook address (the group's "
        "settings, Robots); best as ${ENV_NAME} or ${file:PATH}.",
    },
    replies=("markdown", "text"),
    endpoints=("oapi",),
    outgoing_only=True,
)
