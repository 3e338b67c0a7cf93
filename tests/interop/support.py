"""Starting and stopping the programs of these tests, and asking them things."""

import contextlib
import gzip
import http.client
import importlib.resources
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

BINARY = os.environ["COGWARD_BIN"]
FULL = os.environ.get("COGWARD_FULL") == "1"
ROOT = Path(__file__).resolve().parents[2]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(what, probe, seconds=15.0):
    """Asks until the answer is true. The only waiting in these tests."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError, http.client.HTTPException):
            answer = probe()
            if answer:
                return answer
        time.sleep(0.02)
    raise AssertionError(f"{what}: not within {seconds} s")


def accepts(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.5):
        return True
    return False


def ask(port, method, path, token=None, headers=None, body=None):
    """One request on a connection of its own: status, headers, body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=15)
    headers = dict(headers or {})
    if token:
        headers["Authorization"] = f"Bearer {token}"
    try:
        connection.request(method, path, body=body, headers=headers)
        response = connection.getresponse()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
    finally:
        connection.close()


def code_of(answer):
    status, headers, body = answer
    assert headers.get("content-type", "").startswith("application/problem+json"), (status, headers, body)
    problem = json.loads(body)
    assert problem["status"] == status, problem
    return status, problem["code"]


class Recorder:
    """An upstream that remembers exactly what it was sent."""

    def __init__(self):
        self.seen = []
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                length = int(self.headers.get("content-length", 0))
                body = self.rfile.read(length)
                if self.headers.get("transfer-encoding") == "chunked":
                    body = b"".join(self.chunks())
                fields = [(name.lower(), value) for name, value in self.headers.items()]
                recorder.seen.append((self.command, self.path, fields, body))
                text = b'{"ok":true}'
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(text)

            def chunks(self):
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    yield self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()

            do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = answer

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def take(self):
        seen, self.seen = self.seen, []
        return seen

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Gateway:
    """The release binary under its own settings file."""

    def __init__(self, folder, settings, policies=None):
        self.folder = Path(folder)
        self.port, self.admin = free_port(), free_port()
        self.settings = {
            "listeners": [{"address": f"127.0.0.1:{self.port}"}],
            "admin": {"address": f"127.0.0.1:{self.admin}"},
            "shutdown_delay": "0s",
            "audit": {"destination": {"file": "audit.log"}},
            "policies": {"path": "policies"},
        } | settings
        (self.folder / "policies").mkdir(parents=True, exist_ok=True)
        for name, text in (policies or {}).items():
            (self.folder / "policies" / name).write_text(text)
        self.write_settings()
        self.log = open(self.folder / "gateway.log", "wb")
        self.process = None

    def write_settings(self):
        # JSON is YAML.
        (self.folder / "cogward.yaml").write_text(json.dumps(self.settings))

    def start(self, ready=True):
        command = [BINARY, "serve", "--config", str(self.folder / "cogward.yaml")]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)
        wait_for("the admin listener", lambda: self.alive() and accepts(self.admin))
        if ready:
            wait_for("readiness", lambda: self.alive() and ask(self.admin, "GET", "/readyz")[0] == 200)
        return self

    def alive(self):
        assert self.process.poll() is None, (self.folder / "gateway.log").read_text()
        return True

    def ask(self, method, path, token=None, headers=None, body=None):
        return ask(self.port, method, path, token, headers, body)

    def metrics(self):
        return ask(self.admin, "GET", "/metrics")[2].decode()

    def metric(self, name, **labels):
        """The sum over all series that have these labels."""
        total = 0.0
        for line in self.metrics().splitlines():
            match = re.fullmatch(rf"{name}(?:{{(.*)}})? (\S+)", line)
            if match and all(f'{key}="{value}"' in (match[1] or "") for key, value in labels.items()):
                total += float(match[2])
        return total

    def status(self):
        return json.loads(ask(self.admin, "GET", "/status")[2])

    def audit(self):
        return [json.loads(line) for line in (self.folder / "audit.log").read_text().splitlines()]

    def resident_kib(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1])

    def stop(self, how=signal.SIGTERM):
        if self.process and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(30)
        self.log.close()
        return self.process.returncode


class Moto:
    """Amazon Cognito as moto imitates it, filled through boto3."""

    def __init__(self):
        import boto3

        self.port = free_port()
        self.process = subprocess.Popen(
            ["moto_server", "-H", "127.0.0.1", "-p", str(self.port)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env=os.environ | {"PATH": f"{Path(os.sys.executable).parent}:{os.environ['PATH']}"},
        )
        wait_for("moto", lambda: accepts(self.port), 60)
        self.cognito = boto3.client(
            "cognito-idp", region_name="eu-west-1", endpoint_url=f"http://127.0.0.1:{self.port}",
            aws_access_key_id="test", aws_secret_access_key="test",
        )
        self.pool = self.cognito.create_user_pool(PoolName="main")["UserPool"]["Id"]
        self.client = self.new_client("app")
        self.other_client = self.new_client("other")
        for group in ("admin", "user"):
            self.cognito.create_group(UserPoolId=self.pool, GroupName=group)

    def new_client(self, name, pool=None):
        made = self.cognito.create_user_pool_client(
            UserPoolId=pool or self.pool, ClientName=name, ExplicitAuthFlows=["ALLOW_ADMIN_USER_PASSWORD_AUTH"])
        return made["UserPoolClient"]["ClientId"]

    def new_user(self, name, groups=(), pool=None):
        pool = pool or self.pool
        self.cognito.admin_create_user(UserPoolId=pool, Username=name, UserAttributes=[
            {"Name": "email", "Value": f"{name}@example.com"}, {"Name": "email_verified", "Value": "true"}])
        self.cognito.admin_set_user_password(UserPoolId=pool, Username=name, Password="Correct-Horse-7", Permanent=True)
        for group in groups:
            self.cognito.admin_add_user_to_group(UserPoolId=pool, Username=name, GroupName=group)

    def sign_in(self, name, client=None, pool=None):
        """A real sign-in: access and ID token."""
        answer = self.cognito.admin_initiate_auth(
            UserPoolId=pool or self.pool, ClientId=client or self.client, AuthFlow="ADMIN_USER_PASSWORD_AUTH",
            AuthParameters={"USERNAME": name, "PASSWORD": "Correct-Horse-7"})["AuthenticationResult"]
        return answer["AccessToken"], answer["IdToken"]

    def jwks_url(self, pool=None):
        return f"http://127.0.0.1:{self.port}/{pool or self.pool}/.well-known/jwks.json"

    def provider(self, **more):
        return {"id": "main", "cognito": {
            "user_pool_id": self.pool, "client_ids": [self.client], "jwks": {"url": self.jwks_url()}} | more}

    def close(self):
        self.process.terminate()
        self.process.wait(10)


def signing_key_of_moto():
    """The private key that moto signs with: it ships with the package."""
    packed = importlib.resources.files("moto.cognitoidp").joinpath("resources/jwks-private.json.gz").read_bytes()
    return json.loads(gzip.decompress(packed))


def claims_of(token):
    import base64

    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


def sign(claims, key, header=None):
    """A token signed outside of the gateway's own code."""
    from joserfc import jwt
    from joserfc.jwk import RSAKey

    header = {"alg": "RS256", "kid": key.get("kid", "dummy")} | (header or {})
    return jwt.encode(header, claims, RSAKey.import_key(key), algorithms=["RS256"])


def new_key(kid):
    from joserfc.jwk import RSAKey

    return RSAKey.generate_key(2048, private=True).as_dict(private=True) | {"kid": kid, "use": "sig", "alg": "RS256"}


def public_half(key):
    return {name: key[name] for name in ("kty", "n", "e", "kid", "use", "alg")}


class KeyServer:
    """Publishes keys, counts who asks, and can go down."""

    def __init__(self, *keys):
        self.keys, self.fetches, self.down = list(keys), [], False
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                server.fetches.append(time.monotonic())
                if server.down:
                    self.connection.close()
                    return
                text = json.dumps({"keys": [public_half(key) for key in server.keys]}).encode()
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/jwks.json"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
