"""Clients in numbers, and an upstream for them; each role is a process of its own, and tells JSON on its standard output.

crowd.py upstream PORT | busy PORT | steady PORT RATE SECONDS | slow PLAIN_PORT TLS_PORT COUNT | idle PORT COUNT
"""

import asyncio
import contextlib
import json
import os
import resource
import socket
import struct
import sys
import time


def more_files():
    """As many open files as the system allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def tell(**said):
    print(json.dumps(said), flush=True)


def elsewhere():
    """On another machine in truth: what it computes must not be taken from the gateway and those that it serves."""
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def first():
    """Those that are timed do not wait for this machine where they may say so: what is timed is the gateway."""
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, -10)


async def busy(port):
    """An upstream of attackers."""
    elsewhere()
    await serve(port)


async def upstream(port):
    first()
    await serve(port)


async def serve(port):
    block = bytes(64 * 1024)

    async def answer(reader, writer):
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if head.startswith(b"GET /open/big "):
                    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1073741824\r\n\r\n")
                    for _ in range(16 * 1024):
                        writer.write(block)
                        await writer.drain()
                else:
                    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                    await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", port, backlog=4096)
    tell(listening=port)
    await server.serve_forever()


async def steady(port, rate, seconds):
    """So many requests a second, whatever the answers take, over at most a hundred connections; nothing is asked twice."""
    first()
    token = os.environ["COGWARD_TOKEN"]
    request = f"GET /users/u-1 HTTP/1.1\r\nHost: app\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    pool, took, errors, places = [], [], [], asyncio.Semaphore(100)

    async def ask():
        began = time.perf_counter()
        async with places:
            await exchange(began)

    async def exchange(began):
        try:
            # One that was idle for long may be closed at this very moment.
            while pool and time.perf_counter() - pool[-1][2] > 2:
                pool.pop()[1].close()
            reader, writer, _ = pool.pop() if pool else (*await asyncio.open_connection("127.0.0.1", port), 0)
            writer.write(request)
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)
            length = next(int(line.split(b":")[1]) for line in head.lower().splitlines() if line.startswith(b"content-length:"))
            await reader.readexactly(length)
            took.append(time.perf_counter() - began)
            if not head.startswith(b"HTTP/1.1 200 "):
                errors.append(head.split(b"\r\n")[0].decode())
            if b"connection: close" in head.lower():
                writer.close()
            else:
                pool.append((reader, writer, time.perf_counter()))
        except Exception as error:  # Whatever it is, it counts.
            errors.append(repr(error))

    begin, tasks = time.perf_counter(), []
    for number in range(rate * seconds):
        await asyncio.sleep(max(0.0, begin + number / rate - time.perf_counter()))
        tasks.append(asyncio.create_task(ask()))
    await asyncio.gather(*tasks)
    took.sort()
    at = lambda share: round(took[min(len(took) - 1, int(len(took) * share))] * 1000, 2) if took else None
    tell(requests=len(tasks), errors=len(errors), first_errors=errors[:3], p50_ms=at(0.5), p99_ms=at(0.99))


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def block(method, path):
    fields = ((":method", method), (":scheme", "http"), (":path", path), (":authority", "app"))
    return b"".join(b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode() for name, value in fields)


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = frame(4, 0, 0)

# What is said first, and then once a second; whether the client reads in sips.
KINDS = {
    "silent": (b"", b"", False),
    "head drip": (b"GET /open/a HTTP/1.1\r\nHost: app\r\nX-Drip: ", b"a", False),
    "body drip": (b"POST /open/a HTTP/1.1\r\nHost: app\r\nContent-Length: 1000000\r\n\r\n", b"a", False),
    "chunk drip": (b"POST /open/a HTTP/1.1\r\nHost: app\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n", False),
    "read drip": (b"GET /open/big HTTP/1.1\r\nHost: app\r\n\r\n", b"", True),
    "half preface": (PREFACE[:20], b"", False),
    "frame drip": (PREFACE + SETTINGS + b"\0\0\x40\x01\x04\0\0\0\x01", b"\0", False),
    "block drip": (PREFACE + SETTINGS + frame(1, 0, 1, block("GET", "/open/a")), frame(9, 0, 1, b""), False),
    "data drip": (PREFACE + SETTINGS + frame(1, 4, 1, block("POST", "/open/a")), frame(0, 0, 1, b"a"), False),
    "window drip": (PREFACE + frame(4, 0, 0, b"\0\x04\0\0\0\0") + frame(1, 5, 1, block("GET", "/open/big")),
                    frame(8, 0, 1, b"\0\0\0\x01"), False),
    "half TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"\0", False),
}


async def slow(plain, tls, count):
    elsewhere()
    files, loop = more_files(), asyncio.get_running_loop()
    if count + 100 > files:
        sys.exit(f"{count} connections need as many open files, and the system allows {files}: raise `ulimit -Hn`")
    opened, began = asyncio.Semaphore(200), loop.time()
    # How many of each kind were ended by the gateway, as far as the client can see: a sipping one reads what was sent before.
    ended, left = dict.fromkeys(KINDS, 0), count
    # The longest life of each kind, in seconds.
    longest = dict.fromkeys(KINDS, 0.0)

    async def one(number):
        nonlocal left
        kind = kinds[number % len(kinds)]
        first, more, sips = KINDS[kind]
        # A thousand a second: who wants to hold places has no hurry, and a flood of handshakes is another attack.
        await asyncio.sleep(began + number / 1000 - loop.time())
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        since = loop.time()
        try:
            async with opened:
                await loop.sock_connect(sock, ("127.0.0.1", tls if kind == "half TLS" else plain))
                await loop.sock_sendall(sock, first)
            since = loop.time()
            left -= 1
            if left == 0:
                tell(opened=count)
            while True:
                if not sips:
                    # What comes is read away; the end is seen.
                    with contextlib.suppress(TimeoutError):
                        while await asyncio.wait_for(loop.sock_recv(sock, 4096), 1.0):
                            pass
                        break
                else:
                    await asyncio.sleep(1.0)
                    if not await asyncio.wait_for(loop.sock_recv(sock, 16), 60):
                        break
                await loop.sock_sendall(sock, more)
        except OSError:
            pass
        finally:
            sock.close()
        ended[kind] += 1
        longest[kind] = max(longest[kind], round(loop.time() - since, 1))

    kinds = list(KINDS)
    tasks = [asyncio.create_task(one(number)) for number in range(count)]
    await asyncio.wait(tasks, timeout=float(os.environ.get("COGWARD_HOLD", "60")))
    tell(of_each=count // len(kinds), ended=ended, longest=longest)
    os._exit(0)


async def idle(port, count):
    files = more_files()
    if count + 100 > files:
        sys.exit(f"{count} connections need as many open files, and the system allows {files}: raise `ulimit -Hn`")
    held, opened = [], asyncio.Semaphore(100)

    async def one():
        async with opened:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
            writer.write(b"GET /open/a HTTP/1.1\r\nHost: app\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 "), head
            await reader.readexactly(2)
            held.append((reader, writer))

    await asyncio.gather(*(one() for _ in range(count)))
    tell(held=len(held))
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    role, *numbers = sys.argv[1:]
    asyncio.run({"upstream": upstream, "busy": busy, "steady": steady, "slow": slow, "idle": idle}[role](*map(int, numbers)))
