"""Problems as text for people and as data for programs; configurations with secrets masked."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, cast
from urllib.parse import urlsplit, urlunsplit

from ai_engine.config.faults import Json, Loc, json_path
from ai_engine.config.schema import Config
from ai_engine.domain.errors import Problem

MASK = "********"


def plain(problems: Iterable[Problem]) -> str:
    """One problem a paragraph: where and what, then what to do."""
    return "\n".join(f"{p.severity}: {p.where}: {p.what}\n    {p.fix}" for p in problems)


def as_data(problems: Iterable[Problem]) -> list[dict[str, str]]:
    """The problems for programs."""
    return [
        {"severity": p.severity, "where": p.where, "what": p.what, "fix": p.fix} for p in problems
    ]


def masked(config: Config) -> dict[str, Any]:
    """The configuration as JSON data that may be shown.

    Secrets are masked; values that came from references are shown as written (`${NAME}`); of
    URLs, user names, passwords and query values are masked. Of a channel's credentials and
    endpoints only those that are set are shown: most belong to other platforms.
    """
    shown = cast("dict[str, Any]", _masked(config.model_dump(mode="python"), (), config.written))
    for channel in shown["channels"].values():
        for section in ("auth", "endpoints"):
            channel[section] = {key: value for key, value in channel[section].items() if value}
    return shown


def _masked(value: Any, loc: Loc, written: Mapping[str, str]) -> Json:
    if isinstance(value, dict):
        items = cast("dict[str, Any]", value).items()
        return {key: _masked(item, (*loc, key), written) for key, item in items}
    if isinstance(value, tuple | list):
        items = enumerate(cast("list[Any]", value))
        return [_masked(item, (*loc, index), written) for index, item in items]
    if (reference := written.get(json_path(loc))) is not None:
        return _without_literals(reference)
    if hasattr(value, "get_secret_value"):
        return MASK if value.get_secret_value() else ""
    return _masked_url(value) if isinstance(value, str) and "://" in value else value


def _without_literals(reference: str) -> str:
    """`user:pa55@${HOST}` → `********${HOST}`: what stands beside a reference may be secret too."""
    parts = re.split(r"((?<!\$)\$\{[^{}]*\})", reference)
    return "".join(part if i % 2 else MASK * bool(part) for i, part in enumerate(parts))


def _masked_url(text: str) -> str:
    try:
        parts = urlsplit(text)
    except ValueError:
        return MASK
    host = parts.netloc.rpartition("@")[2]
    netloc = f"{MASK}@{host}" if "@" in parts.netloc else host
    query = re.sub(r"=[^&]*", f"={MASK}", parts.query)
    if netloc == parts.netloc and query == parts.query:
        return text
    return urlunsplit(parts._replace(netloc=netloc, query=query))
