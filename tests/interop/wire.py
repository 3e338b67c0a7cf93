"""Requests as bytes: one strict reading of them, an upstream that reads as strictly, and a client that sends anything."""

import asyncio
import contextlib
import re
import threading
from dataclasses import dataclass, field

LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([\x21-\x7e]+) HTTP/1\.([01])")
FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*")
HOST = re.compile(rb"(?:[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*|\[[0-9a-fA-F:.]+\])(?::[1-9][0-9]{0,4})?")
CHUNK = re.compile(rb"([0-9A-Fa-f]{1,15})(;[\t\x20-\x7e\x80-\xff]*)?")
LENGTH = re.compile(rb"[0-9]{1,19}")


class Refused(Exception):
    """The bytes have two readings, or none."""


class Incomplete(Exception):
    """More bytes must come."""


@dataclass
class Request:
    method: bytes
    target: bytes
    minor: int
    fields: list
    body: bytes = b""
    framing: list = field(default_factory=list)
    raw: bytes = b""

    def all(self, name):
        return [value for key, value in self.fields if key.lower() == name]

    def ends(self):
        """The connection ends after it."""
        options = [option.strip().lower() for value in self.all(b"connection") for option in value.split(b",")]
        return b"close" in options or (self.minor == 0 and b"keep-alive" not in options)


def line_at(buffer, at):
    end = buffer.find(b"\n", at)
    line = buffer[at:end if end >= 0 else len(buffer)]
    if end < 0:
        if b"\r" in line[:-1] or b"\0" in line:
            raise Refused("inside a line")
        raise Incomplete
    if not line.endswith(b"\r") or b"\r" in line[:-1]:
        raise Refused("end of line")
    return line[:-1], end + 1


def read_head(buffer, at):
    line, at = line_at(buffer, at)
    match = LINE.fullmatch(line)
    if not match:
        raise Refused("request line")
    request = Request(match[1], match[2], int(match[3]), [])
    while True:
        line, at = line_at(buffer, at)
        if not line:
            return request, at
        match = FIELD.fullmatch(line)
        if not match:
            raise Refused("field")
        request.fields.append((match[1], match[2]))


def frame(request):
    """The framing that the head announces: a length, or None for chunks."""
    hosts, lengths, codings = (request.all(name) for name in (b"host", b"content-length", b"transfer-encoding"))
    if len(hosts) != 1 or not HOST.fullmatch(hosts[0]):
        raise Refused("host")
    request.framing = [(b"content-length", value) for value in lengths] + [(b"transfer-encoding", value) for value in codings]
    if len(request.framing) > 1:
        raise Refused("two framings")
    if lengths:
        if not LENGTH.fullmatch(lengths[0]):
            raise Refused("length")
        return int(lengths[0])
    if codings:
        if codings[0].lower() != b"chunked" or request.minor == 0:
            raise Refused("coding")
        return None
    return 0


def read_chunks(buffer, at):
    body = b""
    while True:
        line, at = line_at(buffer, at)
        match = CHUNK.fullmatch(line)
        if not match:
            raise Refused("chunk size")
        size = int(match[1], 16)
        if not size:
            break
        if len(buffer) < at + size:
            raise Incomplete
        body += buffer[at:at + size]
        at += size
        if not b"\r\n".startswith(buffer[at:at + 2]):
            raise Refused("end of chunk")
        if len(buffer) < at + 2:
            raise Incomplete
        at += 2
    while True:
        line, at = line_at(buffer, at)
        if not line:
            return body, at
        if not FIELD.fullmatch(line):
            raise Refused("trailer")


def read_request(buffer, start=0):
    """The request that begins there, and where it ends."""
    request, at = read_head(buffer, start)
    length = frame(request)
    if length is None:
        request.body, at = read_chunks(buffer, at)
    else:
        if len(buffer) < at + length:
            raise Incomplete
        request.body, at = buffer[at:at + length], at + length
    request.raw = buffer[start:at]
    return request, at


def readings(stream):
    """Every request in the bytes of a connection, up to the first that has no single reading, and that one if its head has."""
    found, at = [], 0
    while at < len(stream):
        try:
            request, at = read_request(stream, at)
        except (Refused, Incomplete):
            try:
                begun, _ = read_head(stream, at)
                frame(begun)
                return found, begun
            except (Refused, Incomplete):
                return found, None
        found.append(request)
        if request.ends():
            break
    return found, None


UNRESERVED = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~"


def canonical(target):
    """The form in which a target with one reading must arrive."""
    absolute = re.match(rb"(?i)https?://[^/?#]*", target)
    if absolute:
        target = target[absolute.end():]
        target = target if target.startswith(b"/") else b"/" + target
    path, mark, query = target.partition(b"?")
    plain = lambda match: match[0].upper() if int(match[1], 16) not in UNRESERVED else bytes([int(match[1], 16)])
    path = re.sub(rb"%([0-9A-Fa-f]{2})", plain, path)
    for raw, escaped in ((b'"', b"%22"), (b"<", b"%3C"), (b">", b"%3E")):
        query = query.replace(raw, escaped)
    return path + mark + query


class StrictUpstream:
    """Reads as strictly as `read_request`, remembers everything, and tells in each answer which request it answers."""

    def __init__(self):
        self.seen, self.malformed, self.cut = [], [], 0

    async def start(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0, backlog=1024)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def serve(self, reader, writer):
        buffer = b""
        try:
            while True:
                try:
                    request, end = read_request(buffer)
                except Incomplete:
                    more = await reader.read(65536)
                    if not more:
                        self.cut += bool(buffer)
                        return
                    buffer += more
                    continue
                except Refused as reason:
                    self.malformed.append((str(reason), buffer))
                    return
                buffer = buffer[end:]
                self.seen.append(request)
                text = b"" if request.method == b"HEAD" else b"ok"
                writer.write(b"HTTP/1.1 200 OK\r\nx-seen: %d\r\ncontent-length: 2\r\n\r\n%s" % (len(self.seen) - 1, text))
                await writer.drain()
        except (ConnectionError, asyncio.CancelledError):
            # The gateway, or the end of the test.
            pass
        finally:
            writer.close()

    def close(self):
        self.server.close()

    @contextlib.contextmanager
    def in_a_thread(self):
        """Serves beside a test that waits for its own clients."""
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, daemon=True)
        thread.start()
        asyncio.run_coroutine_threadsafe(self.start(), loop).result(10)
        try:
            yield self
        finally:
            asyncio.run_coroutine_threadsafe(self.end(), loop).result(10)
            loop.call_soon_threadsafe(loop.stop)
            thread.join(10)

    async def end(self):
        self.close()
        serving = asyncio.all_tasks() - {asyncio.current_task()}
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)


@dataclass
class Answer:
    status: int
    fields: dict
    body: bytes


class Garbled(Exception):
    """What came back is no answer."""


def answers(received, methods):
    """The answers in what a client received; `methods` are those of its requests, as far as they are known."""
    found, at = [], 0
    while at < len(received):
        end = received.find(b"\r\n\r\n", at)
        if end < 0:
            raise Garbled(received[at:])
        lines = received[at:end].split(b"\r\n")
        match = re.fullmatch(rb"HTTP/1\.[01] ([1-5][0-9][0-9]) [\x20-\x7e]*", lines[0])
        if not match:
            raise Garbled(received[at:])
        status, fields, at = int(match[1]), {}, end + 4
        for line in lines[1:]:
            name, _, value = line.partition(b":")
            fields[name.lower().decode()] = value.strip().decode()
        if status == 100:
            continue
        bodiless = len(found) < len(methods) and methods[len(found)] == b"HEAD" or status in (204, 304)
        if bodiless and fields.get("content-type") == "application/problem+json" and received[at:at + 1] == b"{":
            bodiless = False
        if "transfer-encoding" in fields and not bodiless:
            body, at = read_chunks(received, at)
        else:
            length = 0 if bodiless else int(fields.get("content-length", "0"))
            if len(received) < at + length:
                raise Garbled(received[at:])
            body, at = received[at:at + length], at + length
        found.append(Answer(status, fields, body))
    return found


async def converse(port, pieces, wait_before_last=False, patience=20):
    """Sends the pieces, each as a segment of its own, and answers all that came back until the end of the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    received = bytearray()
    try:
        async with asyncio.timeout(patience):
            try:
                for number, piece in enumerate(pieces):
                    if wait_before_last and number == len(pieces) - 1:
                        while b"\r\n\r\n" not in received and (more := await reader.read(65536)):
                            received += more
                    elif number:
                        await asyncio.sleep(0.001)
                    writer.write(piece)
                    await writer.drain()
                while more := await reader.read(65536):
                    received += more
            except ConnectionError:
                pass
        return bytes(received), True
    except TimeoutError:
        return bytes(received), False
    finally:
        writer.close()
