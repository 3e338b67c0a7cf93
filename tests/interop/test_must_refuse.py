"""Targets and headers that no gateway may forward: over HTTP/1.1, and over HTTP/2 by prior knowledge and over TLS."""

import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from h2wire import Wire
from support import FULL, Recorder, free_port

# Everything is open, so only the reading of the request can refuse.
POLICY = """\
apiVersion: cogward/v1
routes:
  - id: root
    path: /
    rules: [ { id: everyone, roles: [anyone] } ]
  - id: all
    path: /{rest..}
    rules: [ { id: everyone, roles: [anyone] } ]
"""
TOKEN = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"

NOT_ORIGIN = [b"admin", b"\\admin", b"@evil/admin", b"h:80", b"?x", b"*", b"foo://app/admin", b"app", b"http:/admin", b"http:admin", b"//app/admin", b"///",
              b"http://other/admin", b"http://app@other/admin", b"http://app:81/admin", b"https://app:80/admin", b"http://u:p@app/admin", b"http:///admin",
              b"http://app\\admin", b"http://app%2fadmin", b"http://app;x/admin", b"ws://app/admin", b"file:///etc/passwd", b"javascript:1", b"//", b"%2fadmin",
              b"..", b".", b"#", b"http://app#/admin", b"http://app:0/a", b"http://app:/a", b"http://app.:80/a", b"http://[::1]/a", b"http://127.1/a", b"", b":80/a"]
DOTS = [b"/.", b"/..", b"/./", b"/../", b"/a/.", b"/a/..", b"/a/./b", b"/a/../b", b"/../a", b"/./a", b"/a/b/../../../c", b"/a/..", b"/a/../", b"/public/../admin",
        b"/public/../../admin", b"/public/x/../../admin"]
DOT_FORMS = [b"%2e", b"%2E"]
SEPARATORS = [b"%2f", b"%2F", b"%5c", b"%5C", b"\\", b"//", b"///", b"/\\", b"\\/", b"%2f%2f", b"%2F..%2F", b"..%2f", b"..%5c", b"..\\", b"%2e%2e%2f", b"%2e%2e%5c"]
DELIMITERS = [b";", b";x=1", b"%3b", b"%3B", b"%23", b"%3f", b"%3F", b"..;", b"..;/", b";/../", b"%3bx=1", b"..%3b"]
TWICE = [b"%252e", b"%252f", b"%255c", b"%253b", b"%2500", b"%250a", b"%2541", b"%25%32%65", b"%25%32%66", b"%%32%65", b"%25252e", b"%2525", b"%25ff", b"%25%36%31",
         b"%25c0%25ae", b"%2%35", b"%2%66"]
CONTROLS = [b"%%%02x" % byte for byte in [*range(0x20), 0x7F]] + [b"%c2%80", b"%c2%85", b"%C2%9f"]
BROKEN = [b"%", b"%2", b"%zz", b"%g0", b"%0g", b"% 2", b"%u002e", b"%u2215", b"%x2f", b"%-1", b"%+1", b"a%", b"%c0%ae", b"%c0%af", b"%c1%9c", b"%e0%80%ae",
          b"%e0%80%af", b"%f0%80%80%ae", b"%f8%80%80%80%ae", b"%fc%80%80%80%80%ae", b"%ff", b"%fe", b"%80", b"%bf", b"%c3", b"%c3%28", b"%e2%82", b"%e2%28%a1",
          b"%ed%a0%80", b"%ed%bf%bf", b"%f4%90%80%80", b"%f0%9f%a6", b"%c3a", b"%c3/%a9", b"%ef%bf"]
RAW = [bytes([byte]) for byte in b"\"<>^`{|}[]"] + [bytes([byte]) for byte in range(0x80, 0x100, 9)] + [b"\xc3\xa9", b"\xe2\x80\xae", b"\xef\xbc\x8f", b"\xc0\xaf"]
RAW_CONTROLS = [bytes([byte]) for byte in [*range(0x21), 0x7F]]
QUERIES = [b"?\x01", b"?a b", b"?\x7f", b"?\xff", b"?\xc3\xa9", b"?\t", b"?\x00"]

LENGTHS = [b"", b"+3", b"-3", b"0x3", b"3,", b"3, 3", b"3,3", b"3;", b"\"3\"", b"3 3", b"3a", b"a", b"3.0", b"99999999999999999999", b"18446744073709551616", b"\xd9\xa3", b"3_0", b"3 ,3"]
CODINGS = [b"identity", b"gzip", b"chunked, identity", b"identity, chunked", b"chunked, chunked", b"xchunked", b"chunked;q=1", b"\"chunked\"", b",chunked", b"", b"chunked,"]
HOSTS = [b"", b"app/admin", b"app evil", b"app,evil", b"app:99999", b"app:x", b"app:", b"app:0", b"app:080", b"app#x", b"app?x", b"u@app", b"u:p@app", b"[::1", b"[::1]x", b"::1",
         b"[x]", b"http://app", b"app\\x", b"a..b", b".app", b"app.", b"127.1", b"0x7f.1", b"0177.0.0.1", b"2130706433", b"%61pp", b"*", b"app;x", b"app\"", b"<app>", b"{app}", b"a" * 64,
         b"a." * 127 + b"abc", b"app:80:80", b"app:+80", b"\xc3\xa9pp", b"app\xff", b"app|x", b"app'x", b"app&x", b"$app", b"(app)", b"!", b"-:-", b"app:8a"]
NOMINATIONS = [b"host", b"Host", b"content-length", b"transfer-encoding", b"\"x-a\"", b"x a", b":path", b":authority", b"x-forwarded-for", b"x;y", b"<x>",
               b",".join(b"x%d" % number for number in range(10)), b"\xe9"]
VERSIONS = [b"HTTP/0.9", b"HTTP/1.2", b"HTTP/2.0", b"HTTP/2", b"HTTP/3", b"http/1.1", b"HTTP/1.10", b"HTTP/01.1", b"HTTP/1.1x", b"HTTP/1", b"XTTP/1.1", b""]
METHODS = [b"TRACE", b"TRACK", b"CONNECT", b"PROPFIND", b"get", b"Get", b"G!T", b"PURGE", b"A" * 40, b"PRI", b"DEBUG", b"LINK", b"SEARCH", b"BREW", b"post", b"GETT", b"X-GET", b"_"]
NOT_METHODS = [b"G@T", b"GE T", b"G\tT", b"(GET)", b"G\"T", b"", b"G\x00T", b"G\xc3\xa9T", b"GET:", b"GET/", b"[GET]", b"{GET}", b"GET,POST", b"GET;", b"GET=", b"G<T"]


@dataclass
class Case:
    name: str
    # The head in HTTP/1.1, or none where it has no such form.
    h1: bytes | None
    # The fields in HTTP/2.
    h2: list | None


def head(target=b"/public", method=b"GET", version=b"HTTP/1.1", host=b"Host: app\r\n", more=b""):
    return method + b" " + target + b" " + version + b"\r\n" + host + more + b"\r\n"


def fields(path=b"/public", method=b"GET", authority=b"app", scheme=b"http", more=()):
    pseudo = [(b":method", method), (b":scheme", scheme), (b":authority", authority), (b":path", path)]
    return [(name, value) for name, value in pseudo if value is not None] + list(more)


def targets():
    made = [*NOT_ORIGIN, *DOTS]
    for target in DOTS:
        for form in DOT_FORMS:
            made += [target.replace(b".", form), target.replace(b".", form, 1)]
        if b".." in target:
            made.append(target.replace(b"..", b".%2e"))
    for odd in (*SEPARATORS, *DELIMITERS, *TWICE, *CONTROLS, *BROKEN, *RAW, *RAW_CONTROLS):
        made += [b"/public/" + odd + b"/admin", b"/public" + odd + b"admin", b"/a/" + odd]
    made += [b"/public" + query for query in QUERIES]
    # In HTTP/2 the fragment is cut off before anybody sees it, so both sides read what is before it.
    made += [b"/public#/../admin", b"/a?b#c", b"/#"]
    # Here the broken escape and what follows it are a whole one.
    return [target for target in dict.fromkeys(made) if target != b"/public%2admin"]


def cases():
    for target in targets():
        yield Case(f"target {target}", head(target), None if b"#" in target else fields(target))
    for method in (*METHODS, *NOT_METHODS):
        yield Case(f"method {method}", head(method=method), fields(method=method))
    for host in HOSTS:
        yield Case(f"host {host}", head(host=b"Host: " + host + b"\r\n"), fields(authority=None, more=[(b"host", host)]))
        is_local = not host or b"/" in host or b"?" in host
        yield Case(f"authority {host}", None if is_local else head(b"http://" + host + b"/public"), fields(authority=host))
    for more in (b"", b"Host: app\r\nHost: app\r\n", b"Host: app\r\nHost: evil\r\n", b"Host : app\r\n", b" Host: app\r\n"):
        lines = [(b"host", line.split(b":")[1].strip()) for line in more.splitlines() if line.startswith(b"Host:")]
        yield Case(f"hosts {more}", head(host=more), fields(authority=None, more=lines) if b" :" not in more and more[:1] != b" " else None)
    yield Case("another host", head(b"http://app/public", host=b"Host: evil\r\n"), fields(more=[(b"host", b"evil")]))
    yield Case("another port", head(b"http://app:8/public"), fields(more=[(b"host", b"app:8")]))
    post = {"method": b"POST"}
    for length in LENGTHS:
        yield Case(f"length {length}", head(**post, more=b"Content-Length: " + length + b"\r\n") + b"abc", fields(**post, more=[(b"content-length", length)]))
    for first, second in ((b"3", b"3"), (b"3", b"4"), (b"0", b"3"), (b"3", b"0")):
        lines = [(b"content-length", first), (b"content-length", second)]
        yield Case(f"lengths {first} {second}", head(**post, more=b"".join(b"%s: %s\r\n" % line for line in lines)) + b"abc", fields(**post, more=lines))
    for coding in CODINGS:
        yield Case(f"coding {coding}", head(**post, more=b"Transfer-Encoding: " + coding + b"\r\n") + b"0\r\n\r\n", fields(**post, more=[(b"transfer-encoding", coding)]))
    yield Case("both", head(**post, more=b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n") + b"0\r\n\r\n",
               fields(**post, more=[(b"content-length", b"3"), (b"transfer-encoding", b"chunked")]))
    for option in NOMINATIONS:
        yield Case(f"connection {option}", head(more=b"Connection: " + option + b"\r\n"), fields(more=[(b"connection", option)]))
    for name in (b"connection", b"keep-alive", b"proxy-connection", b"upgrade", b"transfer-encoding"):
        for value in (b"close", b"chunked", b"h2c", b"", b"x"):
            yield Case(f"{name} {value}", None, fields(more=[(name, value)]))
    for value in (b"gzip", b"trailers, gzip", b"Trailers", b"chunked", b""):
        yield Case(f"te {value}", None, fields(more=[(b"te", value)]))
    for byte in range(256):
        byte = bytes([byte])
        if byte.lower() not in TOKEN:
            # A colon ends a name in HTTP/1.1.
            yield Case(f"name {byte}", None if byte == b":" else head(more=b"X" + byte + b"Y: a\r\n"), fields(more=[(b"x" + byte + b"y", b"a")]))
        if byte < b" " and byte != b"\t" or byte == b"\x7f":
            yield Case(f"value {byte}", head(more=b"X: a" + byte + b"b\r\n"), fields(more=[(b"x", b"a" + byte + b"b")]))
    for name in (b"", b" ", b"x ", b" x", b"X-Upper", b"x\r\ny", b"x:y", b":", b":x", b":status", b"x\r\n\r\nGET /admin HTTP/1.1\r\n"):
        yield Case(f"name {name}", head(more=name + b": a\r\n") if name in (b"", b" ", b"x ", b" x") else None, fields(more=[(name, b"a")]))
    for value in (b" a", b"a ", b"\ta", b"a\t", b" "):
        yield Case(f"value {value}", None, fields(more=[(b"x", value)]))
    for version in VERSIONS:
        yield Case(f"version {version}", head(version=version), None)
    for scheme in (b"ftp", b"ws", b"HTTP", b"", b"http:", b"file", b"javascript", b"h", b"http\x00", b"https/", None):
        yield Case(f"scheme {scheme}", None, fields(scheme=scheme))
    for name in (b":method", b":scheme", b":authority", b":path"):
        yield Case(f"twice {name}", None, fields(more=[(name, dict(fields())[name])]))
        yield Case(f"late {name}", None, [one for one in fields() if one[0] != name] + [(b"x", b"a"), (name, dict(fields())[name])])
    for name in (b":method", b":path"):
        yield Case(f"no {name}", None, [one for one in fields() if one[0] != name])
    yield Case("no authority and no host", None, fields(authority=None))
    yield Case("101 fields", head(more=b"X: a\r\n" * 100), fields(more=[(b"x", b"a")] * 101))
    yield Case("a long target", head(b"/" + b"a" * 8192), fields(b"/" + b"a" * 8192))
    yield Case("a large head", head(more=b"X: " + b"a" * 32768 + b"\r\n"), fields(more=[(b"x", b"a" * 32768)]))
    yield Case("folded", head(more=b"X: a\r\n b\r\n"), fields(more=[(b"x", b"a\r\n b")]))
    yield Case("bare line feed", head().replace(b"\r\n", b"\n"), fields(more=[(b"x", b"a\nb")]))


def over_http1(port, case):
    with socket.create_connection(("127.0.0.1", port), 20) as client:
        client.sendall(case.h1)
        received = b""
        while b"\r\n" not in received and (more := client.recv(65536)):
            received += more
        return ("answer", int(received.split(b" ")[1])) if received else ("closed", None)


def over_http2(port, tls, case, looks_after):
    with Wire(port, tls, patience=20) as wire:
        wire.ask(case.h2, end=not any(name == b"content-length" for name, _ in case.h2))
        came = wire.outcome()
        if looks_after and came[0] in ("answer", "reset"):
            wire.ask(fields(b"/good"), stream=3)
            assert wire.outcome(3) == ("answer", 200), (case, came)
        return came


@pytest.fixture
def front(gateway, issuer_file, tmp_path):
    upstream, tls = Recorder(), free_port()
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", tmp_path / "key.pem",
                    "-out", tmp_path / "cert.pem", "-days", "2", "-subj", "/CN=app"], check=True, capture_output=True)
    one = gateway({**issuer_file.settings, "upstreams": [{"id": "app", "endpoints": [f"http://127.0.0.1:{upstream.port}"]}],
                   "listeners": [{"address": f"127.0.0.1:{free_port()}"},
                                 {"address": f"127.0.0.1:{tls}", "tls": {"certificate": str(tmp_path / "cert.pem"), "private_key": str(tmp_path / "key.pem")}}]},
                  {"policy.yaml": POLICY})
    one.port, one.tls = int(one.settings["listeners"][0]["address"].split(":")[1]), tls
    yield one, upstream
    upstream.close()


REFUSALS = (400, 405, 413, 431, 501)


def test_nothing_that_must_be_refused_is_forwarded(front):
    things, upstream = front
    every = list(cases())
    assert len({case.name for case in every}) >= 300
    ways = {"HTTP/1.1": [case for case in every if case.h1 is not None], "HTTP/2": [case for case in every if case.h2 is not None]}
    ways["HTTP/2 over TLS"] = ways["HTTP/2"] if FULL else ways["HTTP/2"][::4]
    wrong = []
    print()
    for way, chosen in ways.items():
        began = time.monotonic()

        def one(numbered):
            number, case = numbered
            return over_http1(things.port, case) if way == "HTTP/1.1" else over_http2(
                things.tls if "TLS" in way else things.port, "TLS" in way, case, number % 10 == 0)

        with ThreadPoolExecutor(12) as pool:
            came = list(pool.map(one, enumerate(chosen)))
        forwarded = [record for record in upstream.take() if record[1] != "/good"]
        print(f"{way}: {len(chosen)} that must be refused, {len(forwarded)} forwarded, in {time.monotonic() - began:.0f} s")
        wrong += [(way, "forwarded", record) for record in forwarded]
        wrong += [(way, case.name, outcome) for case, outcome in zip(chosen, came)
                  if outcome[0] == "silent" or (outcome[0] == "answer" and outcome[1] not in REFUSALS)]
    assert not wrong, "\n".join(map(repr, wrong[:40]))


def test_the_limits_of_a_head_are_exact(front, monkeypatch):
    things, upstream = front
    # The recorder's own limit, which counts what the gateway adds.
    monkeypatch.setattr("http.client._MAXHEADERS", 1_000)
    count, target = 100, 8_192

    def http1(fields, length, total):
        line = b"GET /" + b"a" * (length - 1) + b" HTTP/1.1\r\nHost: app\r\n" + b"X: a\r\n" * (fields - 2)
        return over_http1(things.port, Case("", line + b"X: " + b"a" * (total - len(line) - len(b"X: \r\n\r\n")) + b"\r\n\r\n", None))

    def http2(fields, length, total):
        made = [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"app"), (b":path", b"/" + b"a" * (length - 1)), *[(b"x", b"a")] * (fields - 1)]
        # RFC 9113 section 6.5.2: 32 bytes more for each field.
        left = total - sum(len(name) + len(value) + 32 for name, value in made)
        return over_http2(things.port, False, Case("", None, [*made, (b"x", b"a" * (left - 33))]), False)

    # The h2 library takes a list that is smaller than the setting.
    for ask, size in ((http1, 32 * 1024), (http2, 32 * 1024 - 1)):
        for fits in ((count, 10, 20_000), (count - 1, 10, 20_000), (10, target, 20_000), (10, target - 1, 20_000), (10, 10, size), (10, 10, size - 1)):
            assert ask(*fits) == ("answer", 200), (ask, fits)
        assert len(upstream.take()) == 6
        for larger in ((count + 1, 10, 20_000), (10, target + 1, 20_000), (10, 10, size + 1), (count * 2, 10, 20_000), (10, target * 2, 30_000), (10, 10, size * 2)):
            assert ask(*larger) == ("answer", 431), (ask, larger)
        assert not upstream.take()
