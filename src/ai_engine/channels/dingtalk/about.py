"""What the `dingtalk` connector says of itself."""

from typing import Final

from ai_engine.channels.about import About, Permission

_PAGE: Final = "open-dev.dingtalk.com, the app's page, Permissions (权限管理)"

ABOUT: Final = About(
    type="dingtalk",
    zh="钉钉",
    en="DingTalk",
    modes=("webhook", "stream"),
    needs={"*": ("app_id", "app_secret")},
    permissions=(
        Permission(
            name="qyapi_robot_sendmsg",
            zh="会话回复地址过期后，主动发送消息",
            en="to send messages when a session's reply address has expired",
            page=_PAGE,
        ),
    ),
    replies=("markdown", "text", "card"),
    endpoints=("api", "oapi"),
    console="https://open-dev.dingtalk.com",
)
