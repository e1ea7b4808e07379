#!/usr/bin/env python3
"""Mixed operations through redis-py, each answer checked against a dict.

    pip install redis
    docs/tour/redis_py_check.py --port 7379 --operations 100000             a plain client, one connection
    docs/tour/redis_py_check.py --port 7379 --operations 100000 --cluster   a cluster client, by the per-core ports

Ends with one line; exits 1 at the first answer that differs, naming the operation and its seed.
"""
import argparse
import os
import random
import sys
import time

import redis


def random_value(rng):
    return bytes(rng.randrange(256) for _ in range(rng.choice([0, 1, 10, 100, 1000])))


class Checker:
    def __init__(self, client, rng, cluster):
        self.client, self.rng, self.cluster = client, rng, cluster
        self.model = {}
        self.prefix = f"check:{os.urandom(5).hex()}:"

    def key(self, kind):
        return f"{self.prefix}{kind}:{self.rng.randrange(2000)}".encode()

    def expect(self, operation, got, expected):
        if got != expected:
            sys.exit(f"{operation}: got {got!r}, expected {expected!r}")

    def step(self):
        rng, client, model = self.rng, self.client, self.model
        choice = rng.randrange(14)
        if choice <= 2:
            key, value = self.key("s"), random_value(rng)
            self.expect(f"SET {key}", client.set(key, value), True)
            model[key] = value
        elif choice <= 5:
            key = self.key("s")
            self.expect(f"GET {key}", client.get(key), model.get(key))
        elif choice == 6:
            key = self.key("s")
            self.expect(f"DEL {key}", client.delete(key), int(model.pop(key, None) is not None))
        elif choice == 7:
            key, by = self.key("n"), rng.randrange(-1000, 1000)
            expected = int(model.get(key, b"0")) + by
            self.expect(f"INCRBY {key}", client.incrby(key, by), expected)
            model[key] = str(expected).encode()
        elif choice == 8:
            keys = [self.key("s") for _ in range(rng.randrange(1, 20))]
            got = client.mget_nonatomic(keys) if self.cluster else client.mget(keys)
            self.expect(f"MGET {keys}", got, [model.get(key) for key in keys])
        elif choice == 9:
            pairs = {self.key("s"): random_value(rng) for _ in range(rng.randrange(1, 20))}
            got = client.mset_nonatomic(pairs) if self.cluster else client.mset(pairs)
            self.expect("MSET", all(got) if isinstance(got, list) else got, True)
            model.update(pairs)
        elif choice == 10:
            key, tail = self.key("s"), random_value(rng)
            model[key] = model.get(key, b"") + tail
            self.expect(f"APPEND {key}", client.append(key, tail), len(model[key]))
        elif choice == 11:
            key, value = self.key("s"), random_value(rng)
            expected = True if key not in model else None
            self.expect(f"SET NX {key}", client.set(key, value, nx=True), expected)
            model.setdefault(key, value)
        elif choice == 12:
            key = self.key("s")
            self.expect(f"EXISTS {key}", client.exists(key), int(key in model))
            self.expect(f"STRLEN {key}", client.strlen(key), len(model.get(key, b"")))
        else:
            key, value = self.key("s"), random_value(rng)
            self.expect(f"SETEX {key}", client.set(key, value, ex=1000), True)
            ttl = client.ttl(key)
            self.expect(f"TTL {key} in range ({ttl})", 990 <= ttl <= 1000, True)
            self.expect(f"PERSIST {key}", client.persist(key), True)
            model[key] = value

    def finish(self):
        """Everything that should be there is, and SCAN finds exactly that."""
        keys = sorted(self.model)
        for start in range(0, len(keys), 500):
            part = keys[start:start + 500]
            got = self.client.mget_nonatomic(part) if self.cluster else self.client.mget(part)
            self.expect("final MGET", got, [self.model[key] for key in part])
        found = sorted(set(self.client.scan_iter(match=self.prefix + "*", count=1000)))
        self.expect("SCAN", found, keys)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=7379)
    parser.add_argument("--operations", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cluster", action="store_true")
    args = parser.parse_args()
    client_class = redis.RedisCluster if args.cluster else redis.Redis
    client = client_class(host=args.host, port=args.port)
    checker = Checker(client, random.Random(args.seed), args.cluster)
    start = time.monotonic()
    for number in range(args.operations):
        try:
            checker.step()
        except SystemExit as wrong:
            sys.exit(f"operation {number}, seed {args.seed}: {wrong}")
    checker.finish()
    kind = "cluster" if args.cluster else "plain"
    seconds = time.monotonic() - start
    print(f"{args.operations} operations by a {kind} client agree with a dict, {len(checker.model)} keys, {seconds:.1f} s")


if __name__ == "__main__":
    main()
