#!/usr/bin/env bash
# `test.sh quick`: lint, types, floors, unit tests. `test.sh all`: everything.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=.venv/bin

echo "== lint";   $bin/ruff check .; $bin/ruff format --check .
echo "== floors"; $bin/lint-imports --no-logo 2>/dev/null || $bin/lint-imports
echo "== types";  $bin/pyright
if [ "${1:-all}" = quick ]; then
  echo "== unit tests"
  exec $bin/pytest -n 2 tests/unit tests/tidy
fi
echo "== tests"
$bin/pytest -n 2 --dist loadfile -m "not chaos and not serial" --durations 10
echo "== branch coverage of the road"
scripts/coverage.sh
echo "== quality of the connectors: what tests notice when a rule is broken"
$bin/python scripts/quality.py --disable
echo "== chaos and what wants the machine for itself"
$bin/pytest -n 0 -m "chaos or serial" --durations 5
