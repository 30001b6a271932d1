#!/usr/bin/env bash
# Pins requirements/*.in with hashes. No file names a registry host.
set -euo pipefail
cd "$(dirname "$0")/.."
pin() { .venv/bin/python -m uv pip compile --quiet --universal --python-version 3.11 \
  --generate-hashes --custom-compile-command "make requirements" "$@"; }
pin requirements/base.in -o requirements/base.txt
pin -c requirements/base.txt requirements/dev.in -o requirements/dev.txt
pin requirements/oracles.in -o requirements/oracles.txt
pin -c requirements/dev.txt requirements/build.in -o requirements/build.txt
pin -c requirements/base.txt requirements/bootstrap.in -o requirements/bootstrap.txt
