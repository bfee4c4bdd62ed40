#!/usr/bin/env bash
# make run: builds, makes the sample study, imports it, serves it and says what to open. Ctrl-C ends it.
# PRECINCT_DATA (default ./data), PRECINCT_HTTP (default 127.0.0.1:8080) and PRECINCT_DICOM (default 127.0.0.1:11112) are
# the server's own settings.
set -euo pipefail
cd "$(dirname "$0")/.."

bash scripts/need.sh build
cargo build -p precinct --bin precinct
if [ ! -e build/sample.made ]; then
  rm -rf build/sample
  cargo run --quiet -p precinct --example sample_study -- build/sample
  touch build/sample.made
fi

precinct=${CARGO_TARGET_DIR:-target}/debug/precinct
export PRECINCT_DATA=${PRECINCT_DATA:-./data}
if ! "$precinct" import build/sample; then
  echo "the sample could not be imported into $PRECINCT_DATA; is a server running on it?" >&2
  exit 1
fi

http=${PRECINCT_HTTP:-127.0.0.1:8080}
ready=$(mktemp -u)
mkfifo "$ready"
trap 'rm -f "$ready"' EXIT
"$precinct" serve --http "$http" >"$ready" &
server=$!
# Ctrl-C reaches the server too, which drains; this shell only has to outlive it.
trap ':' INT
trap 'kill -TERM "$server" 2>/dev/null' TERM
read -r line <"$ready" || true
address=$(sed -nE 's/.*http=([^ ]+).*/\1/p' <<<"$line")
dicom=$(sed -nE 's/.*dicom=([^ ]+).*/\1/p' <<<"$line")
if [ -z "$address" ]; then
  wait "$server" || true
  echo "the server did not start; other addresses can be chosen:  PRECINCT_HTTP=127.0.0.1:0 PRECINCT_DICOM=127.0.0.1:0 make run" >&2
  exit 1
fi
echo
echo "  open   http://$address/"
# The largest image shows what a window is for; deeper than 8 bits, its PNG is dark, a PGM is scaled by its viewer.
python3 - "http://$address" "$precinct" 2>/dev/null <<'P' || true
import json, sys, time, urllib.request
base, precinct = sys.argv[1:3]
for _ in range(50):
    items = json.load(urllib.request.urlopen(base + "/api/v1/targets?limit=1000"))["items"]
    if all(i["state"] != "stored" for i in items):
        break
    time.sleep(0.1)
items = [i for i in items if i["state"] == "indexed"]
largest = max(items, key=lambda i: i["width"] * i["height"])
print(f"  or     {precinct} fetch '{largest['jpip_url']}' --fsiz 512,640 -o thumbnail.pgm")
for item in items:
    if item["codestreams"] > 1:
        print(f"  or     {precinct} fetch '{item['jpip_url']}' --stream 2 -o frame2.png")
        break
P
echo "  or     storescu -xv -aec PRECINCT ${dicom/:/ } FILE.dcm        (dcmtk: sends an object; -xv offers JPEG 2000)"
echo "  Ctrl-C ends the server; the data stays in $PRECINCT_DATA"
while kill -0 "$server" 2>/dev/null; do wait "$server" || true; done
