"""What `ai-engine init` says, in Chinese and English."""

from typing import Final

from ai_engine.domain.errors import ConfigInvalid, Problem

TEXTS: Final[dict[str, tuple[str, str]]] = {
    # key: (zh, en)
    "ask.channel": ("接入哪个渠道?", "Which channel?"),
    "ask.which": ("名称或编号", "Name or number"),
    "note.address": ("需要公网 HTTPS 地址", "needs a public HTTPS address"),
    "ask.mode": ("消息如何到达?", "How do messages come in?"),
    "mode.stream": (
        "引擎主动与平台保持长连接,不需要公网地址",
        "the engine holds a connection to the platform: no public address is needed",
    ),
    "mode.poll": (
        "引擎主动向平台取消息,不需要公网地址",
        "the engine asks the platform for messages: no public address is needed",
    ),
    "mode.webhook": (
        "平台调用引擎,需要一个公网 HTTPS 地址",
        "the platform calls the engine: it needs a public HTTPS address",
    ),
    "console": ("下面的内容在平台后台查看:{url}", "Find what follows in the console: {url}"),
    "hidden": ("(输入时不显示)", "(not shown while you type)"),
    "may_be_empty": ("(可留空)", "(may stay empty)"),
    "or_next": ("(留空则填写下一项)", "(empty: the next one instead)"),
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
        "可选 {known};其他渠道安装连接器插件后写入配置文件。",
        "Choose one of {known}; others are written into the file once their connector plugin is "
        "installed.",
    ),
    "no_mode": ("渠道 {channel} 没有这种接收方式。", "a {channel} channel has no such mode."),
    "no_mode.fix": ("可选 {known}。", "Choose one of {known}."),
    "unknown": ("渠道 {channel} 没有这个设置。", "a {channel} channel has no such setting."),
    "unknown.fix": ("可选 {known}。", "There are {known}."),
    "no_pair": ("应写作 NAME=…,两边都不能为空。", "it must be NAME=…, with both sides filled in."),
    "no_pair.fix": (
        "例如 --set agent_id=1000002、--secret-env aes_key=AES_KEY。",
        "Such as --set agent_id=1000002 or --secret-env aes_key=AES_KEY.",
    ),
    "open_secret": (
        "这是密钥,不能写在参数里:本机其他用户可以看到参数。",
        "this is a secret: as an argument, others on this machine could read it.",
    ),
    "open_secret.fix": (
        "用 --secret-env {name}=变量名 或 --secret-file {name}=文件路径。",
        "Give it by --secret-env {name}=VARIABLE or --secret-file {name}=PATH.",
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
    "next.host": ("<你的域名>", "<your-host>"),
    "next.permissions": (
        "在平台上授予所需权限,名称、用途和位置见:  {command}",
        "Grant the permissions that you use; which, why and where:  {command}",
    ),
    "next.test": ("检查凭证是否正确:  {command}", "Try the credentials:  {command}"),
    "next.verify": (
        "用模拟平台完整试一遍(不影响真实平台):  {command}",
        "Try everything against a simulated platform:  {command}",
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


def problem(where: str, key: str, lang: str, **values: object) -> Problem:
    """A fault of a flag or a file: what is wrong, and what to do."""
    what, fix = text(key, lang, **values), text(f"{key}.fix", lang, **values)
    return Problem(where=where, what=what, fix=fix)


def invalid(where: str, key: str, lang: str, **values: object) -> ConfigInvalid:
    """One such fault, to be raised."""
    return ConfigInvalid([problem(where, key, lang, **values)])
