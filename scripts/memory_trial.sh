#!/usr/bin/env bash
# Runs scripts/memory_trial.py with a Python that has what it needs; arguments are passed on.
# SWATH_PYTHON chooses the Python; it needs duckdb, pyarrow, and nats-server beside it or on PATH.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
exec "${SWATH_PYTHON:-python3}" "$here/memory_trial.py" "$@"
