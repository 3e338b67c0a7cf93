"""Identity, framing and override headers in every spelling: what a client writes in them never reaches an application."""

import asyncio
import itertools
import json
import random
import re
import time

import pytest

from backends import BACKENDS
from h2wire import DATA, END_HEADERS, END_STREAM, HEADERS, Wire, block, frame
from support import FULL
from wire import StrictUpstream, answers, converse

POLICY = """\
apiVersion: cogward/v1
routes:
  - id: public
    path: /public/{rest..}
    rules: [ { id: everyone, roles: [anyone] } ]
  - id: private
    path: /private/{rest..}
    rules: [ { id: users, roles: [user] } ]
"""
# The identity headers of these settings: the usual ones, and one with a name of its own.
SETTINGS = {"X-Auth-Request-User": "id", "X-Auth-Request-Preferred-Username": "username", "X-Auth-Request-Email": "email",
            "X-Auth-Request-Groups": "roles", "X-Team-Role": "client_id"}
IDENTITY = list(SETTINGS)
FRAMING = ["Transfer-Encoding", "Content-Length", "Keep-Alive", "Proxy-Connection", "HTTP2-Settings", "Content-Encoding", "Content-Type", "Proxy-Authorization"]
OVERRIDES = ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "X-Original-URL", "X-Rewrite-URL", "X-Original-Method", "X-Original-URI",
             "X-Forwarded-Uri", "X-Forwarded-Prefix", "X-Forwarded-Path", "X-Forwarded-Port", "X-Forwarded-Server", "X-Real-IP", "X-Client-IP", "True-Client-IP",
             "X-Original-Host", "X-Host", "X-Override-URL", "Forwarded", "Proxy", "X-Scheme", "Client-Cert", "Client-Cert-Chain"]
# What may stand in a field name and is neither letter nor digit (RFC 9110 section 5.6.2).
MARKS = "-_.!#$%&'*+^`|~"
AT_ONCE = 80
CLAIMS = {"x-auth-request-user": ["u-1"], "x-auth-request-preferred-username": ["u-1"], "x-auth-request-groups": ["user,staff"], "x-team-role": ["app"]}


def folded(name):
    return re.sub("[^a-z0-9]", "-", name.lower())


def spellings(names, most, rng):
    """Each name with every mark in place of every `-`, and in odd case; a part of them where there are more than `most`."""
    made = []
    for name in names:
        words = name.split("-")
        marks = list(itertools.product(MARKS, repeat=len(words) - 1))
        for chosen in marks if len(marks) <= most else rng.sample(marks, most):
            spelled = words[0] + "".join(mark + word for mark, word in zip(chosen, words[1:]))
            made.append(rng.choice([spelled, spelled.lower(), spelled.upper(), "".join(rng.choice([letter.lower(), letter.upper()]) for letter in spelled)]))
        made += [name, name.lower(), name.upper(), name.title()]
    return list(dict.fromkeys(made))


def batches(names):
    return [names[at:at + AT_ONCE] for at in range(0, len(names), AT_ONCE)]


def over_http1(port, path, token, lines, body=b""):
    """The answer to one request; each line stands in it twice."""
    head = [f"POST {path} HTTP/1.1", "Host: app", "Connection: close", *([f"Authorization: Bearer {token}"] if token else []), *lines]
    head += [] if any(line.startswith("Transfer-Encoding:") for line in lines) else [f"Content-Length: {len(body)}"]
    received, _ = asyncio.run(converse(port, ["\r\n".join([*head, "", ""]).encode() + body]))
    return answers(received, [b"POST"])[0]


def over_http2(port, path, token, fields, trailers=None):
    pseudo = [(b":method", b"POST"), (b":scheme", b"http"), (b":authority", b"app"), (b":path", path.encode())]
    credential = [(b"authorization", f"Bearer {token}".encode())] if token else []
    with Wire(port, patience=20) as wire:
        wire.ask([*pseudo, *credential, *((name.lower().encode(), value.encode()) for name, value in fields)], end=trailers is None)
        if trailers is not None:
            wire.send(frame(DATA, 0, 1, b"abc"), frame(HEADERS, END_HEADERS | END_STREAM, 1, block(trailers)))
        outcome, body = wire.outcome(), wire.body
        assert outcome == ("answer", 200), (outcome, fields)
        return json.loads(body) if body.startswith(b"{") else body


@pytest.fixture
def front(gateway, issuer_file):
    def make(port):
        return gateway({**issuer_file.settings, "identity_headers": SETTINGS,
                        "upstreams": [{"id": "app", "endpoints": [f"http://127.0.0.1:{port}"]}]}, {"policy.yaml": POLICY})

    return make


def shown(identity):
    """What an application sees, without what is empty."""
    return {name: values for name, values in identity.items() if values != [""]}


@pytest.mark.parametrize("name", sorted(BACKENDS))
def test_no_spelling_of_an_identity_header_reaches_an_application(front, issuer_file, tmp_path, name):
    rng, began, asked = random.Random(name), time.monotonic(), 0
    names = [*spellings(IDENTITY, 4_000 if FULL else 150, rng), "X-Auth-Request-Anything", "x_auth_request_", "X-Auth-Request-User-"]
    token = issuer_file.token("u-1", ["user", "staff"])
    with BACKENDS[name](tmp_path) as backend:
        port = front(backend.port).port
        for batch in batches(names):
            for path, credential, expected in (("/public/x", None, {}), ("/private/x", token, CLAIMS)):
                answer = over_http1(port, path, credential, [f"{spelled}: root" for spelled in batch])
                assert answer.status == 200 and shown(json.loads(answer.body)) == expected, (batch, answer)
                seen = over_http2(port, path, credential, [(spelled, "root") for spelled in batch])
                assert shown(seen) == expected, (batch, seen)
                asked += 2 * len(batch)
        for path, credential, expected in (("/public/x", None, {}), ("/private/x", token, CLAIMS)):
            # Nominated by Connection, repeated, and behind the body.
            for nominated in ("X-Auth-Request-User", "x-auth-request-user, X-Team-Role, close", "X_Auth_Request_User"):
                answer = over_http1(port, path, credential, [f"Connection: {nominated}", *["X-Auth-Request-User: root"] * 3, "X-Team-Role: root"])
                assert answer.status == 200 and shown(json.loads(answer.body)) == expected, (nominated, answer)
            for batch in batches(rng.sample(names, min(len(names), 400))):
                trailers = "".join(f"{spelled}: root\r\n" for spelled in batch).encode()
                answer = over_http1(port, path, credential, ["Transfer-Encoding: chunked", f"Trailer: {batch[0]}"], b"3\r\nabc\r\n0\r\n" + trailers + b"\r\n")
                assert answer.status == 200 and shown(json.loads(answer.body)) == expected, (batch, answer)
                seen = over_http2(port, path, credential, [("trailer", batch[0])], [(spelled.lower().encode(), b"root") for spelled in batch])
                assert shown(seen) == expected, (batch, seen)
    print(f"\n{name}: {len(names)} spellings of {len(IDENTITY)} identity headers, sent {asked} times in {time.monotonic() - began:.0f} s, "
          "0 seen by the application")


def test_no_spelling_of_a_framing_or_override_header_goes_upstream(front):
    rng = random.Random(9)
    framing, overrides = (spellings(names, 4_000 if FULL else 400, rng) for names in (FRAMING, OVERRIDES))
    # In their own spelling these frame, or are refused in HTTP/2; the framing mutations try them.
    framing = [name for name in framing if name.lower() not in [one.lower() for one in FRAMING]]
    forbidden = {name.lower() for name in [*FRAMING, *OVERRIDES]}

    async def run():
        upstream = await StrictUpstream().start()
        port = (await asyncio.to_thread(front, upstream.port)).port
        for batch in batches([*framing, *overrides]):
            lines = [f"{name}: {rng.choice(['chunked', '100', '/admin', 'DELETE'])}" for name in batch]
            answer = await asyncio.to_thread(over_http1, port, "/public/x?_method=DELETE", None, lines, b"abc")
            assert answer.status == 200, (batch, answer)
            await asyncio.to_thread(over_http2, port, "/public/x?_method=DELETE", None, [(name, "100") for name in batch])
        upstream.close()
        return upstream

    upstream = asyncio.run(run())
    for one in upstream.seen:
        names = [name.decode().lower() for name, _ in one.fields]
        assert (one.method, one.target) == (b"POST", b"/public/x?_method=DELETE")
        left = [name for name in names if folded(name) in forbidden and name not in ("content-length", "transfer-encoding")]
        assert not left and one.body in (b"abc", b"") and len(one.framing) <= 1, one.raw
    assert not upstream.malformed
    print(f"\n{len(framing)} spellings of framing headers and {len(overrides)} of override headers, over HTTP/1.1 and HTTP/2: 0 of them upstream")
