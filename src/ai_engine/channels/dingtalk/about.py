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
    labels={
        "app_id": (
            "Client ID(AppKey):应用详情页 → 凭证与基础信息",
            "Client ID (AppKey): the app's page, Credentials & Basic Information",
        ),
        "app_secret": (
            "Client Secret(AppSecret):同一页面",
            "Client Secret (AppSecret): the same page",
        ),
    },
    steps={
        "stream": (
            (
                "在机器人页面把消息接收模式设为 Stream 模式,然后发布版本。",
                "On the robot's page set the message mode to Stream mode, then publish a version.",
            ),
        ),
        "webhook": (
            (
                "在机器人页面把消息接收模式设为 HTTP 模式,消息接收地址填 {callback},然后发布版本。",
                "On the robot's page set the message mode to HTTP mode with the address "
                "{callback}, then publish a version.",
            ),
        ),
    },
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
