"""What commands print, and how they end.

People get text on standard output, coloured on a terminal (`NO_COLOR` turns that off); programs
get one JSON document by `--json`. Errors and warnings go to standard error, as JSON to standard
output when `--json` is given: `{"error": {"code", "message", "hint", "problems"?}}`.

| exit status | means |
|---|---|
| 0 | done; warnings are possible |
| 1 | failed |
| 2 | wrong input or configuration; nothing was done |
| 3 | the engine, or what it talks to, could not be reached |
| 130 | interrupted by Ctrl-C |
"""

import functools
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import typer

from ai_engine.domain.errors import ConfigInvalid, EngineError, Problem

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

P = ParamSpec("P")
T = TypeVar("T")


class Exit(IntEnum):
    """The exit statuses; see the table above."""

    OK = 0
    FAILED = 1
    INVALID = 2
    UNREACHABLE = 3


def failing(command: Callable[P, T]) -> Callable[P, T]:
    """Ends a command that raises an `EngineError` as the table says, without a traceback."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return command(*args, **kwargs)
        except EngineError as error:
            show_error(error, as_json=bool(kwargs.get("as_json")))
            raise typer.Exit(status_of(error)) from None

    return wrapped


def status_of(error: EngineError) -> Exit:
    """The exit status that tells of this error."""
    if isinstance(error, ConfigInvalid):
        return Exit.INVALID
    return Exit.UNREACHABLE if error.code == "unreachable" else Exit.FAILED


def show_error(error: EngineError, *, as_json: bool = False) -> None:
    """Say what went wrong and what to do."""
    if as_json:
        print_json({"error": error_data(error)})
    elif isinstance(error, ConfigInvalid):
        show_problems(error.problems)
    else:
        show_problems([Problem(where="", what=error.message, fix=error.hint)])


def error_data(error: EngineError) -> dict[str, Any]:
    """An error for programs."""
    data: dict[str, Any] = {"code": error.code, "message": error.message, "hint": error.hint}
    if isinstance(error, ConfigInvalid):
        from ai_engine.config.explain import as_data

        data["message"] = f"the configuration has {count(error.problems)}"
        data["problems"] = as_data(error.problems)
    return data


def count(problems: Iterable[Problem]) -> str:
    """`2 errors and 1 warning`."""
    severities = [problem.severity for problem in problems]
    parts = [
        f"{number} {word}{'s' * (number != 1)}"
        for word in ("error", "warning")
        if (number := severities.count(word))
    ]
    return " and ".join(parts) or "no problems"


def show_problems(problems: Sequence[Problem]) -> None:
    """Problems for people, on standard error: place and fault, then what to do."""
    from rich.text import Text

    out = console(stderr=True)
    for problem in problems:
        style = "bold yellow" if problem.severity == "warning" else "bold red"
        line = Text.assemble((f"{problem.severity}: ", style))
        if problem.where:
            line.append(f"{_visible(problem.where)}: ", "bold")
        line.append(_visible(problem.what))
        out.print(line, soft_wrap=True)
        if problem.fix:
            out.print(Text(f"    {_visible(problem.fix)}", "dim"), soft_wrap=True)


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")


def say(text: str = "", *, style: str = "", note: str = "") -> None:
    """A line on standard output, a dim note after it; never read as markup, never broken."""
    from rich.text import Text

    line = Text(_visible(text), style)
    if note:
        line.append(f"  # {_visible(note)}", "dim")
    console().print(line, soft_wrap=True)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table on standard output."""
    from rich.text import Text

    shown = _table(columns)
    for row in rows:
        shown.add_row(*[Text(_visible(str(cell))) for cell in row])
    console().print(shown)


def console(*, stderr: bool = False) -> "Console":
    """A rich console on the present standard output or error."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, markup=False)


def _table(columns: Sequence[str]) -> "Table":
    from rich import box
    from rich.table import Table

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        made.add_column(column, overflow="fold")
    return made


def _visible(text: str) -> str:
    """Control characters as escapes: what a file or a message holds must not steer a terminal."""
    from ai_engine.observe.redact import escaped

    return "\n".join(escaped(line) for line in text.split("\n"))
