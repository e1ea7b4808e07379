#!/usr/bin/env python3
"""Instructions an operation, counted by callgrind: of this tree, or of it beside another checkout.

    bench/instructions.py                        this tree
    bench/instructions.py --against OTHER        beside another checkout of this project
    bench/instructions.py --work set --annotate  also where they go
    bench/instructions.py --repeats 5            medians of five stores each

The same program (bench/src/bin/instructions.rs) is built against both engines, with an embedded store, 100,000 records
of 100 B and one caller. Counted is what the caller's thread does, in our own code and libraries, not the kernel's nor the
background thread's, and not what is done once: the same operations run before. Needs valgrind (Debian: valgrind), which
gives the background thread little time: scans of tables take minutes. A figure repeats within 1%, scans of
tables within 3%: seeds of hash tables differ from run to run, where tables end, and how often a SET finds a log write done.
"""
import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# What is asked for: the program's work, where the records are, and how often.
WORKS = {
    "get-memtable": ("get", "memtable", 20_000),
    "get-table": ("get", "tables", 20_000),
    "get-absent": ("get-absent", "tables", 20_000),
    "set": ("set", "tables", 20_000),
    "scan-memtable": ("scan", "memtable", 200),
    "scan-table": ("scan", "tables", 200),
}
MANIFEST = """
[package]
name = "instructions"
version = "0.0.0"
edition = "2024"
[workspace]
[[bin]]
name = "instructions"
path = "{program}"
[dependencies]
pinion-engine = {{ path = "{engine}" }}
[profile.release]
lto = "thin"
codegen-units = 1
debug = "line-tables-only"
"""


def build(tree, name):
    """The program against the engine of a checkout, in a package of its own with the checkout's versions of libraries."""
    package = os.path.join(ROOT, "target", "instructions", name)
    os.makedirs(package, exist_ok=True)
    with open(os.path.join(package, "Cargo.toml"), "w") as f:
        f.write(MANIFEST.format(program=os.path.join(ROOT, "bench/src/bin/instructions.rs"), engine=os.path.join(tree, "engine")))
    shutil.copy(os.path.join(tree, "Cargo.lock"), package)
    target = os.path.join(ROOT, "target", "instructions", "build", name)
    subprocess.run(["cargo", "build", "--release", "--quiet", "--target-dir", target], cwd=package, check=True)
    return os.path.join(target, "release", "instructions")


def per_operation(program, name, annotate=False):
    work, place, operations = WORKS[name]
    with tempfile.TemporaryDirectory() as scratch:
        store, out = os.path.join(scratch, "store"), os.path.join(scratch, "callgrind.out")
        subprocess.run([program, "prepare", store, place], check=True)
        command = ["valgrind", "--tool=callgrind", "--fair-sched=yes", f"--callgrind-out-file={out}", "--toggle-collect=*measured*",
                   program, work, store, str(operations)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600)
        total = re.search(r"Collected : (\d+)", done.stderr)
        if done.returncode or not total:
            sys.exit(f"{' '.join(command)} said: {done.stderr}")
        if annotate:
            shown = subprocess.run(["callgrind_annotate", "--auto=no", out], capture_output=True, text=True, check=True).stdout
            print("\n".join(shown.splitlines()[:60]))
        return int(total.group(1)) / operations


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", metavar="OTHER", help="another checkout of this project")
    parser.add_argument("--work", choices=WORKS, action="append")
    parser.add_argument("--annotate", action="store_true", help="also print which functions this tree's instructions are in")
    parser.add_argument("--repeats", type=int, default=1, metavar="N", help="stores made for each figure, of which the median is shown")
    args = parser.parse_args()
    if not shutil.which("valgrind"):
        sys.exit("valgrind isn't installed (Debian: apt-get install valgrind)")
    this, other = build(ROOT, "this"), build(os.path.abspath(args.against), "other") if args.against else None
    print("| work | instructions an operation |" + (" other | this / other |" if other else ""))
    print("|---|---|" + ("---|---|" if other else ""))
    for work in args.work or WORKS:
        # One of each in turn, so that what changes on the machine meanwhile meets both.
        counts = [(per_operation(this, work, args.annotate), per_operation(other, work) if other else 0) for _ in range(args.repeats)]
        ours, theirs = (statistics.median(column) for column in zip(*counts))
        row = f"| {work} | {ours:,.0f} |"
        if other:
            row += f" {theirs:,.0f} | {ours / theirs:.3f} |"
        print(row, flush=True)


if __name__ == "__main__":
    main()
