#!/usr/bin/env bash
# make fuzz: each target of fuzz/ for FUZZ_SECONDS (default 60) seconds on its committed corpus.
# FUZZ_TARGET=name runs one only. A finding is left in fuzz/artifacts and fails the run.
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/need.sh build
cargo fuzz --version >/dev/null 2>&1 || cargo install --locked cargo-fuzz
seconds=${FUZZ_SECONDS:-60}
# cargo-fuzz asks for sanitizer flags that only nightly takes; this lets the stable compiler take them.
export RUSTC_BOOTSTRAP=1
mapfile -t targets < <(cargo fuzz list)
passed=0 failed=0
mkdir -p build/log
for target in "${targets[@]}"; do
  [ -n "${FUZZ_TARGET:-}" ] && [ "$target" != "$FUZZ_TARGET" ] && continue
  # New inputs go to a scratch folder: the committed corpus stays small and is only read.
  found=$(mktemp -d)
  echo "== $target"
  log=build/log/fuzz-$target.log
  if cargo fuzz run "$target" "$found" "fuzz/corpus/$target" -- \
    -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -malloc_limit_mb=256 -max_len=65536 -print_final_stats=1 >"$log" 2>&1; then
    passed=$((passed + 1))
    sed -nE 's/^stat::number_of_executed_units: +([0-9]+)/\1 runs/p' "$log"
  else
    failed=$((failed + 1))
    tail -n 60 "$log"
  fi
  rm -rf "$found"
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
