"""What the `wecom` connector says of itself."""

from typing import Final

from ai_engine.channels.about import About, Permission

CONSOLE: Final = "https://work.weixin.qq.com/wework_admin/frame#apps"
_APP: Final = f"{CONSOLE}, 应用管理 → 自建 → the app (应用详情)"

TRUSTED_IP: Final = "企业可信IP"
VISIBLE: Final = "可见范围"
API_ACCESS: Final = "接口权限"
RECEIVE: Final = "接收消息"

PAGES: Final = {
    TRUSTED_IP: f"{_APP}, 企业可信IP (Trusted IPs), 配置",
    VISIBLE: f"{_APP}, 可见范围 (Allowed users), 编辑",
    API_ACCESS: f"{_APP}, 权限管理 / 接口权限 (API permissions)",
    RECEIVE: f"{_APP}, 接收消息 (Receive messages), 设置API接收",
}
"""Permission → the console's page where it is granted."""

ABOUT: Final = About(
    type="wecom",
    zh="企业微信应用",
    en="WeCom app",
    modes=("webhook",),
    needs={"*": ("corp_id", "agent_id", "secret", "token", "aes_key")},
    aliases={"corp_id": "app_id", "secret": "app_secret"},
    labels={
        "corp_id": (
            "企业ID(CorpID):管理后台 → 我的企业 → 企业信息",
            "CorpID: the console, My Company, Company Information",
        ),
        "agent_id": (
            "AgentId(数字):应用管理 → 自建 → 应用详情页",
            "AgentId, a number: App Management, Self-built, the app's page",
        ),
        "secret": ("Secret:同一应用详情页", "Secret: the same page of the app"),
        "token": (
            "Token:应用详情页 → 接收消息 → 设置API接收,随机获取(先不要保存该页面)",
            "Token: the app's page, Receive Messages, Set up API; let the page make it, and do not "
            "save yet",
        ),
        "aes_key": (
            "EncodingAESKey(43 个字符):同一页面,随机获取",
            "EncodingAESKey, 43 characters: the same page; let the page make it",
        ),
    },
    steps={
        "webhook": (
            (
                "引擎启动后,在“接收消息 → 设置API接收”填写 URL {callback} 并保存:"
                "企业微信会立即校验该地址。",
                "With the engine running, enter the URL {callback} under Receive Messages, Set up "
                "API, and save: WeCom checks the address at once.",
            ),
            (
                "在应用详情页的“企业可信IP”填写引擎访问外网的出口地址。",
                "On the app's page enter the address from which the engine reaches the internet "
                "as a trusted IP.",
            ),
        ),
    },
    permissions=(
        Permission(
            name=RECEIVE,
            zh="成员发给应用的消息、进入应用和按钮事件要送到本系统",
            en="members' messages, entries and pressed buttons are to reach this engine",
            page=PAGES[RECEIVE],
        ),
        Permission(
            name=TRUSTED_IP,
            zh="企业微信只接受来自已登记出口地址的接口调用",
            en="WeCom takes API calls only from the addresses that are entered here",
            page=PAGES[TRUSTED_IP],
        ),
        Permission(
            name=VISIBLE,
            zh="只能向可见范围内的成员发消息、查询其资料",
            en="only members in the app's range can be written to and looked up",
            page=PAGES[VISIBLE],
        ),
        Permission(
            name=API_ACCESS,
            zh="查询成员姓名、部门和上级",
            en="to look up members' names, departments and leaders",
            page=PAGES[API_ACCESS],
            needed="directory",
        ),
    ),
    console=CONSOLE,
)
