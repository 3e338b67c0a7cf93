"""A key server that does whatever it likes. The gateway is neither held up, nor filled, nor led elsewhere, and good tokens pass all along."""

import base64
import contextlib
import datetime
import ipaddress
import json
import re
import socket
import ssl
import struct
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from policies import ONE_ROUTE
from support import ask, claims_of, code_of, free_port, new_key, public_half, sign, wait_for
from test_keys import settings, token

WITH_PUBLIC = ONE_ROUTE + "  - { id: public, path: '/public/{rest..}', rules: [ { id: all, roles: [anyone] } ] }\n"
QUICK = {"refresh": "1s", "min_refetch": "100ms", "timeout": "1s"}


class RawServer:
    """Hands each connection to `behaviour`, as a plain socket or behind TLS."""

    def __init__(self, behaviour, tls=None):
        self.behaviour, self.tls, self.hits, self.reads = behaviour, tls, [], True
        self.port = free_port()
        self.listen()

    def listen(self):
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", self.port))
        self.listener.listen(64)
        threading.Thread(target=self.accept, args=(self.listener,), daemon=True).start()

    def hang_up(self):
        # Wakes the thread in `accept`, too.
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def accept(self, listener):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                self.hits.append(time.monotonic())
                threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with contextlib.suppress(OSError, ValueError), connection:
            connection.settimeout(10)
            if self.tls:
                connection = self.tls.wrap_socket(connection, server_side=True)
            head = b""
            while self.reads and b"\r\n\r\n" not in head:
                part = connection.recv(65536)
                if not part:
                    return
                head += part
            self.behaviour(connection)

    def close(self):
        with contextlib.suppress(OSError):
            self.hang_up()


def answer(body, status="200 OK", fields="", length=None):
    body = body if isinstance(body, bytes) else body.encode()
    length = len(body) if length is None else length
    text = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n{fields}\r\n".encode() + body
    return lambda connection: connection.sendall(text)


def keys(*entries):
    return answer(json.dumps({"keys": list(entries)}))


def raw(text):
    return lambda connection: connection.sendall(text)


def hang(connection):
    connection.settimeout(30)
    connection.recv(1)


def drip(head, part, pause):
    def behaviour(connection):
        connection.sendall(head)
        while True:
            connection.sendall(part)
            time.sleep(pause)
    return behaviour


def reset_after(text):
    def behaviour(connection):
        connection.sendall(text)
        time.sleep(0.05)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
    return behaviour


def gzip_bomb():
    packer = zlib.compressobj(9, wbits=31)
    zeros = b"\0" * (1 << 20)
    return b"".join(packer.compress(zeros) for _ in range(256)) + packer.flush()


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
BIG = b" " * 65536


def faults(good, elsewhere):
    """Name, behaviour, and the code under which it is told."""
    entry, bomb = public_half(good), gzip_bomb()
    whole = json.dumps({"keys": [entry]})
    oct_key = {"kty": "oct", "k": base64.urlsafe_b64encode(b"s" * 32).decode().rstrip("="), "kid": good["kid"], "alg": "HS256"}
    ec = {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "kid": good["kid"], "use": "sig"}
    rows = {
        "500": (answer("", "500 Internal Server Error"), "status"),
        "404 with the keys": (answer(whole, "404 Not Found"), "status"),
        "204": (raw(b"HTTP/1.1 204 No Content\r\n\r\n"), "status"),
        "206 with the keys": (answer(whole, "206 Partial Content"), "status"),
        "101": (raw(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n"), "status"),
        "hang": (hang, "timeout"),
        "one byte a second of the head": (drip(b"HTTP/1.1 200 OK\r\nX: ", b"x", 0.2), "timeout"),
        "one byte a second of the body": (drip(HEAD + b"Content-Length: 1000\r\n\r\n", b"x", 0.2), "timeout"),
        "endless chunks": (drip(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + BIG + b"\r\n", 0), "too_large"),
        "endless until close": (drip(HEAD + b"\r\n", BIG, 0), "too_large"),
        "a gigabyte announced": (answer(whole, length=1 << 30), "too_large"),
        "a gzip bomb that says so": (answer(bomb, fields="Content-Encoding: gzip\r\n"), "encoded"),
        "a gzip bomb that does not": (answer(bomb), "not_a_key_set"),
        "HTML": (answer("<html><body>maintenance</body></html>"), "not_a_key_set"),
        "{}": (answer("{}"), "not_a_key_set"),
        "nothing": (answer(""), "not_a_key_set"),
        "no keys": (keys(), "no_usable_key"),
        "half a document": (answer(whole[: len(whole) // 2]), "not_a_key_set"),
        "two documents": (answer(whole + whole), "not_a_key_set"),
        "deep nesting": (answer('{"keys":' + "[" * 100_000), "not_a_key_set"),
        "`keys` twice": (answer(whole[:-1] + ',"keys":[]}'), "not_a_key_set"),
        "a length too long": (answer(whole, length=len(whole) + 10), "broken"),
        "a length too short": (answer(whole, length=len(whole) - 10), "not_a_key_set"),
        "a reset in the body": (reset_after(HEAD + b"Content-Length: 1000\r\n\r\n" + whole.encode()[:100]), "broken"),
        "a reset before the head": (reset_after(b""), "broken"),
        "closed at once": (raw(b""), "broken"),
        "no HTTP": (raw(b"SSH-2.0-OpenSSH_9.2\r\n"), "broken"),
        "HTTP/2 only": (raw(b"\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x80\0\x04\0\x01\0\0\0\x05\0\xff\xff\xff"), "broken"),
        "an endless head": (drip(b"HTTP/1.1 200 OK\r\n", b"X-Y: " + b"z" * 60_000 + b"\r\n", 0), "broken"),
        "endless interim responses": (drip(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100, 0), "broken"),
        "one kid twice": (keys(entry, entry), "no_usable_key"),
        "one kid, two keys": (keys(entry, public_half(new_key(good["kid"]))), "no_usable_key"),
        "private members": (keys(good), "no_usable_key"),
        "other types": (keys(oct_key, ec, entry | {"use": "enc"}, entry | {"key_ops": ["encrypt"]}), "no_usable_key"),
        "another algorithm": (keys(entry | {"alg": "RS512"}), "no_usable_key"),
        "a short key": (keys(entry | {"n": entry["n"][:170]}), "no_usable_key"),
        "exponent 1": (keys(entry | {"e": "AQ"}), "no_usable_key"),
        "no kid": (keys({name: value for name, value in entry.items() if name != "kid"}), "no_usable_key"),
        "10,000 keys": (answer(json.dumps({"keys": [{"kid": str(n)} for n in range(10_000)]})), "too_many_keys"),
        "a kid of 400 KB": (keys(entry | {"kid": "k" * 400_000}), "no_usable_key"),
        "a kid of 1 MB": (keys(entry | {"kid": "k" * (1 << 20)}), "too_large"),
    }
    for status in (301, 302, 303, 307, 308):
        rows[f"{status} to another port"] = (
            answer(whole, f"{status} Moved", f"Location: http://127.0.0.1:{elsewhere.port}/keys\r\n"), "redirect")
    for place in ("http://169.254.169.254/latest/meta-data/", "file:///etc/passwd", "/elsewhere", "//localhost/keys"):
        rows[f"302 to {place}"] = (answer(whole, "302 Found", f"Location: {place}\r\n"), "redirect")
    return rows


@pytest.fixture
def elsewhere():
    server = RawServer(answer("{}"))
    yield server
    server.close()


@pytest.fixture
def key():
    return new_key("first")


@pytest.fixture
def server(key):
    server = RawServer(keys(public_half(key)))
    yield server
    server.close()


def failing(things):
    return things.status()["providers"][0]["failing"]


def provoke(things, unknown):
    """Has a token of an unknown key cause a fetch, and waits for the answer."""
    began = time.monotonic()
    assert things.ask("GET", "/things/1", token(unknown))[0] == 401
    return time.monotonic() - began


def expect_fault(things, unknown, code):
    """The fault is met, by whichever fetch comes first."""
    def met():
        provoke(things, unknown)
        return failing(things) == code
    wait_for(f"the fault {code}", met)


def serves(things, key, times=3):
    for _ in range(times):
        assert things.ask("GET", "/things/1", token(key))[0] == 200
    assert ask(things.admin, "GET", "/readyz")[0] == 200


def test_no_fault_of_the_key_server_refuses_a_good_token(gateway, recorder, key, server, elsewhere):
    things = gateway(settings(f"http://127.0.0.1:{server.port}/keys", recorder, **QUICK), {"things.yaml": ONE_ROUTE})
    good, unknown = server.behaviour, new_key("unknown")
    serves(things, key)
    before, most, slowest = things.resident_kib(), 0, 0.0
    rows = faults(key, elsewhere)
    for name, (behaviour, code) in rows.items():
        server.behaviour = behaviour
        print(name, end=": ", flush=True)
        expect_fault(things, unknown, code)
        slowest = max(slowest, provoke(things, unknown))
        serves(things, key)
        most = max(most, things.resident_kib())
        assert things.metric("cogward_jwks_fetches_total", result=code) >= 1, name
    server.hang_up()
    expect_fault(things, unknown, "connect")
    serves(things, key)
    server.listen()
    server.behaviour = good
    wait_for("the keys", lambda: failing(things) is None)
    serves(things, key)
    assert elsewhere.hits == [], "a redirect was followed"
    grown = (most - before) / 1024
    print(f"\n{len(rows) + 1} faults, every good token passed; longest wait {slowest:.1f} s, memory at most {grown:.0f} MB more")
    assert slowest < 5 and grown < 40


def warnings(things):
    text = re.sub(r"\x1b\[[0-9;]*m", "", (things.folder / "gateway.log").read_text())
    return [line for line in text.splitlines() if "WARN" in line.upper() and "signing keys cannot be fetched" in line]


def test_an_outage_is_logged_once_per_change(gateway, recorder, key, server):
    things = gateway(settings(f"http://127.0.0.1:{server.port}/keys", recorder, **QUICK), {"things.yaml": ONE_ROUTE})
    good, unknown = server.behaviour, new_key("unknown")
    for behaviour, code, told in [(answer("", "500 No"), "status", 1), (answer("{}"), "not_a_key_set", 2),
                                  (good, None, 2), (answer("", "503 No"), "status", 3)]:
        server.behaviour = behaviour
        fetches = len(server.hits)
        wait_for("five fetches", lambda: provoke(things, unknown) is not None and len(server.hits) >= fetches + 5)
        wait_for(f"the state {code}", lambda: failing(things) == code)
        wait_for(f"{told} warnings", lambda: len(warnings(things)) >= told)
        assert len(warnings(things)) == told, warnings(things)


def test_a_hanging_key_server_at_the_start_is_503_and_never_401(gateway, recorder, key, server):
    good, server.behaviour = server.behaviour, hang
    things = gateway(
        settings(f"http://127.0.0.1:{server.port}/keys", recorder, **QUICK), {"things.yaml": WITH_PUBLIC}, ready=False)
    wait_for("the gateway", lambda: things.ask("GET", "/public/x")[0] == 200)
    for signer in (key, new_key("unknown")):
        began = time.monotonic()
        answered = things.ask("GET", "/things/1", token(signer))
        assert code_of(answered) == (503, "keys_unavailable") and "retry-after" in answered[1]
        assert time.monotonic() - began < 3, "it waits for no fetch"
    assert ask(things.admin, "GET", "/readyz")[0] == 503
    server.behaviour = good
    wait_for("readiness", lambda: ask(things.admin, "GET", "/readyz")[0] == 200, 30)
    serves(things, key)


def test_keys_that_flap_refuse_no_token_of_the_key_that_stays(gateway, recorder, key, server):
    second = new_key("second")
    sets = [keys(public_half(key)), keys(public_half(key), public_half(second))]
    turns = iter(range(1_000_000))
    server.behaviour = lambda connection: sets[next(turns) % 2](connection)
    things = gateway(settings(f"http://127.0.0.1:{server.port}/keys", recorder, **QUICK), {"things.yaml": ONE_ROUTE})
    unknown, cached, end, statuses = new_key("unknown"), token(key), time.monotonic() + 3, set()
    while time.monotonic() < end:
        provoke(things, unknown)
        assert things.ask("GET", "/things/1", cached)[0] == 200
        assert things.ask("GET", "/things/1", token(key))[0] == 200
        statuses.add(things.ask("GET", "/things/1", token(second))[0])
    assert statuses <= {200, 401}, statuses
    assert next(turns) >= 4


def test_what_caches_are_told_does_not_matter(gateway, recorder, key, server):
    """Keys are refreshed as the settings say, and a removed key goes, whatever the answer says of its age."""
    other = new_key("other")

    def told(*entries):
        fields = ("Cache-Control: public, max-age=1000000000, immutable\r\nAge: 99999999999999999999\r\n"
                  "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\nExpires: -1\r\nETag: \"x\"\r\nRetry-After: 1000000\r\n")
        return answer(json.dumps({"keys": [public_half(entry) for entry in entries]}), fields=fields)

    server.behaviour = told(key, other)
    things = gateway(settings(f"http://127.0.0.1:{server.port}/keys", recorder, **QUICK), {"things.yaml": ONE_ROUTE})
    warm = token(other)
    assert things.ask("GET", "/things/1", warm)[0] == 200
    server.behaviour = told(key)
    wait_for("the removed key, with its cached token", lambda: things.ask("GET", "/things/1", warm)[0] == 401)
    serves(things, key)


def test_an_outage_and_a_flood_of_unknown_keys_together_cost_one_fetch_in_min_refetch(gateway, recorder, key, server):
    quick = QUICK | {"refresh": "1h", "min_refetch": "1s"}
    things = gateway(settings(f"http://127.0.0.1:{server.port}/keys", recorder, **quick), {"things.yaml": ONE_ROUTE})
    server.behaviour = answer("", "500 No")
    unknown, good = token(new_key("unknown")), token(key)
    before, began, statuses = len(server.hits), time.monotonic(), []
    with ThreadPoolExecutor(8) as pool:
        while time.monotonic() < began + 5:
            statuses += pool.map(lambda n: things.ask("GET", "/things/1", good if n % 10 == 0 else unknown)[0], range(100))
    took, fetches = time.monotonic() - began, len(server.hits) - before
    print(f"\nunknown keys in an outage: {len(statuses)} requests in {took:.1f} s, {fetches} fetches at min_refetch 1 s")
    assert set(statuses[::10]) == {200} and set(statuses) == {200, 401}
    assert fetches <= took + 1


def test_a_token_names_no_place_that_is_asked(gateway, recorder, key, server, elsewhere):
    things = gateway(settings(f"http://127.0.0.1:{server.port}/keys", recorder, **QUICK), {"things.yaml": ONE_ROUTE})
    mine = new_key("mine")
    place = f"http://127.0.0.1:{elsewhere.port}/keys"
    elsewhere.behaviour = keys(public_half(mine))
    claims = claims_of(token(mine))
    for more in ({"jku": place}, {"x5u": place}, {"jwk": public_half(mine)}, {"jku": place, "kid": "first"}, {"kid": place}):
        assert things.ask("GET", "/things/1", sign(claims, mine, more))[0] == 401, more
        assert things.ask("GET", "/things/1", sign(claims | {"iss": place}, mine, more))[0] == 401, more
    assert elsewhere.hits == []


# TLS

def certificate(folder, name, hosts, signer=None, days=(-1, 30), ca=False):
    """A certificate and its key in one file, and both for signing with."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    private = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    issuer, signing = signer or (subject, private)
    now = datetime.datetime.now(datetime.timezone.utc)
    names = [x509.IPAddress(ipaddress.ip_address(host)) if host[0].isdigit() else x509.DNSName(host) for host in hosts]
    built = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + datetime.timedelta(days=days[0])).not_valid_after(now + datetime.timedelta(days=days[1]))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if names:
        built = built.add_extension(x509.SubjectAlternativeName(names), critical=False)
    made = built.sign(signing, hashes.SHA256())
    pem = made.public_bytes(serialization.Encoding.PEM)
    path = folder / f"{name}.pem"
    path.write_bytes(pem + private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return path, pem, (subject, private)


def context(path, newest=None):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(path)
    if newest:
        made.set_ciphers("ALL:@SECLEVEL=0")
        made.minimum_version, made.maximum_version = ssl.TLSVersion.TLSv1, newest
    return made


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_key_server_whose_tls_is_not_acceptable_is_not_believed(gateway, recorder, key, tmp_path, monkeypatch):
    _, root, authority = certificate(tmp_path, "authority", [], ca=True)
    (tmp_path / "roots.pem").write_bytes(root)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "roots.pem"))
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    leaf = lambda name, hosts=("localhost", "127.0.0.1"), signer=authority, days=(-1, 30): certificate(
        tmp_path, name, hosts, signer, days)[0]
    good = leaf("good")
    bad = {
        "self-signed": context(leaf("self", signer=None)),
        "another host": context(leaf("other", ["keys.example"])),
        "no name at all": context(leaf("nameless", [])),
        "expired": context(leaf("expired", days=(-30, -1))),
        "not valid yet": context(leaf("early", days=(10, 30))),
        "another authority": context(leaf("foreign", signer=certificate(tmp_path, "foreigner", [], ca=True)[2])),
        "a leaf as authority": context(leaf("child", signer=certificate(tmp_path, "leaf", ["localhost"], authority)[2])),
        "TLS 1.1": context(good, ssl.TLSVersion.TLSv1_1),
    }
    attacker = new_key("attacker")
    server = RawServer(keys(public_half(attacker)), bad["self-signed"])
    try:
        # Cold: it never becomes ready on the attacker's keys.
        things = gateway(settings(f"https://localhost:{server.port}/keys", recorder, **QUICK),
                         {"things.yaml": ONE_ROUTE}, ready=False)
        wait_for("the fault", lambda: failing(things) == "tls")
        assert ask(things.admin, "GET", "/readyz")[0] == 503
        assert code_of(things.ask("GET", "/things/1", token(attacker))) == (503, "keys_unavailable")
        server.behaviour, server.tls = keys(public_half(key)), context(good)
        wait_for("readiness", lambda: ask(things.admin, "GET", "/readyz")[0] == 200, 30)
        serves(things, key)
        # Warm: the old keys stay.
        server.behaviour = keys(public_half(attacker))
        unknown = new_key("unknown")
        for name, tls in bad.items():
            server.tls = tls
            print(name, end=": ", flush=True)
            fetches = len(server.hits)
            wait_for("a fetch", lambda: provoke(things, unknown) is not None and len(server.hits) > fetches)
            expect_fault(things, unknown, "tls")
            assert things.ask("GET", "/things/1", token(attacker))[0] == 401
            serves(things, key)
        # No TLS at all, and a handshake that does not come.
        server.tls, server.reads = None, False
        for behaviour in (raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"), hang):
            server.behaviour = behaviour
            fetches = len(server.hits)
            wait_for("two fetches", lambda: provoke(things, unknown) is not None and len(server.hits) > fetches + 1)
            assert failing(things) in ("tls", "timeout", "connect")
            serves(things, key)
    finally:
        server.close()
