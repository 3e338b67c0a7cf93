"""A real gRPC client and server, the gateway between them: calls of all four kinds, trailers, refusals, deadlines, cancellation."""

import concurrent.futures
import json
import threading
import time

import grpc
import pytest

from support import FULL, Gateway, KeyServer, ask, new_key, sign, wait_for

POLICY = """\
apiVersion: cogward/v1
defaults: { upstream: grpc }
routes:
  - { id: echo, path: '/echo.Echo/{method}', methods: [POST], rules: [ { id: users, roles: [user] } ] }
  - { id: admin, path: '/admin.Admin/{method}', methods: [POST], rules: [ { id: admins, roles: [admin] } ] }
  - { id: wrong, path: '/wrong/{rest..}', methods: [GET, POST], upstream: http1, rules: [ { id: everyone, roles: [anyone] } ] }
"""
POOL = "eu-west-1_GRPC"
CLIENT = "grpc-client"


class Echo:
    """Remembers who called, and whether callers left."""

    def __init__(self):
        self.seen, self.cancelled, self.calls = [], threading.Event(), 0
        self.lock = threading.Lock()

    def note(self, context):
        with self.lock:
            self.calls += 1
            self.seen.append(dict(context.invocation_metadata()))
        context.set_trailing_metadata((("x-trailer", "end"), ("x-trailer-bin", b"\0\xff")))

    def unary(self, request, context):
        self.note(context)
        if request == b"fail":
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not today: ü")
        if request == b"sleep":
            time.sleep(6)
        return request[::-1]

    def serve(self, request, context):
        self.note(context)
        for number in range(int(request)):
            yield b"%d" % number
        if request == b"1":
            context.add_callback(self.cancelled.set)
            while context.is_active():
                time.sleep(0.02)

    def collect(self, requests, context):
        self.note(context)
        return b"%d" % sum(len(request) for request in requests)

    def talk(self, requests, context):
        self.note(context)
        for request in requests:
            yield b"re: " + request


def handlers(echo):
    kinds = {
        "Unary": grpc.unary_unary_rpc_method_handler(echo.unary),
        "Serve": grpc.unary_stream_rpc_method_handler(echo.serve),
        "Collect": grpc.stream_unary_rpc_method_handler(echo.collect),
        "Talk": grpc.stream_stream_rpc_method_handler(echo.talk),
    }
    return tuple(grpc.method_handlers_generic_handler(name, kinds) for name in ("echo.Echo", "admin.Admin"))


class Setting:
    def __init__(self, folder):
        self.echo = Echo()
        options = [("grpc.max_receive_message_length", -1), ("grpc.so_reuseport", 0)]
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(120), handlers(self.echo), options=options)
        port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()
        self.http1 = KeyServer()
        self.key = new_key("k-1")
        (folder / "keys.json").write_text(json.dumps({"keys": [{
            name: self.key[name] for name in ("kty", "n", "e", "kid", "use", "alg")}]}))
        http1 = self.http1.url.removesuffix("/jwks.json")
        self.gateway = Gateway(folder, {
            "identity": {"providers": [{"id": "main", "cognito": {
                "user_pool_id": POOL, "client_ids": [CLIENT], "jwks": {"file": "keys.json"}}}]},
            "upstreams": [
                {"id": "grpc", "endpoints": [f"http://127.0.0.1:{port}"], "protocol": "http2"},
                {"id": "http1", "endpoints": [http1], "protocol": "http2", "timeouts": {"read": "1s"}}],
        }, {"routes.yaml": POLICY}).start()
        self.channel = grpc.insecure_channel(
            f"127.0.0.1:{self.gateway.port}", options=[("grpc.max_receive_message_length", -1)])

    def token(self, *groups):
        now = int(time.time())
        return sign({
            "iss": f"https://cognito-idp.eu-west-1.amazonaws.com/{POOL}", "sub": "u-1", "username": "u-1",
            "client_id": CLIENT, "token_use": "access", "cognito:groups": list(groups), "iat": now - 5, "exp": now + 600}, self.key)

    def identity(self, *groups):
        return [("authorization", f"Bearer {self.token(*groups)}"), ("x-auth-request-user", "root"), ("x-mine", "1")]

    def close(self):
        self.channel.close()
        self.gateway.stop()
        self.server.stop(0)
        self.http1.close()


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    made = Setting(tmp_path_factory.mktemp("grpc"))
    yield made
    made.close()


def test_calls_of_all_kinds_pass_with_identity_and_trailers(setting):
    channel, metadata = setting.channel, setting.identity("user")
    answer, call = channel.unary_unary("/echo.Echo/Unary").with_call(b"hello", metadata=metadata, timeout=20)
    assert (answer, call.code()) == (b"olleh", grpc.StatusCode.OK)
    trailers = dict(call.trailing_metadata())
    assert (trailers["x-trailer"], trailers["x-trailer-bin"]) == ("end", b"\0\xff")
    seen = setting.echo.seen[-1]
    assert (seen["x-auth-request-user"], seen["x-auth-request-groups"], seen["x-mine"]) == ("u-1", "user", "1")
    assert "authorization" not in seen
    assert list(channel.unary_stream("/echo.Echo/Serve")(b"50", metadata=metadata, timeout=20)) == [
        b"%d" % number for number in range(50)]
    parts = (b"a" * 1000 for _ in range(200))
    assert channel.stream_unary("/echo.Echo/Collect")(parts, metadata=metadata, timeout=20) == b"200000"

    asked, told = [], []

    def questions():
        for number in range(20):
            # The next one is asked only when the last one was answered: both directions live at once.
            wait_for("the answer before", lambda: len(told) == number)
            asked.append(number)
            yield b"%d" % number

    for answer in channel.stream_stream("/echo.Echo/Talk")(questions(), metadata=metadata, timeout=30):
        told.append(answer)
    assert told == [b"re: %d" % number for number in range(20)]


def test_a_status_of_the_server_reaches_the_client_as_it_is(setting):
    with pytest.raises(grpc.RpcError) as refusal:
        setting.channel.unary_unary("/echo.Echo/Unary")(b"fail", metadata=setting.identity("user"), timeout=20)
    assert refusal.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert refusal.value.details() == "not today: ü"
    assert dict(refusal.value.trailing_metadata())["x-trailer"] == "end"


def test_a_denial_is_a_status_and_reaches_no_server(setting):
    before = setting.echo.calls
    cases = [
        (None, "/echo.Echo/Unary", grpc.StatusCode.UNAUTHENTICATED, "credential_missing"),
        ([("authorization", "Bearer a.b.c")], "/echo.Echo/Unary", grpc.StatusCode.UNAUTHENTICATED, "token_invalid"),
        (setting.identity("user"), "/admin.Admin/Unary", grpc.StatusCode.PERMISSION_DENIED, "missing_role"),
        (setting.identity("user"), "/other.Other/Unary", grpc.StatusCode.UNIMPLEMENTED, "no_route"),
    ]
    for metadata, method, code, details in cases:
        with pytest.raises(grpc.RpcError) as refusal:
            setting.channel.unary_unary(method)(b"hello", metadata=metadata, timeout=20)
        assert (refusal.value.code(), refusal.value.details()) == (code, details)
    with pytest.raises(grpc.RpcError) as refusal:
        list(setting.channel.stream_stream("/admin.Admin/Talk")(iter([b"a", b"b"]), metadata=setting.identity("user"), timeout=20))
    assert refusal.value.code() == grpc.StatusCode.PERMISSION_DENIED
    assert setting.echo.calls == before


def test_a_large_message_passes_both_ways(setting):
    size = 9 << 20
    answer = setting.channel.unary_unary("/echo.Echo/Unary")(b"a" * size, metadata=setting.identity("user"), timeout=60)
    assert answer == b"a" * size
    with pytest.raises(grpc.RpcError) as refusal:
        # One byte more than a route takes.
        setting.channel.unary_unary("/echo.Echo/Unary")(b"a" * (10 << 20), metadata=setting.identity("user"), timeout=60)
    assert refusal.value.code() in (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.CANCELLED, grpc.StatusCode.INTERNAL)


def test_a_deadline_and_a_cancellation_reach_the_server(setting):
    begun = time.monotonic()
    with pytest.raises(grpc.RpcError) as late:
        setting.channel.unary_unary("/echo.Echo/Unary")(b"sleep", metadata=setting.identity("user"), timeout=0.5)
    assert late.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED and time.monotonic() - begun < 5
    assert "grpc-timeout" not in setting.echo.seen[-1]  # The server's library takes it as its own deadline.
    call = setting.channel.unary_stream("/echo.Echo/Serve")(b"1", metadata=setting.identity("user"), timeout=60)
    assert next(call) == b"0"
    call.cancel()
    assert setting.echo.cancelled.wait(10), "the server still believes in its caller"
    # Neither is held against the server.
    assert setting.gateway.metric("cogward_upstream_ejections_total") == 0


def test_100_streams_share_a_connection(setting):
    # The server of this test has threads for 120 calls.
    metadata, streams, rounds = setting.identity("user"), 100, 10 if FULL else 1
    ready = threading.Barrier(streams)

    def one(number):
        def questions():
            yield b"%d-1" % number
            ready.wait(30)
            yield b"%d-2" % number

        return list(setting.channel.stream_stream("/echo.Echo/Talk")(questions(), metadata=metadata, timeout=60))

    begun = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(streams) as pool:
        for _ in range(rounds):
            answers = list(pool.map(one, range(streams)))
            assert answers == [[b"re: %d-1" % number, b"re: %d-2" % number] for number in range(streams)]
    print(f"{rounds} x {streams} bidirectional calls at once: {time.monotonic() - begun:.1f} s")


def test_a_server_that_does_not_speak_http2_is_not_spoken_to_otherwise(setting):
    status, headers, body = ask(setting.gateway.port, "GET", "/wrong/a")
    assert (status, json.loads(body)["code"]) in ((502, "upstream_unreachable"), (504, "upstream_timeout"))
    assert setting.http1.fetches == []


def test_calls_go_on_when_the_server_is_restarted(setting):
    # A server that goes away says so (GOAWAY): the calls after it are made on a new connection.
    metadata = setting.identity("user")
    call = setting.channel.unary_unary("/echo.Echo/Unary")
    assert call(b"ab", metadata=metadata, timeout=20) == b"ba"
    port = int(setting.gateway.settings["upstreams"][0]["endpoints"][0].rsplit(":", 1)[1])
    setting.server.stop(None).wait(10)
    with pytest.raises(grpc.RpcError) as refusal:
        call(b"ab", metadata=metadata, timeout=20)
    assert refusal.value.code() == grpc.StatusCode.UNAVAILABLE
    options = [("grpc.so_reuseport", 0)]
    setting.server = grpc.server(concurrent.futures.ThreadPoolExecutor(20), handlers(setting.echo), options=options)
    assert setting.server.add_insecure_port(f"127.0.0.1:{port}") == port
    setting.server.start()

    def again():
        try:
            return call(b"ab", metadata=metadata, timeout=20) == b"ba"
        except grpc.RpcError:
            return False

    wait_for("the server", again)
