#!/usr/bin/env bash
# A throwaway S3 server for tests, moto from .venv (scripts/venv.sh): scripts/s3.sh start DIR | stop DIR.
# start makes DIR, which must not exist, starts the server on a free port of 127.0.0.1 and prints its URL; stop ends it
# and removes DIR. It keeps everything in memory and takes any credentials: for nothing that is to be kept.
set -euo pipefail

usage() { echo "usage: scripts/s3.sh start|stop DIR" >&2; exit 2; }
[ $# -eq 2 ] || usage
action=$1 dir=$2
program=$(cd "$(dirname "$0")/.." && pwd)/.venv/bin/moto_server
[ -x "$program" ] || { echo "moto is missing: run scripts/venv.sh" >&2; exit 1; }

free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

answers() {
  python3 -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=5).read()' "$1" 2>/dev/null
}

start() {
  local port try wait pid
  mkdir -m 700 "$dir"
  # Somebody else may take the port between our asking and the server's binding.
  for try in 1 2 3; do
    port=$(free_port)
    # No descriptor of ours goes with the server: who reads what we print would wait for its end.
    setsid "$program" -H 127.0.0.1 -p "$port" >"$dir/server.log" 2>&1 </dev/null &
    pid=$!
    echo "$pid" >"$dir/pid"
    for wait in $(seq 300); do
      if ! kill -0 "$pid" 2>/dev/null; then break; fi
      # The path lists the buckets, of which there are none.
      if answers "http://127.0.0.1:$port/"; then
        echo "http://127.0.0.1:$port"
        return
      fi
      sleep 0.1
    done
    kill "$pid" 2>/dev/null || true
  done
  cat "$dir/server.log" >&2
  rm -rf "$dir"
  exit 1
}

stop() {
  [ -f "$dir/pid" ] || return 0
  kill "$(cat "$dir/pid")" 2>/dev/null || true
  rm -rf "$dir"
}

case $action in
start) start ;;
stop) stop ;;
*) usage ;;
esac
