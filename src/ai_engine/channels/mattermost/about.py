"""What the `mattermost` connector says of itself."""

from typing import Final

from ai_engine.channels.about import About, Permission

_PAGE: Final = "System Console > User Management > Permissions (系统控制台 > 权限)"
_MEMBER: Final = "the channel's menu, Add Members (频道菜单 > 添加成员)"

ABOUT: Final = About(
    type="mattermost",
    zh="Mattermost",
    en="Mattermost",
    modes=("stream", "webhook"),
    needs={
        "*": ("url|endpoints.api",),
        "stream": ("token",),
        "webhook": ("webhook_token",),
    },
    aliases={"token": "app_secret", "webhook_token": "token"},
    labels={
        "url": (
            "Mattermost 服务器的地址,例如 https://mattermost.example.org",
            "the server's address, such as https://mattermost.example.org",
        ),
        "token": (
            "机器人令牌:集成 → 机器人账号 → 添加机器人账号(只显示一次)",
            "the bot's token: Integrations, Bot Accounts, Add Bot Account (shown once)",
        ),
        "webhook_token": (
            "传出 Webhook 或斜杠命令的令牌:集成页面;多个以逗号分隔",
            "the token of the outgoing webhook or slash command: Integrations; several with commas",
        ),
    },
    steps={
        "stream": (
            (
                "把机器人加入团队和需要它回答的频道;私信无需加入。",
                "Add the bot to the team and to the channels where it shall answer; direct "
                "messages need neither.",
            ),
        ),
        "webhook": (
            (
                "在传出 Webhook 或斜杠命令中填写回调地址 {callback}(斜杠命令用 POST)。",
                "Enter {callback} as the callback URL of the outgoing webhook or slash command "
                "(which uses POST).",
            ),
        ),
    },
    hints={
        "url": "Write the server's base URL, such as https://mattermost.example.org .",
        "token": "In Mattermost: Integrations > Bot Accounts > your bot > Create New Token; "
        "best as ${ENV_NAME} (auth.app_secret is taken for it, too).",
        "webhook_token": "In Mattermost: Integrations > Outgoing Webhooks or Slash Commands show "
        "the token of each; several are separated by commas.",
    },
    permissions=(
        Permission(
            name="create_post",
            zh="发送回答；机器人还须是该团队和频道的成员",
            en="to send answers; the bot must also be a member of the team and the channel",
            page=f"{_PAGE}; {_MEMBER}",
        ),
        Permission(
            name="read_channel",
            zh="读取断线期间错过的消息和被回复的消息",
            en="to read what was missed while disconnected, and the message that is answered",
            page=f"{_PAGE}; {_MEMBER}",
        ),
        Permission(
            name="edit_post",
            zh="流式更新自己的回答",
            en="to let an answer grow while it is written",
            page=_PAGE,
            needed="streaming",
        ),
        Permission(
            name="add_reaction",
            zh="在回答下放置 👍 和 👎，便于一键评价",
            en="to put 👍 and 👎 under an answer, one click each",
            page=_PAGE,
            needed="feedback",
        ),
        Permission(
            name="upload_file",
            zh="发送图片和文件",
            en="to send images and files",
            page=_PAGE,
            needed="media",
        ),
        Permission(
            name="create_direct_channel",
            zh="主动给某人发私信",
            en="to write to a person first",
            page=_PAGE,
            needed="proactive",
        ),
        Permission(
            name="view_members",
            zh="读取用户资料",
            en="to read people's profiles",
            page=_PAGE,
            needed="directory",
        ),
    ),
    endpoints=("api",),
    console="https://docs.mattermost.com/developer/bot-accounts.html",
    calls_base=True,
)
