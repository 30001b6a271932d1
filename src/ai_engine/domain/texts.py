"""Every sentence that the engine itself says to a person, in Chinese and English."""

from typing import Final

_TEXTS: Final[dict[str, tuple[str, str]]] = {
    # code: (zh, en)
    "help.head": (
        "我是这里的 AI 助手。直接提问即可，也可以使用：",
        "I am the assistant here. Just ask, or use:",
    ),
    "help.commands": (
        "- `/new` 开始新会话（忘掉之前的内容）\n- `/stop` 停止正在生成的回答\n"
        "- `/good`、`/bad` 评价刚才的回答\n- `/help` 显示本帮助",
        "- `/new` start afresh (forgets what was said)\n- `/stop` stop the answer in progress\n"
        "- `/good`, `/bad` rate the last answer\n- `/help` show this help",
    ),
    "help.skills": ("我会的技能：", "Skills that I have:"),
    "welcome.head": (
        "您好！我是这里的 AI 助手，直接提问即可。",
        "Hello! I am the assistant here. Just ask me.",
    ),
    "feedback.good": ("谢谢您的肯定！", "Thank you, glad it helped!"),
    "feedback.bad": (
        "谢谢反馈，已记录。可以用 `/bad 原因` 告诉我们哪里不好。",
        "Thank you, noted. Say what was wrong with `/bad <why>`.",
    ),
    "feedback.nothing": ("还没有可以评价的回答。", "There is no answer to rate yet."),
    "button.unknown": (
        "这个按钮已失效，请直接用文字告诉我。",
        "This button does not work any more. Please write what you want.",
    ),
    "new.done": (
        "好的，已开始新会话，之前的内容我不再记得。",
        "Done. This is a new session; what was said before is forgotten.",
    ),
    "stop.done": ("（已停止）", "(stopped)"),
    "stop.nothing": (
        "现在没有正在生成的回答；您之前排队的消息（如有）已取消。",
        "No answer is in progress; what you had waiting before this, if anything, is cancelled.",
    ),
    "turn.failed": (
        "抱歉，处理这条消息时出错了。编号 {id}，管理员可以据此查询。",
        "Sorry, something went wrong with this message. Its number is {id}; "
        "the administrator can look it up.",
    ),
    "turn.denied": (
        "您没有这个操作的权限（{action}）。请联系管理员。",
        "You are not allowed to do this ({action}). Please ask the administrator.",
    ),
    "turn.unsupported": (
        "我还不能读取这种消息（{kind}），请用文字告诉我。",
        "I cannot read this kind of message yet ({kind}). Please write it as text.",
    ),
    "skill.unknown": (
        "规则指向的技能 “{skill}” 不存在或未启用，请联系管理员。",
        "The rule names a skill {skill!r} that does not exist or is off. "
        "Please tell the administrator.",
    ),
    "skill.timeout": (
        "{skill} 在 {seconds:g} 秒内没有完成。",
        "{skill} did not finish within {seconds:g} seconds.",
    ),
    "skill.crashed": (
        "{skill} 出错了，未能完成。",
        "{skill} failed and did not finish.",
    ),
    "skill.unknown_outcome": (
        "{skill} 在执行中被中断，结果未知；请先确认再重试。",
        "{skill} was interrupted while it ran and its outcome is unknown; "
        "please check before trying again.",
    ),
    "ask.question": (
        "需要您的同意：执行 **{title}**？\n\n{arguments}\n\n回复 `/yes` 同意，`/no` 拒绝。",
        "May I run **{title}**?\n\n{arguments}\n\nReply `/yes` to allow or `/no` to refuse.",
    ),
    "ask.allow": ("同意", "Allow"),
    "ask.refuse": ("拒绝", "Refuse"),
    "ask.nothing": ("没有等待您确认的操作。", "Nothing is waiting for your answer."),
    "ask.denied": ("好的，未执行。", "All right, it was not done."),
    "ask.expired": (
        "等待确认已超时，未执行 {title}。",
        "Nobody answered in time; {title} was not done.",
    ),
    "ask.other": (
        "只有提出请求的人可以确认。",
        "Only the person who asked may answer this.",
    ),
}


def text(code: str, language: str, **values: object) -> str:
    """The sentence for `code` in `zh` or `en`. Raises KeyError for an unknown code."""
    chinese, english = _TEXTS[code]
    return (chinese if language == "zh" else english).format(**values)
