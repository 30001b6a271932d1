"""The connectors' overview, the quality rules and the list of libraries against the source."""

import re

from ai_engine.channels.about import needs_address
from ai_engine.channels.quality import RULES
from ai_engine.channels.types import BUILT_IN, about

from support.docs import ROOT, rows

OVERVIEW = ROOT / "docs" / "connectors" / "README.md"


def _code(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def _by_type(columns: int) -> dict[str, list[str]]:
    """The overview's rows of so many cells that begin with a channel type."""
    found = [row for row in rows(OVERVIEW) if len(row) == columns and _code(row[0])]
    return {_code(row[0])[0]: row for row in found}


def test_every_connector_is_in_both_tables_of_the_overview():
    assert set(_by_type(5)) == set(BUILT_IN)
    assert set(_by_type(10)) == set(BUILT_IN)


def test_the_overview_has_each_connector_s_modes_the_default_first():
    for kind, row in _by_type(5).items():
        assert tuple(_code(row[2])) == tuple(about(kind).modes), kind


def test_the_overview_says_truly_where_no_public_address_is_needed():
    for kind, row in _by_type(5).items():
        modes = about(kind).modes or ("",)
        without = [mode for mode in modes if not needs_address(about(kind), mode)]
        assert row[3].startswith("yes") == bool(without), kind
        assert set(_code(row[3])) <= set(without), kind


def test_exactly_the_quality_rules_that_exist_are_documented():
    page = ROOT / "docs" / "connectors" / "quality.md"
    shown = {_code(row[0])[0]: row for row in rows(page) if _code(row[0])}
    assert list(shown) == list(RULES)
    for name, rule in RULES.items():
        assert shown[name][1:] == [rule.grade, rule.says, rule.zh]
        assert ("⊘" in shown[name][0]) == rule.disabled, name


def test_every_library_that_is_asked_for_says_what_it_is_for():
    text = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8").lower()
    asked = [
        re.split(r"[\[<>=~;\s]", line)[0].lower()
        for name in ("base", "dev", "oracles", "build")
        for line in (ROOT / "requirements" / f"{name}.in").read_text().splitlines()
        if line and not line.startswith(("-", "#"))
    ]
    assert len(asked) > 40
    unexplained = [name for name in asked if not re.search(rf"(?<![\w-]){name}(?![\w-])", text)]
    assert unexplained == []
