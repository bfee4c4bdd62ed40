#!/usr/bin/env bash
# make soak: the crash tests of make test, but long: 1,000 kill -9 instead of 50, 100 power cuts instead of 10. Takes some
# minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/need.sh test
export PRECINCT_SOAK=1
exec cargo test --locked -p precinct --test black_box -- --nocapture crash:: f2_a_power_cut
