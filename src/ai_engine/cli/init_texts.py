"""What `ai-engine init` says, in Chinese and English."""

from typing import Final

TEXTS: Final[dict[str, tuple[str, str]]] = {
    # key: (zh, en)
    "ask.channel": (
        "接入哪个渠道?dingtalk(钉钉)、webhook(签名的 HTTP 接口)、webchat(仅内置网页聊天)",
        "Which channel? dingtalk, webhook (signed HTTP), webchat (the built-in page only)",
    ),
    "ask.app_id": (
        "钉钉应用的 Client ID(AppKey)",
        "Client ID (AppKey) of the DingTalk application",
    ),
    "ask.app_secret": (
        "钉钉应用的 Client Secret(AppSecret,输入时不显示)",
        "Its Client Secret (AppSecret; not shown while you type)",
    ),
    "ask.callback_url": (
        "回复发送到哪个 URL?(可留空:调用方用 ?wait=true 取回复)",
        "URL that answers are posted to (empty: callers fetch them by ?wait=true)",
    ),
    "ask.model_url": (
        "模型服务的地址,OpenAI 兼容,以 /v1 结尾(可留空,以后再配)",
        "URL of the model server, OpenAI-compatible, ending in /v1 (may stay empty)",
    ),
    "ask.model_name": ("模型名称", "The model's name there"),
    "ask.model_key": (
        "模型服务的 API key(没有就留空,输入时不显示)",
        "API key of the model server (empty if none; not shown while you type)",
    ),
    "one_of": ("请输入其中之一:{choices}", "Write one of: {choices}"),
    "needed": ("不能为空", "This must not be empty"),
    "aborted": ("没有写入任何文件。", "Nothing was written."),
    "aborted.fix": (
        "可以用参数代替提问,见 ai-engine init --help",
        "Flags can take the place of the questions: ai-engine init --help",
    ),
    "exists": ("文件已存在。", "it exists already."),
    "exists.fix": (
        "用 --force 覆盖,或用 --output 写到别处。",
        "Overwrite it by --force, or write elsewhere by --output.",
    ),
    "missing": ("使用 --yes 时必须给出。", "it is needed with --yes."),
    "missing.fix": (
        "加上这个参数,或去掉 --yes 由程序提问。",
        "Give it, or leave --yes out to be asked.",
    ),
    "unwritable": ("无法写入:{reason}。", "it cannot be written: {reason}."),
    "unwritable.fix": (
        "检查目录是否存在、是否有写权限。",
        "Check that the folder exists and that you may write to it.",
    ),
    "two_secrets": (
        "同一个密钥给出了两个来源。",
        "two sources are given for the same secret.",
    ),
    "two_secrets.fix": ("只保留一个。", "Keep one of them."),
    "no_channel": ("没有这个渠道。", "there is no such channel here."),
    "no_channel.fix": (
        "可选 dingtalk、webhook、webchat;其他渠道安装连接器插件后写入配置文件。",
        "Choose dingtalk, webhook or webchat; others are written into the file once their "
        "connector plugin is installed.",
    ),
    "bad_reference": (
        "这不是可用的变量名或文件名。",
        "this is no usable name of a variable or a file.",
    ),
    "bad_reference.fix": (
        "变量名只含字母、数字和下划线;文件名不含花括号。参数里不要写密钥本身。",
        "A variable has letters, digits and _; a file's path no braces. Never write the secret "
        "itself here.",
    ),
    "no_use": ("对渠道 {channel} 没有作用。", "it has no effect with channel {channel}."),
    "no_use.fix": ("去掉这个参数。", "Leave it out."),
    "written": (
        "已写入 {path}(权限 0600,只有当前用户可读写)。",
        "Wrote {path} (mode 0600: only this user may read or write it).",
    ),
    "later": (
        "启动前还需要:",
        "Before it starts, this is still needed:",
    ),
    "next": ("下一步:", "Next:"),
    "next.serve": ("启动引擎:  {command}", "Start the engine:  {command}"),
    "next.dingtalk.stream": (
        "在钉钉开发者后台,把机器人的消息接收模式设为 Stream 模式,并发布应用。",
        "In DingTalk's developer console set the robot to Stream mode and publish the application.",
    ),
    "next.dingtalk.webhook": (
        "在钉钉开发者后台,把消息接收地址设为 https://<你的域名>/api/message/dingtalk,并发布应用。",
        "In DingTalk's developer console set the message URL to "
        "https://<your-host>/api/message/dingtalk and publish the application.",
    ),
    "next.webhook": (
        "调用方用配置文件里 channels.webhook.auth.secret 的密钥签名,"
        "向 /api/message/webhook 发送消息。",
        "Callers sign with the secret at channels.webhook.auth.secret and post to "
        "/api/message/webhook.",
    ),
    "next.webchat": (
        "启动后会打印一个网页聊天的链接,用浏览器打开。",
        "It prints a link to the chat page; open it in a browser.",
    ),
    "next.model": (
        "还没有配置模型:按规则触发的技能可用,自由对话需要模型。"
        "试用可运行 ai-engine model pull smollm2(仅英文),或在 models 里填写你的模型服务。",
        "There is no model yet: skills triggered by rules work, free conversation needs one. "
        "To try it: ai-engine model pull smollm2 (English only), or fill in models.",
    ),
}


def text(key: str, lang: str, **values: object) -> str:
    """The text in a language, `zh` or `en`."""
    return TEXTS[key][0 if lang == "zh" else 1].format(**values)
