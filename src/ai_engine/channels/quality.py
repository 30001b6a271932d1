"""The grade of a connector: one list of rules, answered in each `quality.yaml`.

Grades are bronze, silver, gold, platinum; a connector has the highest one of which, and below
which, every rule is `done` or `exempt` (the platform lacks it, with a source). `scripts/quality.py`
holds the answers against the tests.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Final

import yaml

GRADES: Final = ("bronze", "silver", "gold", "platinum")
STATUSES: Final = ("done", "todo", "exempt")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    grade: str
    says: str
    zh: str
    disabled: bool = False
    """The script disables the named subject and the named tests must fail."""
    by_script: bool = False
    """The script checks it itself; no test is named."""


def _rule(grade: str, says: str, zh: str, **more: Any) -> Rule:
    return Rule(grade=grade, says=says, zh=zh, **more)


RULES: Final[Mapping[str, Rule]] = {
    "signature": _rule(
        "bronze",
        "Nothing is read before its sender is proved; without a secret nothing is taken.",
        "先验证来源再读取内容；没有密钥就不接收。",
        disabled=True,
    ),
    "dedup": _rule(
        "bronze",
        "The platform's own id recognises a repeated delivery.",
        "用平台消息标识去重。",
        disabled=True,
    ),
    "config-checks": _rule(
        "bronze", "Missing or senseless settings are named.", "缺少或错误的配置会被指出。"
    ),
    "private-and-group": _rule("bronze", "Private chats and groups.", "单聊与群聊。"),
    "mention": _rule("bronze", "The bot's mention is taken out of the text.", "去掉@机器人。"),
    "text-out": _rule(
        "bronze", "Answers are split at the platform's limit in its unit.", "按平台限制拆分回复。"
    ),
    "own-messages": _rule(
        "bronze", "Messages of bots, its own included, are not answered.", "不回复机器人的消息。"
    ),
    "bad-input": _rule(
        "bronze",
        "Every malformed body gets its documented status, and nothing of it gets in.",
        "畸形请求得到规定的状态码，不会进入系统。",
    ),
    "secrets-hidden": _rule(
        "bronze",
        "No secret is in a log, an error or a URL that is shown.",
        "密钥不出现在日志与错误中。",
    ),
    "docs": _rule("bronze", "A page in both languages.", "中英文接入文档。", by_script=True),
    "replay-window": _rule(
        "silver", "An old signature is refused, or a replay recognised.", "拒绝过期签名或识别重放。"
    ),
    "reconnect": _rule(
        "silver", "A lost connection comes back, with backoff and jitter.", "断线按退避重连。"
    ),
    "heartbeat": _rule(
        "silver", "A half-dead connection is noticed and closed.", "心跳发现半死连接。"
    ),
    "token-refresh": _rule(
        "silver",
        "An expired token is refreshed once, however many calls wait for it.",
        "令牌过期只刷新一次。",
    ),
    "throttle": _rule(
        "silver",
        "The platform's throttling is honoured, in order and without loss.",
        "遵守限流，按序不丢。",
        disabled=True,
    ),
    "ssrf": _rule(
        "silver",
        "Addresses that the platform gives are followed on its hosts only.",
        "平台给出的地址只在允许的主机上访问。",
    ),
    "streaming": _rule(
        "silver", "Answers grow while they are written, in the platform's own way.", "流式回复。"
    ),
    "stream-failure": _rule(
        "silver",
        "A stream that cannot go on ends in a whole answer.",
        "流中断时仍给出完整答复。",
        disabled=True,
    ),
    "proactive": _rule("silver", "Messages that answer nothing.", "主动消息。"),
    "reply-expiry": _rule(
        "silver",
        "When the reply address is over, another way is used.",
        "回复地址过期改走其他方式。",
    ),
    "cards": _rule("gold", "Cards in the platform's own form.", "原生卡片。"),
    "buttons": _rule("gold", "A pressed button comes back as a message.", "按钮回传。"),
    "media-in": _rule("gold", "Images and files come in, within a size.", "接收图片与文件。"),
    "media-out": _rule("gold", "Images and files go out, within a size.", "发送图片与文件。"),
    "feedback": _rule("gold", "Answers can be rated.", "评价回答。"),
    "quotes": _rule("gold", "The quoted message is known.", "识别引用消息。"),
    "voice": _rule("gold", "A voice message's transcript is read.", "语音转写。"),
    "edits": _rule("gold", "A changed message is answered in its new words.", "编辑消息。"),
    "recalls": _rule("gold", "A message taken back is not answered.", "撤回消息。"),
    "welcome": _rule("gold", "A greeting at the first contact.", "首次进入欢迎。"),
    "seen": _rule("gold", "The person sees that the bot is at work.", "已读或正在输入。"),
    "directory": _rule("gold", "Names and departments are looked up.", "通讯录查询。"),
    "permissions": _rule(
        "gold", "A missing permission is named, with the page to grant it on.", "指出缺少的权限。"
    ),
    "oracle": _rule(
        "platinum", "The platform's own SDK works against the simulator.", "官方SDK验证模拟器。"
    ),
    "fuzz": _rule("platinum", "The codec is fuzzed.", "编解码模糊测试。"),
    "live-check": _rule(
        "platinum", "One call tells whether the credentials are right.", "在线检查凭证。"
    ),
    "strict-typing": _rule("platinum", "Strictly typed.", "严格类型。", by_script=True),
    "translations": _rule(
        "platinum", "What people read is in both languages.", "双语文案。", by_script=True
    ),
    "speed": _rule(
        "platinum",
        "Decoding and rendering cost at most 1 ms of CPU.",
        "编解码≤1毫秒。",
        by_script=True,
    ),
}


@cache
def answers(type_: str) -> Mapping[str, Mapping[str, Any]]:
    """A connector's `quality.yaml`: rule → `status`, `tests`, `subject`, `why`, `source`.

    Raises:
        FileNotFoundError: it has none.
    """
    folder = resources.files("ai_engine.channels").joinpath(type_)
    text = folder.joinpath("quality.yaml").read_text(encoding="utf-8")
    found: Any = yaml.safe_load(text)
    return found or {}


def grade(type_: str) -> str:
    """platinum … bronze, or empty: not even bronze, or nothing is answered."""
    try:
        found = answers(type_)
    except FileNotFoundError:
        return ""
    reached = ""
    for each in GRADES:
        rules = [name for name, rule in RULES.items() if rule.grade == each]
        if any(found.get(name, {}).get("status") not in ("done", "exempt") for name in rules):
            break
        reached = each
    return reached
