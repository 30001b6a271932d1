"""The documentation as the tests read it: pages, headings, links, code blocks, commands."""

import importlib.util
import re
import shlex
import unicodedata
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
SHELLS = {"sh", "bash", "shell", "console"}
PROGRAMS = {"ai-engine", ".venv/bin/ai-engine"}
_FENCE = re.compile(r"^\s*(```+|~~~+)\s*(\w*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One fenced code block."""

    page: Path
    line: int
    language: str
    text: str

    @property
    def name(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    def lines(self) -> list[str]:
        """Command lines: continuations joined, comments and blank lines left out."""
        joined = self.text.replace("\\\n", " ")
        found = [line.removeprefix("$ ").strip() for line in joined.splitlines()]
        return [line for line in found if line and not line.startswith("#")]


def blocks(page: Path) -> list[Block]:
    """Every fenced code block of a page."""
    found, fence, language, start, lines = [], "", "", 0, []
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        mark = _FENCE.match(line)
        if not fence and mark:
            fence, language, start, lines = mark[1], mark[2], number, []
        elif fence and line.strip() == fence:
            text = "\n".join(lines)
            found.append(Block(page=page, line=start, language=language, text=text))
            fence = ""
        elif fence:
            lines.append(line)
    assert not fence, f"{page}: a code block that begins at line {start} never ends"
    return found


def prose(page: Path) -> str:
    """The page without its fenced blocks and comments."""
    text, inside = [], ""
    for line in page.read_text(encoding="utf-8").splitlines():
        mark = _FENCE.match(line)
        if mark and not inside:
            inside = mark[1]
        elif inside:
            inside = "" if line.strip() == inside else inside
        else:
            text.append(line)
    return re.sub(r"<!--.*?-->", "", "\n".join(text), flags=re.DOTALL)


def headings(page: Path) -> list[tuple[int, str]]:
    """(level, text) of each heading."""
    return [(len(m[1]), m[2].strip()) for m in re.finditer(r"(?m)^(#{1,6})\s+(.+)$", prose(page))]


def anchors(page: Path) -> set[str]:
    """The fragments that a Markdown host makes of the headings."""
    found: dict[str, int] = {}
    for _, heading in headings(page):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").lower()
        kept = (c for c in words if c in "-_ " or unicodedata.category(c)[0] in "LNM")
        slug = "".join(kept).replace(" ", "-")
        repeats = found.get(slug, 0)
        found[slug] = repeats + 1
        if repeats:
            found[f"{slug}-{repeats}"] = 1
    return set(found)


def links(page: Path) -> list[str]:
    """The targets of inline links, as written; code spans are not links."""
    text = re.sub(r"`[^`\n]*`", "``", prose(page))
    return [m[1] for m in re.finditer(r"\[[^\]]*\]\(([^)\s]+)\)", text)]


def rows(page: Path) -> list[list[str]]:
    """Every table row's cells, heads included; code marks are kept."""
    return [
        [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1]]
        for line in prose(page).splitlines()
        if line.strip().startswith("|") and not re.fullmatch(r"[|\s:-]+", line.strip())
    ]


def shell_commands(page: Path) -> list[tuple[str, list[str]]]:
    """(place, words after `ai-engine`) of each command in shell blocks and in code spans."""
    found = []
    for block in blocks(page):
        if block.language in SHELLS:
            for line in block.lines():
                words = shlex.split(line, comments=True)
                if words and words[0] in PROGRAMS:
                    found.append((block.name, words[1:]))
    for span in re.finditer(r"`((?:\.venv/bin/)?ai-engine [^`\n]+)`", prose(page)):
        found.append((str(page.relative_to(ROOT)), shlex.split(span[1])[1:]))
    return found


def script(name: str):
    """A program of scripts/ as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
