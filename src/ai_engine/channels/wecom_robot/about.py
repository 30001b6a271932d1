"""What the `wecom_robot` connector says of itself."""

from typing import Final

from ai_engine.channels.about import About

ABOUT: Final = About(
    type="wecom_robot",
    zh="企业微信群机器人",
    en="WeCom group robot",
    needs={"*": ("token",)},
    console="https://developer.work.weixin.qq.com/document/path/99110",
    outgoing_only=True,
)
