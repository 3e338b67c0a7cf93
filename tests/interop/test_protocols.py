"""nginx behind the gateway; curl, h2load, h2 and a WebSocket library in front of it."""

import asyncio
import json
import os
import re
import shutil
import subprocess
import threading

import pytest

from support import Gateway, FULL, accepts, claims_of, free_port, wait_for

POLICY = """\
apiVersion: cogward/v1
routes:
  - id: static
    path: /static/{rest..}
    upstream: nginx
    rules: [ { id: users, roles: [user] } ]
  - id: socket
    path: /socket/{room}
    upstream: sockets
    rules: [ { id: members, roles: [user], owner: { path: room } } ]
  - id: events
    path: /events
    upstream: events
    rules: [ { id: users, roles: [user] } ]
"""


@pytest.fixture(scope="module")
def nginx(tmp_path_factory):
    folder, port = tmp_path_factory.mktemp("nginx"), free_port()
    (folder / "static").mkdir()
    (folder / "static" / "big").write_bytes(bytes(range(256)) * 4096)
    (folder / "static" / "small").write_text("small\n")
    fields = ["request_uri", "http_host", "http_authorization", "http_x_auth_request_user", "http_x_auth_request_groups",
              "http_x_forwarded_for", "http_x_request_id", "http_cookie"]
    log = ",".join(f'"{field}":"${field}"' for field in fields)
    # A worker of another user could not read the folder.
    user = "user root;" if os.getuid() == 0 else ""
    (folder / "nginx.conf").write_text(f"""
        {user} daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
        events {{ worker_connections 1024; }}
        http {{
            log_format seen escape=json '{{{log}}}';
            access_log {folder}/access.log seen;
            client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
            uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
            server {{ listen 127.0.0.1:{port}; root {folder}; keepalive_requests 100000; }}
        }}""")
    process = subprocess.Popen([shutil.which("nginx") or "/usr/sbin/nginx", "-c", str(folder / "nginx.conf"), "-p", str(folder)])
    wait_for("nginx", lambda: accepts(port))
    yield port, folder / "access.log"
    process.terminate()
    process.wait(10)


@pytest.fixture(scope="module")
def sockets():
    """An echo server of the websockets library, and an event stream, on one loop."""
    import websockets.asyncio.server as ws

    ports, loop = {}, asyncio.new_event_loop()
    handshakes = []

    async def echo(connection):
        handshakes.append(dict(connection.request.headers.raw_items()))
        async for message in connection:
            await connection.send(message)

    async def events(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        for number in range(3):
            event = f"data: {number}\n\n".encode()
            writer.write(b"%x\r\n%s\r\n" % (len(event), event))
            await writer.drain()
            await asyncio.sleep(0.2)
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        writer.close()

    async def start():
        server = await ws.serve(echo, "127.0.0.1", 0, max_size=None)
        ports["sockets"] = server.sockets[0].getsockname()[1]
        server = await asyncio.start_server(events, "127.0.0.1", 0)
        ports["events"] = server.sockets[0].getsockname()[1]

    loop.run_until_complete(start())
    threading.Thread(target=loop.run_forever, daemon=True).start()
    yield ports, handshakes


@pytest.fixture(scope="module")
def front(nginx, sockets, moto, tmp_path_factory):
    folder = tmp_path_factory.mktemp("front")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", folder / "key.pem", "-out", folder / "cert.pem",
         "-days", "2", "-subj", "/CN=gateway.test", "-addext", "subjectAltName=DNS:gateway.test"], check=True, capture_output=True)
    tls = free_port()
    ports, _ = sockets
    endpoint = lambda port: [f"http://127.0.0.1:{port}"]
    gateway = Gateway(folder, {
        "identity": {"providers": [moto.provider()], "credentials": ["bearer", {"cookie": "session"}]},
        "upstreams": [
            {"id": "nginx", "endpoints": endpoint(nginx[0])},
            {"id": "sockets", "endpoints": endpoint(ports["sockets"])},
            {"id": "events", "endpoints": endpoint(ports["events"])},
        ],
    }, {"policy.yaml": POLICY})
    gateway.settings["listeners"].append(
        {"address": f"127.0.0.1:{tls}", "tls": {"certificate": "cert.pem", "private_key": "key.pem"}})
    gateway.write_settings()
    gateway.tls = tls
    yield gateway.start()
    gateway.stop()


@pytest.fixture(scope="module")
def bob(moto):
    return moto.sign_in("bob")[0]


def curl(front, *arguments):
    return subprocess.run(["curl", "-sS", "--max-time", "20", "--cacert", str(front.folder / "cert.pem"),
                           "--resolve", f"gateway.test:{front.tls}:127.0.0.1", *arguments], capture_output=True, text=True)


@pytest.mark.parametrize("version, said", [("--http1.1", "1.1"), ("--http2", "2")])
@pytest.mark.parametrize("tls", ["--tlsv1.2 --tls-max 1.2", "--tlsv1.3"])
def test_curl_over_tls(front, bob, version, said, tls):
    answer = curl(front, version, *tls.split(), "-w", "%{http_version} %{http_code}", "-H", f"Authorization: Bearer {bob}",
                  f"https://gateway.test:{front.tls}/static/small")
    assert answer.stdout == f"small\n{said} 200", answer


def test_curl_over_http2_by_prior_knowledge(front, bob):
    answer = curl(front, "--http2-prior-knowledge", "-w", "%{http_version} %{http_code}", "-H", f"Authorization: Bearer {bob}",
                  f"http://127.0.0.1:{front.port}/static/small")
    assert answer.stdout == "small\n2 200", answer


def test_old_tls_is_refused(front, bob):
    assert curl(front, "--tls-max", "1.1", f"https://gateway.test:{front.tls}/static/small").returncode != 0


def test_nginx_sees_the_identity_and_no_credential(front, nginx, bob):
    answer = curl(front, "-H", f"Cookie: a=1; session={bob}; b=2", "-H", "X-Auth-Request-User: root", "-H", "X-Request-Id: mine-7",
                  f"http://127.0.0.1:{front.port}/static/%73mall?q=a%20b")
    assert answer.stdout == "small\n", answer
    seen = lambda: [line for line in map(json.loads, nginx[1].read_text().splitlines()) if line["http_x_request_id"] == "mine-7"]
    [line] = wait_for("nginx's log", seen)
    assert line["request_uri"] == "/static/small?q=a%20b"
    assert line["http_authorization"] == "" and line["http_cookie"] == "a=1; b=2"
    assert line["http_x_auth_request_user"] == claims_of(bob)["sub"]
    assert line["http_x_auth_request_groups"] == "user"
    assert line["http_x_forwarded_for"] == "127.0.0.1"


def test_a_megabyte_arrives_unchanged(front, bob, tmp_path):
    out = tmp_path / "big"
    curl(front, "--http2", "-o", str(out), "-H", f"Authorization: Bearer {bob}", f"https://gateway.test:{front.tls}/static/big")
    assert out.read_bytes() == bytes(range(256)) * 4096


@pytest.mark.parametrize("form", ["h1", "h2c", "h2"])
def test_h2load_loses_no_request(front, bob, form):
    count = 200_000 if FULL else 20_000
    url = f"https://127.0.0.1:{front.tls}" if form == "h2" else f"http://127.0.0.1:{front.port}"
    flags = {"h1": ["--h1"], "h2c": ["-m", "10"], "h2": ["-m", "10"]}[form]
    answer = subprocess.run(["h2load", "-n", str(count), "-c", "20", *flags, "-H", f"authorization: Bearer {bob}",
                             f"{url}/static/small"], capture_output=True, text=True, timeout=300)
    found = re.search(r"requests: .* (\d+) succeeded, (\d+) failed, (\d+) errored", answer.stdout)
    assert found and found.groups() == (str(count), "0", "0"), answer.stdout
    assert re.search(rf"status codes: {count} 2xx", answer.stdout), answer.stdout


def test_a_websocket_is_authorized_and_then_passes_every_byte(front, sockets, bob):
    import websockets.asyncio.client as ws

    owner = claims_of(bob)["sub"]
    _, handshakes = sockets

    async def talk():
        uri = f"ws://127.0.0.1:{front.port}/socket/{owner}"
        async with ws.connect(uri, additional_headers={"Authorization": f"Bearer {bob}"}, max_size=None, compression=None) as connection:
            for message in ("hello", b"\x00" * 70_000, "ü" * 1_000, bytes(range(256)) * 4096):
                await connection.send(message)
                assert await connection.recv() == message

    handshakes.clear()
    asyncio.run(talk())
    [fields] = handshakes
    fields = {name.lower(): value for name, value in fields.items()}
    assert fields["x-auth-request-user"] == owner and "authorization" not in fields


@pytest.mark.parametrize("path, headers, status", [
    ("/socket/somebody-else", "bearer", 403),
    ("/socket/x", None, 401),
    ("/socket/OWNER", "cookie", 403),
])
def test_a_websocket_that_is_not_allowed_never_reaches_the_upstream(front, sockets, bob, path, headers, status):
    import websockets.asyncio.client as ws
    from websockets.exceptions import InvalidStatus

    _, handshakes = sockets
    handshakes.clear()
    fields = {"bearer": {"Authorization": f"Bearer {bob}"}, "cookie": {"Cookie": f"session={bob}", "Origin": "https://evil.example"}}

    async def talk():
        uri = f"ws://127.0.0.1:{front.port}{path.replace('OWNER', claims_of(bob)['sub'])}"
        async with ws.connect(uri, additional_headers=fields.get(headers, {})):
            pass

    with pytest.raises(InvalidStatus) as refused:
        asyncio.run(talk())
    assert refused.value.response.status_code == status
    assert handshakes == []


def test_server_sent_events_arrive_one_by_one(front, bob):
    import http.client
    import time

    connection = http.client.HTTPConnection("127.0.0.1", front.port, timeout=10)
    connection.request("GET", "/events", headers={"Authorization": f"Bearer {bob}", "Accept": "text/event-stream"})
    response = connection.getresponse()
    assert response.getheader("content-type") == "text/event-stream"
    times = []
    for number in range(3):
        assert response.readline() == f"data: {number}\n".encode()
        response.readline()
        times.append(time.monotonic())
    assert times[2] - times[0] > 0.2, "the events came all at once"


def test_a_connect_over_http2_is_refused_and_audited(front):
    import socket

    import h2.config
    import h2.connection
    import h2.events

    before = len(front.audit())
    with socket.create_connection(("127.0.0.1", front.port), 10) as stream:
        client = h2.connection.H2Connection(h2.config.H2Configuration(validate_outbound_headers=False))
        client.initiate_connection()
        client.send_headers(1, [(":method", "CONNECT"), (":authority", "h:443")], end_stream=True)
        stream.sendall(client.data_to_send())
        head, body, ended = {}, b"", False
        while not ended:
            for event in client.receive_data(stream.recv(65536)):
                if isinstance(event, h2.events.ResponseReceived):
                    head = {str(name, "ascii"): str(value, "ascii") for name, value in event.headers}
                elif isinstance(event, h2.events.DataReceived):
                    body += event.data
                ended = ended or isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset))
    assert head[":status"] == "405" and "GET" in head["allow"], head
    assert json.loads(body)["code"] == "method_not_allowed"
    wait_for("the audit line", lambda: any(line["reason"] == "method_not_allowed" for line in front.audit()[before:]))


@pytest.mark.parametrize("fields", ["Upgrade: websocket\r\nUpgrade: websocket", "Upgrade: websocket\r\nUpgrade: x"])
def test_a_second_upgrade_field_does_not_open_a_websocket_of_another_site(front, sockets, bob, fields):
    import socket

    sockets[1].clear()
    request = (f"GET /socket/{claims_of(bob)['sub']} HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\n{fields}\r\n"
               f"Cookie: session={bob}\r\nOrigin: https://evil.example\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
               "Sec-WebSocket-Version: 13\r\n\r\n")
    with socket.create_connection(("127.0.0.1", front.port), 10) as stream:
        stream.sendall(request.encode())
        assert stream.recv(4096).startswith(b"HTTP/1.1 403 ")
    assert sockets[1] == []
