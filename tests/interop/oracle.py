"""Asks over one kept connection, again and again, and counts the answers that are none of those expected.

oracle.py PORT: standard input is one JSON object, from token to the statuses that it may be answered with; asks until standard input ends.
Prints one JSON object: how many were asked, and what was wrong."""

import json
import select
import socket
import sys


def answer(stream):
    """The status of the next answer, which has a length."""
    line = stream.readline()
    if not line.startswith(b"HTTP/1.1 "):
        raise ConnectionError(f"no answer: {line!r}")
    length = 0
    while (field := stream.readline()) not in (b"\r\n", b""):
        name, _, value = field.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    if len(stream.read(length)) != length:
        raise ConnectionError("the answer is cut off")
    return int(line[9:12])


def main():
    port, expected = int(sys.argv[1]), json.loads(sys.stdin.readline())
    questions = [(f"GET /things/1 HTTP/1.1\r\nHost: app\r\nAuthorization: Bearer {token}\r\n\r\n".encode(), set(statuses))
                 for token, statuses in expected.items()]
    asked, wrong, stream = 0, [], None
    while not select.select([sys.stdin], [], [], 0)[0]:
        for question, statuses in questions:
            try:
                if stream is None:
                    connection = socket.create_connection(("127.0.0.1", port), 15)
                    stream = connection.makefile("rwb", buffering=1 << 14)
                stream.write(question)
                stream.flush()
                status = answer(stream)
            except OSError as error:
                status, stream = repr(error), None
            if status not in statuses:
                wrong.append(status)
            asked += 1
            # The limit of requests on one connection, after which it is closed in order.
            if asked % 9_000 == 0:
                stream = None
    print(json.dumps({"asked": asked, "wrong": wrong[:20], "count": len(wrong)}))


main()
