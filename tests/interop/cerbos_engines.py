"""The real Cerbos 0.51.0, and Cogward beside it: both take a folder of policies and answer the same calls."""

import base64
import functools
import http.client
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from support import ROOT, ask, free_port, wait_for

CERBOS = "0.51.0"
NODE = ROOT / "target" / "interop" / "node"
GLOBALS = {"environment": "test", "limit": 3}


def programs():
    """Where programs are looked for: first beside this Python, where tests/interop/run puts node if the system has none that is new enough."""
    return f"{Path(sys.executable).parent}:{os.environ['PATH']}"


def node():
    return shutil.which("node", path=programs()) or "node"


@functools.cache
def npm(folder, *packages):
    """A folder with these packages in it, each at the version that is named."""
    folder = NODE / folder
    wanted = "\n".join(packages)
    if not (folder / "installed").exists() or (folder / "installed").read_text() != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / "package.json").write_text('{"private": true, "type": "module"}\n')
        command = [shutil.which("npm", path=programs()) or "npm", "install", "--no-audit", "--no-fund", "--loglevel=error", "--save-exact", *packages]
        done = subprocess.run(command, cwd=folder, env=os.environ | {"PATH": programs()}, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        (folder / "installed").write_text(wanted)
    return folder


def cerbos_binary():
    machine = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    name = f"cerbos-{platform.system().lower()}-{machine}"
    binary = npm("cerbos", f"cerbos@{CERBOS}") / "node_modules" / "@cerbos" / name / name
    told = subprocess.run([binary, "--version"], capture_output=True, text=True)
    assert told.stdout.startswith(CERBOS), told
    return binary


def write(folder, files):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


class Engine:
    """What the two have in common: ports, a folder, a kept connection."""

    def __init__(self, folder, settings):
        self.folder, self.settings = Path(folder), settings
        self.folder.mkdir(parents=True, exist_ok=True)
        self.http, self.grpc = free_port(), free_port()
        self.process = self.connection = self.log = None

    def call(self, method, path, body=None, headers=None):
        """Status and what the JSON says."""
        text = body if isinstance(body, (str, bytes, type(None))) else json.dumps(body)
        headers = {"Content-Type": "application/json"} | (headers or {})
        for attempt in (1, 2):
            try:
                if self.connection is None:
                    self.connection = http.client.HTTPConnection("127.0.0.1", self.http, timeout=60)
                self.connection.request(method, path, text, headers)
                response = self.connection.getresponse()
                answer = response.read()
                break
            except (OSError, http.client.HTTPException):
                # A kept connection may be closed by then.
                self.connection = None
                if attempt == 2:
                    raise
        try:
            return response.status, json.loads(answer)
        except ValueError:
            return response.status, answer

    def check(self, request):
        return self.call("POST", "/api/check/resources", request)

    def healthy(self):
        return ask(self.http, "GET", "/_cerbos/health")[0] == 200

    def spawn(self, command):
        self.stop()
        self.log = open(self.folder / "log", "wb")
        self.process = subprocess.Popen([str(one) for one in command], stdout=self.log, stderr=self.log, cwd=self.folder)
        wait_for(f"{type(self).__name__}", lambda: self.process.poll() is not None or self.healthy(), 60)
        if self.process.poll() is None:
            return None
        self.stop()
        return (self.folder / "log").read_text()

    def stop(self):
        if self.connection:
            self.connection.close()
            self.connection = None
        if self.process:
            if self.process.poll() is None:
                self.process.kill()
            self.process.wait(10)
            self.log.close()
        self.process = None


class Cerbos(Engine):
    """The real one. Each folder gets a process of its own: it starts in 0.15 s, and what it holds is then what a restart would."""

    name = "Cerbos"

    def __init__(self, folder, enforcement="none", lenient=False):
        super().__init__(folder, {
            "engine": {"globals": GLOBALS, "lenientScopeSearch": lenient},
            "schema": {"enforcement": enforcement},
            "auxData": {"jwt": {"disableVerification": True}},
            "telemetry": {"disabled": True},
        })
        self.binary = cerbos_binary()

    def load(self, files):
        """None if it serves the folder, else what it says about it."""
        write(self.folder / "policies", files)
        settings = self.settings | {
            "server": {"httpListenAddr": f"127.0.0.1:{self.http}", "grpcListenAddr": f"127.0.0.1:{self.grpc}", "playgroundEnabled": True},
            "storage": {"driver": "disk", "disk": {"directory": str(self.folder / "policies"), "watchForChanges": False}},
        }
        (self.folder / "config.yaml").write_text(json.dumps(settings))
        return self.spawn([self.binary, "server", "--config", self.folder / "config.yaml", "--log-level=error"])

    def faults(self, files):
        """What it finds wrong with a folder, as from file name to texts, without serving it. Empty where it would be served."""
        question = {"playgroundId": "x", "files": [{"fileName": name, "contents": base64.b64encode(text.encode()).decode()} for name, text in files.items()]}
        status, answer = self.call("POST", "/api/playground/validate", question)
        faults = {}
        for one in answer.get("failure", {}).get("errors", []) if isinstance(answer, dict) else []:
            faults.setdefault(one.get("file", ""), []).append(one["error"])
        assert faults or status == 200, (status, answer)
        return faults


class Cogward(Engine):
    """The gateway, asked through its check API."""

    name = "Cogward"

    def __init__(self, folder, enforcement="none", lenient=False):
        super().__init__(folder, None)
        self.admin, self.port = free_port(), free_port()
        (self.folder / "keys.json").write_text(json.dumps({"keys": [{
            "kty": "RSA", "kid": "k", "use": "sig", "alg": "RS256", "e": "AQAB", "n": base64.urlsafe_b64encode(b"\xc1" + bytes(range(1, 256)) ).decode().rstrip("=")}]}))
        self.settings = {
            "listeners": [{"address": f"127.0.0.1:{self.port}"}],
            "admin": {"address": f"127.0.0.1:{self.admin}"},
            "audit": {"destination": {"file": "audit.log"}},
            "identity": {"providers": [{"id": "main", "cognito": {
                "user_pool_id": "eu-west-1_EXAMPLE", "client_ids": ["example"], "jwks": {"file": "keys.json"}}}]},
            "upstreams": [{"id": "unused", "endpoints": [f"http://127.0.0.1:{self.port}"]}],
            "policies": {"path": "policies", "allow_empty": True, "cerbos": {
                "profile": "cerbos-0.51", "globals": GLOBALS, "schema_enforcement": enforcement, "lenient_scope_search": lenient}},
            "decision_api": {"cerbos": {
                "address": f"127.0.0.1:{self.http}", "grpc_address": f"127.0.0.1:{self.grpc}", "aux_data": {"jwt": {"disable_verification": True}}}},
        }

    def load(self, files):
        write(self.folder / "policies", files)
        (self.folder / "audit.log").unlink(missing_ok=True)
        (self.folder / "cogward.yaml").write_text(json.dumps(self.settings))
        return self.spawn([os.environ["COGWARD_BIN"], "serve", "--config", self.folder / "cogward.yaml"])
