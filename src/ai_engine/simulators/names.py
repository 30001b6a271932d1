"""What people call the simulated platforms, by channel type."""

from typing import Final

NAMES: Final[dict[str, tuple[str, str]]] = {
    "dingtalk": ("钉钉", "DingTalk"),
    "wecom": ("企业微信应用", "WeCom app"),
    "wecom_aibot": ("企业微信智能机器人", "WeCom AI bot"),
    "feishu": ("飞书", "Feishu / Lark"),
    "slack": ("Slack", "Slack"),
    "teams": ("Microsoft Teams", "Microsoft Teams"),
    "telegram": ("Telegram", "Telegram"),
    "mattermost": ("Mattermost", "Mattermost"),
}
"""(in Chinese, in English), as the connectors' own pages name them."""


def names_of(platform: str) -> tuple[str, str]:
    """(in Chinese, in English); a platform that is not in the table is called by its type."""
    return NAMES.get(platform, (platform, platform))
