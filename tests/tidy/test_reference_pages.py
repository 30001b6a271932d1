"""The hand-written reference pages against the source: limits, errors, the HTTP interface."""

import ast
import dataclasses
import functools
import importlib
import json
import re
from datetime import timedelta
from pathlib import Path

import pytest

import ai_engine
from ai_engine.api.admin import Admin, build
from ai_engine.config.schema import Config, ModelConfig
from ai_engine.domain.errors import EngineError, Overloaded, Refused, Throttled

from support.docs import ROOT, blocks, rows

REFERENCE = ROOT / "docs" / "reference"
SOURCE = Path(ai_engine.__file__).parent
MODULES = {
    ".".join(path.relative_to(SOURCE).with_suffix("").parts): path
    for path in sorted(SOURCE.rglob("*.py"))
    if path.name not in {"__init__.py", "__main__.py"}
}

# Limits.

NO_LIMITS = {"observe.logline._INT_MAX": "what JSON readers take as a number, not a bound of ours"}
_PLATFORM = re.compile(r"(channels|simulators)\.\w+\.")
"""A connector's own bounds are on its page, where the platform's are."""
_UNITS = {"ms": 0.001, "s": 1, "min": 60, "h": 3600, "d": 86_400}
_SIZES = {"bytes": 1, "KiB": 2**10, "MiB": 2**20}


@functools.cache
def _bounds() -> dict[str, float]:
    """Qualified name → value: constants named `…_MAX` and the fields of `…Limits` classes."""
    found = {}
    for name, path in MODULES.items():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", 0)]
            if isinstance(targets[0], ast.Name) and targets[0].id.endswith("_MAX"):
                if _PLATFORM.match(name):
                    continue
                module = importlib.import_module(f"ai_engine.{name}")
                found[f"{name}.{targets[0].id}"] = getattr(module, targets[0].id)
            elif isinstance(node, ast.ClassDef) and node.name.endswith("Limits"):
                kind = getattr(importlib.import_module(f"ai_engine.{name}"), node.name)
                for field in dataclasses.fields(kind) if dataclasses.is_dataclass(kind) else ():
                    found[f"{name}.{node.name}.{field.name}"] = field.default
    return found


def _actual(name: str) -> float:
    """The value of a row: a setting's default, or a constant."""
    parts = name.split(".")
    if parts[0] == "models":
        return ModelConfig.model_fields[parts[2]].default
    if parts[0] in Config.model_fields and len(parts) == 2:
        return getattr(getattr(Config(), parts[0]), parts[1])
    bounds = _bounds()
    if name in bounds:
        return bounds[name]
    return getattr(importlib.import_module(f"ai_engine.{'.'.join(parts[:-1])}"), parts[-1])


def _shown() -> list[tuple[str, str]]:
    """(name, value) of each row of the page."""
    return [
        (row[0].strip("`"), row[1])
        for row in rows(REFERENCE / "limits.md")
        if row[0].startswith("`")
    ]


def test_every_bound_of_the_program_is_in_the_table_of_limits():
    shown = {name for name, _ in _shown()}
    assert sorted(_bounds().keys() - shown - NO_LIMITS.keys()) == []
    assert NO_LIMITS.keys() <= _bounds().keys()


def test_every_limit_in_configuration_is_in_the_table():
    shown = {name for name, _ in _shown()}
    fields = {
        f"{section}.{key}"
        for section in ("server", "assistant", "session")
        for key in type(getattr(Config(), section)).model_fields
    } | {f"models.NAME.{key}" for key in ModelConfig.model_fields}
    bounds = {f for f in fields if re.search(r"(_max|_seconds|_minutes|retries|concurrency)$", f)}
    assert len(bounds) >= 12
    assert sorted(bounds - shown) == []


@pytest.mark.parametrize(("name", "value"), _shown(), ids=lambda text: text)
def test_the_table_of_limits_has_the_value_of_the_source(name, value):
    number, unit = re.match(r"([\d.,]+)\s*(\S*)", value).groups()
    last = name.rsplit(".", 1)[-1].lower()
    scale = {**_UNITS, **_SIZES}.get(unit, 1)
    if last.endswith("_ms"):
        scale *= 1000
    elif last.endswith("_minutes"):
        scale /= 60
    actual = _actual(name)
    if isinstance(actual, timedelta):
        actual = actual.total_seconds()
    assert float(number.replace(",", "")) * scale == pytest.approx(float(actual))
    if re.search(r"bytes", last):
        assert unit in _SIZES, "sizes are in bytes, KiB or MiB"


# Errors.


def _errors() -> set[type[EngineError]]:
    """Every error class of the package."""
    for name in MODULES:
        importlib.import_module(f"ai_engine.{name}")
    found, waiting = set(), [EngineError]
    while waiting:
        kind = waiting.pop()
        if kind.__module__.startswith("ai_engine."):
            found.add(kind)
        waiting += kind.__subclasses__()
    return found


def _error_rows() -> dict[str, list[str]]:
    return {
        row[0].strip("`"): row[1:]
        for row in rows(REFERENCE / "errors.md")
        if row[0].startswith("`")
    }


def test_exactly_the_error_codes_that_exist_are_documented():
    assert _error_rows().keys() == {kind.code for kind in _errors()}


def test_errors_over_http_are_documented_with_their_status():
    for kind in _errors():
        if issubclass(kind, Refused):
            assert _error_rows()[kind.code][0] == str(kind.status), kind.__name__


def test_every_error_says_who_acts_in_both_languages():
    for code, cells in _error_rows().items():
        if code != "send_failed":  # always one of its two kinds
            assert all(cells), code


# The HTTP interface.


def _api() -> dict[str, dict]:
    admin = Admin(journal=None, access=None, plan=lambda: None, readiness=dict, accept=None)
    return build(admin).openapi()["paths"]


def _requests() -> dict[str, str]:
    """`GET /path` → permission, as the page has them."""
    return {
        row[0].strip("`").split("?")[0]: row[1].strip("`")
        for row in rows(REFERENCE / "rest-api.md")
        if re.match(r"`(GET|POST|PUT|PATCH|DELETE) /", row[0])
    }


def test_exactly_the_requests_of_the_admin_api_are_documented():
    served = {f"{m.upper()} {path}" for path, methods in _api().items() for m in methods}
    assert _requests().keys() == served


def test_the_documented_permissions_are_those_that_are_asked_for():
    files = (MODULES["api.admin"], MODULES["api.channels"])
    source = "".join(path.read_text(encoding="utf-8") for path in files)
    routes = re.findall(r'@app\.(\w+)\("([^"]+)", dependencies=\[may\("([^"]+)"\)\]', source)
    asked = {f"{m.upper()} {path.replace(':path', '')}": action for m, path, action in routes}
    assert _requests() == asked


def test_the_documented_parameters_are_those_that_are_read():
    page = {
        row[0].strip("`") for row in rows(REFERENCE / "rest-api.md") if row[0].startswith("`GET")
    }
    for path, methods in _api().items():
        names = [p["name"] for p in methods.get("get", {}).get("parameters", ())]
        in_query = [name for name in names if f"{{{name}}}" not in path]
        if "get" in methods:
            query = "?" + "&".join(f"{name}=" for name in in_query) if in_query else ""
            assert f"GET {path}{query}" in page


def test_every_status_of_a_refused_message_is_documented():
    page = (REFERENCE / "rest-api.md").read_text(encoding="utf-8")
    kinds = {kind for kind in _errors() if issubclass(kind, Refused)} - {Throttled}
    assert Overloaded in kinds
    for kind in kinds:
        assert f"\n| {kind.status} |" in page, kind.__name__


def test_the_session_shown_has_the_keys_that_are_answered():
    from ai_engine.api import views

    source = ast.parse(Path(views.__file__).read_text(encoding="utf-8"))
    session = next(n for n in source.body if getattr(n, "name", "") == "session")
    keys = [k.value for k in session.body[-1].value.keys]
    shown = next(b for b in blocks(REFERENCE / "rest-api.md") if '"expire_at"' in b.text)
    assert list(json.loads(shown.text)) == keys
