"""References in text values: `${ENV_NAME}`, `${file:/run/secrets/x}`; `$${` is a plain `${`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ai_engine.config.faults import Fault, Json, Loc
from ai_engine.config.files import Unreadable, read_text

SECRET_BYTES_MAX = 64 * 1024
"""The largest file that `${file:…}` may name."""

_TOKEN = re.compile(r"\$\$\{|\$\{([^{}]*)\}|\$\{")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_ESCAPE = "To mean the characters ${ themselves, write $${ ."


class _Unresolved(Exception):
    def __init__(self, what: str, fix: str) -> None:
        super().__init__(what)
        self.what = what
        self.fix = fix


@dataclass(slots=True, kw_only=True)
class Resolver:
    """Resolves the references of one document; what it found is never part of a message."""

    environ: Mapping[str, str]
    folder: Path
    """Relative file references start here."""
    faults: list[Fault] = field(default_factory=list[Fault])
    written: dict[Loc, str] = field(default_factory=dict[Loc, str])
    """The text with its references, as written, of every value that has one."""
    files: list[Path] = field(default_factory=list[Path])
    """Every file that a reference names."""

    def resolve(self, value: Json, loc: Loc = ()) -> Json:
        """A copy of `value` with references replaced; unresolvable ones stay and are faults."""
        if isinstance(value, dict):
            return {key: self.resolve(item, (*loc, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self.resolve(item, (*loc, index)) for index, item in enumerate(value)]
        if not isinstance(value, str) or "${" not in value:
            return value
        if has_reference(value):
            self.written[loc] = value
        try:
            return _TOKEN.sub(self._replace, value)
        except _Unresolved as error:
            self.faults.append(Fault(loc=loc, what=error.what, fix=error.fix))
            return value

    def _replace(self, token: re.Match[str]) -> str:
        if token[0] == "$${":
            return "${"
        name = token[1]
        if name is None:
            raise _Unresolved("a reference that starts with ${ has no end.", f"Close it. {_ESCAPE}")
        if name.startswith("file:"):
            return self._from_file(name.removeprefix("file:"))
        if not _NAME.fullmatch(name):
            what = f"${{{name}}} is not a reference: it is neither ${{NAME}} nor ${{file:PATH}}."
            raise _Unresolved(what, _ESCAPE)
        if name not in self.environ:
            what = f"the environment variable {name} is not set."
            raise _Unresolved(what, f"Set {name} where the engine starts, or use ${{file:PATH}}.")
        value = self.environ[name]
        if any("\ud800" <= character <= "\udfff" for character in value):
            what = f"the environment variable {name} is not UTF-8 text."
            raise _Unresolved(what, "Set it in a UTF-8 locale, or use ${file:PATH}.")
        return value

    def _from_file(self, name: str) -> str:
        if not name:
            raise _Unresolved("${file:} names no file.", "Write ${file:/run/secrets/NAME}.")
        path = self.folder / name
        self.files.append(path)
        try:
            # Container runtimes mount secrets readable to all (0444) inside the container.
            text = read_text(path, forbidden_mode=0o002, bytes_max=SECRET_BYTES_MAX)
        except Unreadable as error:
            raise _Unresolved(f"the secret file {path}: {error.what}", error.fix) from None
        return text.removesuffix("\n").removesuffix("\r")


def has_reference(text: str) -> bool:
    """Whether the text holds a reference, apart from escaped ones."""
    return any(token[0] != "$${" for token in _TOKEN.finditer(text))
