"""Every shell block of the documentation, run as printed in a folder of its own."""

import json
import re

import pytest

from ai_engine.assistant.local import pull

from support.docs import PAGES, SHELLS, Block, blocks
from support.sandbox import LONG_RUNNING, Sandbox, targets

BLOCKS = [b for page in PAGES for b in blocks(page) if b.language in SHELLS and b.lines()]
ANSWERS = "en\nwebchat\n\n"
"""To the questions of `ai-engine init`: language, platform, no model."""


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """The local model, pulled once for all blocks that use it."""
    folder = tmp_path_factory.mktemp("models")
    pull(folder, "smollm2", lambda line: None)
    return folder


def _program(line: str) -> str:
    return line.split("#")[0].split()[0]


def _follow(sandbox: Sandbox, block: Block) -> list[str]:
    """Run the block from top to bottom; what ends by itself runs in one shell between the rest."""
    said, waiting = [], []

    def flush() -> None:
        if waiting:
            answers = ANSWERS if any(" init" in line for line in waiting) else ""
            said.append(sandbox.run("\n".join(waiting), answers=answers))
            waiting.clear()

    for line in block.lines():
        program = _program(line)
        if program == "make":
            wanted = line.split("#")[0].split()[1]
            assert wanted in targets(), f"make {wanted}: there is no such target"
        elif LONG_RUNNING.search(line):
            flush()
            said.append(json.dumps(sandbox.start(re.sub(r"\s#.*", "", line))))
        else:
            waiting.append(line)
    flush()
    return said


@pytest.mark.timeout(180)
@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.name)
def test_the_block_does_what_it_says(block, tmp_path, request):
    uses_model = re.search(r"ai-engine (demo|model (serve|test|pull))", block.text)
    models = request.getfixturevalue("models") if uses_model else None
    with Sandbox(tmp_path / "here", models=models) as sandbox:
        begins_afresh = re.search(r"ai-engine (init|serve|demo)\b", block.text)
        if not begins_afresh and re.search(r"ai-engine|curl", block.text):
            sandbox.prepare()
        said = _follow(sandbox, block)
        if "curl" in block.text:  # which ends with 0 whatever the server answers
            assert "error" not in json.loads(said[-1])
        assert set(sandbox.end()) <= {0}, "what was started ends well when it is told to"


def test_there_are_blocks_to_run():
    text = "\n".join(block.text for block in BLOCKS)
    for noun in ("init", "config check", "serve", "routes test"):
        assert f"ai-engine {noun}" in text
    assert len(BLOCKS) >= 8


def test_a_command_that_fails_is_noticed(tmp_path):
    with Sandbox(tmp_path / "here") as sandbox:
        with pytest.raises(AssertionError, match="ended with 2"):
            sandbox.run("ai-engine config check")
        with pytest.raises(AssertionError, match="did not start"):
            sandbox.start("ai-engine serve")
