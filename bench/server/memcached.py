#!/usr/bin/env python3
"""Reads from kvd and from memcached by the same client, kvbench, interleaved: kops/s and server CPU us per operation.

    cargo build --release --bins
    bench/server/memcached.py                    needs memcached (Debian: memcached)

kvd is asked over its binary protocol; both servers have one thread on core 0, the client runs on core 1.
"""
import json
import os
import statistics
import subprocess
import tempfile

from compare import ROOT, Server, cpu_seconds, free_port

KVBENCH = os.path.join(ROOT, "target/release/kvbench")
RECORDS, OPERATIONS, ROUNDS = 100_000, 600_000, 3


def kvbench(command, db, port, depth, out):
    arguments = ["taskset", "-c", "1", KVBENCH, command, "--workload", "c", "--db", db, "--target", f"127.0.0.1:{port}",
                 "-p", f"recordcount={RECORDS}", "-p", "fieldcount=1", "-p", "fieldlength=100", "--connections", "50",
                 "--depth", str(depth), "--report", "json", "--out", out]
    if command == "run":
        arguments += ["--operations", str(OPERATIONS)]
    subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with open(out) as f:
        return json.load(f)["throughput"] / 1e3


def main():
    with tempfile.TemporaryDirectory(dir=".") as scratch:
        ports = {"pinion": free_port(), "memcached": free_port()}
        pin = ["taskset", "-c", "0"]
        servers = {
            "pinion": Server("kvd", [*pin, os.path.join(ROOT, "target/release/kvd"), "--dir", f"{scratch}/kvd", "--listen",
                                     f"127.0.0.1:{ports['pinion']}", "--resp-listen", "off", "--admin-listen", "off", "--shards",
                                     "1", "--cpus", "0", "--memory", "2GB", "--durability", "none"], ports["pinion"]),
            "memcached": Server("memcached", [*pin, "memcached", "-u", "nobody", "-t", "1", "-m", "1024", "-l", "127.0.0.1", "-p",
                                              str(ports["memcached"])], ports["memcached"]),
        }
        try:
            out = f"{scratch}/report.json"
            for db, port in ports.items():
                kvbench("load", db, port, 16, out)
            print("| work | depth | kvd kops/s | kvd CPU us | memcached kops/s | memcached CPU us | memcached CPU / kvd CPU |")
            print("|---|---|---|---|---|---|---|")
            for depth in [1, 16]:
                samples = {db: [] for db in ports}
                for _ in range(ROUNDS):
                    for db, port in ports.items():
                        before = cpu_seconds(servers[db].process.pid)
                        rate = kvbench("run", db, port, depth, out)
                        cpu = cpu_seconds(servers[db].process.pid) - before
                        samples[db].append((rate, cpu * 1e6 / OPERATIONS))
                ours, theirs = ([statistics.median(column) for column in zip(*samples[db])] for db in ports)
                print(f"| C, zipfian | {depth} | {ours[0]:.1f} | {ours[1]:.2f} | {theirs[0]:.1f} | {theirs[1]:.2f} "
                      f"| {theirs[1] / ours[1]:.2f} |", flush=True)
        finally:
            for server in servers.values():
                server.stop()


if __name__ == "__main__":
    main()
