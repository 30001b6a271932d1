"""The registry: names, switches, and what the configuration brings."""

import pytest

from ai_engine.config.schema import SkillsConfig
from ai_engine.domain.errors import ConfigInvalid
from ai_engine.security.egress import Egress
from ai_engine.skills.base import skill
from ai_engine.skills.registry import Registry, build_builtin

from support.clock import ManualClock


def tool(name):
    async def nothing() -> str:
        """Do nothing."""
        return ""

    return skill(name=name)(nothing)


def test_a_tool_is_found_by_its_name_and_others_are_not():
    one = tool("one")
    registry = Registry([one])
    assert registry.get("one") is one
    assert registry.get("two") is None
    assert "one" in registry
    assert list(registry) == [one]


def test_a_name_is_taken_once():
    registry = Registry([tool("one")])
    with pytest.raises(ValueError, match="'one' is registered already"):
        registry.register(tool("one"))
    assert len(registry) == 1


def test_a_skill_that_is_not_enabled_is_known_but_off():
    registry = Registry([tool("one"), tool("two")], enabled=["two", "three"])
    assert registry.get("one") is None
    assert [each.name for each in registry] == ["two"]
    assert registry.names() == ("one", "two")
    assert registry.unknown() == ("three",)
    assert "one" not in registry


def test_the_built_in_skills_have_their_stable_names_and_permissions(tmp_path):
    registry = build_builtin(SkillsConfig(), tmp_path, Egress(), ManualClock())
    assert {each.name: each.permission for each in registry} == {
        "calendar_query": "skill:calendar_query.use",
        "calendar_add": "skill:calendar_add.use",
        "weather_query": "skill:weather_query.use",
    }
    assert {each.name for each in registry if each.read_only} == {"calendar_query", "weather_query"}
    assert {each.name for each in registry if each.idempotent} == {"calendar_add"}
    assert all(each.description and each.title and each.title_zh for each in registry)
    assert all(each.from_text is not None for each in registry)
    assert list(tmp_path.iterdir()) == []


def test_the_configuration_switches_skills_off(tmp_path):
    config = SkillsConfig(enabled=("weather_query",))
    registry = build_builtin(config, tmp_path, Egress(), ManualClock())
    assert [each.name for each in registry] == ["weather_query"]


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "../etc/passwd"])
def test_an_unknown_time_zone_is_a_configuration_error_with_the_fix(tmp_path, name):
    with pytest.raises(ConfigInvalid) as caught:
        build_builtin(SkillsConfig(timezone=name), tmp_path, Egress(), ManualClock())
    assert caught.value.problems[0].where == "$.skills.timezone"
    assert "IANA" in caught.value.problems[0].fix


def test_heavy_libraries_wait_until_they_are_needed():
    import subprocess
    import sys

    code = (
        "import sys, pathlib; from ai_engine.skills.registry import build_builtin;"
        "from ai_engine.config.schema import SkillsConfig;"
        "from ai_engine.security.egress import Egress;"
        "from ai_engine.domain.clock import SystemClock;"
        "build_builtin(SkillsConfig(), pathlib.Path('.'), Egress(), SystemClock());"
        "print([n for n in ('icalendar','recurring_ical_events','dateparser') if n in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, encoding="utf-8", check=True
    )
    assert run.stdout.strip() == "[]"
