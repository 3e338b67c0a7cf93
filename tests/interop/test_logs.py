"""Logs, audit lines and metrics under attack: nothing leaks, nothing forges a line, and no sink ever slows a request."""

import json
import os
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

from policies import ONE_ROUTE
from support import BINARY, FULL, Gateway, KeyServer, accepts, ask, free_port, new_key, sign, wait_for

KEY = new_key("k1")
ISSUER = "https://issuer.example"
REQUESTS = 100_000 if FULL else 5_000


def token(**more):
    now = int(time.time())
    return sign({"iss": ISSUER, "aud": "api", "sub": "u-1", "groups": ["user"], "iat": now, "exp": now + 600} | more, KEY)


class Noisy(Gateway):
    """A gateway that says all it can, to whatever its standard error and output are given."""

    def __init__(self, folder, upstream, keys, **settings):
        super().__init__(folder, {
            "identity": {"providers": [{"id": "main", "oidc": {
                "issuer": ISSUER, "audiences": ["api"], "roles_claim": "groups", "jwks": {"url": keys.url}}}]},
            "upstreams": [{"id": "things", "endpoints": [f"http://127.0.0.1:{upstream}"]}],
        } | settings, {"things.yaml": ONE_ROUTE})

    def run(self, stdout=None, stderr=None, level="trace"):
        self.process = subprocess.Popen(
            [BINARY, "serve", "--config", str(self.folder / "cogward.yaml")], env=os.environ | {"COGWARD_LOG": level},
            stdout=stdout or self.log, stderr=stderr or self.log)
        wait_for("the gateway", lambda: self.alive() and accepts(self.admin) and ask(self.admin, "GET", "/readyz")[0] == 200)
        return self


def raw(port, data):
    """What a raw request is answered with."""
    with socket.create_connection(("127.0.0.1", port), 5) as s:
        s.settimeout(5)
        s.sendall(data)
        answer = b""
        try:
            while part := s.recv(65536):
                answer += part
        except OSError:
            pass
        return answer


def test_no_token_is_in_any_line_at_any_level(tmp_path, recorder):
    keys = KeyServer(KEY)
    noisy = Noisy(tmp_path, recorder.port, keys).run()
    good, bad = token(), token()[:-4] + "AAAA"
    stolen = token(sub="u-2")
    head = lambda line, *fields: "\r\n".join([line, "Host: h", "Connection: close", *fields, "", ""]).encode()
    for text in (good, bad, stolen):
        bearer = f"Authorization: Bearer {text}"
        for data in [
            head("GET /things/1 HTTP/1.1", bearer),
            head("GET /things/1 HTTP/1.1", bearer, bearer.replace("Bearer", "bearer")),
            head("GET /things/1 HTTP/1.1", bearer, f"Authorization: Bearer {good}x"),
            head(f"GET /things/{text} HTTP/1.1", bearer),
            head(f"GET /things/1?access_token={text} HTTP/1.1"),
            head(f"GET /things/%2e%2e/{text}?t={text} HTTP/1.1", bearer),
            head(f"GET /things/1?{text} HTTP/9.9", bearer),
            head(f"{text} /things/1 HTTP/1.1", bearer),
            head("GET /things/1 HTTP/1.1", f"{text}: x", bearer),
            head("GET /things/1 HTTP/1.1", f"Cookie: session={text}", f"X-Token : {text}"),
            head("GET /things/1 HTTP/1.1", bearer, "Content-Length: 5", "Transfer-Encoding: chunked"),
            head("GET /things/1 HTTP/1.1", f"Host: {text}"),
            head("GET /things/1 HTTP/1.1", f"X-Request-Id: {text}", bearer),
            head("POST /things/1 HTTP/1.1", bearer, f"Content-Length: {len(text)}") + text.encode(),
            head("POST /things/1 HTTP/1.1", bearer, "Transfer-Encoding: chunked") + f"{text}\r\n".encode(),
            head("GET /things/1 HTTP/1.1", bearer, f"Upgrade: {text}", f"Connection: upgrade, {text[:20]}"),
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bearer.encode(),
            b"\x16\x03\x01" + bearer.encode(),
        ]:
            raw(noisy.port, data)
    recorder.take()
    # Once more with an upstream and a key server that are gone.
    noisy.settings["upstreams"][0]["endpoints"] = [f"http://127.0.0.1:{free_port()}"]
    generation = noisy.status()["generation"]
    noisy.write_settings()
    wait_for("the reload", lambda: noisy.status()["generation"] > generation)
    assert noisy.ask("GET", "/things/1", good)[0] == 502
    metrics, status = noisy.metrics(), json.dumps(noisy.status())
    assert noisy.stop() == 0
    keys.close()
    lines = (tmp_path / "gateway.log").read_text() + (tmp_path / "audit.log").read_text() + metrics + status
    parts = [part for text in (good, bad, stolen) for part in text.split(".")]
    print(f"\nlog: {len(lines.splitlines())} lines at level trace, {lines.count('eyJ')} tokens in them")
    assert "eyJ" not in lines and not any(part in lines for part in parts)


def test_what_a_client_sends_never_forges_or_breaks_a_line(tmp_path, recorder):
    keys = KeyServer(KEY)
    noisy = Noisy(tmp_path, recorder.port, keys).run(level="debug")
    evil = 'x\u2028\u202e"}{"outcome":"allow"'
    for n in range(40):
        noisy.ask("GET", f"/things/%E2%80%A8%E2%80%AE%22{n}", token(sub=f"u-{n}", groups=["user", evil]),
                  {"User-Agent": 'x" {"outcome":"allow"}', "X-Request-Id": 'a"b'})
        noisy.ask("GET", "/things/%0a%0dforged", token())
        noisy.ask("GET", "/things/1", sign({"iss": ISSUER + evil}, KEY, {"kid": evil}))
    sent = len(recorder.take())
    assert noisy.stop() == 0
    keys.close()
    assert sent == 40
    audit, log = (tmp_path / "audit.log").read_text(), (tmp_path / "gateway.log").read_text()
    lines = [json.loads(line) for line in audit.split("\n") if line]
    assert len(lines) == 120
    assert sum(line["outcome"] == "allow" for line in lines) == 40
    for text in (audit, log):
        assert all(json.loads(line) is not None for line in text.split("\n") if line)
        assert not any(mark in text for mark in ("\u2028", "\u202e", "\x1b", "\r"))


def test_a_flood_of_bad_requests_is_sampled_in_the_log(tmp_path, recorder):
    keys = KeyServer(KEY)
    noisy = Noisy(tmp_path, recorder.port, keys).run(level="debug")
    started = time.monotonic()
    bad = b"GET /a b HTTP/1.1\r\nHost: h\r\n\r\n"
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: raw(noisy.port, bad)[:12], range(REQUESTS)))
    seconds = time.monotonic() - started
    assert answers == [b"HTTP/1.1 400"] * REQUESTS
    assert noisy.stop() == 0
    keys.close()
    lines = (tmp_path / "gateway.log").read_text().splitlines()
    print(f"\nlog: {REQUESTS} bad requests in {seconds:.0f} s left {len(lines)} lines at level debug")
    # 1,000 of our own and 50 of libraries in a second, and what a start says.
    assert len(lines) <= (seconds + 2) * 1_050 + 100
    assert len((tmp_path / "audit.log").read_text().splitlines()) == REQUESTS


def test_a_log_that_nobody_reads_stops_no_request(tmp_path, recorder):
    """Standard output with the audit lines and standard error: two pipes that are never read."""
    keys = KeyServer(KEY)
    reads, writes = zip(os.pipe(), os.pipe())
    noisy = Noisy(tmp_path, recorder.port, keys, audit={"destination": "stdout"}).run(writes[0], writes[1], "debug")
    good = token()
    before = time.monotonic()
    count = 20_000 if FULL else 4_000
    with ThreadPoolExecutor(8) as pool:
        refused = list(pool.map(lambda _: raw(noisy.port, b"GET /a b HTTP/1.1\r\nHost: h\r\n\r\n")[:12], range(count)))
        passed = list(pool.map(lambda _: noisy.ask("GET", "/things/1", good)[0], range(200)))
    seconds = time.monotonic() - before
    recorder.take()
    assert refused == [b"HTTP/1.1 400"] * count and passed == [200] * 200
    dropped = noisy.metric("cogward_log_dropped_total")
    print(f"\nlog: {count + 200} requests with sinks that stand still: all answered, {seconds:.0f} s, {dropped:.0f} log lines dropped")
    stopping = time.monotonic()
    assert noisy.stop() == 0
    assert time.monotonic() - stopping < 15, "the end waited for a reader"
    for end in reads + writes:
        os.close(end)
    keys.close()


def test_a_full_disk_stops_no_request_and_is_counted(tmp_path, recorder):
    keys = KeyServer(KEY)
    noisy = Noisy(tmp_path, recorder.port, keys, audit={"destination": {"file": "/dev/full"}}).run(level="info")
    assert [noisy.ask("GET", "/things/1", token())[0] for _ in range(20)] == [200] * 20
    wait_for("the lost lines", lambda: noisy.metric("cogward_audit_dropped_total", reason="write_failed") == 20)
    recorder.take()
    assert noisy.stop() == 0
    keys.close()
    log = [json.loads(line) for line in (tmp_path / "gateway.log").read_text().splitlines()]
    assert sum("audit lines cannot be written" in line["message"] for line in log) == 1, "told once, not per line"


def test_scrapes_that_hang_slow_nobody(tmp_path, recorder):
    keys = KeyServer(KEY)
    noisy = Noisy(tmp_path, recorder.port, keys).run(level="info")
    hanging = []
    for _ in range(100):
        s = socket.create_connection(("127.0.0.1", noisy.admin), 5)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.sendall(b"GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n" * 20)
        hanging.append(s)
    assert [noisy.ask("GET", "/things/1", token())[0] for _ in range(50)] == [200] * 50
    took = []
    for _ in range(20):
        started = time.monotonic()
        assert ask(noisy.admin, "GET", "/metrics")[0] == 200
        took.append(time.monotonic() - started)
    print(f"\nmetrics: median scrape {sorted(took)[10] * 1000:.1f} ms beside 100 scrapes that hang")
    for s in hanging:
        s.close()
    recorder.take()
    assert noisy.stop() == 0
    keys.close()
