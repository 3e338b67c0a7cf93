"""TLS as openssl and curl see it: versions, protocols, names, clients' certificates, and renewal under load."""

import contextlib
import json
import os
import signal
import socket
import ssl
import statistics
import subprocess
import threading
import time

import pytest

from support import FULL, Gateway, ask, free_port, new_key, public_half, wait_for

POLICY = """\
apiVersion: cogward/v1
routes:
  - { id: open, path: /open, rules: [ { id: all, roles: [anyone] } ] }
  - id: ci
    path: /ci
    rules: [ { id: ci, roles: [anyone], when: 'request.client_certificate.subject == "CN=ci,OU=Build,O=Example"' } ]
"""


def openssl(*arguments, stdin=""):
    """One run of openssl: exit code and all that it said."""
    done = subprocess.run(["openssl", *map(str, arguments)], input=stdin, capture_output=True, text=True, errors="replace", timeout=30)
    return done.returncode, done.stdout + done.stderr


class Authority:
    """A certificate authority of the openssl command line."""

    def __init__(self, folder, name):
        self.folder, self.name = folder, name
        self.certificate, self.key = folder / f"{name}.pem", folder / f"{name}.key"
        self.run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "9", "-subj",
                 f"/CN={name}", "-keyout", self.key, "-out", self.certificate)

    @staticmethod
    def run(*arguments):
        code, said = openssl(*arguments)
        assert code == 0, said

    def issue(self, name, subject, alternative, days=5, key=("ec", "ec_paramgen_curve:P-256")):
        """A certificate and its key: two paths."""
        certificate, private, request = (self.folder / f"{name}.{ending}" for ending in ("pem", "key", "csr"))
        extensions = self.folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName={alternative}\n")
        self.run("req", "-new", "-newkey", key[0], "-pkeyopt", key[1], "-nodes", "-subj", subject, "-keyout", private, "-out", request)
        self.run("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.key, "-CAcreateserial", "-days", days,
                 "-extfile", extensions, "-out", certificate)
        return certificate, private


class Front(Gateway):
    """A gateway with one TLS listener."""

    def __init__(self, folder, recorder, tls):
        key = new_key("k")
        (folder / "jwks.json").write_text(json.dumps({"keys": [public_half(key)]}))
        self.tls = free_port()
        super().__init__(folder, {
            "listeners": [{"address": f"127.0.0.1:{self.tls}", "tls": tls}],
            "identity": {"providers": [{"id": "main", "cognito": {
                "user_pool_id": "eu-west-1_EXAMPLE", "client_ids": ["app"], "jwks": {"file": "jwks.json"}}}]},
            "upstreams": [{"id": "app", "endpoints": [f"http://127.0.0.1:{recorder.port}"]}],
        }, {"policy.yaml": POLICY})

    def client(self, *arguments, stdin="", name="gateway.test"):
        return openssl("s_client", "-connect", f"127.0.0.1:{self.tls}", "-servername", name, "-CAfile", self.folder / "server-ca.pem",
                       *arguments, stdin=stdin)

    def curl(self, *arguments, path="/open"):
        done = subprocess.run(
            ["curl", "-sS", "--max-time", "20", "--cacert", str(self.folder / "server-ca.pem"), "--resolve",
             f"gateway.test:{self.tls}:127.0.0.1", "-o", "/dev/null", "-w", "%{http_version} %{http_code}", *map(str, arguments),
             f"https://gateway.test:{self.tls}{path}"], capture_output=True, text=True)
        return done.stdout if done.returncode == 0 else f"curl failed: {done.stderr.strip()}"


@pytest.fixture(scope="module")
def front(recorder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    servers, clients = Authority(folder, "server-ca"), Authority(folder, "client-ca")
    default = servers.issue("default", "/CN=default", "DNS:gateway.test")
    shop = servers.issue("shop", "/CN=shop", "DNS:shop.test,DNS:*.shop.test", key=("rsa", "rsa_keygen_bits:2048"))
    front = Front(folder, recorder, {
        "certificate": default[0].name, "private_key": default[1].name,
        "certificates": [{"certificate": shop[0].name, "private_key": shop[1].name}],
        "client_certificates": {"ca": clients.certificate.name},
    })
    front.servers, front.clients = servers, clients
    yield front.start()
    front.stop()


@pytest.fixture(scope="module")
def strict(recorder, front, tmp_path_factory):
    """The same, where a client certificate is required."""
    folder = tmp_path_factory.mktemp("strict")
    for name in ("default.pem", "default.key", "client-ca.pem", "server-ca.pem"):
        (folder / name).write_bytes((front.folder / name).read_bytes())
    strict = Front(folder, recorder, {
        "certificate": "default.pem", "private_key": "default.key",
        "client_certificates": {"ca": "client-ca.pem", "required": True},
    })
    yield strict.start()
    strict.stop()


@pytest.mark.parametrize("version", ["-ssl3", "-tls1", "-tls1_1"])
def test_old_versions_are_refused(front, version):
    code, said = front.client(version, "-cipher", "ALL:@SECLEVEL=0")
    assert code != 0 and "Cipher is (NONE)" in said or "Unknown option" in said or "unknown option" in said, said


@pytest.mark.parametrize("version, named", [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")])
@pytest.mark.parametrize("protocol", ["h2", "http/1.1"])
def test_both_versions_speak_both_protocols(front, version, named, protocol):
    code, said = front.client(version, "-alpn", protocol, "-verify_return_error", "-verify_hostname", "gateway.test")
    assert code == 0 and f"ALPN protocol: {protocol}" in said and f"Protocol  : {named}" in said or f"New, {named}" in said, said
    assert "Verify return code: 0 (ok)" in said, said


def test_the_gateway_prefers_http2_and_refuses_protocols_that_it_does_not_speak(front):
    assert "ALPN protocol: h2" in front.client("-alpn", "http/1.1,h2")[1]
    assert "No ALPN negotiated" in front.client()[1]
    code, said = front.client("-alpn", "spdy/3,acme-tls/1")
    assert code != 0 and "no application protocol" in said, said


@pytest.mark.parametrize("cipher", ["AES128-GCM-SHA256", "ECDHE-RSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA384", "DHE-RSA-AES128-GCM-SHA256",
                                    "ECDHE-RSA-AES256-SHA", "AES256-SHA", "aNULL", "3DES", "PSK"])
def test_ciphers_without_forward_secrecy_or_authenticated_encryption_are_refused(front, cipher):
    for name in ("gateway.test", "shop.test"):
        code, said = front.client("-tls1_2", "-cipher", f"{cipher}:@SECLEVEL=0", name=name)
        assert code != 0 and ("Cipher is (NONE)" in said or "no cipher match" in said), said


def test_every_cipher_that_is_left_works(front):
    for cipher in ("AES256-GCM-SHA384", "AES128-GCM-SHA256", "CHACHA20-POLY1305"):
        for kind, name in (("ECDSA", "gateway.test"), ("RSA", "shop.test")):
            code, said = front.client("-tls1_2", "-cipher", f"ECDHE-{kind}-{cipher}", name=name)
            assert code == 0 and f"Cipher is ECDHE-{kind}-{cipher}" in said, said
    for cipher in ("TLS_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"):
        code, said = front.client("-tls1_3", "-ciphersuites", cipher)
        assert code == 0 and f"Cipher is {cipher}" in said, said


@pytest.mark.parametrize("name, subject", [
    ("gateway.test", "default"), ("shop.test", "shop"), ("SHOP.test", "shop"), ("a.shop.test", "shop"), ("a.b.shop.test", "default"),
    ("other.test", "default"),
])
def test_the_name_chooses_the_certificate(front, name, subject):
    said = front.client(name=name)[1]
    assert f"subject=CN = {subject}\n" in said, said


def test_without_a_name_the_default_certificate_serves(front):
    said = openssl("s_client", "-connect", f"127.0.0.1:{front.tls}", "-noservername")[1]
    assert "subject=CN = default\n" in said, said


def test_renegotiation_is_refused(front, tmp_path):
    # `R` asks for one. Whoever takes part in it shows a certificate once more.
    out = tmp_path / "said"
    with open(out, "wb") as said:
        process = subprocess.Popen(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{front.tls}", "-tls1_2", "-servername", "gateway.test"],
            stdin=subprocess.PIPE, stdout=said, stderr=said)
        wait_for("the session", lambda: b"Extended master secret" in out.read_bytes())
        process.stdin.write(b"R\n")
        process.stdin.flush()
        wait_for("the question", lambda: b"RENEGOTIATING" in out.read_bytes())
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(1)
        process.kill()
        process.wait(10)
    assert b"verify return" not in out.read_bytes().split(b"RENEGOTIATING")[1], out.read_bytes()


def test_early_data_is_not_accepted(front, tmp_path):
    request = "GET /open HTTP/1.1\r\nHost: gateway.test\r\nConnection: close\r\n\r\n"
    session, early = tmp_path / "session.pem", tmp_path / "early"
    early.write_text(request)
    said = front.client("-tls1_3", "-sess_out", session, "-ign_eof", stdin=request)[1]
    assert "HTTP/1.1 200" in said and "Max Early Data: 0" in said, said
    said = front.client("-tls1_3", "-sess_in", session, "-early_data", early, "-ign_eof", stdin=request)[1]
    assert "Early data was not sent" in said and "Reused, TLSv1.3" in said, said


@pytest.mark.parametrize("tls", ["--tlsv1.2 --tls-max 1.2", "--tlsv1.3"])
@pytest.mark.parametrize("version, said", [("--http1.1", "1.1"), ("--http2", "2")])
def test_a_client_certificate_is_known_to_policies(front, tls, version, said):
    certificate, key = front.clients.issue("ci", "/O=Example/OU=Build/CN=ci", "DNS:ci.test")
    arguments = [version, *tls.split()]
    assert front.curl(*arguments, "--cert", certificate, "--key", key, path="/ci") == f"{said} 200"
    assert front.curl(*arguments, path="/ci") == f"{said} 401"
    assert front.curl(*arguments, path="/open") == f"{said} 200"
    # A value cannot forge parts of the subject.
    forged, key = front.clients.issue("forged", "/CN=ci,OU=Build,O=Example", "DNS:ci.test")
    assert front.curl(*arguments, "--cert", forged, "--key", key, path="/ci") == f"{said} 401"


@pytest.mark.parametrize("which", ["front", "strict"])
@pytest.mark.parametrize("tls", ["--tlsv1.2 --tls-max 1.2", "--tlsv1.3"])
def test_a_client_certificate_that_is_not_believed_is_refused(request, front, which, tls, tmp_path):
    other = Authority(tmp_path, "client-ca")
    certificate, key = other.issue("ci", "/O=Example/OU=Build/CN=ci", "DNS:ci.test")
    answer = request.getfixturevalue(which).curl(*tls.split(), "--cert", certificate, "--key", key)
    assert answer.startswith("curl failed"), answer


@pytest.mark.parametrize("tls", ["--tlsv1.2 --tls-max 1.2", "--tlsv1.3"])
def test_a_required_client_certificate_is_required(front, strict, tls):
    assert strict.curl(*tls.split()).startswith("curl failed")
    certificate, key = front.clients.issue("ann", "/O=Example/CN=ann", "DNS:ann.test")
    assert strict.curl(*tls.split(), "--cert", certificate, "--key", key).endswith(" 200")


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_a_resumed_session_keeps_the_certificate_until_its_authority_is_replaced(front, strict, tmp_path, version):
    certificate, key = front.clients.issue("ci", "/O=Example/OU=Build/CN=ci", "DNS:ci.test")
    request = "GET /ci HTTP/1.1\r\nHost: gateway.test\r\nConnection: close\r\n\r\n"
    session = tmp_path / "session.pem"
    own = ("-cert", certificate, "-key", key)
    said = strict.client(version, *own, "-sess_out", session, "-ign_eof", stdin=request)[1]
    assert "HTTP/1.1 200" in said, said
    # Without the certificate: the session alone says who it is.
    said = strict.client(version, "-sess_in", session, "-ign_eof", stdin=request)[1]
    assert "HTTP/1.1 200" in said and "Reused, TLS" in said, said

    authority = strict.folder / "client-ca.pem"
    good, applied = authority.read_bytes(), strict.metric("cogward_reloads_total", result="applied")
    authority.write_bytes(Authority(tmp_path, "client-ca").certificate.read_bytes())
    wait_for("the other authority", lambda: strict.metric("cogward_reloads_total", result="applied") > applied)
    for arguments in ((), own):
        said = strict.client(version, *arguments, "-sess_in", session, "-ign_eof", stdin=request)[1]
        assert "HTTP/1.1" not in said and "Reused, TLS" not in said, said
    authority.write_bytes(good)
    wait_for("the first authority", lambda: strict.metric("cogward_reloads_total", result="applied") > applied + 1)
    # Its sessions of the time before are gone.
    said = strict.client(version, *own, "-sess_in", session, "-ign_eof", stdin=request)[1]
    assert "HTTP/1.1 200" in said and "Reused, TLS" not in said, said


class Shakers:
    """Threads that shake hands and ask, each time anew, and count what fails."""

    def __init__(self, front, threads=4):
        self.front, self.done, self.failed, self.stop = front, 0, [], threading.Event()
        self.context = ssl.create_default_context(cafile=str(front.folder / "server-ca.pem"))
        self.threads = [threading.Thread(target=self.run) for _ in range(threads)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join()

    def serial(self):
        """Asks once; the serial number of the certificate that was shown."""
        with socket.create_connection(("127.0.0.1", self.front.tls), 15) as tcp:
            with self.context.wrap_socket(tcp, server_hostname="gateway.test") as stream:
                stream.sendall(b"GET /open HTTP/1.1\r\nHost: gateway.test\r\nConnection: close\r\n\r\n")
                answer = stream.recv(4096)
                assert answer.startswith(b"HTTP/1.1 200 "), answer
                return stream.getpeercert()["serialNumber"]

    def run(self):
        while not self.stop.is_set():
            try:
                self.serial()
                self.done += 1
            except (OSError, AssertionError) as error:
                self.failed.append(repr(error))


def test_certificates_are_renewed_under_load(recorder, tmp_path):
    servers = Authority(tmp_path, "server-ca")
    pairs = [servers.issue(f"pair{number}", "/CN=gateway", "DNS:gateway.test") for number in range(4)]
    serials = [openssl("x509", "-noout", "-serial", "-in", pair[0])[1].strip().removeprefix("serial=") for pair in pairs]
    live = tmp_path / "live.pem", tmp_path / "live.key"

    def put(source, to):
        aside = to.with_suffix(".tmp")
        aside.write_bytes(source.read_bytes())
        os.replace(aside, to)

    for source, to in zip(pairs[0], live):
        put(source, to)
    front = Front(tmp_path, recorder, {"certificate": "live.pem", "private_key": "live.key"}).start()
    took, rounds = [], 60 if FULL else 8
    try:
        with Shakers(front) as shakers:
            for turn in range(1, rounds + 1):
                pair, serial = pairs[turn % 4], serials[turn % 4]
                # One file after the other, in both orders, as a renewal does it.
                for index in ((0, 1), (1, 0))[turn % 2]:
                    put(pair[index], live[index])
                    time.sleep(0.05)
                start = time.monotonic()
                wait_for("the new certificate", lambda: shakers.serial() == serial)
                took.append(time.monotonic() - start)
            assert front.metric("cogward_reloads_total", result="rejected") == 0

            # Half a pair that never becomes whole: told once, and the old one serves on.
            put(pairs[0][1] if rounds % 4 else pairs[1][1], live[1])
            wait_for("the rejection", lambda: front.metric("cogward_reloads_total", result="rejected") == 1)
            assert shakers.serial() == serials[rounds % 4]
            assert "T004" in json.dumps(front.status()["last_rejected"])
            front.process.send_signal(signal.SIGHUP)
            time.sleep(0.5)
            assert front.metric("cogward_reloads_total", result="rejected") == 1
        recorder.take()
        print(f"\ncertificates: {rounds} renewals under {shakers.done} handshakes, {len(shakers.failed)} failed; "
              f"seen after {statistics.median(took):.2f} s, at most {max(took):.2f} s")
        assert shakers.failed == [] and shakers.done > 200
        # The bar is 2 s; a single one may meet a busy machine.
        assert statistics.median(took) < 2 and max(took) < 10
        assert front.metric("cogward_tls_handshakes_total", result="failed") == 0
        log = (tmp_path / "gateway.log").read_text()
        assert log.count("T004") == 1 and "PRIVATE KEY" not in log, log
    finally:
        front.stop()


def test_clients_that_do_not_speak_tls_are_no_errors_of_the_gateway(front):
    before = front.metric("cogward_tls_handshakes_total", result="failed")
    log = front.folder / "gateway.log"
    said = len(log.read_text())
    for junk in (b"GET / HTTP/1.1\r\nHost: gateway.test\r\n\r\n", b"\x16\x03\x01\x00\x05hello", b"\x80\x2e\x01\x00\x02", b"\x00" * 100):
        with socket.create_connection(("127.0.0.1", front.tls), 10) as stream:
            with contextlib.suppress(OSError):
                stream.sendall(junk)
                while stream.recv(4096):
                    pass
    wait_for("the count", lambda: front.metric("cogward_tls_handshakes_total", result="failed") == before + 4)
    assert log.read_text()[said:] == ""
    assert ask(front.admin, "GET", "/readyz")[0] == 200
