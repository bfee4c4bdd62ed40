#!/usr/bin/env bash
# make results: a conformance run that writes conformance/RESULTS.md and conformance/manifest.tsv anew.
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/need.sh test
bash scripts/venv.sh
cargo build -p precinct --bin precinct
.venv/bin/python scripts/make_testdata.py build/testdata
.venv/bin/python conformance/run.py --precinct "${CARGO_TARGET_DIR:-target}/debug/precinct" --write
