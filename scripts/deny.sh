#!/usr/bin/env bash
# make deny: licences, bans, sources and advisories (deny.toml). Stands apart from make test because it installs
# cargo-deny (some minutes) and fetches the advisory database.
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/need.sh build
cargo deny --version >/dev/null 2>&1 || cargo install --locked cargo-deny
# The rules that need no network first: what they find stands even where the advisories cannot be fetched.
cargo deny --all-features check bans licenses sources
cargo deny --all-features check advisories
