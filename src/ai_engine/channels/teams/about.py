"""What the `teams` connector says of itself."""

from typing import Final

from ai_engine.channels.about import About, Permission

_MANIFEST: Final = "dev.teams.microsoft.com, Apps, the app, App features, Bot (manifest.json, bots)"

ABOUT: Final = About(
    type="teams",
    zh="Microsoft Teams",
    en="Microsoft Teams",
    modes=("webhook",),
    needs={"*": ("app_id", "app_secret")},
    offers={"*": ("tenant",)},
    labels={
        "app_id": (
            "Microsoft App ID:portal.azure.com → Azure Bot → 配置",
            "Microsoft App ID: portal.azure.com, the Azure Bot, Configuration",
        ),
        "app_secret": (
            "客户端密码的 Value:同一页面 → Manage password → New client secret",
            "a client secret's Value: the same page, Manage password, New client secret",
        ),
        "tenant": (
            "App Tenant ID:同一页面(多租户机器人留空)",
            "App Tenant ID: the same page (empty for a multi-tenant bot)",
        ),
    },
    steps={
        "webhook": (
            (
                "在 Azure Bot 的“配置”页,把消息终结点设为 {callback},"
                "并在“频道”中添加 Microsoft Teams。",
                "On the Azure Bot's page Configuration enter {callback} as messaging endpoint, and "
                "add Microsoft Teams under Channels.",
            ),
            (
                "在 dev.teams.microsoft.com 创建带机器人的应用并发布到组织。",
                "At dev.teams.microsoft.com make an app with the bot and publish it to your "
                "organisation.",
            ),
        ),
    },
    hints={
        "app_id": "Copy the Microsoft App ID from portal.azure.com, the Azure Bot, Configuration.",
        "app_secret": "Create a client secret in portal.azure.com, App registrations, the bot's, "
        "Certificates & secrets; best given as ${ENV_NAME} or ${file:PATH}.",
    },
    permissions=(
        Permission(
            name="bots.scopes: personal",
            zh="私聊、主动发送消息、查询人员",
            en="private chats, messages on the bot's own initiative, looking people up",
            page=_MANIFEST,
        ),
        Permission(
            name="bots.scopes: groupChat, team",
            zh="在群聊和频道中被 @ 时回答",
            en="to answer in group chats and channels when mentioned",
            page=_MANIFEST,
            needed="groups",
        ),
        Permission(
            name="bots.supportsFiles",
            zh="在私聊中接收和发送文件",
            en="to receive and send files in private chats",
            page=_MANIFEST,
            needed="media",
        ),
    ),
    replies=("markdown", "text"),
    endpoints=("api", "login", "openid"),
    console="https://dev.teams.microsoft.com",
)
