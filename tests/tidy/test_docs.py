"""What the documentation says exists, and what exists is documented."""

import json
import re
from pathlib import Path
from urllib.parse import unquote

import pytest

from ai_engine.config.schema import json_schema

from support.docs import (
    PAGES,
    ROOT,
    anchors,
    blocks,
    headings,
    links,
    prose,
    rows,
    script,
    shell_commands,
)

REFERENCE = ROOT / "docs" / "reference"
ALL_TEXT = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)


def _id(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=_id)
def test_every_relative_link_and_anchor_leads_somewhere(page):
    broken = []
    for target in links(page):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, fragment = unquote(target).partition("#")
        found = (page.parent / path) if path else page
        if not found.exists() or (fragment and fragment not in anchors(found)):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=_id)
def test_json_in_the_documentation_is_json(page):
    for block in blocks(page):
        if block.language == "json":
            json.loads(block.text)


def test_both_readmes_are_the_same_page_in_two_languages():
    english, chinese = ROOT / "README.md", ROOT / "README.zh.md"
    assert [level for level, _ in headings(english)] == [level for level, _ in headings(chinese)]
    pictured = {link.replace("-zh.png", "-en.png") for link in links(chinese)}
    assert set(links(english)) - {"README.zh.md"} == pictured - {"README.md"}
    assert len(rows(english)) == len(rows(chinese))
    commands = [
        [
            [re.sub(r"\s*#.*", "", line) for line in block.lines()]
            for block in blocks(page)
            if block.language == "sh"
        ]
        for page in (english, chinese)
    ]
    texts = [re.sub(r'"[^"]*"', '"…"', str(each)) for each in commands]
    assert texts[0] == texts[1]


def test_the_first_lines_are_the_two_commands():
    for page in ("README.md", "README.zh.md"):
        first = blocks(ROOT / page)[0]
        assert [line.split("#")[0].strip() for line in first.lines()] == ["make demo", "make test"]
        assert first.line <= 5


def test_every_page_can_be_reached_from_the_index():
    index = ROOT / "docs" / "README.md"
    listed = {(index.parent / unquote(t.partition("#")[0])).resolve() for t in links(index)}
    folders = {path for path in listed if path.is_dir()}
    pages = [p for p in (ROOT / "docs").rglob("*.md") if p != index]
    assert [_id(p) for p in pages if p not in listed and p.parent not in folders] == []


# The command line.


def _tree() -> dict[tuple[str, ...], set[str]]:
    """Words of every command → its options."""
    tree = {}
    for words, command in script("cli_reference").commands():
        names = {o for p in command.params for o in (*p.opts, *p.secondary_opts)}
        tree[words] = {name for name in names if name.startswith("-")} | {"--help"}
    return tree


def _fault(words: list[str], tree: dict[tuple[str, ...], set[str]]) -> str:
    """What a shown command names that does not exist; "" when all of it does."""
    plain = [word for word in words if not word.startswith("-")]
    if not plain or re.fullmatch(r"[A-Z_]+|…", plain[0]):  # `ai-engine COMMAND --help`
        known = {"--help", "--version", "--install-completion", "--show-completion"}
        return " ".join(o for o in words if o.startswith("-") and o not in known)
    path = tuple(plain[:2]) if tuple(plain[:2]) in tree else tuple(plain[:1])
    if path not in tree:
        is_group = any(known[0] == path[0] for known in tree)
        return "" if is_group and len(plain) == 1 else f"no command {' '.join(plain[:2])}"
    options = [word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)]
    return " ".join(option for option in options if option not in tree[path])


@pytest.mark.parametrize("page", PAGES, ids=_id)
def test_no_page_names_a_command_or_option_that_does_not_exist(page):
    tree = _tree()
    wrong = [
        f"{place}: ai-engine {' '.join(words)}: {fault}"
        for place, words in shell_commands(page)
        if (fault := _fault(words, tree))
    ]
    assert wrong == []


def test_a_wrong_command_would_be_found():
    tree = _tree()
    assert _fault(["routes", "tset"], tree) == "no command routes tset"
    assert _fault(["frobnicate"], tree) == "no command frobnicate"
    assert _fault(["serve", "--prot", "1"], tree) == "--prot"
    assert _fault(["routes", "test", "--json", "text"], tree) == ""
    assert _fault(["routes"], tree) == ""


def test_the_command_line_reference_is_up_to_date():
    reference = script("cli_reference")
    assert reference.PAGE.read_text(encoding="utf-8") == reference.page(), "run `make docs`"


def test_the_command_line_reference_has_no_trace_of_this_machine():
    text = (REFERENCE / "cli.md").read_text(encoding="utf-8")
    assert str(ROOT) not in text
    assert str(Path.home()) not in text
    assert "\x1b" not in text


@pytest.mark.parametrize("page", PAGES, ids=_id)
def test_make_targets_in_the_documentation_exist(page):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"(?m)^([a-z-]+):", makefile))
    lines = [line for b in blocks(page) if b.language == "sh" for line in b.lines()]
    shown = [m[1] for line in lines if (m := re.match(r"make ([a-z-]+)", line))]
    shown += re.findall(r"`make ([a-z-]+)`", prose(page))
    assert [target for target in shown if target not in targets] == []


# What exists is documented.


def _keys(schema: dict, definition: dict, seen: frozenset[str] = frozenset()) -> set[str]:
    """Every key that the configuration knows."""
    found = set()
    for key, value in definition.get("properties", {}).items():
        found.add(key)
        for name in re.findall(r"'#/\$defs/(\w+)'", str(value)):
            if name not in seen:
                found |= _keys(schema, schema["$defs"][name], seen | {name})
    return found


def test_every_configuration_key_is_documented():
    schema = json_schema()
    page = (REFERENCE / "configuration.md").read_text(encoding="utf-8")
    keys = _keys(schema, schema)
    assert len(keys) > 50
    assert [key for key in sorted(keys) if f"`{key}`" not in page] == []


def test_exactly_the_metrics_that_exist_are_documented():
    source = "\n".join(
        p.read_text(encoding="utf-8") for p in (ROOT / "src/ai_engine/observe").glob("*.py")
    )
    table = "\n".join(row[0] for row in rows(REFERENCE / "metrics.md"))

    def names(pattern: str, text: str) -> set[str]:
        return {re.sub("_(total|info)$", "", name) for name in re.findall(pattern, text)}

    internal = {"ai_engine_log_fields"}  # a context variable
    existing = names(r'"(ai_engine_[a-z_]+)', source) - internal
    assert names(r"`(ai_engine_[a-z_]+)", table) == existing


def test_every_command_has_its_place_in_the_reference():
    page = (REFERENCE / "cli.md").read_text(encoding="utf-8")
    for words in _tree():
        assert f"### ai-engine {' '.join(words)}\n" in page


def test_every_environment_variable_is_documented():
    source = "\n".join(p.read_text(encoding="utf-8") for p in (ROOT / "src").rglob("*.py"))
    names = set(re.findall(r"\"((?:AI_ENGINE|MODEL)_[A-Z_]+)\"", source))
    names.discard("_AI_ENGINE_COMPLETE")
    assert names
    assert [name for name in sorted(names) if name not in ALL_TEXT] == []
