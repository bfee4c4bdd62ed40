#!/usr/bin/env bash
# make bench: speed and memory, each figure beside a floor or a peer measured in the same run. Prints, asserts nothing.
# BENCH_ONLY=index,jpip runs a part (bench/run.py lists the parts; bench/jpip.py is the part jpip). Takes a release build and then some minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/need.sh bench
bash scripts/venv.sh
cargo build --release -p precinct --bin precinct --example static_floor
cargo build --release -p catalog --example archive
exec python3 bench/run.py ${BENCH_ONLY:+--only "$BENCH_ONLY"}
