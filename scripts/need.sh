#!/usr/bin/env bash
# Sees that the programs exist which the named purpose needs: scripts/need.sh build|test|bench.
# As root on a system with apt-get it installs what is missing; otherwise it names it and fails.
# Asks for nothing, and touches no network, when everything is there.
set -euo pipefail

purpose=${1:?usage: scripts/need.sh build|test|bench}

# program, Debian package that brings it
wanted_build=("cc gcc" "make make")
wanted_test=("python3 python3" "opj_compress libopenjp2-tools" "opj_decompress libopenjp2-tools" "ojph_compress openjph-tools" "ojph_expand openjph-tools" "storescu dcmtk" "dciodvfy dicom3tools" "curl curl" "openssl openssl" "sqlite3 sqlite3")
# Those of OpenJPIP read what we serve (conformance/interop.py); its viewer is Java, and so is what drives it.
wanted_test+=("opj_server libopenjpip-server" "opj_jpip_transcode libopenjpip-dec-server" "opj_jpip_viewer libopenjpip-viewer")
wanted_test+=("spawn-fcgi spawn-fcgi" "nginx nginx-light" "javac default-jdk-headless")
wanted_bench=("wrk wrk")

wanted=("${wanted_build[@]}")
case $purpose in
build) ;;
test) wanted+=("${wanted_test[@]}") ;;
bench) wanted+=("${wanted_test[@]}" "${wanted_bench[@]}") ;;
*) echo "unknown purpose '$purpose'" >&2; exit 2 ;;
esac

if ! command -v cargo >/dev/null; then
  # rustup leaves its programs here even when the shell that called us has not read its profile.
  if [ -x "$HOME/.cargo/bin/cargo" ]; then
    echo "cargo is in ~/.cargo/bin but not on PATH: run  . ~/.cargo/env  first" >&2
  else
    echo "Rust is missing: install it with rustup (https://rustup.rs); Debian's own is too old" >&2
  fi
  exit 1
fi
minor=$(rustc --version | sed -E 's/^rustc [0-9]+\.([0-9]+).*/\1/')
if [ "$minor" -lt 94 ]; then
  echo "Rust 1.94 or later is needed, this is $(rustc --version): run  rustup update stable" >&2
  exit 1
fi

missing=()
for line in "${wanted[@]}"; do
  read -r program package <<<"$line"
  PATH="$PATH:/usr/sbin:/sbin" command -v "$program" >/dev/null || missing+=("$package")
done
# Debian keeps the programs of the PostgreSQL server off the PATH. Its package starts a server of its own, which is not
# used: scripts/postgres.sh starts another.
if [ "$purpose" != build ] && ! compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; then
  missing+=(postgresql)
fi
# A virtual environment needs ensurepip, which Debian packages apart.
if [ "$purpose" != build ] && [ ! -x .venv/bin/python ] && ! python3 -c 'import ensurepip' 2>/dev/null; then
  missing+=(python3-venv)
fi
# The tools folder makes its bench images with the system's Python.
if [ "$purpose" = bench ] && ! /usr/bin/python3 -c 'import numpy, PIL' 2>/dev/null; then
  missing+=(python3-numpy python3-pil)
fi
[ ${#missing[@]} -eq 0 ] && exit 0

mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)
if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
  echo "installing ${missing[*]}" >&2
  export DEBIAN_FRONTEND=noninteractive
  log=$(mktemp)
  trap 'rm -f "$log"' EXIT
  if ! { apt-get update && apt-get install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    exit 1
  fi
  exit 0
fi
echo "missing: ${missing[*]}" >&2
echo "install with:  sudo apt-get install ${missing[*]}" >&2
exit 1
