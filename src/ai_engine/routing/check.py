"""Mistakes in routing rules that can be found before any message comes."""

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from ai_engine.config.schema import DefaultRoute, Rule
from ai_engine.routing.match import label_of
from ai_engine.routing.pattern import InvalidPattern, compile_pattern

_MATCH_ALL = frozenset({"", "^", ".*", "^.*", "(?s).*", "(?s)^.*", "(?s)^.*$"})
_SPECIAL = frozenset("\\.+*?()|[]{}^$")


class RuleProblem(NamedTuple):
    """One mistake: which rule (`at` in file order, from 0), what is wrong, what to do."""

    at: int
    what: str
    fix: str


def check_rules(
    rules: Sequence[Rule],
    *,
    skills: Collection[str] | None = None,
    channels: Collection[str] | None = None,
    roles: Collection[str] | None = None,
) -> list[RuleProblem]:
    """Mistakes that make a rule useless, in file order; `unreachable_rules` are found apart.

    Args:
        skills, channels, roles: the names that exist; None leaves names unchecked.
    """
    problems: list[RuleProblem] = []
    for index, rule in enumerate(rules):
        found = [
            *_pattern_problems(rule),
            *_action_problems(rule),
            *_name_problems("skill_id", rule.skill_id, skills),
            *_name_problems("channel", rule.channel, channels),
            *_name_problems("role", rule.role, roles),
        ]
        problems.extend(RuleProblem(index, what, fix) for what, fix in found)
    return problems


def check_default(
    default: DefaultRoute, *, skills: Collection[str] | None = None
) -> list[tuple[str, str]]:
    """Mistakes in the default route as (what, fix)."""
    return [
        *_action_problems(default),
        *_name_problems("skill_id", default.skill_id, skills),
    ]


def unreachable_rules(rules: Sequence[Rule]) -> list[RuleProblem]:
    """Rules that can never win, since an earlier one takes all their messages.

    Found for equal patterns, for patterns that match everything, and for literal ones where one
    contains the other. A list without findings is no proof for other patterns.
    """
    order = sorted(range(len(rules)), key=lambda at: (-rules[at].priority, at))
    problems: list[RuleProblem] = []
    for rank, later in enumerate(order):
        for earlier in order[:rank]:
            if _covers(rules[earlier], rules[later]):
                name = label_of(earlier, rules[earlier])
                problems.append(
                    RuleProblem(
                        later,
                        f"rule {label_of(later, rules[later])} can never win: {name} is asked"
                        " first and matches all that it matches.",
                        f"Give it a priority above {rules[earlier].priority}, or remove it.",
                    )
                )
                break
    return sorted(problems)


def _pattern_problems(rule: Rule) -> Iterator[tuple[str, str]]:
    try:
        compile_pattern(rule.pattern)
    except InvalidPattern as error:
        yield error.what, error.fix


def _action_problems(rule: Rule | DefaultRoute) -> Iterator[tuple[str, str]]:
    if rule.action == "trigger_skill" and not rule.skill_id:
        yield "`trigger_skill` needs a `skill_id`.", "Name the skill, such as calendar_query."
    if rule.action == "reply" and not rule.text.strip():
        yield "`reply` needs a `text`.", "Write the answer in `text`."
    if rule.action != "trigger_skill" and rule.skill_id:
        yield (
            f"`skill_id` has no effect with action `{rule.action}`.",
            "Use action `trigger_skill`, or remove it.",
        )
    if rule.action != "reply" and rule.text:
        yield (
            f"`text` has no effect with action `{rule.action}`.",
            "Use action `reply`, or remove it.",
        )


def _name_problems(
    key: str, value: str, known: Collection[str] | None
) -> Iterator[tuple[str, str]]:
    if value and known is not None and value not in known:
        names = ", ".join(sorted(known)) or "none"
        yield f"`{key}` {value!r} is not known.", f"Known are: {names}."


def _covers(earlier: Rule, later: Rule) -> bool:
    """Whether the earlier rule is known to match every message that the later one matches."""
    conditions = (
        (earlier.channel, later.channel),
        (earlier.chat, later.chat),
        (earlier.role, later.role),
    )
    if any(wide not in ("", narrow) for wide, narrow in conditions):
        return False
    if earlier.pattern == later.pattern or earlier.pattern in _MATCH_ALL:
        return True
    wide_anchored, wide = _literal(earlier.pattern)
    narrow_anchored, narrow = _literal(later.pattern)
    if not wide or not narrow:
        return False
    if wide_anchored:
        return narrow_anchored and narrow.startswith(wide)
    return wide in narrow


def _literal(pattern: str) -> tuple[bool, str]:
    """(starts with ^, the text it looks for); an empty text when it is no plain text."""
    anchored = pattern.startswith("^")
    body = pattern[1:] if anchored else pattern
    return anchored, "" if _SPECIAL & set(body) else body
