#!/usr/bin/env bash
# A Debian package index as real input: tens of thousands of records, written through kv, a kill -9 in the middle,
# written on, and read back byte for byte.
#     docs/tour/packages.sh [PACKAGES.tsv]     (made from apt-cache dumpavail if none is given)
# Expects kvd and kv in target/release; works in a temporary directory and ends what it started.
set -euo pipefail
cd "$(dirname "$0")/../.."
bin=$PWD/target/release
dir=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill -9 "$pid" 2>/dev/null || true; rm -rf "$dir"' EXIT

start() {
  # The server truncates it too late: what the one before said would be found first.
  rm -f "$dir/out"
  "$bin/kvd" --dir "$dir/data" --listen 127.0.0.1:0 --resp-listen off --admin-listen off --memory 256MB \
    >"$dir/out" 2>>"$dir/err" &
  pid=$!
  until grep -qs '^ready:' "$dir/out"; do kill -0 "$pid"; read -rt 0.05 <> <(:) || true; done
  address=$(sed -E 's/.*kv ([^,]+),.*/\1/' "$dir/out")
}

records=${1:-$dir/packages.tsv}
[ $# -gt 0 ] || apt-cache dumpavail | docs/tour/packages.py >"$records"
total=$(wc -l <"$records")
echo "$total records, $(wc -c <"$records") bytes"

start
"$bin/kv" -a "$address" mput - <"$records" >"$dir/first" 2>&1 &
writer=$!
# The kill comes when about half is there, and the writer hears of it.
until [ "$("$bin/kv" -a "$address" count | awk '{ print $1 }')" -gt $((total / 2)) ]; do :; done
kill -9 "$pid"
wait "$writer" && { echo "the writer did not notice the kill"; exit 1; }
start
echo "killed; after the restart $("$bin/kv" -a "$address" count) keys are there"
"$bin/kv" -a "$address" mput - <"$records" >"$dir/second"
"$bin/kv" -a "$address" --json scan --prefix pkg: |
  python3 -c 'import json, sys
for line in sys.stdin:
    item = json.loads(line)
    sys.stdout.buffer.write(item["key"].encode() + b"\t" + item["value"].encode() + b"\n")' |
  LC_ALL=C sort >"$dir/found"
LC_ALL=C sort "$records" | cmp - "$dir/found"
echo "written on, and all $total records are back, byte for byte"
