#!/usr/bin/env bash
# Runs scripts/tpch.py; arguments are passed on. SWATH_PYTHON chooses the Python; the standard library is enough.
# Build first: cargo build --release --workspace --bins --example tpch
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
exec "${SWATH_PYTHON:-python3}" "$here/tpch.py" "$@"
