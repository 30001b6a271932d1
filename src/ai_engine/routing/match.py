"""Which rule takes a message: higher priority first, then file order, else the default route."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ai_engine.config.schema import DefaultRoute, Rule
from ai_engine.domain.errors import ConfigInvalid, Problem
from ai_engine.routing.pattern import InvalidPattern, Pattern, PatternSet, compile_pattern

DEFAULT_RULE = "default"
"""`Decision.rule` of the default route."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to do with one message."""

    action: str
    """forward_to_engine | trigger_skill | reply | drop"""
    skill_id: str
    rule: str
    """The rule's name, `#<index>` in file order from 0 when it has none, or `default`."""
    text: str
    """What is passed on: trimmed, without the matched prefix."""
    reply: str
    """`reply`: the answer."""
    why: str
    """One sentence for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleVerdict:
    """Why one rule won or did not, for `routes test`."""

    index: int
    rule: str
    priority: int
    pattern: str
    action: str
    skill_id: str
    won: bool
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ranked:
    """A rule with what can be computed before any message comes."""

    index: int
    rule: Rule
    label: str
    pattern: Pattern
    why: str

    def obstacle(self, channel: str, chat_kind: str, roles: Collection[str]) -> str:
        """Which condition keeps the rule from this message; empty when none does."""
        rule = self.rule
        if rule.channel and rule.channel != channel:
            return f"only on channel {rule.channel!r}, this is {channel!r}"
        if rule.chat and rule.chat != chat_kind:
            return f"only in {rule.chat} chats, this is {chat_kind!r}"
        if rule.role and rule.role not in roles:
            return f"only for role {rule.role!r}, the sender has {_listed(roles)}"
        return ""


class RoutingTable:
    """The rules of one configuration, immutable; a reload builds a new table.

    Raises:
        ConfigInvalid: a pattern is not RE2; `check_rules` finds the other mistakes too.
    """

    def __init__(self, rules: Sequence[Rule], default: DefaultRoute) -> None:
        self._default = default
        self._ranked = _rank(rules)
        self._patterns = PatternSet([ranked.pattern for ranked in self._ranked])

    @property
    def order(self) -> tuple[int, ...]:
        """The rules' indexes (file order, from 0) in the order in which they are asked."""
        return tuple(ranked.index for ranked in self._ranked)

    def match(self, text: str, *, channel: str, chat_kind: str, roles: Collection[str]) -> Decision:
        """The decision for one message; pure, about 5 µs for 50 rules.

        Args:
            text: as it was written; white space around it does not count.
            channel: the configured channel's name.
            chat_kind: private | group.
            roles: the sender's roles.
        """
        text = searchable(text)
        for at in self._patterns.found_in(text) if self._ranked else ():
            ranked = self._ranked[at]
            if not ranked.obstacle(channel, chat_kind, roles):
                return _decision(ranked, text)
        default = self._default
        return Decision(
            action=default.action,
            skill_id=default.skill_id,
            rule=DEFAULT_RULE,
            text=text,
            reply=default.text,
            why="no rule matches, so the default route takes it",
        )

    def explain(
        self, text: str, *, channel: str, chat_kind: str, roles: Collection[str]
    ) -> list[RuleVerdict]:
        """For every rule, in the order in which they are asked, why it won or did not."""
        text = searchable(text)
        winner = ""
        verdicts: list[RuleVerdict] = []
        for ranked in self._ranked:
            obstacle = ranked.obstacle(channel, chat_kind, roles)
            if not ranked.pattern.found_in(text):
                obstacle = f"pattern {ranked.rule.pattern!r} is not in the text"
            if not obstacle and winner:
                obstacle = f"matches too, but {winner} comes first"
            verdicts.append(_verdict(ranked, obstacle))
            winner = winner or ("" if obstacle else ranked.label)
        return verdicts


def searchable(text: str) -> str:
    """The text as rules see it: trimmed, and valid Unicode even when a platform's was not."""
    text = text.strip()
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode("utf-8")
    return text


def label_of(index: int, rule: Rule) -> str:
    """How a rule is called in decisions and traces."""
    return rule.name or f"#{index}"


def _rank(rules: Sequence[Rule]) -> tuple[_Ranked, ...]:
    problems: list[Problem] = []
    ranked: list[_Ranked] = []
    for index, rule in enumerate(rules):
        try:
            pattern = compile_pattern(rule.pattern)
        except InvalidPattern as error:
            where = f"routing_rules[{index}].pattern"
            problems.append(Problem(where=where, what=error.what, fix=error.fix))
            continue
        why = _why(index, rule)
        ranked.append(
            _Ranked(index=index, rule=rule, label=label_of(index, rule), pattern=pattern, why=why)
        )
    if problems:
        raise ConfigInvalid(problems)
    return tuple(sorted(ranked, key=lambda r: (-r.rule.priority, r.index)))


def _why(index: int, rule: Rule) -> str:
    found = f"pattern {rule.pattern!r} matches" if rule.pattern else "has no pattern to match"
    conditions = [
        f"{name} is {value}"
        for name, value in (("channel", rule.channel), ("chat", rule.chat), ("role", rule.role))
        if value
    ]
    return f"rule {label_of(index, rule)} (priority {rule.priority}): " + " and ".join(
        [found, *conditions]
    )


def _decision(ranked: _Ranked, text: str) -> Decision:
    rule = ranked.rule
    return Decision(
        action=rule.action,
        skill_id=rule.skill_id,
        rule=ranked.label,
        text=ranked.pattern.passed_on(text) if rule.pattern else text,
        reply=rule.text,
        why=ranked.why,
    )


def _verdict(ranked: _Ranked, obstacle: str) -> RuleVerdict:
    rule = ranked.rule
    return RuleVerdict(
        index=ranked.index,
        rule=ranked.label,
        priority=rule.priority,
        pattern=rule.pattern,
        action=rule.action,
        skill_id=rule.skill_id,
        won=not obstacle,
        why=obstacle or "wins: " + ranked.why.partition(": ")[2],
    )


def _listed(roles: Collection[str]) -> str:
    return ", ".join(sorted(roles)) or "none"
