#!/usr/bin/env python3
"""Servers side by side: kvd, redis-server, memcached; the same client, pinned to another core, rounds interleaved.

    cargo build --release --bin kvd
    bench/server/compare.py                      every pairing, five rounds, medians
    bench/server/compare.py --rounds 3 --work get
    bench/server/compare.py --against OLD/kvd    beside another build of kvd instead of redis-server
    bench/server/compare.py --perf out/          also profiles kvd's GET and SET (needs perf)

Prints, for each work and pipeline depth, thousand operations a second and the server's CPU microseconds per
operation (user and system, all its threads, from /proc), and the ratio of the peer's CPU to ours. The client is
redis-benchmark (for memcached a small one of this script's own would be the limit, so kvbench is used if built).
Needs redis-server and redis-benchmark (Debian: redis-server, redis-tools). Ends everything it starts by process id.
"""
import argparse
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

TICK = os.sysconf("SC_CLK_TCK")
HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def cpu_seconds(pid):
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/schedstat") as f:
            total += int(f.read().split()[0])
    return total / 1e9


class Server:
    def __init__(self, name, command, port):
        self.name, self.port = name, port
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            except OSError:
                if self.process.poll() is not None:
                    sys.exit(f"{name} ended at its start: {' '.join(command)}")
                time.sleep(0.05)
        sys.exit(f"{name} doesn't listen on port {port}")

    def stop(self):
        self.process.terminate()
        self.process.wait()


def start_kvd(scratch, durability, server_cpu, program=os.path.join(ROOT, "target/release/kvd")):
    port = free_port()
    command = ["taskset", "-c", server_cpu, program,
               "--dir", os.path.join(scratch, f"kvd-{durability.replace(':', '')}-{port}"), "--listen", "127.0.0.1:0",
               "--resp-listen", f"127.0.0.1:{port}", "--admin-listen", "off", "--shards", "1", "--cpus", server_cpu,
               "--memory", "2GB", "--durability", durability]
    return Server(f"kvd {durability}", command, port)


def start_redis(scratch, mode, server_cpu):
    port = free_port()
    directory = os.path.join(scratch, f"redis-{mode}-{port}")
    os.makedirs(directory)
    persistence = ["--appendonly", "no"] if mode == "none" else ["--appendonly", "yes", "--appendfsync", mode]
    command = ["taskset", "-c", server_cpu, "redis-server", "--port", str(port), "--save", "", "--dir", directory,
               "--daemonize", "no", *persistence]
    return Server(f"redis {mode}", command, port)


def drive(server, work, depth, args):
    """One measurement: (kops/s, CPU us per operation)."""
    operations = {1: args.operations // 4}.get(depth, args.operations)
    if work == "set-sync":
        operations //= 4
    test = "get" if work == "get" else "set"
    command = ["taskset", "-c", args.client_cpu, "redis-benchmark", "-h", "127.0.0.1", "-p", str(server.port),
               "-t", test, "-n", str(operations), "-r", str(args.keys), "-d", "100", "-c", "50", "-P", str(depth), "--csv"]
    cpu, start = cpu_seconds(server.process.pid), time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds, cpu = time.monotonic() - start, cpu_seconds(server.process.pid) - cpu
    rate = re.search(r'^"(?:GET|SET)","([0-9.]+)"', done.stdout, re.MULTILINE)
    if not rate:
        sys.exit(f"redis-benchmark said: {done.stdout}{done.stderr}")
    return float(rate.group(1)) / 1e3, cpu * 1e6 / operations, seconds


PAIRS = {
    "get": ("none", "none"),
    "set-none": ("none", "none"),
    "set-interval": ("interval:1000", "everysec"),
    "set-sync": ("sync", "always"),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", choices=PAIRS, action="append")
    parser.add_argument("--depth", type=int, action="append")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--operations", type=int, default=800_000)
    parser.add_argument("--keys", type=int, default=100_000)
    parser.add_argument("--server-cpu", default="0")
    parser.add_argument("--client-cpu", default="1")
    parser.add_argument("--dir", default=".", help="where the servers' files go: a directory on the disk to measure")
    parser.add_argument("--against", metavar="KVD", help="another build of kvd, to stand where redis-server does")
    parser.add_argument("--perf", help="a directory for profiles of kvd")
    args = parser.parse_args()
    peer = "other kvd" if args.against else "redis"
    if not shutil.which("redis-benchmark"):
        sys.exit("redis-benchmark is missing: install redis-tools")
    depths = args.depth or [1, 16, 64]
    print(f"{args.keys} keys, 100 B values, 50 connections, {args.rounds} rounds interleaved, medians; "
          f"server on CPU {args.server_cpu}, client on CPU {args.client_cpu}\n")
    print(f"| work | depth | kvd kops/s | kvd CPU us | {peer} kops/s | {peer} CPU us | {peer} CPU / kvd CPU |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for work in args.work or list(PAIRS):
        ours, theirs = PAIRS[work]
        with tempfile.TemporaryDirectory(dir=args.dir) as scratch:
            servers = [start_kvd(scratch, ours, args.server_cpu)]
            servers.append(start_kvd(scratch, ours, args.server_cpu, args.against) if args.against
                           else start_redis(scratch, theirs, args.server_cpu))
            try:
                for server in servers:
                    # Every key is there before anything is read.
                    subprocess.run(["redis-benchmark", "-p", str(server.port), "-t", "set", "-n", str(args.keys * 5), "-r",
                                    str(args.keys), "-d", "100", "-P", "64", "-q"], capture_output=True, check=True)
                for depth in depths:
                    samples = {server: [] for server in servers}
                    for turn in range(args.rounds):
                        for server in servers[::1 if turn % 2 else -1]:
                            samples[server].append(drive(server, work, depth, args))
                    medians = []
                    for server in servers:
                        rates, cpus, _ = zip(*samples[server])
                        medians += [statistics.median(rates), statistics.median(cpus)]
                    print(f"| {work} | {depth} | {medians[0]:.1f} | {medians[1]:.2f} | {medians[2]:.1f} | {medians[3]:.2f} "
                          f"| {medians[3] / medians[1]:.2f} |", flush=True)
                if args.perf:
                    profile(servers[0], work, args)
            finally:
                for server in servers:
                    server.stop()


def profile(server, work, args):
    """Where the server's time goes, in functions of at least one percent."""
    os.makedirs(args.perf, exist_ok=True)
    test = "get" if work == "get" else "set"
    client = subprocess.Popen(["taskset", "-c", args.client_cpu, "redis-benchmark", "-p", str(server.port), "-t", test,
                               "-n", "100000000", "-r", str(args.keys), "-d", "100", "-P", "16", "-q"],
                              stdout=subprocess.DEVNULL)
    data = os.path.join(args.perf, f"{work}.data")
    subprocess.run(["perf", "record", "-q", "-p", str(server.process.pid), "-o", data, "--", "sleep", "5"], check=True)
    client.terminate()
    client.wait()
    report = subprocess.run(["perf", "report", "-i", data, "--no-children", "--stdio", "--percent-limit", "1"],
                            capture_output=True, text=True, check=True)
    with open(os.path.join(args.perf, f"{work}.txt"), "w") as f:
        f.write(report.stdout)
    os.remove(data)


if __name__ == "__main__":
    main()
