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
    needs={"*": ("app_id", "app_secret")},
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
