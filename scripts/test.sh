#!/usr/bin/env bash
# make test: installs what the tests need, runs the checks, every test and the conformance run, and counts them.
# A check that fails does not stop the others. The last line reads "N passed, N failed, N skipped".
# Data that is not in the repository (PRECINCT_TESTDATA, default ../shared/testdata) may be absent: what needs it is
# skipped and counted; with CI=true its absence is a failure.
set -uo pipefail
cd "$(dirname "$0")/.."

export PRECINCT_TESTDATA=${PRECINCT_TESTDATA:-$PWD/../shared/testdata}
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-never}
started=$SECONDS
passed=0 failed=0 skipped=0
failures=()
mkdir -p build/log

say() { printf '\n== %s (%d s)\n' "$*" "$((SECONDS - started))"; }

# check NAME COMMAND…: one check, counted as one test; its output is shown only when it fails.
check() {
  local name=$1 log
  shift
  log=build/log/$(tr -c 'a-z0-9\n' '-' <<<"$name").log
  say "$name"
  if "$@" >"$log" 2>&1; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    failures+=("$name")
    tail -n 80 "$log"
  fi
}

say "what is needed"
bash scripts/need.sh test || exit 1
bash scripts/venv.sh || exit 1
if [ ! -d "$PRECINCT_TESTDATA" ]; then
  if [ "${CI:-}" = true ]; then
    echo "CI=true and no test data in $PRECINCT_TESTDATA" >&2
    failed=$((failed + 1))
    failures+=("test data present")
  else
    echo "no test data in $PRECINCT_TESTDATA: what needs it is skipped"
  fi
fi

# The servers that tests of the catalog and of the store want: our own, unless the caller names some. Under /tmp, because
# root hands PostgreSQL to another user, who may not come here.
running=()
cleanup() {
  local one
  for one in "${running[@]:-}"; do
    [ -z "$one" ] || bash "scripts/${one%%:*}.sh" stop "${one#*:}"
  done
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
# start VARIABLE SCRIPT NAME: starts the server of scripts/SCRIPT.sh and says in VARIABLE where it is.
start() {
  local folder address
  [ -z "${!1:-}" ] || return 0
  say "$3 for the tests"
  folder=$(mktemp -u "${TMPDIR:-/tmp}/precinct-$2.XXXXXX")
  running+=("$2:$folder")
  if address=$(bash "scripts/$2.sh" start "$folder"); then
    export "$1=$address"
    return 0
  fi
  echo "$3 does not start"
  failed=$((failed + 1))
  failures+=("$3 for the tests")
}
start PRECINCT_TEST_POSTGRES postgres PostgreSQL
start PRECINCT_TEST_S3 s3 "S3 server"

check "format" cargo fmt --all --check
say "build"
if ! cargo build --locked -p precinct --bin precinct; then
  echo "the binary does not build" >&2
  echo "$passed passed, $((failed + 1)) failed, $skipped skipped"
  exit 1
fi
check "self-made test data" .venv/bin/python scripts/make_testdata.py build/testdata

# Tests. nextest runs them in parallel processes but runs no doctests; cargo test is the fallback.
# A test that lacks its data says so in one line that begins with "skipped:", which is how it is counted.
run_tests() {
  local log=build/log/tests.log status=0 ran=0 ok=0 bad=0 skip=0
  say "tests"
  if cargo nextest --version >/dev/null 2>&1; then
    cargo nextest run --locked --workspace --no-fail-fast --success-output final --status-level fail --final-status-level slow >"$log" 2>&1 || status=$?
    read -r ran ok bad < <(.venv/bin/python scripts/count_tests.py nextest "$log")
  else
    cargo test --locked --workspace --all-targets --no-fail-fast -- --show-output >"$log" 2>&1 || status=$?
    read -r ran ok bad < <(.venv/bin/python scripts/count_tests.py cargo "$log")
  fi
  skip=$(grep -c '^ *skipped: ' "$log" || true)
  # A build that fails, or a runner that dies, has no line that counts.
  if [ "$status" -ne 0 ] && [ "$bad" -eq 0 ]; then bad=1; fi
  if [ "$status" -ne 0 ]; then
    failures+=("tests (build/log/tests.log)")
    grep -E '^ +(FAIL|TIMEOUT|SIGNAL|SIGABRT|SIGSEGV)|^error|panicked at|^test .*FAILED' "$log" | sort -u | head -n 60
    tail -n 40 "$log"
  fi
  echo "$ran tests: $((ok - skip)) passed, $bad failed, $skip lack their data"
  passed=$((passed + ok - skip)) failed=$((failed + bad)) skipped=$((skipped + skip))
}
run_doctests() {
  local log=build/log/doctests.log status=0 ran=0 ok=0 bad=0
  say "doctests"
  cargo test --locked --workspace --doc --no-fail-fast >"$log" 2>&1 || status=$?
  read -r ran ok bad < <(.venv/bin/python scripts/count_tests.py cargo "$log")
  if [ "$status" -ne 0 ] && [ "$bad" -eq 0 ]; then bad=1; fi
  if [ "$status" -ne 0 ]; then
    failures+=("doctests")
    tail -n 60 "$log"
  fi
  echo "$ran doctests: $ok passed, $bad failed"
  passed=$((passed + ok)) failed=$((failed + bad))
}
# conformance NAME SCRIPT: a script of conformance/ whose last line counts, as in "NAME: N passed, N failed…".
run_conformance() {
  local name=$1 log=build/log/$1.log status=0 ok=0 bad=0 skip=0
  say "$name"
  .venv/bin/python "conformance/$2" --precinct "${CARGO_TARGET_DIR:-target}/debug/precinct" >"$log" 2>&1 || status=$?
  read -r ok bad skip < <(sed -nE "s/^$name: ([0-9]+) passed, ([0-9]+) failed(, ([0-9]+) skipped)?.*$/\1 \2 0\4/p" "$log" | tail -n 1; echo 0 0 0) || true
  if [ "$status" -ne 0 ] && [ "$bad" -eq 0 ]; then bad=1; fi
  if [ "$status" -ne 0 ]; then
    failures+=("$name ($log)")
    tail -n 60 "$log"
  else
    tail -n 1 "$log"
  fi
  passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + 10#$skip))
}

run_tests
run_doctests
run_conformance conformance run.py
run_conformance c-store c_store.py
run_conformance dicomweb dicomweb.py
run_conformance dimse dimse.py
run_conformance outgoing outgoing.py
run_conformance interop interop.py
run_conformance character-sets character_sets.py
check "DICOM conformance statement" .venv/bin/python conformance/dicom_statement.py --precinct "${CARGO_TARGET_DIR:-target}/debug/precinct"
check "clippy" cargo clippy --locked --workspace --all-targets -- -D warnings
check "documentation" env RUSTDOCFLAGS=-Dwarnings cargo doc --locked --no-deps --workspace
# Alone: in the workspace build other members' features could hide a missing dependency of a pure crate.
for crate in codestream jpip; do
  check "$crate alone" cargo check --locked -p "$crate"
done

say "done"
for name in "${failures[@]:-}"; do [ -n "$name" ] && echo "failed: $name"; done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
