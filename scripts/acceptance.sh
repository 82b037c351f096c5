#!/usr/bin/env bash
# Runs scripts/acceptance.py with a Python that has what it needs; arguments are passed on.
# SWATH_PYTHON chooses the Python; it needs numpy, rasterio, rio-cogeo, and nats-server beside it or on PATH.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
exec "${SWATH_PYTHON:-python3}" "$here/acceptance.py" "$@"
