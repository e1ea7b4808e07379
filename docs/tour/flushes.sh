#!/usr/bin/env bash
# 1,000 SETs one at a time, and how often the data device was told to flush meanwhile: at least as often.
# docs/tour/flushes.sh PORT DEVICE     (the RESP port; the device under the data directory, such as vda)
set -euo pipefail
port=${1:?the RESP port} device=${2:?the block device, such as vda}
flushes() { awk '{ print $16 }' "/sys/block/$device/stat"; }
before=$(flushes)
for i in $(seq 1000); do printf 'SET flush:%d %d\n' "$i" "$i"; done | redis-cli -p "$port" >/dev/null
after=$(flushes)
echo "1000 SETs, $((after - before)) flushes of $device"
[ $((after - before)) -ge 1000 ]
