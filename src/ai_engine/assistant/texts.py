"""Every sentence that the loop itself says: to people in Chinese or English, to the model in
English."""

from ai_engine.domain.errors import ModelFailed

CUT = {
    "zh": "（回答达到长度上限，到此为止。可以回复“继续”。）",
    "en": "(The answer reached its length limit and stops here. You can reply “continue”.)",
}
EMPTY = {
    "zh": "模型这次没有给出内容。请换个说法再试一次。",
    "en": "The model gave no answer this time. Please try again in other words.",
}
EMPTY_CUT = {
    "zh": "模型还没开始作答就达到了长度上限。请把问题缩短，或请管理员调大 max_tokens。",
    "en": "The model reached its length limit before it began to answer. Please ask more briefly, "
    "or ask the administrator to raise max_tokens.",
}
DECLINED = {
    "zh": "模型服务的内容策略拒绝了这个回答。",
    "en": "The model server's content policy declined this answer.",
}

_FAILED = {
    "unreachable": (
        "模型暂时无法连接，请稍后再试。规则触发的技能和命令（/help）仍然可用。",
        "The model cannot be reached at the moment; please try again later. "
        "Skills started by rules, and commands (/help), still work.",
    ),
    "language": (
        "当前的模型不会这种语言，所以没有把消息发给它。规则触发的技能和命令（/help）仍然可用。",
        "The model in use does not speak this language, so the message was not sent to it. "
        "Skills started by rules, and commands (/help), still work.",
    ),
    "none_configured": (
        "还没有配置模型，请管理员在 ai-engine.json 的 models 中添加。"
        "规则触发的技能和命令（/help）可以使用。",
        "No model is configured yet; an administrator can add one under models in ai-engine.json. "
        "Skills started by rules, and commands (/help), do work.",
    ),
    "refused": (
        "模型服务拒绝了这个请求（可能过长或设置有误）。可以用 /new 开始新的对话。",
        "The model server refused this request (it may be too long, or a setting is wrong). "
        "/new starts a fresh conversation.",
    ),
}


def failure_text(error: ModelFailed) -> str:
    """One honest sentence for the person, in both languages, with what still works."""
    zh, en = _FAILED.get(error.reason, _FAILED["unreachable"])
    return f"{zh}\n{en}"


OUTCOME_UNKNOWN = (
    "Outcome unknown: the engine stopped while this call ran, so it may or may not have taken "
    "effect. Do not call it again. Tell the person in their own language that the outcome is "
    "unknown and how they can check it."
)
DENIED = (
    "The person did not allow this call, so it was not made. Do not ask for it again; "
    "say so and go on without it."
)
TOO_MANY = "This call was not made: at most {limit} calls in one round. Ask again for what is left."


def unknown_tool(name: str, known: list[str]) -> str:
    """For the model: there is no such tool."""
    return f"There is no tool {name!r}. The tools are: {', '.join(known) or 'none'}."


def bad_arguments(fault: str) -> str:
    """For the model: its call could not be read."""
    return f"This call was not made: {fault}. Call the tool again with a JSON object."


def bounded(text: str, chars_max: int) -> str:
    """A tool's result within its limit; what was cut is said."""
    if len(text) <= chars_max:
        return text
    return (
        f"{text[:chars_max]}\n[cut here: the result has {len(text)} characters, limit {chars_max}]"
    )
