"""What still works without a model: skills that a rule starts, each with words that start it."""

import re
from collections.abc import Iterator
from typing import Final

from ai_engine.domain.skill import Tool
from ai_engine.pipeline.work import Work

_EXAMPLE: Final = re.compile("“(.+?)”")
_PLAIN_PREFIX: Final = re.compile(r"\^([\w@/#]+)\s?$")


def lines(work: Work) -> str:
    """One line for each skill that a rule starts; its examples only as such a rule takes them."""
    found = (
        _line(work, tool) for tool in work.plan.tools.values() if work.allowed(tool.permission)
    )
    return "\n".join(f"- {line}" for line in found if line)


def _line(work: Work, tool: Tool) -> str:
    title = tool.title_zh if work.language == "zh" else tool.title
    examples: list[str] = _EXAMPLE.findall(title)
    if not examples and any(rule.skill_id == tool.name for rule in work.plan.config.rules()):
        return title or tool.name
    for prefix in _prefixes(work, tool):
        if examples and all(_started(work, prefix + text) == tool.name for text in examples):
            return _EXAMPLE.sub(lambda quoted, put=prefix: f"“{put}{quoted[1]}”", title)
    return ""


def _prefixes(work: Work, tool: Tool) -> Iterator[str]:
    """Nothing, then what the rules of this skill ask a message to begin with."""
    yield ""
    for rule in work.plan.config.rules():
        asked = _PLAIN_PREFIX.match(rule.pattern) if rule.skill_id == tool.name else None
        if asked:
            yield asked[1] + " "


def _started(work: Work, text: str) -> str:
    """The skill that a rule would start by these words, here and for this person."""
    message = work.message
    decision = work.plan.routes.match(
        text, channel=message.channel, chat_kind=message.chat.kind.value, roles=work.actor.roles
    )
    return decision.skill_id if decision.action == "trigger_skill" else ""
