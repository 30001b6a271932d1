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
    endpoints=("api", "ws"),
    console="https://work.weixin.qq.com/wework_admin/frame#/aiHelper/list",
)
"""The robot has no permissions of its own to be granted: its credentials give all that it has."""
