#!/usr/bin/env bash
# Branch coverage of what the road stands on: at least 95 % of each package, by its own tests.
set -euo pipefail
cd "$(dirname "$0")/.."
export COVERAGE_FILE=.cache/coverage
packages=(journal pipeline policy routing)
minimum=95
mkdir -p .cache

.venv/bin/coverage run --branch --source src/ai_engine \
  -m pytest -q -p no:cacheprovider \
  tests/contract/test_journal*.py tests/unit/test_journal_*.py tests/unit/test_pipeline_*.py tests/unit/test_policy.py \
  tests/unit/test_routing*.py "$@"
below=0
for package in "${packages[@]}"; do
  echo "== $package"
  .venv/bin/coverage report --skip-covered --show-missing --fail-under "$minimum" \
    --include "src/ai_engine/$package/*" || below=1
done
exit "$below"
