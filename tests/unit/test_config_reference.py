"""The reference of the configuration is complete and up to date."""

import importlib.util
import json
import re
from pathlib import Path

from ai_engine.config.schema import json_schema

from support.settings import TYPES, attempt, write

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "configuration.md"


def test_the_page_is_what_the_schema_says():
    path = ROOT / "scripts" / "config_reference.py"
    spec = importlib.util.spec_from_file_location("config_reference", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert PAGE.read_text(encoding="utf-8") == module.page(), "run scripts/config_reference.py"


def test_every_key_is_described():
    schema = json_schema()
    for name, section in {"the file": schema, **schema["$defs"]}.items():
        for key, value in section["properties"].items():
            assert value.get("description"), f"{name}: {key}"


def test_every_key_is_on_the_page():
    page = PAGE.read_text(encoding="utf-8")
    schema = json_schema()
    for section in (schema, *schema["$defs"].values()):
        for key in section["properties"]:
            assert key == "$schema" or f"| `{key}` |" in page


def test_the_examples_on_the_page_are_valid(tmp_path):
    blocks = re.findall(r"```(json|yaml)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    assert [kind for kind, _ in blocks] == ["yaml", "json"]
    for kind, text in blocks:
        content = json.loads(text) if kind == "json" else {"routing_rules": "r.yaml"}
        if kind == "yaml":
            write(tmp_path, re.sub(r"^  ", "", text, flags=re.M), "r.yaml")
        path = write(tmp_path, content)
        tried = attempt(path, environ={"DINGTALK_APP_SECRET": "x"}, channel_types=TYPES)
        assert tried.loaded, tried.problems
        assert not tried.loaded.warnings
