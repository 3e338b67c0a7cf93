"""curl as the page and as the impatient client; nginx, which has CORS fields of its own, behind the gateway."""

import os
import shutil
import subprocess
import time

import pytest

from support import Gateway, accepts, free_port, wait_for

APP = "https://app.example"

POLICY = """\
apiVersion: cogward/v1
defaults:
  cors: { origins: [https://app.example], headers: [Authorization], credentials: true, max_age: 1m }
routes:
  - { id: page, path: /page, methods: [GET, PUT], rules: [ { id: users, roles: [user] } ] }
  - { id: bare, path: /bare, cors: none, rules: [ { id: everyone, roles: [anyone] } ] }
  - id: limited
    path: /limited
    rate_limit: { requests: 1, per: 3s, key: principal }
    rules: [ { id: users, roles: [user] } ]
  - id: guarded
    path: /guarded
    rate_limit: { requests: 5, per: 1h, key: address }
    rules: [ { id: users, roles: [user] } ]
"""


@pytest.fixture(scope="module")
def nginx(tmp_path_factory):
    folder, port = tmp_path_factory.mktemp("nginx-cors"), free_port()
    user = "user root;" if os.getuid() == 0 else ""
    (folder / "nginx.conf").write_text(f"""
        {user} daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
        events {{ worker_connections 64; }}
        http {{
            access_log {folder}/access.log;
            client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
            uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
            server {{
                listen 127.0.0.1:{port};
                add_header Access-Control-Allow-Origin $http_origin always;
                add_header Access-Control-Allow-Credentials true always;
                add_header Vary Accept-Encoding always;
                location / {{ return 200 "nginx"; }}
            }}
        }}""")
    process = subprocess.Popen(
        [shutil.which("nginx") or "/usr/sbin/nginx", "-c", str(folder / "nginx.conf"), "-p", str(folder)])
    wait_for("nginx", lambda: accepts(port))
    yield port, folder / "access.log"
    process.terminate()
    process.wait(10)


@pytest.fixture(scope="module")
def gateway(moto, nginx, tmp_path_factory):
    one = Gateway(tmp_path_factory.mktemp("cors"), {
        "identity": {"providers": [moto.provider()]},
        "upstreams": [{"id": "nginx", "endpoints": [f"http://127.0.0.1:{nginx[0]}"]}],
    }, {"routes.yaml": POLICY}).start()
    yield one
    one.stop()


@pytest.fixture(scope="module")
def token(moto):
    return moto.sign_in("bob")[0]


def curl(gateway, path, *arguments):
    """The last answer: status, and all fields, each with the list of its values."""
    # A file: curl empties it before it tries once more.
    command = ["curl", "-sS", "-o", str(gateway.folder / "body"), "-D", "-", "--max-time", "20", *arguments,
               f"http://127.0.0.1:{gateway.port}{path}"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    head = said.replace("\r", "").strip().split("\n\n")[-1].split("\n")
    fields = {}
    for line in head[1:]:
        name, _, value = line.partition(": ")
        fields.setdefault(name.lower(), []).append(value)
    return int(head[0].split()[1]), fields


def origin(value):
    return ["-H", f"Origin: {value}"]


def cors_of(fields):
    return {name.removeprefix("access-control-"): values for name, values in fields.items()
            if name.startswith("access-control-")}


@pytest.mark.parametrize("version", ["--http1.1", "--http2-prior-knowledge"])
def test_a_preflight_is_answered_and_nginx_sees_none(gateway, nginx, version):
    before = nginx[1].read_text()
    asks = ["-X", "OPTIONS", version, "-H", "Access-Control-Request-Method: PUT",
            "-H", "Access-Control-Request-Headers: authorization"]
    status, fields = curl(gateway, "/page", *asks, *origin(APP))
    assert status == 204
    assert cors_of(fields) == {
        "allow-origin": [APP], "allow-credentials": ["true"], "allow-methods": ["GET, HEAD, PUT"],
        "allow-headers": ["authorization"], "max-age": ["60"],
    }
    for evil in ("https://evil.example", "null", f"{APP}.evil"):
        status, fields = curl(gateway, "/page", *asks, *origin(evil))
        assert (status, cors_of(fields)) == (403, {})
    assert nginx[1].read_text() == before


def test_each_answer_has_one_set_of_fields(gateway, token):
    bearer = ["-H", f"Authorization: Bearer {token}"]
    allowed = {"allow-origin": [APP], "allow-credentials": ["true"]}
    assert cors_of(curl(gateway, "/page", *bearer, *origin(APP))[1]) == allowed
    status, fields = curl(gateway, "/page", *bearer, *origin("https://evil.example"))
    assert (status, cors_of(fields), fields["vary"]) == (200, {}, ["Accept-Encoding, origin"])
    for arguments, expected in (([], 401), (["-X", "DELETE"], 405)):
        status, fields = curl(gateway, "/page", *arguments, *origin(APP))
        assert (status, cors_of(fields)) == (expected, allowed)
    # Left to the upstream, which allows everybody.
    assert cors_of(curl(gateway, "/bare", *origin("https://evil.example"))[1])["allow-origin"] == ["https://evil.example"]


def test_an_impatient_curl_comes_back_when_it_is_told(gateway, token):
    bearer = ["-H", f"Authorization: Bearer {token}"]
    assert curl(gateway, "/limited", *bearer)[0] == 200
    started = time.monotonic()
    status, fields = curl(gateway, "/limited", *bearer, "--retry", "10")
    print(f"curl waited {time.monotonic() - started:.2f} s and got {status}")
    assert status == 200
    assert fields["ratelimit-policy"] == ['"principal-3s";q=1;w=3']
    assert fields["ratelimit"] == ['"principal-3s";r=0;t=3']
    assert gateway.metric("cogward_decisions_total", route="limited", reason="rate_limited") >= 1


def test_guessing_tokens_is_over_after_the_limit(gateway, nginx, token):
    before = nginx[1].read_text()
    guesses = [curl(gateway, "/guarded", "-H", f"Authorization: Bearer {number}.x.y")[0] for number in range(50)]
    print(f"50 guesses: {guesses.count(401)} looked at, {guesses.count(429)} refused before that")
    assert guesses == [401] * 5 + [429] * 45
    assert curl(gateway, "/guarded", "-H", f"Authorization: Bearer {token}")[0] == 429
    assert nginx[1].read_text() == before
