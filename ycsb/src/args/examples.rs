//! The examples that help texts end with.

pub(super) const EXAMPLES: &str = "\
Examples:
  kvbench quickstart                 a node of its own, all six workloads
  kvbench load -w a -p recordcount=100000 --connections 50 --depth 16
  kvbench run  -w a -p recordcount=100000 --connections 50 --duration 30
  kvbench run  -w c --rate 5000 --duration 10 --report json --out c.json
  kvbench run  -w a --duration 10 --plot a.svg
  kvbench run  -w b --db resp        kvd's RESP port
  kvbench run  -w b --db resp --target 127.0.0.1:6379         Redis
  kvbench load -w e --db embedded --dir ./bench-data          this process
  kvbench run  -w e --db embedded --dir ./bench-data --duration 10
  kvbench run  -w a -p target=10000 --duration 10    throttled closed loop

A load and its runs must agree on recordcount (100,000 unless set),
fieldcount, fieldlength, insertorder and zeropadding. Order as YCSB
recommends: load, a, b, c, f, d; then an empty store, load, e.";

pub(super) const QUICKSTART_EXAMPLES: &str = "\
Examples:
  kvbench quickstart
  kvbench quickstart --records 10000 --duration 1 --out quick.json
  kvbench quickstart --durability none --dir /mnt/disk

Ctrl-C ends it and removes its data.";
