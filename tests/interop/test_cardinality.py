"""A scan of random paths adds no metric series and no memory."""

import random
import socket

from policies import ONE_ROUTE
from support import FULL

PATHS = 1_000_000 if FULL else 50_000
# The gateway ends a connection after 10,000 requests.
PER_CONNECTION = 5_000


def scan(port, count, seed):
    random.seed(seed)
    for _ in range(0, count, PER_CONNECTION):
        scan_on_one_connection(port, min(count, PER_CONNECTION))


def scan_on_one_connection(port, count):
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        stream = connection.makefile("rb")
        for number in range(count):
            path = "/" + "/".join(f"{random.getrandbits(40):x}" for _ in range(random.randint(1, 4)))
            method = random.choice(["GET", "POST", "PURGE", f"X{random.getrandbits(20):X}"])
            connection.sendall(f"{method} {path} HTTP/1.1\r\nHost: h{number}.example\r\nContent-Length: 0\r\n\r\n".encode())
            status = int(stream.readline().split()[1])
            assert status in (404, 405), status
            length = 0
            while (line := stream.readline()) != b"\r\n":
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            stream.read(length)


def test_a_scan_of_random_paths_adds_no_series_and_no_memory(gateway, recorder, moto):
    things = gateway({
        "identity": {"providers": [moto.provider()]},
        "upstreams": [{"id": "things", "endpoints": [f"http://127.0.0.1:{recorder.port}"]}],
    }, {"things.yaml": ONE_ROUTE})
    scan(things.port, 5_000, 1)
    series = lambda: sum(not line.startswith("#") for line in things.metrics().splitlines())
    before, memory = series(), things.resident_kib()
    scan(things.port, PATHS, 2)
    grown = things.resident_kib() - memory
    print(f"\nrandom paths: {PATHS} requests, {series() - before} new series, {grown} KiB grown")
    assert series() == before
    assert grown < 4096
