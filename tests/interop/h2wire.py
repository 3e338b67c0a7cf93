"""HTTP/2 frame by frame: a client that may send what no library would."""

import socket
import ssl
import struct

from hpack import Decoder

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED, PRIORITISED = 1, 1, 4, 8, 32
(NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, SETTINGS_TIMEOUT, STREAM_CLOSED, FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL,
 COMPRESSION_ERROR, CONNECT_ERROR, ENHANCE_YOUR_CALM) = range(12)

GET = [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"app"), (b":path", b"/public/x")]


def frame(kind, flags, stream, payload=b"", length=None):
    length = len(payload) if length is None else length
    return struct.pack(">BHBBI", length >> 16, length & 0xFFFF, kind, flags, stream) + payload


def setting(number, value):
    return struct.pack(">HI", number, value)


def literal(name, value):
    """A field without indexing or Huffman code, whatever its bytes are."""
    return b"\0" + integer(len(name), 7) + name + integer(len(value), 7) + value


def integer(value, bits, first=0):
    most = (1 << bits) - 1
    if value < most:
        return bytes([first | value])
    coded, value = [first | most], value - most
    while value >= 128:
        coded.append(value % 128 + 128)
        value //= 128
    return bytes([*coded, value])


def block(fields):
    return b"".join(literal(name, value) for name, value in fields)


class Wire:
    """One connection; the preface and empty settings are sent, unless `bare`."""

    def __init__(self, port, tls=False, bare=False, patience=10):
        self.socket = socket.create_connection(("127.0.0.1", port), patience)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            context.set_alpn_protocols(["h2"])
            self.socket = context.wrap_socket(self.socket)
        self.received, self.decoder, self.fields, self.body = b"", Decoder(), {}, b""
        if not bare:
            self.send(PREFACE + frame(SETTINGS, 0, 0))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, *frames):
        try:
            self.socket.sendall(b"".join(frames))
        except OSError:
            # It has closed already; what it said before is read all the same.
            pass

    def next(self):
        """The next frame: kind, flags, stream, payload. `None` at the end of the connection."""
        while len(self.received) < 9 or len(self.received) < 9 + int.from_bytes(self.received[:3]):
            try:
                more = self.socket.recv(65536)
            except TimeoutError:
                raise
            except OSError:
                more = b""
            if not more:
                return None
            self.received += more
        length = int.from_bytes(self.received[:3])
        kind, flags, stream = struct.unpack(">BBI", self.received[3:9])
        payload, self.received = self.received[9:9 + length], self.received[9 + length:]
        if kind == SETTINGS and not flags & ACK:
            self.send(frame(SETTINGS, ACK, 0))
        return kind, flags, stream & 0x7FFFFFFF, payload

    def ask(self, fields=GET, stream=1, end=True):
        coded, ends = block(fields), END_STREAM if end else 0
        parts = [coded[at:at + 16_384] for at in range(0, len(coded), 16_384)] or [b""]
        last = len(parts) - 1
        self.send(*(frame(CONTINUATION if at else HEADERS, (END_HEADERS if at == last else 0) | (0 if at else ends), stream, part)
                    for at, part in enumerate(parts)))

    def outcome(self, stream=1):
        """What becomes of a stream: `(answer, status)`, `(reset, code)`, `(goaway, code)`, `(closed, None)` or `(silent, None)`."""
        status = None
        try:
            while (got := self.next()) is not None:
                kind, flags, on, payload = got
                if kind == HEADERS:
                    fields = dict(self.decoder.decode(payload, raw=True))
                    if on == stream and status is None and fields.get(b":status", b"1")[:1] != b"1":
                        status, self.fields = int(fields[b":status"]), fields
                if kind == DATA and on == stream:
                    self.body += payload
                if kind == GOAWAY and (code := int.from_bytes(payload[4:8])):
                    return "goaway", code
                if on == stream and kind == RST_STREAM:
                    return ("answer", status) if status else ("reset", int.from_bytes(payload))
                if on == stream and kind in (HEADERS, DATA) and flags & END_STREAM:
                    return "answer", status
        except TimeoutError:
            return "silent", status
        return ("answer", status) if status else ("closed", None)

    def ping(self):
        """Whether the connection lives: a PING is answered."""
        self.send(frame(PING, 0, 0, b"cogward!"))
        try:
            while (got := self.next()) is not None:
                if got[0] == HEADERS:
                    self.decoder.decode(got[3], raw=True)
                if got[0] == GOAWAY and int.from_bytes(got[3][4:8]):
                    return False
                if got[0] == PING and got[1] & ACK and got[3] == b"cogward!":
                    return True
        except TimeoutError:
            pass
        return False
