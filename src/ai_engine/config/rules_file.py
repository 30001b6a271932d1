"""The YAML file of routing rules, read with the line of every value.

The document is `routing_rules:` with a list of rules. Anchors and aliases are refused (they make
small files explode), and so are repeated keys, which YAML libraries let pass.
"""

from dataclasses import dataclass, field
from typing import Any, Protocol, cast

import yaml

from ai_engine.config.faults import Json, Loc

KEY = "routing_rules"
BYTES_MAX = 1024 * 1024
"""The largest rules file; reading YAML is slow."""
DEPTH_MAX = 20
"""Lists and objects within each other; rules need three."""
_FORM = 'The file is "routing_rules:" and below it a list of rules, each starting with "- ".'
_QUOTE = "Put it in double quotes."


class _Mark(Protocol):
    """A place in the text; PyYAML's C and Python parsers have one class each."""

    @property
    def line(self) -> int: ...


@dataclass(slots=True, kw_only=True)
class RulesFile:
    """What a rules file holds. Places start with `routing_rules`, as in the configuration."""

    rules: list[Json] = field(default_factory=list[Json])
    lines: dict[Loc, int] = field(default_factory=dict[Loc, int])
    """The line, from 1, of each rule and value."""
    faults: list[tuple[int, str, str]] = field(default_factory=list[tuple[int, str, str]])
    """Line, what is wrong, what to do."""

    def line(self, loc: Loc) -> int:
        """The line of the nearest place around `loc`."""
        while loc and loc not in self.lines:
            loc = loc[:-1]
        return self.lines.get(loc, 1)


def parse_rules(text: str) -> RulesFile:
    """Read a rules file; what is wrong with it is in `faults`."""
    read = RulesFile()
    try:
        if _is_plain(read, text):
            _read_root(read, yaml.compose(text, Loader=yaml.SafeLoader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = f"it is not valid YAML: {error.problem or error.context}."
        _fault(read, mark, what, "Check the indentation, quotes and colons there.")
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        what = "it holds a character that YAML forbids."
        read.faults.append((line, what, "Look for control characters there."))
    return read


def _is_plain(read: RulesFile, text: str) -> bool:
    """Whether the document is as flat as rules are, and free of aliases."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            what = "aliases (*name) are not taken here."
            _fault(read, event.start_mark, what, "Write the value itself.")
            return False
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > DEPTH_MAX:
            _fault(read, event.start_mark, "it is nested too deeply.", _FORM)
            return False
    return True


def _read_root(read: RulesFile, root: yaml.Node | None) -> None:
    if not isinstance(root, yaml.MappingNode):
        mark = root.start_mark if root else None
        _fault(read, mark, "the rules are not where they are looked for.", _FORM)
        return
    value = _mapping(read, root, ())
    rules = value.pop(KEY, None)
    for key in value:
        what = f"there is no key {key!r} here."
        read.faults.append((read.line((key,)), what, f"Remove it. {_FORM}"))
    if isinstance(rules, list):
        read.rules = rules
        return
    what = f"{KEY!r} must be a list of rules." if (KEY,) in read.lines else "there are no rules."
    read.faults.append((read.line((KEY,)), what, _FORM))


def _value(read: RulesFile, node: yaml.Node, loc: Loc) -> Json:
    read.lines.setdefault(loc, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        return _mapping(read, node, loc)
    if isinstance(node, yaml.SequenceNode):
        items = cast("list[yaml.Node]", node.value)
        return [_value(read, item, (*loc, index)) for index, item in enumerate(items)]
    return _scalar(read, cast("yaml.ScalarNode", node), loc)


def _mapping(read: RulesFile, node: yaml.MappingNode, loc: Loc) -> dict[str, Json]:
    made: dict[str, Json] = {}
    for key_node, value_node in cast("list[tuple[yaml.Node, yaml.Node]]", node.value):
        if not isinstance(key_node, yaml.ScalarNode):
            _fault(read, key_node.start_mark, "a key must be a word.", _FORM)
            continue
        key = str(key_node.value)
        if key in made:
            what = f"the key {key!r} is written twice."
            _fault(read, key_node.start_mark, what, "Keep one of them.")
            continue
        read.lines[(*loc, key)] = key_node.start_mark.line + 1
        made[key] = _value(read, value_node, (*loc, key))
    return made


def _scalar(read: RulesFile, node: yaml.ScalarNode, loc: Loc) -> Json:
    constructor: Any = yaml.constructor.SafeConstructor()
    kind = str(node.tag).removeprefix("tag:yaml.org,2002:")
    if kind not in ("str", "int", "float", "bool", "null"):
        _fault(read, node.start_mark, f"YAML takes this for a {kind}.", _QUOTE)
        return str(node.value)
    try:
        value = constructor.construct_object(node)
    except (yaml.YAMLError, ValueError):
        _fault(read, node.start_mark, f"this is not a proper {kind}.", _QUOTE)
        return str(node.value)
    if isinstance(value, float) and not abs(value) < float("inf"):
        _fault(read, node.start_mark, "this is not a finite number.", "Write a number.")
        return 0
    return cast("Json", value)


def _fault(read: RulesFile, mark: _Mark | None, what: str, fix: str) -> None:
    read.faults.append((mark.line + 1 if mark else 1, what, fix))
