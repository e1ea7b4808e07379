#!/usr/bin/env python3
"""Ten times more data than memory: loads, reads everything back, kills, starts again, reads everything back again.

    cargo build --release --bins
    bench/server/larger_than_memory.py                          5 million records of 1 KiB, --memory 512MB, 2 shards
    bench/server/larger_than_memory.py --records 500000 --memory-mb 64

Runs kvd in a memory cgroup (version 1 or 2) of 1.5 times the budget and as the user `nobody`; without root it does
without both and says so. Looks at RssAnon ten times a second. Ends with 1 if an operation failed, a record was missing,
a second passed without progress, or RssAnon was over 1.25 times the budget. Ends everything it starts by process id.
"""
import argparse
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BIN = os.path.join(ROOT, "target/release")


class Cgroup:
    """A memory cgroup of our own; `None` as its directory if there can't be one."""

    def __init__(self, limit):
        self.dir = None
        v2 = os.path.exists("/sys/fs/cgroup/cgroup.controllers")
        base = "/sys/fs/cgroup" if v2 else "/sys/fs/cgroup/memory"
        path = os.path.join(base, f"pinion-larger-than-memory-{os.getpid()}")
        try:
            os.mkdir(path)
            self.dir = path
            with open(os.path.join(path, "memory.max" if v2 else "memory.limit_in_bytes"), "w") as f:
                f.write(str(limit))
            print(f"memory cgroup {'v2' if v2 else 'v1'} of {limit >> 20} MiB")
        except OSError as error:
            print(f"skipped: the memory cgroup: {error}")

    def add(self, pid):
        if self.dir:
            with open(os.path.join(self.dir, "cgroup.procs"), "w") as f:
                f.write(str(pid))

    def remove(self):
        if self.dir:
            os.rmdir(self.dir)


class Kvd:
    """A server, and the most anonymous memory that it was seen with."""

    def __init__(self, directory, arguments, cgroup):
        as_nobody = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            as_nobody = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        # It joins the group before it is started: what it takes at its start counts too.
        since = time.monotonic()
        self.process = subprocess.Popen(
            ["sh", "-c", 'read go; exec "$@"', "sh", os.path.join(BIN, "kvd"), "--dir", directory,
             "--listen", "127.0.0.1:0", "--resp-listen", "off", "--admin-listen", "off", *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **as_nobody)
        cgroup.add(self.process.pid)
        self.process.stdin.write("go\n")
        self.process.stdin.close()
        line = self.process.stdout.readline()
        self.started_in = time.monotonic() - since
        if not line.startswith("ready: "):
            sys.exit(f"kvd didn't start: {line!r}")
        self.address = line.split("kv ")[1].split(",")[0]
        self.anonymous_max = 0
        self.over = threading.Event()
        self.watcher = threading.Thread(target=self.watch)
        self.watcher.start()

    def watch(self):
        while not self.over.wait(0.1):
            try:
                with open(f"/proc/{self.process.pid}/status") as status:
                    kib = next((int(line.split()[1]) for line in status if line.startswith("RssAnon:")), 0)
            except OSError:
                return
            self.anonymous_max = max(self.anonymous_max, kib << 10)

    def end(self, signal_number):
        self.process.send_signal(signal_number)
        self.process.wait()
        self.over.set()
        self.watcher.join()


def kvbench(kvd, arguments, out):
    subprocess.run([os.path.join(BIN, "kvbench"), *arguments, "--target", kvd.address, "--report", "json",
                    "--out", out], check=True)
    with open(out) as f:
        return json.load(f)


def failures(report):
    kinds = {kind["name"]: kind for kind in report["kinds"]}
    failed = sum(kind["operations"] for name, kind in kinds.items() if name.endswith("-FAILED"))
    missing = sum(count for kind in kinds.values() for name, count in kind["returns"].items() if name != "OK")
    return failed, missing


def describe(name, report, problems):
    # The last second is rarely a whole one.
    seconds = [second["operations"] for second in report["timeline"]][:-1] or [0]
    failed, missing = failures(report)
    slowest = max(kind["max_us"] for kind in report["kinds"]) / 1000
    print(f"{name:<26} {report['operations']:>10} {report['throughput']:>12.0f} {min(seconds):>15} "
          f"{slowest:>11.0f} ms {failed:>8} {missing:>8}")
    if failed or missing:
        problems.append(f"{name}: {failed} failed, {missing} not found")
    if min(seconds) == 0 and len(seconds) > 1:
        problems.append(f"{name}: a second without progress")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=5_000_000)
    parser.add_argument("--memory-mb", type=int, default=512)
    parser.add_argument("--shards", type=int, default=2)
    parser.add_argument("--dir", default=None, help="where data goes")
    options = parser.parse_args()
    budget = options.memory_mb * 1_000_000
    scratch = tempfile.mkdtemp(prefix="pinion-larger-than-memory-", dir=options.dir)
    os.chmod(scratch, 0o777)
    cgroup, kvd, problems = Cgroup(budget * 3 // 2), None, []
    arguments = ["--memory", f"{options.memory_mb}MB", "--shards", str(options.shards)]
    workload = ["-p", f"recordcount={options.records}", "--threads", "2", "--connections", "16"]
    every = ["run", "--workload", "c", "-p", "requestdistribution=sequential",
             "--operations", str(options.records), *workload, "--depth", "32"]
    try:
        directory, out = os.path.join(scratch, "data"), os.path.join(scratch, "report.json")
        kvd = Kvd(directory, arguments, cgroup)
        print(f"{'':<26} {'operations':>10} {'a second':>12} {'slowest second':>15} {'slowest one':>14} "
              f"{'failed':>8} {'missing':>8}")
        describe("load", kvbench(kvd, ["load", "--workload", "a", *workload, "--depth", "16"], out), problems)
        describe("read everything", kvbench(kvd, every, out), problems)
        kvd.end(signal.SIGKILL)
        most = kvd.anonymous_max
        kvd = Kvd(directory, arguments, cgroup)
        restarted_in = kvd.started_in
        describe("read everything, restarted", kvbench(kvd, every, out), problems)
        kvd.end(signal.SIGTERM)
        most = max(most, kvd.anonymous_max)
        kvd = None
        print(f"RssAnon at most {most / 1e6:.0f} MB of {options.memory_mb} MB; "
              f"after kill -9 it served again in {restarted_in:.2f} s")
        if most > budget * 5 // 4:
            problems.append("RssAnon was over 1.25 times the budget")
    finally:
        if kvd:
            kvd.end(signal.SIGKILL)
        cgroup.remove()
        shutil.rmtree(scratch, ignore_errors=True)
    for problem in problems:
        print(f"FAILED: {problem}")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
