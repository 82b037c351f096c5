#!/usr/bin/env bash
# Runs scripts/disk_trial.py with a Python that has what it needs; arguments are passed on. Needs root (it mounts a tmpfs).
# SWATH_PYTHON chooses the Python; it needs duckdb, and nats-server beside it or on PATH.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
exec "${SWATH_PYTHON:-python3}" "$here/disk_trial.py" "$@"
