"""Holds every connector's `quality.yaml` against the tests: `quality.py` or `quality.py --disable`.

Without an option: each rule is answered, a `done` names tests that exist, an `exempt` says why and
where that is written, what a script can see is seen. With `--disable` also: for the rules that say
so, the named subject is disabled and every named test must fail.
"""

import argparse
import ast
import functools
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ai_engine.channels.quality import RULES, STATUSES, answers, grade
from ai_engine.channels.types import BUILT_IN, about

ROOT = Path(__file__).parents[1]
GRADE = "platinum"
GRADED = tuple(kind for kind in BUILT_IN if kind != "webchat")
"""The web chat is our own page; its connection is the API's, with tests of its own."""
SECONDS_MAX = 120.0


@functools.cache
def tests_in(path: str) -> frozenset[str]:
    """Names of the tests in a file; empty when there is none."""
    file = ROOT / path
    if not file.is_file():
        return frozenset()
    tree = ast.parse(file.read_text(encoding="utf-8"))
    found = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, found))


def missing_test(name: str) -> bool:
    path, _, rest = name.partition("::")
    return rest.partition("[")[0].rpartition("::")[2] not in tests_in(path)


def faults_of(kind: str) -> list[str]:
    """What is wrong with a connector's answers, in sentences."""
    try:
        found = answers(kind)
    except FileNotFoundError:
        return [f"{kind}: there is no quality.yaml"]
    faults = [f"{kind}: there is no rule {name!r}" for name in found if name not in RULES]
    for name, rule in RULES.items():
        given = found.get(name, {})
        status, tests = given.get("status"), given.get("tests") or []
        if status not in STATUSES:
            faults.append(f"{kind}.{name}: status is {status!r}, not one of {', '.join(STATUSES)}")
        elif status == "exempt" and not (given.get("why") and given.get("source")):
            faults.append(f"{kind}.{name}: exempt without why and source")
        elif status == "done" and not tests and not rule.by_script:
            faults.append(f"{kind}.{name}: done names no test")
        elif status == "done" and rule.disabled and not given.get("subject"):
            faults.append(f"{kind}.{name}: done names no subject to disable")
        faults += [f"{kind}.{name}: no such test: {test}" for test in tests if missing_test(test)]
    return [*faults, *seen(kind)]


def seen(kind: str) -> list[str]:
    """What this script can see for itself: the page, in both languages; names in both."""
    faults: list[str] = []
    page = ROOT / "docs" / "connectors" / f"{kind}.md"
    text = page.read_text(encoding="utf-8") if page.is_file() else ""
    han = sum("\u4e00" <= char <= "\u9fff" for char in text)
    latin = sum(char.isascii() and char.isalpha() for char in text)
    if not text:
        faults.append(f"{kind}.docs: there is no docs/connectors/{kind}.md")
    elif han < 200 or latin < 600:
        faults.append(f"{kind}.docs: the page is not in both languages")
    told = about(kind)
    pairs = [(told.zh, told.en), *((p.zh, p.en) for p in told.permissions)]
    if not all(zh and en for zh, en in pairs):
        faults.append(f"{kind}.translations: a name or a permission is in one language only")
    return faults


def disabled_fault(kind: str, rule: str) -> str:
    """Run the named tests with the subject disabled; what is wrong, or empty."""
    given = answers(kind)[rule]
    how = str(given.get("disabled", "none")).lower()  # YAML reads false and true as such
    with tempfile.TemporaryDirectory() as folder:
        outcomes = Path(folder) / "outcomes.json"
        command = ["-m", "pytest", "-q", "-n", "0", "-p", "support.disabled", "--no-header"]
        command += ["-p", "no:cacheprovider", "--tb=no", *given["tests"]]
        subprocess.run(
            [sys.executable, *command],
            cwd=ROOT,
            check=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=SECONDS_MAX,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT / "tests"),
                "AI_ENGINE_DISABLED": f"{given['subject']}={how}",
                "AI_ENGINE_OUTCOMES": str(outcomes),
            },
        )
        found = json.loads(outcomes.read_text(encoding="utf-8")) if outcomes.exists() else {}
    quiet = [t for t in given["tests"] if found.get(t.partition("[")[0]) != "failed"]
    if not quiet:
        return ""
    return f"{kind}.{rule}: without {given['subject']} these tests still pass: {', '.join(quiet)}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("types", nargs="*", help="channel types; all when none is named")
    parser.add_argument("--disable", action="store_true", help="disable subjects, too")
    given = parser.parse_args()
    kinds = given.types or list(GRADED)
    faults = [fault for kind in kinds for fault in faults_of(kind)]
    for kind in kinds:
        reached = grade(kind)
        print(f"{kind:16} {reached or '-'}")
        if reached != GRADE:
            faults.append(f"{kind}: grade {reached or 'none'}, not {GRADE}")
    if given.disable and not faults:
        wanted = [
            (kind, rule)
            for kind in kinds
            for rule, said in RULES.items()
            if said.disabled and answers(kind)[rule]["status"] == "done"
        ]
        with ThreadPoolExecutor(2) as pool:
            found = list(pool.map(lambda each: disabled_fault(*each), wanted))
        faults += [fault for fault in found if fault]
        print(f"{len(wanted)} subjects disabled, {sum(map(bool, found))} not noticed")
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
