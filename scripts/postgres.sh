#!/usr/bin/env bash
# A throwaway PostgreSQL cluster for tests, of Debian's programs: scripts/postgres.sh start DIR | stop DIR.
# start makes the cluster in DIR, which must not exist, on a free port of 127.0.0.1 and prints its URL; stop ends it and
# removes DIR. It never syncs: for nothing that is to be kept. PostgreSQL refuses to run as root, so root hands it to
# the user postgres, who comes with the package; then DIR must lie where that user may go, as under /tmp.
set -euo pipefail

usage() { echo "usage: scripts/postgres.sh start|stop DIR" >&2; exit 2; }
[ $# -eq 2 ] || usage
action=$1 dir=$2
programs=$(find /usr/lib/postgresql -mindepth 3 -maxdepth 3 -name initdb -printf '%h\n' 2>/dev/null | sort -V | tail -n 1)
[ -n "$programs" ] || { echo "PostgreSQL's programs are missing: apt-get install postgresql" >&2; exit 1; }

# Runs a program of PostgreSQL as who may run it.
as_owner() {
  local program=$1
  shift
  if [ "$(id -u)" -eq 0 ]; then
    (cd / && setpriv --reuid=postgres --regid=postgres --clear-groups "$programs/$program" "$@")
  else
    "$programs/$program" "$@"
  fi
}

free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

start() {
  local port try
  mkdir -m 700 "$dir"
  dir=$(cd "$dir" && pwd)
  if [ "$(id -u)" -eq 0 ]; then chown postgres: "$dir"; fi
  as_owner initdb -D "$dir/data" -A trust -U postgres -E UTF8 --locale=C.UTF-8 --no-sync >"$dir/initdb.log" 2>&1 || {
    cat "$dir/initdb.log" >&2
    exit 1
  }
  # Somebody else may take the port between our asking and the server's binding.
  for try in 1 2 3; do
    port=$(free_port)
    # No descriptor of ours goes with the server: who reads what we print would wait for its end.
    if as_owner pg_ctl -D "$dir/data" -w -t 60 -l "$dir/server.log" -o "-p $port -h 127.0.0.1 -k '' \
      -c fsync=off -c full_page_writes=off -c synchronous_commit=off -c shared_buffers=64MB -c max_connections=400" \
      start >"$dir/start.log" 2>&1 </dev/null; then
      echo "postgres://postgres@127.0.0.1:$port/postgres"
      return
    fi
  done
  cat "$dir/start.log" "$dir/server.log" >&2
  exit 1
}

stop() {
  [ -d "$dir/data" ] || return 0
  dir=$(cd "$dir" && pwd)
  as_owner pg_ctl -D "$dir/data" -w -t 60 -m immediate stop >/dev/null 2>&1 || true
  rm -rf "$dir"
}

case $action in
start) start ;;
stop) stop ;;
*) usage ;;
esac
