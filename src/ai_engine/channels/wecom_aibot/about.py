"""What the `wecom_aibot` connector says of itself."""

from typing import Final

from ai_engine.channels.about import About

ABOUT: Final = About(
    type="wecom_aibot",
    zh="企业微信智能机器人",
    en="WeCom AI bot",
    modes=("webhook", "stream"),
    needs={"webhook": ("token", "aes_key"), "stream": ("bot_id", "secret")},
    aliases={"bot_id": "app_id", "secret": "app_secret"},
    labels={
        "bot_id": (
            "BotID:智能机器人的设置页,API 模式 → 使用长连接",
            "BotID: the AI bot's page, API mode, Long connection",
        ),
        "secret": ("Secret:同一页面", "Secret: the same page"),
        "token": (
            "Token:智能机器人的设置页,API 模式 → 使用 URL 回调,随机获取(先不要保存该页面)",
            "Token: the AI bot's page, API mode, Receive by URL; let the page make it, and do not "
            "save yet",
        ),
        "aes_key": (
            "EncodingAESKey(43 个字符):同一页面,随机获取",
            "EncodingAESKey, 43 characters: the same page; let the page make it",
        ),
    },
    steps={
        "webhook": (
            (
                "引擎启动后,在 URL 回调页面填写 {callback} 并保存:企业微信会立即验证该地址。",
                "With the engine running, enter {callback} under Receive by URL and save: WeCom "
                "checks the address at once.",
            ),
        ),
        "*": (
            (
                "设置机器人的可见范围;成员在通讯录中找到它,也可添加到群聊。",
                "Make the bot visible to the people who shall use it; they find it in their "
                "contacts and may add it to groups.",
            ),
        ),
    },
    endpoints=("api", "ws"),
    console="https://work.weixin.qq.com/wework_admin/frame#/aiHelper/list",
)
"""The robot has no permissions of its own to be granted: its credentials give all that it has."""
