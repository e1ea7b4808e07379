#!/usr/bin/env python3
"""Turns a Debian package index (apt-cache dumpavail) into lines of KEY<TAB>JSON, sorted out by package.

    apt-cache dumpavail | docs/tour/packages.py > packages.tsv

A key is `pkg:NAME:ARCHITECTURE:VERSION`; a value is a JSON object of all fields of the record.
"""
import json
import sys


def records(lines):
    record, field = {}, None
    for line in lines:
        line = line.rstrip("\n")
        if not line:
            if record:
                yield record
            record, field = {}, None
        elif line[0] in " \t" and field:
            record[field] += "\n" + line[1:]
        else:
            field, _, value = line.partition(":")
            record[field] = value.strip()
    if record:
        yield record


def main():
    for record in records(sys.stdin):
        name = ":".join([record["Package"], record.get("Architecture", "all"), record.get("Version", "")])
        print(f"pkg:{name}\t{json.dumps(record, ensure_ascii=False, sort_keys=True)}")


if __name__ == "__main__":
    main()
