"""WebSockets of another library through the gateway, byte for byte, and what becomes of streams when their token expires."""

import asyncio
import hashlib
import json
import random
import socket
import ssl
import subprocess
import threading
import time

import grpc
import pytest

from support import FULL, Gateway, free_port, new_key, public_half, sign, wait_for

POOL, CLIENT = "eu-west-1_Streams01", "app"
ISSUER = f"https://cognito-idp.eu-west-1.amazonaws.com/{POOL}"
FRAMES = 10_000 if FULL else 1_000
SOCKETS = 200

POLICY = """\
apiVersion: cogward/v1
routes:
  - { id: socket, path: "/socket/{rest..}", upstream: sockets, rules: [ { id: users, roles: [user] } ] }
  - { id: service, path: /pkg.Svc/Method, upstream: events, rules: [ { id: users, roles: [user] } ] }
  - { id: scoped, path: /pkg.Svc/Scoped, upstream: events, rules: [ { id: scoped, scopes: [write] } ] }
  - { id: hidden, path: /pkg.Svc/Hidden, upstream: events, on_deny: not_found, rules: [ { id: admins, roles: [admin] } ] }
  - { id: gone, path: /pkg.Svc/Gone, upstream: gone, rules: [ { id: users, roles: [user] } ] }
"""


class Sockets:
    """A WebSocket server: under `/digest` it takes and sends random messages, under all else it echoes."""

    def __init__(self):
        import websockets.asyncio.server as ws

        self.loop, self.closed = asyncio.new_event_loop(), []

        async def serve(connection):
            if connection.request.path.endswith("/digest"):
                await digest(connection)
            else:
                async for message in connection:
                    await connection.send(message)
            await connection.wait_closed()
            self.closed.append((connection.request.path, connection.close_code, connection.close_reason))

        async def grpc_stream(reader, writer):
            """Answers the head of a gRPC call, and then nothing."""
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ntransfer-encoding: chunked\r\n\r\n"
                         b"6\r\n\0\0\0\0\x01a\r\n")
            await writer.drain()
            await reader.read()
            writer.close()

        async def start():
            server = await ws.serve(serve, "127.0.0.1", 0, max_size=None, compression=None)
            self.port = server.sockets[0].getsockname()[1]
            server = await asyncio.start_server(grpc_stream, "127.0.0.1", 0)
            self.events = server.sockets[0].getsockname()[1]

        self.loop.run_until_complete(start())
        threading.Thread(target=self.loop.run_forever, daemon=True).start()


def parts_of(seed):
    """Messages of every kind of length, whole and in fragments; one of them has a megabyte."""
    choose = random.Random(seed)
    for place in range(FRAMES):
        if place == FRAMES // 2:
            length = 1_000_000
        else:
            length = choose.choice([0, 1, 125, 126, 127, 4095, 65_535, 65_536, choose.randrange(200), choose.randrange(3_000)])
        message = choose.randbytes(length)
        cuts = sorted(choose.randrange(length + 1) for _ in range(choose.choice([0, 0, 0, 1, 3])))
        yield [message[a:b] for a, b in zip([0, *cuts], [*cuts, length])]


async def say(connection, seed):
    """Sends the messages of a seed, with pings between them; their digest."""
    digest, pongs = hashlib.sha256(), []
    for place, parts in enumerate(parts_of(seed)):
        for part in parts:
            digest.update(part)
        await connection.send(parts[0] if len(parts) == 1 else iter(parts))
        if place % 100 == 0:
            pongs.append(await connection.ping())
    await asyncio.wait_for(asyncio.gather(*pongs), 30)
    return digest.hexdigest()


async def hear(connection):
    digest = hashlib.sha256()
    for _ in range(FRAMES):
        digest.update(await connection.recv())
    return digest.hexdigest()


async def digest(connection):
    """Says what it heard, and what it has said."""
    heard, said = await asyncio.gather(hear(connection), say(connection, "server"))
    await connection.send(json.dumps([heard, said]))


def token(key, seconds=3600, groups=("user",), **more):
    now = int(time.time())
    return sign({"iss": ISSUER, "sub": "u-1", "username": "u-1", "client_id": CLIENT, "token_use": "access", "scope": "openid",
                 "cognito:groups": list(groups), "iat": now - 1, "exp": now + seconds} | more, key)


@pytest.fixture(scope="module")
def key():
    return new_key("streams")


@pytest.fixture(scope="module")
def sockets():
    return Sockets()


@pytest.fixture(scope="module")
def front(sockets, key, tmp_path_factory):
    folder = tmp_path_factory.mktemp("streams")
    (folder / "jwks.json").write_text(json.dumps({"keys": [public_half(key)]}))
    upstream = lambda name, port: {"id": name, "endpoints": [f"http://127.0.0.1:{port}"]}
    gateway = Gateway(folder, {
        "identity": {"providers": [{"id": "main", "cognito": {
            "user_pool_id": POOL, "client_ids": [CLIENT], "jwks": {"file": "jwks.json"}}}]},
        "upstreams": [upstream("sockets", sockets.port), upstream("events", sockets.events), upstream("gone", 1)],
    }, {"policy.yaml": POLICY})
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", folder / "key.pem", "-out", folder / "cert.pem",
         "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"], check=True, capture_output=True)
    gateway.tls = free_port()
    gateway.settings["listeners"].append(
        {"address": f"127.0.0.1:{gateway.tls}", "tls": {"certificate": "cert.pem", "private_key": "key.pem"}})
    gateway.write_settings()
    yield gateway.start()
    gateway.stop()


def connect(front, path, bearer, tls=False):
    import websockets.asyncio.client as ws

    place, more = f"ws://127.0.0.1:{front.port}", {}
    if tls:
        place, more = f"wss://localhost:{front.tls}", {"ssl": ssl.create_default_context(cafile=front.folder / "cert.pem")}
    return ws.connect(f"{place}/socket/{path}", additional_headers={"Authorization": f"Bearer {bearer}"},
                      max_size=None, compression=None, ping_interval=None, **more)


def test_thousands_of_frames_pass_unchanged_both_ways(front, key):
    async def talk():
        async with connect(front, "digest", token(key)) as connection:
            heard, said = await asyncio.gather(hear(connection), say(connection, "client"))
            server_heard, server_said = json.loads(await connection.recv())
            assert heard == server_said and said == server_heard

    asyncio.run(talk())
    print(f"\n{FRAMES} messages each way, 1 MB and fragments among them: SHA-256 equal")


def test_many_sockets_are_closed_when_their_token_expires(front, sockets, key):
    from websockets.exceptions import ConnectionClosed

    before = front.metric("cogward_streams_ended_total", kind="websocket", cause="expired")
    lines = len(front.audit())
    # Long enough for all to be open before the first one ends, also where the machine is busy.
    lifetime = 10
    expires = int(time.time()) + lifetime
    bearer = token(key, lifetime, exp=expires)

    async def one():
        async with connect(front, "many", bearer) as connection:
            await connection.send("hello")
            assert await connection.recv() == "hello"
            opened = time.time()
            try:
                await connection.recv()
                raise AssertionError("it goes on")
            except ConnectionClosed as closed:
                return opened, time.time(), closed.rcvd.code, closed.rcvd.reason

    async def all_of_them():
        return await asyncio.gather(*(one() for _ in range(SOCKETS)))

    ends = asyncio.run(all_of_them())
    assert max(opened for opened, *_ in ends) < expires, "all are open at once"
    assert {(code, reason) for *_, code, reason in ends} == {(1008, "token expired")}
    late = max(ended for _, ended, *_ in ends) - expires
    assert min(ended for _, ended, *_ in ends) >= expires - 0.05, "none ends before its time"
    known = lambda: [why for path, *why in sockets.closed if path == "/socket/many"]
    wait_for("the upstream to know", lambda: len(known()) == SOCKETS)
    assert all(why == [1001, "token expired"] for why in known()), known()
    counted = lambda: front.metric("cogward_streams_ended_total", kind="websocket", cause="expired") - before == SOCKETS
    wait_for("the metric", counted)
    wait_for("the audit lines", lambda: len(front.audit()) - lines >= SOCKETS)
    print(f"\n{SOCKETS} sockets at once, the last one closed {late * 1000:.0f} ms after the expiry")
    assert late < (1.0 if FULL else 5.0)


def test_a_websocket_over_tls_is_told_as_well(front, key):
    from websockets.exceptions import ConnectionClosed

    async def talk():
        async with connect(front, "echo", token(key, 3), tls=True) as connection:
            await connection.send(b"x" * 100_000)
            assert await connection.recv() == b"x" * 100_000
            with pytest.raises(ConnectionClosed) as closed:
                await asyncio.wait_for(connection.recv(), 20)
            assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, "token expired")

    asyncio.run(talk())


@pytest.mark.parametrize("fields", [
    # RFC 8441, which the gateway does not announce.
    [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":path", "/socket/h2"), (":authority", "h")],
    [(":method", "GET"), (":scheme", "http"), (":path", "/socket/h2"), (":authority", "h"), ("upgrade", "websocket"),
     ("connection", "upgrade")],
])
def test_a_websocket_over_http2_is_refused(front, sockets, key, fields):
    import h2.config
    import h2.connection
    import h2.events
    import h2.settings

    fields = fields + [("authorization", f"Bearer {token(key)}"), ("sec-websocket-version", "13")]
    with socket.create_connection(("127.0.0.1", front.port), 10) as stream:
        client = h2.connection.H2Connection(h2.config.H2Configuration(validate_outbound_headers=False, normalize_outbound_headers=False))
        client.initiate_connection()
        client.send_headers(1, fields, end_stream=False)
        stream.sendall(client.data_to_send())
        status, over = None, False
        while not over:
            received = stream.recv(65536)
            over = not received
            for event in client.receive_data(received) if received else []:
                if isinstance(event, h2.events.ResponseReceived):
                    status = dict(event.headers)[b":status"]
                over = over or isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset, h2.events.ConnectionTerminated))
        offered = client.remote_settings.get(h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL)
    assert status in (None, b"400", b"405") and not offered, (status, offered)
    assert not [path for path, *_ in sockets.closed if path.endswith("h2")]


def test_grpcio_reads_why_it_is_denied(front, key):
    user, nobody = token(key), token(key, groups=())
    cases = [
        ("/pkg.Svc/Method", None, grpc.StatusCode.UNAUTHENTICATED),
        ("/pkg.Svc/Method", "a.b.c", grpc.StatusCode.UNAUTHENTICATED),
        ("/pkg.Svc/Method", token(key, -10), grpc.StatusCode.UNAUTHENTICATED),
        ("/pkg.Svc/Method", nobody, grpc.StatusCode.PERMISSION_DENIED),
        ("/pkg.Svc/Scoped", user, grpc.StatusCode.PERMISSION_DENIED),
        ("/pkg.Svc/Hidden", user, grpc.StatusCode.UNIMPLEMENTED),
        ("/pkg.svc/method", user, grpc.StatusCode.UNIMPLEMENTED),
        ("/pkg.Svc/Gone", user, grpc.StatusCode.UNAVAILABLE),
    ]
    with grpc.insecure_channel(f"127.0.0.1:{front.port}") as channel:
        for method, bearer, code in cases:
            call = channel.unary_unary(method, request_serializer=bytes, response_deserializer=bytes)
            metadata = [("authorization", f"Bearer {bearer}")] if bearer else []
            with pytest.raises(grpc.RpcError) as refused:
                call(b"x", metadata=metadata, timeout=15)
            assert refused.value.code() == code, (method, refused.value)


@pytest.mark.parametrize("kind", ["server", "both"])
def test_grpcio_reads_that_its_token_has_expired(front, key, kind):
    with grpc.insecure_channel(f"127.0.0.1:{front.port}") as channel:
        metadata = [("authorization", f"Bearer {token(key, 3)}")]
        form = {"request_serializer": bytes, "response_deserializer": bytes}
        if kind == "server":
            answers = channel.unary_stream("/pkg.Svc/Method", **form)(b"x", metadata=metadata, timeout=15)
        else:
            stop = threading.Event()

            def messages():
                while not stop.wait(0.2):
                    yield b"x"

            answers = channel.stream_stream("/pkg.Svc/Method", **form)(messages(), metadata=metadata, timeout=15)
        got = []
        with pytest.raises(grpc.RpcError) as ended:
            got.extend(answers)
            got.append(next(answers))
        assert ended.value.code() == grpc.StatusCode.UNAUTHENTICATED, ended.value
        if kind == "both":
            stop.set()
