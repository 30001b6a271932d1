"""What the `telegram` connector says of itself."""

from typing import Final

from ai_engine.channels.about import About, Permission

_GROUP: Final = "Telegram, the group's page: Permissions, or Administrators → the bot"

ABOUT: Final = About(
    type="telegram",
    zh="Telegram",
    en="Telegram",
    modes=("webhook", "poll"),
    needs={"*": ("token",), "webhook": ("secret_token",)},
    aliases={"token": "app_secret"},
    made=("secret_token",),
    labels={
        "token": (
            "机器人的 token:在 Telegram 中找 @BotFather,发送 /newbot(已有机器人则 /token)",
            "the bot's token: in Telegram send /newbot to @BotFather (/token for an existing bot)",
        ),
        "secret_token": (
            "自定义密钥,1–256 位(A-Z a-z 0-9 _ -):Telegram 每次调用都会带上它",
            "a secret of your choice, 1 to 256 of A-Z a-z 0-9 _ -, which Telegram sends with each "
            "call",
        ),
    },
    steps={
        "webhook": (
            (
                "引擎启动后,告诉 Telegram 回调地址:"
                "ai-engine channels register {name} --url https://<你的域名>",
                "With the engine running, tell Telegram its address: "
                "ai-engine channels register {name} --url https://<your-host>",
            ),
        ),
        "*": (
            (
                "打开与机器人的对话,点“开始”;或把它加入群组并 @ 它。",
                "Open the chat with the bot and press Start, or add it to a group and mention it.",
            ),
        ),
    },
    permissions=(
        Permission(
            name="can_send_messages",
            zh="在群里回答",
            en="to answer in groups",
            page=_GROUP,
            needed="groups",
        ),
        Permission(
            name="can_send_photos",
            zh="在群里发送图片",
            en="to send pictures in groups",
            page=_GROUP,
            needed="media",
        ),
        Permission(
            name="can_send_documents",
            zh="在群里发送文件",
            en="to send files in groups",
            page=_GROUP,
            needed="media",
        ),
        Permission(
            name="administrator",
            zh="在群里接收 👍 和 👎 表情回应（私聊不需要）",
            en="to hear of 👍 and 👎 reactions in groups (private chats need nothing)",
            page=_GROUP,
            needed="feedback",
        ),
    ),
    endpoints=("api",),
    console="https://t.me/BotFather",
)
