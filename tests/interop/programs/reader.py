"""Python programs that read a target and header names in their own ways: KIND PORT LOG."""

import json
import os
import posixpath
import re
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, unquote_plus, urlsplit

KIND, PORT, LOG = os.environ.get("READER") or sys.argv[1], int(os.environ.get("READER_PORT") or sys.argv[2]), os.environ.get("READER_LOG") or sys.argv[3]
log = open(LOG, "ab", buffering=0)


def told(method, target):
    log.write(f"{method} {target}\n".encode("latin-1", "replace"))
    return f"{method} {target}"


def identity(fields):
    found = {}
    for name, value in fields:
        name = re.sub("[^a-z0-9]", "-", name.lower())
        if name.startswith("x-auth-request-") or name == "x-team-role":
            found.setdefault(name, []).append(value)
    return json.dumps(found).encode()


def of_cgi(environ):
    return identity((name[5:], value) for name, value in environ.items() if name.startswith("HTTP_"))


WAYS = [
    lambda target: target,
    lambda target: urlsplit(target).path,
    lambda target: unquote(urlsplit(target).path),
    lambda target: unquote_plus(target.split("?")[0]),
    lambda target: posixpath.normpath(unquote(target.split("?")[0])),
    # As SimpleHTTPRequestHandler finds a file.
    lambda target: "/" + "/".join(filter(None, posixpath.normpath(unquote(target.split("?", 1)[0].split("#", 1)[0])).split("/"))),
    lambda target: posixpath.normpath(re.sub(";[^/]*", "", unquote(target.split("?")[0]))),
    lambda target: posixpath.normpath(unquote(target.split("?")[0]).replace("\\", "/")),
    lambda target: re.sub("/+", "/", unquote(target.split("?")[0])),
]


def handler(target):
    for way in WAYS:
        try:
            if way(target).lower().startswith("/admin"):
                return "protected"
        except ValueError:
            continue
    return "public"


class Plain(BaseHTTPRequestHandler):
    """The library's server, and every way in which programs on it find their handler."""

    protocol_version = "HTTP/1.1"

    def answer(self):
        echo = told(self.command, self.path)
        if self.headers.get("transfer-encoding") == "chunked":
            while size := int(self.rfile.readline().split(b";")[0], 16):
                self.rfile.read(size + 2)
            self.rfile.readline()
        else:
            self.rfile.read(int(self.headers.get("content-length", 0)))
        text = identity(self.headers.items())
        self.send_response(200)
        for name, value in (("x-echo", echo), ("x-handler", handler(self.path)), ("content-length", str(len(text)))):
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = answer

    def log_message(self, *_):
        pass


def cgi(environ, start_response):
    """What the library's CGI-like server hands over: `-` and `_` are one."""
    echo = told(environ["REQUEST_METHOD"], environ["READER_TARGET"])
    start_response("200 OK", [("x-echo", echo), ("x-handler", handler(environ["PATH_INFO"]))])
    return [of_cgi(environ)]


def flask_app():
    from flask import Flask, Response, request

    app = Flask(__name__)

    def answer(kind):
        request.get_data()
        target = request.environ["RAW_URI"]
        return Response(of_cgi(request.environ), headers={"x-echo": told(request.method, target), "x-handler": kind})

    methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
    app.add_url_rule("/admin", "a", lambda: answer("protected"), methods=methods, strict_slashes=False)
    app.add_url_rule("/admin/<path:rest>", "b", lambda rest: answer("protected"), methods=methods)
    app.add_url_rule("/public/", "c", lambda: answer("public"), methods=methods)
    app.add_url_rule("/public/<path:rest>", "d", lambda rest: answer("public"), methods=methods)
    app.register_error_handler(404, lambda _: answer("none"))
    return app


def starlette_app():
    from starlette.applications import Starlette
    from starlette.responses import Response
    from starlette.routing import Route

    def answer(kind):
        async def endpoint(request):
            await request.body()
            raw, query = request.scope["raw_path"].decode("latin-1"), request.scope["query_string"].decode("latin-1")
            target = f"{raw}?{query}" if query else raw
            fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.scope["headers"]]
            return Response(identity(fields), headers={"x-echo": told(request.method, target), "x-handler": kind})

        return endpoint

    methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
    return Starlette(routes=[
        Route("/admin", answer("protected"), methods=methods), Route("/admin/{rest:path}", answer("protected"), methods=methods),
        Route("/public/{rest:path}", answer("public"), methods=methods), Route("/{rest:path}", answer("none"), methods=methods),
    ])


if KIND == "flask":
    application = flask_app()

if __name__ == "__main__":
    if KIND == "plain":
        ThreadingHTTPServer.request_queue_size = 1024
        ThreadingHTTPServer(("127.0.0.1", PORT), Plain).serve_forever()
    elif KIND == "cgi":
        import socketserver
        from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

        class Handler(WSGIRequestHandler):
            def get_environ(self):
                return super().get_environ() | {"READER_TARGET": self.path}

            def log_message(self, *_):
                pass

        class Server(socketserver.ThreadingMixIn, WSGIServer):
            request_queue_size = 1024

        server = Server(("127.0.0.1", PORT), Handler)
        server.set_app(cgi)
        server.serve_forever()
    elif KIND == "starlette":
        import uvicorn

        uvicorn.run(starlette_app(), host="127.0.0.1", port=PORT, http="h11", log_level="critical", timeout_keep_alive=30)
