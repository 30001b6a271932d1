"""What the `slack` connector says of itself."""

from typing import Final

from ai_engine.channels.about import About, Permission

SCOPES_PAGE: Final = (
    "https://api.slack.com/apps, the app, OAuth & Permissions, Scopes, Bot Token Scopes; "
    "then Reinstall to Workspace"
)
_TOKENS_PAGE: Final = "https://api.slack.com/apps, the app, Basic Information, App-Level Tokens"


def _scope(name: str, zh: str, en: str, needed: str = "always") -> Permission:
    return Permission(name=name, zh=zh, en=en, page=SCOPES_PAGE, needed=needed)


ABOUT: Final = About(
    type="slack",
    zh="Slack",
    en="Slack",
    modes=("webhook", "stream"),
    needs={
        "*": ("bot_token",),
        "webhook": ("signing_secret",),
        "stream": ("app_token",),
    },
    aliases={"bot_token": "app_secret"},
    labels={
        "bot_token": (
            "Bot User OAuth Token(xoxb-…):应用页面 → OAuth & Permissions",
            "Bot User OAuth Token (xoxb-…): the app's page, OAuth & Permissions",
        ),
        "signing_secret": (
            "Signing Secret:Basic Information → App Credentials",
            "Signing Secret: Basic Information, App Credentials",
        ),
        "app_token": (
            "应用级令牌(xapp-…):Basic Information → App-Level Tokens,权限 connections:write",
            "app-level token (xapp-…): Basic Information, App-Level Tokens, with the scope "
            "connections:write",
        ),
    },
    steps={
        "stream": (
            (
                "在 Socket Mode 页面打开 Enable Socket Mode。",
                "On the page Socket Mode switch Enable Socket Mode on.",
            ),
        ),
        "webhook": (
            (
                "引擎启动后,在 Event Subscriptions 填写 Request URL {callback},"
                "在 Interactivity & Shortcuts 填写 {callback}/interactive。",
                "With the engine running, enter the Request URL {callback} under Event "
                "Subscriptions and {callback}/interactive under Interactivity & Shortcuts.",
            ),
        ),
        "*": (
            (
                "在频道中输入 /invite 邀请机器人;私聊直接发消息即可。",
                "Invite the bot into a channel by /invite, or write to it in private.",
            ),
        ),
    },
    permissions=(
        _scope("chat:write", "发送、流式输出和更新回答", "to send, stream and update answers"),
        _scope("im:history", "接收私聊消息", "to be sent private messages"),
        _scope(
            "app_mentions:read", "在频道中被 @ 时收到消息", "to be told of mentions in channels"
        ),
        _scope("mpim:history", "接收多人私聊消息", "to be sent messages of group DMs", "groups"),
        _scope(
            "channels:history",
            "频道中消息的编辑与删除",
            "to be told of edits and deletions in public channels",
            "edits",
        ),
        _scope(
            "groups:history",
            "私有频道中消息的编辑与删除",
            "to be told of edits and deletions in private channels",
            "edits",
        ),
        _scope("im:write", "主动发起私聊", "to open a private chat on its own", "proactive"),
        _scope("files:read", "读取收到的图片和文件", "to read pictures and files", "media"),
        _scope("files:write", "发送图片和文件", "to send pictures and files", "media"),
        _scope("users:read", "显示成员姓名", "to know people's names", "directory"),
        _scope("users:read.email", "成员的邮箱", "to know people's e-mail", "directory"),
        _scope("reactions:write", "用 👀 表示已看到", "to show 👀 on what it has seen", "seen"),
        _scope(
            "assistant:write", "显示“正在思考”", "to show that it is thinking, in threads", "seen"
        ),
        _scope("commands", "接收斜杠命令", "to take slash commands", "commands"),
        Permission(
            name="connections:write",
            zh="Socket Mode 长连接（应用级令牌）",
            en="to hold the Socket Mode connection (of the app-level token)",
            page=_TOKENS_PAGE,
            needed="stream",
        ),
    ),
    replies=("markdown", "text"),
    endpoints=("api",),
    console="https://api.slack.com/apps",
)

BY_NAME: Final = {permission.name: permission for permission in ABOUT.permissions}
