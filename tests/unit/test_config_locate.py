"""Where commands find the configuration and the data."""

from pathlib import Path

import pytest

from ai_engine.cli.locate import Place, locate, locate_data
from ai_engine.domain.errors import ConfigInvalid


@pytest.fixture
def world(tmp_path):
    """Keyword arguments for `locate` that keep it inside the test's folder."""
    here, system = tmp_path / "here", tmp_path / "etc"
    here.mkdir()
    system.mkdir()
    return {
        "environ": {},
        "folder": here,
        "system_config": system / "ai-engine.json",
        "system_data": tmp_path / "var",
    }


def test_options_come_before_the_environment_and_the_environment_before_files(world):
    (world["folder"] / "ai-engine.json").touch()
    environ = {"AI_ENGINE_CONFIG": "/env/c.json", "AI_ENGINE_DATA": "/env/data"}
    world["environ"] = environ
    assert locate(Path("/opt/c.json"), Path("/opt/d"), **world) == Place(
        config=Path("/opt/c.json"), data=Path("/opt/d")
    )
    assert locate(**world) == Place(config=Path("/env/c.json"), data=Path("/env/data"))


def test_the_folder_comes_before_the_system(world):
    world["system_config"].touch()
    assert locate(**world) == Place(config=world["system_config"], data=world["system_data"])
    here = world["folder"] / "ai-engine.json"
    here.touch()
    assert locate(**world) == Place(config=here, data=world["folder"] / "data")


def test_an_empty_variable_names_nothing(world):
    world["environ"] = {"AI_ENGINE_CONFIG": "", "AI_ENGINE_DATA": ""}
    with pytest.raises(ConfigInvalid):
        locate(**world)


def test_the_data_goes_with_the_configuration(world):
    assert locate(Path("/srv/bot/c.json"), **world).data == Path("/srv/bot/data")
    assert locate(world["system_config"], **world).data == world["system_data"]


def test_a_broken_link_is_found_and_left_to_the_loader(world):
    link = world["folder"] / "ai-engine.json"
    link.symlink_to("gone")
    assert locate(**world).config == link


def test_nothing_found_says_where_it_was_looked_for(world):
    with pytest.raises(ConfigInvalid) as caught:
        locate(**world)
    (problem,) = caught.value.problems
    assert str(world["system_config"]) in problem.what
    assert "ai-engine init" in problem.fix


def test_the_data_alone_needs_no_configuration(world):
    assert locate_data(None, Path("/d"), **world) == Path("/d")
    with pytest.raises(ConfigInvalid):
        locate_data(**world)
    world["system_data"].mkdir()
    assert locate_data(**world) == world["system_data"]
    (world["folder"] / "data").mkdir()
    assert locate_data(**world) == world["folder"] / "data"
    assert locate_data(Path("/srv/c.json"), **world) == Path("/srv/data")
