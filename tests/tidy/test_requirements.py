"""The guide's lines and the tests that claim them stay together."""

import ast
from pathlib import Path

from requirements import REQUIREMENTS

TESTS = Path(__file__).parents[1]


def _claims() -> dict[str, set[str]]:
    """Requirement id → the tests that carry it."""
    claims: dict[str, set[str]] = {}
    for path in TESTS.rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            if node.func.attr == "requirement":
                for argument in node.args:
                    assert isinstance(argument, ast.Constant), f"{path}: ids are plain strings"
                    claims.setdefault(str(argument.value), set()).add(path.name)
    return claims


def test_every_built_requirement_has_a_test():
    claimed = _claims()
    missing = [
        id_ for id_, entry in REQUIREMENTS.items() if not entry.deferred and id_ not in claimed
    ]
    assert not missing


def test_every_test_claims_a_known_requirement_that_is_built():
    wrong = {
        id_: sorted(where)
        for id_, where in _claims().items()
        if id_ not in REQUIREMENTS or REQUIREMENTS[id_].deferred
    }
    assert not wrong


def test_every_entry_says_where_it_is_built_or_why_not_yet():
    for id_, entry in REQUIREMENTS.items():
        assert bool(entry.where) != bool(entry.deferred), id_
