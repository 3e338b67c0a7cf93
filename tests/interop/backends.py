"""Programs that read requests in their own ways, each with one protected handler: below `/admin`."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from support import accepts, free_port, wait_for

PROGRAMS = Path(__file__).parent / "programs"


class Backend:
    """A program behind the gateway. It answers with what it has read, and keeps a log of it."""

    def __init__(self, folder):
        self.folder, self.port = Path(folder), free_port()
        self.log = self.folder / "seen.log"
        self.log.touch()

    def command(self):
        raise NotImplementedError

    environment = {}
    forgets_an_empty_query = False

    def __enter__(self):
        self.output = open(self.folder / "output.log", "wb")
        self.process = subprocess.Popen(self.command(), stdout=self.output, stderr=self.output, cwd=PROGRAMS, env=os.environ | self.environment)
        wait_for(type(self).__name__, lambda: accepts(self.port), 30)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(10)
        self.output.close()

    def echo(self, answer):
        method, _, target = answer.fields["x-echo"].encode("latin-1").partition(b" ")
        return method, target

    def seen(self):
        return [tuple(line.split(b" ", 1)) for line in self.log.read_bytes().splitlines()]


class Nginx(Backend):
    def command(self):
        names = {"user", "groups", "email", "preferred_username"}
        told = ",".join(f'"x-auth-request-{name.replace("_", "-")}":["$http_x_auth_request_{name}"]' for name in sorted(names))
        told += ',"x-team-role":["$http_x_team_role"]'
        user = "user root;" if os.getuid() == 0 else ""
        answer = lambda kind: f"""add_header x-handler {kind}; add_header x-echo "$request_method $request_uri"; return 200 '{{{told}}}';"""
        (self.folder / "nginx.conf").write_text(f"""
            {user} daemon off; worker_processes 1; pid {self.folder}/nginx.pid; error_log {self.folder}/error.log;
            events {{ worker_connections 2048; }}
            http {{
                log_format seen '$request_method $request_uri'; access_log {self.log} seen;
                client_body_temp_path {self.folder}/body; proxy_temp_path {self.folder}/proxy; fastcgi_temp_path {self.folder}/f;
                uwsgi_temp_path {self.folder}/u; scgi_temp_path {self.folder}/s;
                underscores_in_headers on; ignore_invalid_headers off; large_client_header_buffers 8 64k;
                server {{
                    listen 127.0.0.1:{self.port} backlog=1024; keepalive_requests 100000; keepalive_timeout 30s;
                    location ~* ^/admin {{ {answer("protected")} }}
                    location / {{ {answer("public")} }}
                }}
            }}""")
        return [shutil.which("nginx") or "/usr/sbin/nginx", "-c", str(self.folder / "nginx.conf"), "-p", str(self.folder)]


class Node(Backend):
    def command(self):
        return ["node", str(PROGRAMS / "reader.js"), str(self.port), str(self.log)]


class Plain(Backend):
    kind = "plain"

    def command(self):
        return [sys.executable, str(PROGRAMS / "reader.py"), self.kind, str(self.port), str(self.log)]


class Cgi(Plain):
    kind = "cgi"


class Starlette(Plain):
    kind = "starlette"
    forgets_an_empty_query = True


class Flask(Backend):
    @property
    def environment(self):
        return {"READER": "flask", "READER_PORT": str(self.port), "READER_LOG": str(self.log)}

    def command(self):
        return [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{self.port}", "--worker-class", "gthread", "--threads", "16", "--keep-alive", "30",
                "--header-map", "dangerous", "--log-level", "critical", "reader:application"]


BACKENDS = {"nginx": Nginx, "node": Node, "http.server": Plain, "wsgiref": Cgi, "flask on gunicorn": Flask, "starlette on uvicorn": Starlette}
