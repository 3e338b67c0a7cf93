"""Thousands of ways to frame a request that some program somewhere reads in another way. Seeded: the same list on each run.

`ID` stands for what makes a mutation recognisable, and is as long; each hides a request for `/admin/`, which no reading may bring to the upstream.
"""

import dataclasses
import itertools
import random

ID = b"@@@@@-ID-@@@@@"
LINE = b"POST /public/@@@@@-ID-@@@@@ HTTP/1.1\r\n"
HEAD = LINE + b"Host: app\r\n"
HIDDEN = b"GET /admin/@@@@@-ID-@@@@@ HTTP/1.1\r\nHost: app\r\nX-Hidden: 1\r\n\r\n"
NEXT = b"GET /public/next-@@@@@-ID-@@@@@ HTTP/1.1\r\nHost: app\r\nConnection: close\r\n\r\n"
END = b"0\r\n\r\n"

LENGTHS = [
    b"%d", b"0", b"+%d", b"-%d", b"0%d", b"00000000000000000%d", b"0x%x", b"0X%X", b"%d.0", b"%de0", b"%d,", b",%d", b"%d, %d",
    b"%d,%d", b"0, %d", b"%d, 0", b"%d;", b"%d; a=b", b"\"%d\"", b"'%d'", b"%d %d", b"%d\t%d", b" %d ", b"\t%d\t", b"", b" ", b"%d a",
    b"a%d", b"%da", b"1_0", b"%d\x0b", b"\x0b%d", b"%d\x0c", b"\x0c%d", b"%d\x00", b"\x00%d", b"%d\x85", b"\xa0%d", b"%d\xa0",
    b"\xef\xbc\x91", b"\xd9\xa1", b"99999999999999999999", b"18446744073709551616", b"18446744073709551620", b"9223372036854775808",
    b"4294967296", b"4294967%d", b"-0", b"+0", b"0b1", b"0o7", b"1e1", b"inf", b"nan", b"NaN", b"null", b"true", b"%%31", b"(%d)", b"[%d]",
    b"%d\r\n", b"\r\n %d", b"%d\r", b"%d\n", b"%d\r\r", b"=%d", b":%d", b": %d", b"%d:", b"%d/1", b"identity", b"chunked",
]

CODINGS = [
    b"chunked", b"CHUNKED", b"Chunked", b"chunKed", b" chunked", b"\tchunked", b"chunked ", b"chunked\t", b"chunked,", b",chunked",
    b", chunked", b"chunked, ", b"chunked,,", b"chunked, chunked", b"chunked,identity", b"identity, chunked", b"identity,chunked",
    b"chunked, identity", b"gzip, chunked", b"chunked, gzip", b"deflate, chunked", b"x, chunked", b"chunked, x", b"identity", b"gzip",
    b"xchunked", b"x-chunked", b"chunkedx", b"chunked-x", b"chunked;q=1", b"chunked; q=1", b"chunked;", b";chunked", b"chunked foo",
    b"foo chunked", b"\"chunked\"", b"'chunked'", b"\"chunked", b"(chunked)", b"chunked(comment)", b"\x0bchunked", b"chunked\x0b",
    b"\x0cchunked", b"chunked\x0c", b"\x00chunked", b"chunked\x00", b"chun\x00ked", b"\x7fchunked", b"chunked\x1f", b"\xa0chunked",
    b"chunked\xa0", b"\xc2\xa0chunked", b"\xe2\x80\x8bchunked", b"chun\xc4\xb0ked", b"chunke\xc4\x8f", b"c\xd2\xbbunked", b"", b" ",
    b",", b"cow", b"chunk", b"chunke", b"hunked", b"nchunked", b"\r\n chunked", b"\r\n\tchunked", b"chunked\r\n ", b"chunked\r", b"\nchunked",
    b"\rchunked", b"chunked\n", b"chun\r\nked", b"=chunked", b":chunked", b"chunked:", b"0", b"1", b"5", b"trailers", b"chunked, trailers",
    b"chunked/1", b"*/*, chunked", b"chunked;foo=bar, chunked", b"identity;q=0, chunked", b"identity\tchunked", b"%63hunked", b"\\chunked",
]

SEPARATORS = [b": ", b":", b":\t", b":  ", b" : ", b" :", b"\t:", b": \t ", b"\x0b: ", b"\x00: ", b"=", b" ", b"::", b"\xa0: "]

LENGTH_NAMES = [
    b"Content-Length", b"content-length", b"CONTENT-LENGTH", b"Content_Length", b"Content.Length", b"Content Length", b"Content-Length ",
    b" Content-Length", b"\tContent-Length", b"Content--Length", b"Content-Length-", b"-Content-Length", b"ContentLength",
    b"Content-Length\x00", b"Content\x00-Length", b"\x00Content-Length", b"Content-\xc4\xbeength", b"Content\xe2\x80\x90Length",
    b"Content\xad-Length", b"\"Content-Length\"", b"Content-Length:", b":Content-Length", b"Content+Length", b"Content~Length",
    b"content-lengt\xe2\x84\x8e", b"Content-Lengt", b"Content-Lengthh", b"X-Content-Length", b"Content-Len\x0bgth", b"Content|Length",
    b"Content'Length", b"Content^Length", b"Content`Length", b"Content!Length", b"Content%2dLength", b"Content*Length", b"CONTENT_LENGTH",
]

CODING_NAMES = [
    b"Transfer-Encoding", b"transfer-encoding", b"TRANSFER-ENCODING", b"Transfer_Encoding", b"Transfer.Encoding", b"Transfer Encoding",
    b"Transfer-Encoding ", b" Transfer-Encoding", b"\tTransfer-Encoding", b"Transfer--Encoding", b"Transfer-Encoding-",
    b"TransferEncoding", b"Transfer-Encoding\x00", b"Transfer\x00-Encoding", b"\x00Transfer-Encoding", b"Transfer\xe2\x80\x90Encoding",
    b"Transfer\xad-Encoding", b"\"Transfer-Encoding\"", b"Transfer-Encoding:", b":Transfer-Encoding", b"Transfer+Encoding",
    b"Transfer~Encoding", b"X-Transfer-Encoding", b"Transfer-Encodin", b"Transfer-Encodings", b"Transfer-Enc\x0boding", b"TE",
    b"Transfer|Encoding", b"Transfer'Encoding", b"Transfer^Encoding", b"Transfer`Encoding", b"Transfer!Encoding", b"Transfer%2dEncoding",
    b"Transfer*Encoding", b"TRANSFER_ENCODING", b"Content-Transfer-Encoding", b"Trans\xc5\xbfer-Encoding",
]

SIZES = [
    b"%x", b"%X", b"0%x", b"00000000%x", b"000000000000000%x", b"0000000000000000%x", b"0x%x", b"0X%x", b"+%x", b"-%x", b" %x", b"%x ",
    b"\t%x", b"%x\t", b"%x  ", b"%xg", b"g%x", b"%x.0", b"%x,", b"%x_0", b"\"%x\"", b"%x\x00", b"\x00%x", b"%x\x0b", b"\x0b%x", b"%x\xa0",
    b"\xef\xbc\x91", b"", b" ", b"ffffffffffffffff", b"fffffffffffffffff", b"10000000000000000", b"1000000000000000%x", b"7fffffffffffffff",
    b"8000000000000000", b"-1", b"-0", b"%xh", b"#%x", b"%x #", b"%x\r", b"\r%x", b"\n%x", b"\r\n%x", b"0\r\n%x", b"%x 0", b"%x\t0", b"(%x)", b"%x:",
]

EXTENSIONS = [
    b";", b";a", b";a=b", b"; a=b", b" ;a=b", b" ; a = b", b";a=\"b\"", b";a=\"b;c\"", b";a=\"\r\n\"", b";a=\"\\\"\"", b";a=b;c=d", b";;", b";=",
    b";a=", b";=b", b";\n", b";\r", b";\x00", b";a\nb", b";a\rb", b";a\r\r", b";\x0b", b";\x7f", b";\xff", b";a=\"", b";a='\n'", b"\t;a", b";\ta",
    b",a=b", b"a=b", b" a=b", b"&a", b":a", b";" + b"a" * 300, b";" + b"a" * 9000, b";0\r\n", b";a=0\r\n\r\n", b";\r\n\r\n", b";a\x1b[0m",
]

TERMINATORS = [b"\r\n", b"\n", b"\r", b"", b"\r\r\n", b"\n\r", b"\r\n\r\n", b"\n\n", b"\r\n\n", b"\x00\r\n", b" \r\n", b"\r \n", b"X\r\n", b"\r\nX",
               b"\x0b", b"\x85", b"\xe2\x80\xa8", b"\r\x00\n"]

TRAILERS = [
    b"X-Trailer: a\r\n", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Host: evil\r\n", b"X-Auth-Request-User: root\r\n",
    b"Authorization: Bearer x\r\n", b": a\r\n", b"no colon\r\n", b"a b: c\r\n", b" folded\r\n", b"X: a\r\n b\r\n", b"X: a\n", b"X: a\r", b"X\x00: a\r\n",
    b"X: a\x00b\r\n", b"\x7f: a\r\n", b"GET /admin/@@@@@-ID-@@@@@ HTTP/1.1\r\n", b"X: " + b"a" * 300 + b"\r\n", b"X: " + b"a" * 9000 + b"\r\n",
    b"X: a\r\n" * 200, b"Connection: close\r\n", b"Trailer: Host\r\n", b"X : a\r\n", b"X:\r\n", b"\xff: a\r\n", b"\n", b"\r", b"\r\n\n",
]

VERSIONS = [b"HTTP/1.1", b"HTTP/1.0", b"HTTP/0.9", b"HTTP/1.2", b"HTTP/2.0", b"HTTP/2", b"HTTP/3", b"HTTP/1", b"HTTP/1.", b"HTTP/11", b"HTTP/1.10",
            b"HTTP/01.1", b"HTTP/1.01", b"http/1.1", b"Http/1.1", b"HTTP /1.1", b"HTTP/ 1.1", b"HTTP/1 .1", b"HTTP/1,1", b"HTP/1.1", b"HTTPS/1.1",
            b"HTTP/1.1x", b"xHTTP/1.1", b"HTTP\\1.1", b"HTTP/-1.1", b"HTTP/+1.1", b"HTTP/1.1\x00", b"\"HTTP/1.1\"", b"ICY/1.1", b"HTTP/1.\xd9\xa1", b""]

CONTROLS = bytes(range(0x21)) + bytes(range(0x7f, 0x100))

LEADERS = [b"\r\n", b"\n", b"\r", b" ", b"\t", b"\x00", b"\r\n\r\n", b"\n\n", b"\xef\xbb\xbf", b"\x0b", b"0\r\n\r\n", b"\r\n0\r\n\r\n", b"\x16\x03\x01\r\n",
           b"PRI * HTTP/2.0\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM", b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b"X: a\r\n"]

EXPECTS = [b"100-continue", b"100-Continue", b"100-continue, 100-continue", b"x", b"", b"100-continue;q=1", b"200-ok", b"100 continue", b" 100-continue "]

UPGRADES = [b"websocket", b"h2c", b"h2c, websocket", b"websocket, h2c", b"WebSocket", b"HTTP/2.0", b"TLS/1.0", b"h2", b"", b"foo", b"websocket/13"]

METHODS = [b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"TRACE", b"CONNECT", b"get", b"post", b"PRI", b"G", b"A" * 40, b"M-SEARCH", b"GET|", b"G!T", b"G\"T", b"GE(T"]

HOSTS = [b"", b"Host:\r\n", b"Host: app\r\nHost: app\r\n", b"Host: app\r\nHost: evil\r\n", b"Host: app, app\r\n", b"Host: app evil\r\n", b"Host: app/x\r\n",
         b"Host: app\\x\r\n", b"Host: app?x\r\n", b"Host: app#x\r\n", b"Host: u@app\r\n", b"Host: app:\r\n", b"Host: app:0\r\n", b"Host: app:80:80\r\n",
         b"Host: app:65536\r\n", b"Host: app:+80\r\n", b"Host: app:8 0\r\n", b"Host: [::1\r\n", b"Host: ::1\r\n", b"Host: [::1]:\r\n", b"Host: [::1]x\r\n",
         b"Host: \"app\"\r\n", b"Host: app.\r\n", b"Host: .app\r\n", b"Host: a..b\r\n", b"Host: %61pp\r\n", b"Host: \xff\r\n", b"Host: app\x00\r\n",
         b"Host: app\r\nhOsT: app\r\n", b"Host : app\r\n", b" Host: app\r\n", b"Host\t: app\r\n", b"Host: app\r\n evil\r\n", b"Host:app\r\n",
         b"Host: 127.1\r\n", b"Host: 0x7f.1\r\n", b"Host: http://app\r\n", b"Host: *\r\n", b"Host: app;x\r\n", b"Host: app\r\nHost : evil\r\n", b"Host_: app\r\n"]

TARGETS = [b"*", b"http://app/public/@@@@@-ID-@@@@@", b"HTTP://APP/public/@@@@@-ID-@@@@@", b"http://evil/public/@@@@@-ID-@@@@@", b"http://app@evil/public/@@@@@-ID-@@@@@", b"http:///public/@@@@@-ID-@@@@@",
           b"//app/public/@@@@@-ID-@@@@@", b"public/@@@@@-ID-@@@@@", b"/public/@@@@@-ID-@@@@@#", b"/public/@@@@@-ID-@@@@@#/../../admin", b"/public/@@@@@-ID-@@@@@?x=1 HTTP/1.1", b"/public/@@@@@-ID-@@@@@ HTTP/1.1\r\nX:",
           b"/public/@@@@@-ID-@@@@@\x00", b"/public/../admin/@@@@@-ID-@@@@@", b"/public/%2e%2e/admin/@@@@@-ID-@@@@@", b"http://app:80/public/@@@@@-ID-@@@@@", b"https://app/public/@@@@@-ID-@@@@@", b"app:80",
           b"/public/@@@@@-ID-@@@@@?" + b"a" * 8000, b"/public/@@@@@-ID-@@@@@?" + b"a" * 9000]


def chunk(data, size=b"%x", end=b"\r\n", after=b"\r\n"):
    return number(size, len(data)) + end + data + after


def number(pattern, value):
    return pattern % ((value,) * pattern.replace(b"%%", b"").count(b"%")) if b"%" in pattern else pattern


def lengths():
    """Content-Length in every spelling, name and separator."""
    for value in LENGTHS:
        for body in (HIDDEN, b"", b"12345"):
            yield HEAD + b"Content-Length: " + number(value, len(body)) + b"\r\n\r\n" + body
        for name, separator in ((b"content-length", b":"), (b"Content-Length", b" : "), (b"CONTENT-LENGTH", b":\t")):
            yield HEAD + name + separator + number(value, len(HIDDEN)) + b"\r\n\r\n" + HIDDEN
    for name, separator in itertools.product(LENGTH_NAMES, SEPARATORS):
        yield HEAD + name + separator + b"%d\r\n\r\n" % len(HIDDEN) + HIDDEN
    for first, second in itertools.product(LENGTHS, LENGTHS[:14]):
        fields = b"Content-Length: " + number(first, len(HIDDEN)) + b"\r\nContent-Length: " + number(second, len(HIDDEN))
        yield HEAD + fields + b"\r\n\r\n" + HIDDEN
    for name in LENGTH_NAMES[3:]:
        yield HEAD + name + b": 0\r\nContent-Length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN
        yield HEAD + b"Content-Length: 0\r\n" + name + b": %d\r\n\r\n" % len(HIDDEN) + HIDDEN


def codings():
    """Transfer-Encoding in every spelling, name and separator."""
    for value in CODINGS:
        for body in (END + HIDDEN, chunk(b"abc") + END, chunk(HIDDEN) + END):
            yield HEAD + b"Transfer-Encoding: " + value + b"\r\n\r\n" + body
    for name, separator in itertools.product(CODING_NAMES, SEPARATORS):
        yield HEAD + name + separator + b"chunked\r\n\r\n" + END + HIDDEN
    for first, second in itertools.product(CODINGS, CODINGS[:8] + [b"identity", b"", b"x"]):
        yield HEAD + b"Transfer-Encoding: " + first + b"\r\nTransfer-Encoding: " + second + b"\r\n\r\n" + END + HIDDEN
    for name in CODING_NAMES[3:]:
        yield HEAD + name + b": identity\r\nTransfer-Encoding: chunked\r\n\r\n" + END + HIDDEN


def both():
    """A length and chunks, in both orders, each spelled in every way."""
    cl_te = END + HIDDEN
    te_cl = chunk(HIDDEN) + END
    size_line = te_cl.index(b"\r\n") + 2
    for body, length in ((cl_te, len(cl_te)), (te_cl, size_line), (cl_te, 0), (te_cl, len(te_cl))):
        for value in CODINGS:
            fields = [b"Content-Length: %d\r\n" % length, b"Transfer-Encoding: " + value + b"\r\n"]
            yield HEAD + b"".join(fields) + b"\r\n" + body
            yield HEAD + b"".join(reversed(fields)) + b"\r\n" + body
        for name in CODING_NAMES:
            yield HEAD + b"Content-Length: %d\r\n" % length + name + b": chunked\r\n\r\n" + body
        for value in LENGTHS:
            yield HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: " + number(value, length) + b"\r\n\r\n" + body
        for name in LENGTH_NAMES:
            yield HEAD + name + b": %d\r\nTransfer-Encoding: chunked\r\n\r\n" % length + body


def chunks():
    """Sizes, extensions, ends of line and trailers."""
    head = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    for size, data in itertools.product(SIZES, (HIDDEN, b"abc")):
        yield head + chunk(data, size) + END + HIDDEN
        yield head + chunk(b"x") + chunk(data, size) + END
    for size in SIZES:
        yield head + chunk(b"abc") + number(size, 0) + b"\r\n\r\n" + HIDDEN
    for extension in EXTENSIONS:
        yield head + chunk(b"abc", b"%x" + extension) + END + HIDDEN
        yield head + chunk(HIDDEN, b"%x" + extension) + END
        yield head + chunk(b"abc") + b"0" + extension + b"\r\n\r\n" + HIDDEN
    for end in TERMINATORS:
        yield head + chunk(b"abc", end=end) + END + HIDDEN
        yield head + chunk(b"abc", after=end) + END + HIDDEN
        yield head + chunk(b"abc") + b"0" + end + b"\r\n" + HIDDEN
        yield head + chunk(b"abc") + b"0\r\n" + end + HIDDEN
        yield head + chunk(b"abc") + b"0\r\nX: a" + end + b"\r\n" + HIDDEN
        yield head + chunk(HIDDEN, end=end) + END
    for trailer in TRAILERS:
        yield head + chunk(b"abc") + b"0\r\n" + trailer + b"\r\n" + HIDDEN
        yield HEAD + b"Trailer: X\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + trailer + b"\r\n" + HIDDEN
    for missing in range(1, 12):
        yield head + (chunk(b"abc") + END)[:-missing] + HIDDEN
    for more in (1, 2, 5):
        yield head + b"%x\r\n" % (3 + more) + b"abc\r\n" + END + HIDDEN
        yield head + b"%x\r\n" % more + b"abcdefgh\r\n" + END + HIDDEN


def lines():
    """Ends of line, folding and controls in a head."""
    fields = [LINE[:-2], b"Host: app", b"X-One: a", b"Content-Length: %d" % len(HIDDEN), b"X-Two: b", b""]
    for place, end in itertools.product(range(len(fields)), TERMINATORS):
        yield b"".join(line + (end if number == place else b"\r\n") for number, line in enumerate(fields)) + HIDDEN
    for end in TERMINATORS:
        yield end.join(fields) + end + HIDDEN
    folds = [b"\r\n ", b"\r\n\t", b"\n ", b"\r ", b"\r\n\r\n ", b"\r\n  \t", b" \r\n ", b"\r\n\x0b", b"\r\n\xa0"]
    for fold, text in itertools.product(folds, (b"Transfer-Encoding: chunked", b"X: a", b"Host: evil", b"b", b"GET /admin/@@@@@-ID-@@@@@ HTTP/1.1")):
        yield HEAD + b"X-One: a" + fold + text + b"\r\nContent-Length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN
        yield LINE + b"Host: app" + fold + text + b"\r\nContent-Length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN
        yield LINE[:-2] + fold + text + b"\r\nHost: app\r\n\r\n" + HIDDEN
    for byte in CONTROLS:
        byte = bytes([byte])
        yield b"PO" + byte + b"ST /public/@@@@@-ID-@@@@@ HTTP/1.1\r\nHost: app\r\n\r\n" + HIDDEN
        yield b"POST" + byte + b"/public/@@@@@-ID-@@@@@ HTTP/1.1\r\nHost: app\r\n\r\n" + HIDDEN
        yield b"POST /public/@@@@@-ID-@@@@@" + byte + b" HTTP/1.1\r\nHost: app\r\n\r\n" + HIDDEN
        yield b"POST /public/@@@@@-ID-@@@@@ HTTP/1.1" + byte + b"\r\nHost: app\r\n\r\n" + HIDDEN
        yield HEAD + b"X" + byte + b"Y: a\r\n\r\n" + HIDDEN
        yield HEAD + b"Content-Length" + byte + b": %d\r\n\r\n" % len(HIDDEN) + HIDDEN
        yield HEAD + byte + b"Content-Length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN
        yield HEAD + b"Content-Length:" + byte + b"%d\r\n\r\n" % len(HIDDEN) + HIDDEN
        yield HEAD + b"X: a" + byte + b"Transfer-Encoding: chunked\r\n\r\n" + HIDDEN
        yield HEAD + b"Transfer-Encoding: chunked" + byte + b"\r\n\r\n" + END + HIDDEN
        yield HEAD + b"Content-Length: 0\r\n" + byte + b"\r\n" + HIDDEN


def starts():
    """Request lines, hosts, versions, and what stands before them."""
    for leader in LEADERS:
        yield leader + HEAD + b"\r\n" + HIDDEN
        yield HEAD + b"Content-Length: 3\r\n\r\nabc" + leader + HIDDEN
        yield leader + HIDDEN
    for version in VERSIONS:
        start = b"POST /public/@@@@@-ID-@@@@@ " + version + b"\r\nHost: app\r\n"
        yield start + b"\r\n" + HIDDEN
        yield start + b"Transfer-Encoding: chunked\r\n\r\n" + END + HIDDEN
        yield start + b"Content-Length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN
        yield start + b"Connection: keep-alive\r\nContent-Length: 3\r\n\r\nabc" + HIDDEN
    for hosts in HOSTS:
        yield LINE + hosts + b"Content-Length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN
        yield LINE + b"Transfer-Encoding: chunked\r\n" + hosts + b"\r\n" + END + HIDDEN
        yield LINE.replace(b"/public", b"http://app/public") + hosts + b"\r\n" + HIDDEN
    for target, method in itertools.product(TARGETS, (b"GET", b"POST", b"OPTIONS")):
        yield method + b" " + target + b" HTTP/1.1\r\nHost: app\r\n\r\n" + HIDDEN
    for method in METHODS:
        start = method + b" /public/@@@@@-ID-@@@@@ HTTP/1.1\r\nHost: app\r\n"
        yield start + b"\r\n" + HIDDEN
        yield start + b"Content-Length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN
        yield start + b"Transfer-Encoding: chunked\r\n\r\n" + chunk(HIDDEN) + END
        yield start + b"Transfer-Encoding: chunked\r\n\r\n" + END + HIDDEN


def options():
    """Expect, Upgrade, Connection: what changes the meaning of the bytes behind a head."""
    for value, body in itertools.product(EXPECTS, (b"", b"abc", HIDDEN)):
        yield HEAD + b"Expect: " + value + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        yield HEAD + b"Expect: " + value + b"\r\nTransfer-Encoding: chunked\r\n\r\n" + (chunk(body) if body else b"") + END + HIDDEN
        yield HEAD.replace(b"public", b"admin") + b"Expect: " + value + b"\r\nContent-Length: %d\r\n\r\n" % len(HIDDEN) + body
    for value, option in itertools.product(UPGRADES, (b"Upgrade", b"upgrade, HTTP2-Settings", b"close, Upgrade", b"keep-alive")):
        fields = b"Connection: " + option + b"\r\nUpgrade: " + value + b"\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
        fields += b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        yield HEAD.replace(b"POST", b"GET") + fields + b"\r\n" + HIDDEN
        yield HEAD + fields + b"Content-Length: 3\r\n\r\nabc" + HIDDEN
        yield HEAD + fields + b"Transfer-Encoding: chunked\r\n\r\n" + chunk(b"abc") + END + HIDDEN
        yield HEAD.replace(b"POST", b"GET") + fields + b"\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + HIDDEN
    nominated = [b"content-length", b"transfer-encoding", b"Content-Length, close", b"host", b"upgrade", b"te", b"connection", b"trailer",
                 b"keep-alive, content-length", b"close, keep-alive", b"\"content-length\"", b",", b"", b"x y", b":path", b"a" * 300,
                 b",".join(b"x%d" % number for number in range(20)), b"proxy-connection", b"content-length, transfer-encoding", b"Keep-Alive,,close"]
    for value in nominated:
        yield HEAD + b"Connection: " + value + b"\r\nContent-Length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN
        yield HEAD + b"Connection: " + value + b"\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(HIDDEN) + END
        yield HEAD + b"Proxy-Connection: " + value + b"\r\nContent-Length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN
        yield HEAD.replace(b"1.1", b"1.0") + b"Connection: " + value + b"\r\nContent-Length: 3\r\n\r\nabc" + HIDDEN


def sequences(rng):
    """Several requests on one connection, and one of them odd."""
    good = [
        b"GET /public/@@@@@-ID-@@@@@ HTTP/1.1\r\nHost: app\r\n\r\n",
        HEAD + b"Content-Length: 3\r\n\r\nabc",
        HEAD + b"Content-Length: 0\r\n\r\n",
        HEAD + b"Content-Length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN,
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunk(HIDDEN) + END,
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunk(b"abc") + chunk(b"d" * 40) + b"0\r\nX: a\r\n\r\n",
        b"HEAD /public/@@@@@-ID-@@@@@ HTTP/1.1\r\nHost: app\r\n\r\n",
        b"GET /admin/@@@@@-ID-@@@@@ HTTP/1.1\r\nHost: app\r\n\r\n",
        HEAD.replace(b"public", b"admin") + b"Content-Length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN,
        HEAD.replace(b"public", b"admin") + b"Transfer-Encoding: chunked\r\n\r\n" + chunk(HIDDEN) + END,
        b"OPTIONS /public/@@@@@-ID-@@@@@ HTTP/1.1\r\nHost: app\r\nContent-Length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN,
    ]
    odd = [b"", b"\r\n", HEAD + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", HEAD + b"Content-Length: 3\r\n\r\nab",
           HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabcX\r\n", HEAD + b"Content-Length: 2\r\n\r\nabc", b"X" * 20]
    for first, second in itertools.product(good, good):
        yield first + second
    for _ in range(400):
        row = [rng.choice(good) for _ in range(rng.randrange(1, 6))]
        row.insert(rng.randrange(len(row) + 1), rng.choice(odd))
        yield b"".join(row)


def bytewise(rng, count):
    """Single bytes changed in requests that are good."""
    seeds = [
        HEAD + b"Content-Length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN,
        HEAD + b"X-One: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(HIDDEN) + END,
        HEAD + b"Transfer-Encoding: chunked\r\nX-One: a\r\n\r\n" + chunk(b"abc", b"%x;a=b") + chunk(b"0123456789abcdef") + b"0\r\nX: a\r\n\r\n" + HIDDEN,
        HEAD + b"Content-Length: 5\r\nConnection: keep-alive\r\n\r\n" + END + HIDDEN,
        b"GET /public/@@@@@-ID-@@@@@?x=1 HTTP/1.1\r\nHost: app\r\nX-One: a\r\n\r\n" + HIDDEN,
        HEAD.replace(b"1.1", b"1.0") + b"Connection: keep-alive\r\nContent-Length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN,
    ]
    tokens = [b"\r\n", b"\n", b"\r", b" ", b"\t", b"\0", b":", b",", b";", b"0", b"\r\n\r\n", b"Transfer-Encoding: chunked\r\n", b"Content-Length: 0\r\n",
              b"_", b".", b"\x0b", b"\x85", b"\xff", b"-", b"chunked", b"HTTP/1.1", b"Content-Length: 6\r\n", b"Host: evil\r\n", b"GET /admin/@@@@@-ID-@@@@@ HTTP/1.1\r\n"]
    for _ in range(count):
        message = bytearray(rng.choice(seeds))
        framing = message.find(HIDDEN) if rng.random() < 0.85 else len(message)
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            at = rng.randrange(max(framing, 1))
            match rng.randrange(6):
                case 0:
                    message[at:at] = rng.choice(tokens)
                case 1:
                    del message[at:at + rng.choice((1, 1, 2))]
                case 2:
                    message[at] = rng.randrange(256)
                case 3:
                    message[at:at + 1] = rng.choice(tokens)
                case 4:
                    end = min(at + rng.randrange(1, 30), len(message))
                    message[at:at] = message[at:end]
                case 5:
                    # A whole line twice, or moved to the end of the head.
                    start = message.rfind(b"\n", 0, at) + 1
                    end = message.find(b"\n", at) + 1 or len(message)
                    message[start:start] = message[start:end]
        yield bytes(message)


def cuts(message, rng):
    """The message in pieces: whole, or cut at places where a reader may change its mind."""
    kind = rng.randrange(6)
    if kind < 2:
        return [message]
    marks = [at for at in range(1, len(message)) if message[at - 1:at + 1] in (b"\r\n", b"\n\r", b": ") or message[at:at + 1] in b"\r\n:;"]
    places = marks if kind < 5 and marks else range(1, len(message))
    places = sorted(rng.sample(places, min(rng.choice((1, 1, 2, 3)), len(places))))
    return [message[start:end] for start, end in zip([0, *places], [*places, len(message)])]


@dataclasses.dataclass
class Mutation:
    family: str
    name: str
    pieces: list
    waits: bool

    @property
    def stream(self):
        return b"".join(self.pieces)


def mutations(random_ones, seed=3):
    """All of them, distinct, each with a name of its own in it and an honest request behind it."""
    rng = random.Random(seed)
    families = [("length", lengths()), ("coding", codings()), ("both", both()), ("chunk", chunks()), ("line", lines()), ("start", starts()),
                ("option", options()), ("sequence", sequences(rng)), ("byte", bytewise(rng, random_ones))]
    known, made = set(), []
    for family, messages in families:
        for message in messages:
            if message in known:
                continue
            known.add(message)
            name = f"{len(made):06d}-{rng.getrandbits(28):07x}"
            parts = [part.replace(ID, name.encode()) for part in (message, NEXT)]
            waits = rng.random() < 0.4
            pieces = [*cuts(parts[0], rng), parts[1]] if waits or rng.random() < 0.5 else cuts(b"".join(parts), rng)
            made.append(Mutation(family, name, pieces, waits))
    return made


def http2_bodies():
    """Requests with bodies over HTTP/2: method, announced length, body, how it is cut, how it ends."""
    bodies = [b"", b"abc", HIDDEN, END + HIDDEN, chunk(HIDDEN) + END, b"\r\n\r\n" + HIDDEN]
    for method, body, cut, end in itertools.product((b"GET", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"HEAD"), bodies, ("one", "many", "padded", "empty between"),
                                                    ("last", "empty", "trailers", "reset", "gone")):
        for length in (None, len(body), len(body) + 1, max(len(body) - 1, 0), 0, len(body) + 1_000):
            if cut == "one" or len(body) > 3:
                yield method, length, body, cut, end
