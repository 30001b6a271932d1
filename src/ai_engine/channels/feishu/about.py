"""What the `feishu` connector says of itself."""

from typing import Final

from ai_engine.channels.about import About, Permission

CONSOLE: Final = "https://open.feishu.cn/app"
PAGE: Final = f"{CONSOLE}, the app's page, Permissions & Scopes (权限管理); then publish a version"

ABOUT: Final = About(
    type="feishu",
    zh="飞书",
    en="Feishu / Lark",
    modes=("webhook", "stream"),
    needs={"*": ("app_id", "app_secret"), "webhook": ("encrypt_key|verification_token",)},
    hints={
        "encrypt_key": "Copy one of them from the app's page, Events & Callbacks, Encryption "
        "Strategy: without either no event can be proved, and none is taken; secrets best as "
        "${ENV_NAME} or ${file:PATH}.",
    },
    labels={
        "app_id": (
            "App ID(cli_…):应用页面 → 凭证与基础信息",
            "App ID (cli_…): the app's page, Credentials & Basic Info",
        ),
        "app_secret": ("App Secret:同一页面", "App Secret: the same page"),
        "encrypt_key": (
            "Encrypt Key:应用页面 → 事件与回调 → 加密策略(建议设置)",
            "Encrypt Key: the app's page, Events & Callbacks, Encryption Strategy (recommended)",
        ),
        "verification_token": (
            "Verification Token:同一页面",
            "Verification Token: the same page",
        ),
    },
    steps={
        "stream": (
            (
                "引擎启动后,在“事件与回调”中为事件和回调都选择“使用长连接接收”并保存。",
                "With the engine running, choose Long connection for both events and callbacks "
                "under Events & Callbacks, and save.",
            ),
        ),
        "webhook": (
            (
                "引擎启动后,在“事件与回调”中把事件和回调的请求地址都设为 {callback}。",
                "With the engine running, enter {callback} as the request address of both events "
                "and callbacks under Events & Callbacks.",
            ),
        ),
        "*": (
            (
                "添加机器人能力、事件 im.message.receive_v1 和回调 card.action.trigger,"
                "然后创建并发布版本。",
                "Add the Bot feature, the event im.message.receive_v1 and the callback "
                "card.action.trigger; then create and publish a version.",
            ),
        ),
    },
    permissions=(
        Permission(
            name="im:message:send_as_bot",
            zh="以应用身份发送和回复消息",
            en="to send and reply as the bot",
            page=PAGE,
        ),
        Permission(
            name="im:message.p2p_msg:readonly",
            zh="接收用户发给机器人的单聊消息",
            en="to receive private messages",
            page=PAGE,
        ),
        Permission(
            name="im:message.group_at_msg:readonly",
            zh="接收群聊中 @ 机器人的消息",
            en="to receive group messages that @ the bot",
            page=PAGE,
            needed="groups",
        ),
        Permission(
            name="im:message:readonly",
            zh="下载消息里的图片和文件,接收撤回和表情回复事件",
            en="to download pictures and files, and to hear of recalls and reactions",
            page=PAGE,
            needed="media",
        ),
        Permission(
            name="im:resource",
            zh="上传要发送的图片和文件",
            en="to upload the pictures and files that it sends",
            page=PAGE,
            needed="media",
        ),
        Permission(
            name="im:message.reactions:write_only",
            zh="用表情回复表示“已收到”",
            en="to show by a reaction that a message was noticed",
            page=PAGE,
            needed="seen",
        ),
        Permission(
            name="cardkit:card:write",
            zh="流式卡片:边生成边显示回答",
            en="to show an answer while it is written (streaming cards)",
            page=PAGE,
            needed="streaming",
        ),
        Permission(
            name="im:chat.access_event.bot_p2p_chat:read",
            zh="用户首次打开会话时欢迎",
            en="to greet a person who opens the chat",
            page=PAGE,
            needed="welcome",
        ),
        Permission(
            name="contact:user.base:readonly",
            zh="查询用户姓名、部门和上级",
            en="to look up a person's name, departments and manager",
            page=PAGE,
            needed="directory",
        ),
    ),
    replies=("markdown", "text", "card"),
    endpoints=("api",),
    console=CONSOLE,
)
