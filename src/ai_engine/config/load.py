"""Loads `ai-engine.json`: overlay, references, rules file, every check; all problems at once."""

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Required, TypedDict, Unpack, cast

from ai_engine.config.checks import ChannelCheck, check, check_action, type_of
from ai_engine.config.document import BrokenJson, merge, note_sources, parse
from ai_engine.config.faults import Fault, Json, Loc, json_path, leaves, nearest, related
from ai_engine.config.files import BYTES_MAX, Absent, Unreadable, read_text
from ai_engine.config.rules_file import BYTES_MAX as RULES_BYTES_MAX
from ai_engine.config.rules_file import KEY, RulesFile, parse_rules
from ai_engine.config.schema import Config, Rule
from ai_engine.config.secrets import Resolver
from ai_engine.config.shape import Shape
from ai_engine.domain.errors import ConfigInvalid, Problem

ENVIRONMENTS = ("dev", "test", "prod")

RuleCheck = Callable[[Sequence[Rule]], Iterable[tuple[int, str, str]]]
"""Finds faults in rules: (index, what is wrong, what to do)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A valid configuration and where it came from."""

    config: Config = field(repr=False)
    """Not part of any log line: references may have put secrets anywhere."""
    warnings: tuple[Problem, ...] = ()
    origins: Mapping[str, str] = field(default_factory=dict[str, str])
    """JSON path of each value → the file (and reference) that gave it, or `default`."""
    files: tuple[Path, ...] = ()
    """Every file that was read or looked for: what to watch."""
    overlay: bool = False
    """Whether an overlay was there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What came of reading a configuration: exactly one of `loaded` and `problems` is filled."""

    loaded: Loaded | None
    problems: tuple[Problem, ...]
    files: tuple[Path, ...]


class LoadOptions(TypedDict, total=False):
    """The keyword arguments of `attempt` and `load`."""

    env: str | None
    environ: Mapping[str, str]
    channel_types: Required[Collection[str]]
    allow_group_read: bool
    check_mode: bool
    check_rules: RuleCheck | None
    warn_rules: RuleCheck | None
    check_channel: ChannelCheck | None
    needs_overlay: bool


def load(path: Path, **options: Unpack[LoadOptions]) -> Loaded:
    """The configuration in `path`; the options are those of `attempt`.

    Raises:
        ConfigInvalid: with every problem found.
    """
    tried = attempt(path, **options)
    if tried.loaded is None:
        raise ConfigInvalid(list(tried.problems))
    return tried.loaded


def attempt(
    path: Path,
    *,
    env: str | None = None,
    environ: Mapping[str, str] = os.environ,
    channel_types: Collection[str],
    allow_group_read: bool = False,
    check_mode: bool = True,
    check_rules: RuleCheck | None = None,
    warn_rules: RuleCheck | None = None,
    check_channel: ChannelCheck | None = None,
    needs_overlay: bool = False,
) -> Attempt:
    """Read the configuration in `path`, with the overlay of `env` laid on it.

    Args:
        env: dev, test or prod: reads `ai-engine.<env>.json` beside `path` as a merge patch.
        environ: where `${NAME}` looks.
        channel_types: the channel types that are installed; others are a warning.
        allow_group_read: take files that their group may read (Kubernetes fsGroup).
        check_mode: False takes any permission bits.
        check_rules: faults in rules that refuse the configuration (patterns that do not compile).
        warn_rules: faults in rules that only warn.
        check_channel: what a channel type finds wrong with its settings.
        needs_overlay: a missing overlay is an error; else it is a warning.
    """
    forbidden = (0o037 if allow_group_read else 0o077) if check_mode else 0
    reading = _Reading(path=path, environ=environ, forbidden_mode=forbidden)
    config = reading.read(env, needs_overlay=needs_overlay)
    if config is not None:
        reading.check_rules(config, check_rules, warn_rules)
        reading.check(config, channel_types, check_channel)
    files = tuple(dict.fromkeys(reading.files))
    if config is None or any(p.severity == "error" for p in reading.problems):
        return Attempt(loaded=None, problems=tuple(reading.problems), files=files)
    return Attempt(loaded=_loaded(reading, config, channel_types), problems=(), files=files)


def _loaded(reading: "_Reading", config: Config, channel_types: Collection[str]) -> Loaded:
    written = {json_path(loc): text for loc, text in reading.written.items()}
    config = _with_types(config, channel_types).with_written(written)
    return Loaded(
        config=config,
        warnings=tuple(reading.problems),
        origins=reading.origins(config),
        files=tuple(dict.fromkeys(reading.files)),
        overlay=reading.overlay,
    )


def _with_types(config: Config, channel_types: Collection[str]) -> Config:
    """Every channel's type filled in, in the spelling of the connector that provides it."""
    channels = {
        name: channel.model_copy(update={"type": type_of(name, channel, channel_types)})
        for name, channel in config.channels.items()
    }
    return config.model_copy(update={"channels": channels})


@dataclass(slots=True, kw_only=True)
class _Reading:
    """One reading of a configuration, from files to a model; collects problems on its way."""

    path: Path
    environ: Mapping[str, str]
    forbidden_mode: int
    problems: list[Problem] = field(default_factory=list[Problem])
    files: list[Path] = field(default_factory=list[Path])
    sources: dict[Loc, str] = field(default_factory=dict[Loc, str])
    written: dict[Loc, str] = field(default_factory=dict[Loc, str])
    faulty: dict[Loc, None] = field(default_factory=dict[Loc, None])
    """Places with an error, in the order in which they were found."""
    overlay: bool = False
    rules_name: str = ""
    """The rules file's name as written; empty while the rules stand in the document."""
    rules_file: RulesFile = field(default_factory=RulesFile)

    def read(self, env: str | None, *, needs_overlay: bool) -> Config | None:
        """The configuration as far as it has the right shape; None when there is none to check."""
        document = self._document(self.path)
        if env is not None:
            document = self._overlaid(document, env, needs_overlay)
        if not isinstance(document, dict):
            return None
        document.pop("$schema", None)  # editors find the JSON Schema by it
        resolver = Resolver(environ=self.environ, folder=self.path.parent)
        resolved = cast("dict[str, Json]", resolver.resolve(document))
        self.written = resolver.written
        self.files += resolver.files
        self._add(resolver.faults)
        rules = self._rules(resolved.pop(KEY, []))
        config, faults = Shape(Config).build(resolved, self.written)
        self._add(faults)
        return None if config is None else config.model_copy(update={KEY: rules})

    def _document(self, path: Path) -> Json:
        text = self._text(path, path.name, self.forbidden_mode)
        if text is None:
            return None
        try:
            document, faults = parse(text)
        except BrokenJson as error:
            where = f"{path.name}:{error.position}" if error.position else path.name
            self._problem(where, error.what, error.fix)
            return None
        for fault in faults:
            self.faulty[fault.loc] = None
            self._problem(f"{path.name}: {json_path(fault.loc)}", fault.what, fault.fix)
        if not isinstance(document, dict):
            self._problem(f"{path.name}: $", "must be an object { … }.", "Begin it with { .")
            return None
        if path == self.path:
            note_sources(document, path.name, self.sources)
        return document

    def _overlaid(self, document: Json, env: str, is_needed: bool) -> Json:
        if env not in ENVIRONMENTS:
            near = nearest(env, list(ENVIRONMENTS))
            fix = f"Did you mean {near!r}?" if near else f"Write {', '.join(ENVIRONMENTS)}."
            self._problem(f"--env {env}", "there is no such environment.", fix)
            return document
        path = self.path.with_name(f"{self.path.stem}.{env}{self.path.suffix}")
        if not os.path.lexists(path):
            self.files.append(path)
            what = f"there is no {path.name}, so {env} has the settings of {self.path.name} alone."
            fix = "Create it ({} is enough), or leave --env out."
            self._problem(f"--env {env}", what, fix, "error" if is_needed else "warning")
            return document
        self.overlay = True
        overlay = self._document(path)
        if not isinstance(overlay, dict) or not isinstance(document, dict):
            return document
        return merge(document, overlay, path.name, self.sources)

    def _text(
        self, path: Path, name: str, forbidden_mode: int, bytes_max: int = BYTES_MAX
    ) -> str | None:
        self.files.append(path)
        try:
            return read_text(path, forbidden_mode=forbidden_mode, bytes_max=bytes_max)
        except Absent as error:
            fix = "Check the path, or run: ai-engine init" if path == self.path else error.fix
            self._problem(str(path) if path == self.path else name, error.what, fix)
        except Unreadable as error:
            self._problem(name, error.what, error.fix)
        return None

    def _rules(self, value: Json) -> tuple[Rule, ...]:
        """The rules at `value`, a list or a path; those that are no rules are left out."""
        if isinstance(value, str) and not any(related(loc, (KEY,)) for loc in self.faulty):
            value = self._rules_from_file(value)
        if not isinstance(value, list):
            if not isinstance(value, str):
                what, fix = "must be a list of rules or a path.", "Write [ … ] or a path."
                self._add([Fault(loc=(KEY,), what=what, fix=fix)])
            return ()
        shape = Shape(Rule)
        rules: list[Rule] = []
        for index, item in enumerate(value):
            loc: Loc = (KEY, index)
            if not isinstance(item, dict):
                what = "a rule must be an object."
                fix = "Write keys: pattern, action, priority."
                self._add([Fault(loc=loc, what=what, fix=fix)])
                continue
            rule, faults = shape.build(item, self.written, loc)
            self._add(faults)
            # A stand-in keeps the others' places; at its own place a fault is reported already.
            rules.append(rule or Rule(action="drop"))
        return tuple(rules)

    def _rules_from_file(self, name: str) -> Json:
        path = self.path.parent / name
        forbidden = 0o002 if self.forbidden_mode else 0
        text = self._text(path, name, forbidden, RULES_BYTES_MAX)
        if text is None:
            return []
        self.rules_name = name
        self.rules_file = parse_rules(text)
        for line, what, fix in self.rules_file.faults:
            self._problem(f"{name}:{line}", what, fix)
        self.sources = {loc: s for loc, s in self.sources.items() if loc[:1] != (KEY,)}
        for loc, _ in leaves(self.rules_file.rules, (KEY,)):
            self.sources[loc] = f"{name}:{self.rules_file.line(loc)}"
        return self.rules_file.rules

    def check(
        self, config: Config, channel_types: Collection[str], look: ChannelCheck | None
    ) -> None:
        """Everything that the schema cannot say."""
        has_broken_models = any(loc[:1] == ("models",) for loc in self.faulty)
        for fault in check(config, channel_types, look):
            if has_broken_models and fault.loc[:1] == ("assistant",):
                continue  # the model that it names may be among the broken ones
            inside = any(fault.loc[: len(loc)] == loc for loc in self.faulty)
            around = fault.warning and any(related(fault.loc, loc) for loc in self.faulty)
            if not inside and not around:  # else it only follows from what is reported already
                self._add([fault])

    def check_rules(
        self, config: Config, errors: RuleCheck | None, warns: RuleCheck | None
    ) -> None:
        """The rules' own faults; without a hook, what their actions need."""
        rules = config.rules()
        found: list[Fault] = []
        if errors is None:
            for index, rule in enumerate(rules):
                found += check_action((KEY, index), rule)
        else:
            found += [Fault(loc=(KEY, i), what=what, fix=fix) for i, what, fix in errors(rules)]
        if warns is not None:
            found += [
                Fault(loc=(KEY, i), what=what, fix=fix, warning=True)
                for i, what, fix in warns(rules)
            ]
        broken = {loc[1] for loc in self.faulty if loc[:1] == (KEY,) and len(loc) > 1}
        self._add([fault for fault in found if fault.loc[1] not in broken])

    def origins(self, config: Config) -> dict[str, str]:
        """Where each value of the whole configuration came from."""
        origins: dict[str, str] = {}
        for loc, _ in leaves(cast("Json", config.model_dump(mode="json"))):
            origin = self.sources.get(loc, "default")
            if (reference := self.written.get(loc)) is not None:
                origin = f"{origin}, {reference}"
            origins[json_path(loc)] = origin
        return origins

    def _add(self, faults: Iterable[Fault]) -> None:
        """Report faults; of several errors at one place the first."""
        for fault in faults:
            if fault.loc in self.faulty:
                continue
            if not fault.warning:
                self.faulty[fault.loc] = None
            severity = "warning" if fault.warning else "error"
            where, key = self._where(fault.loc)
            self._problem(where, key + fault.what, fault.fix, severity)

    def _where(self, loc: Loc) -> tuple[str, str]:
        """The place for people, and what to say first where a line does not name the key."""
        if self.rules_name and loc[:1] == (KEY,) and len(loc) > 1:
            key = f"{loc[-1]}: " if isinstance(loc[-1], str) else ""
            return f"{self.rules_name}:{self.rules_file.line(loc)}", key
        nearby = loc
        while nearby and nearby not in self.sources:
            nearby = nearby[:-1]
        return f"{self.sources.get(nearby, self.path.name)}: {json_path(loc)}", ""

    def _problem(self, where: str, what: str, fix: str, severity: str = "error") -> None:
        self.problems.append(Problem(where=where, what=what, fix=fix, severity=severity))
