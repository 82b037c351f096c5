#!/usr/bin/env bash
# Runs scripts/bench_tables.py with a Python that has what it needs; arguments are passed on.
# SWATH_PYTHON chooses the Python; it needs numpy and pyarrow, and dask[distributed,dataframe] to compare with Dask.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
exec "${SWATH_PYTHON:-python3}" "$here/bench_tables.py" "$@"
