"""What the `dingtalk` connector says of itself."""

from typing import Final

from ai_engine.channels.about import About, Permission

CONSOLE: Final = "https://open-dev.dingtalk.com"
PAGE: Final = "open-dev.dingtalk.com, the app's page, Permissions (权限管理)"

SEND: Final = "qyapi_robot_sendmsg"
CARD_STREAM: Final = "Card.Streaming.Write"
CARD_WRITE: Final = "Card.Instance.Write"
CONTACT: Final = "qyapi_get_member"
DEPARTMENT: Final = "qyapi_get_department_list"

ABOUT: Final = About(
    type="dingtalk",
    zh="钉钉",
    en="DingTalk",
    modes=("webhook", "stream"),
    needs={"*": ("app_id", "app_secret")},
    permissions=(
        Permission(
            name=SEND,
            zh="主动发送消息、图片和文件(企业内机器人发送消息权限)",
            en="to send messages, pictures and files outside a session's reply address",
            page=PAGE,
        ),
        Permission(
            name=CARD_STREAM,
            zh="逐字更新 AI 卡片(AI卡片流式更新权限)",
            en="to stream answers into AI cards",
            page=PAGE,
            needed="cards",
        ),
        Permission(
            name=CARD_WRITE,
            zh="创建、投放和更新卡片(互动卡片实例写权限,部分指南写作 Instance.Write)",
            en="to create, deliver and update cards (some guides call it Instance.Write)",
            page=PAGE,
            needed="cards",
        ),
        Permission(
            name=CONTACT,
            zh="查询成员姓名、部门和主管(成员信息读权限)",
            en="to look up people's names, departments and managers",
            page=PAGE,
            needed="directory",
        ),
        Permission(
            name=DEPARTMENT,
            zh="查询部门名称(通讯录部门信息读权限)",
            en="to look up the names of departments",
            page=PAGE,
            needed="directory",
        ),
    ),
    replies=("markdown", "text", "card"),
    endpoints=("api", "oapi"),
    console=CONSOLE,
    calls_base=True,
)
