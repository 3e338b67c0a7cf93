"""Framing mutations: each is refused, or forwarded in the one reading that it has; what hides in a body stays a body."""

import asyncio
import collections
import contextlib
import itertools
import json
import random
import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from backends import BACKENDS
from h2wire import CANCEL, DATA, END_HEADERS, END_STREAM, HEADERS, PADDED, RST_STREAM, Wire, block, frame
from mutations import HIDDEN, ID, http2_bodies, mutations
from support import FULL, ask, wait_for
from wire import Garbled, StrictUpstream, answers, canonical, converse, readings

POLICY = """\
apiVersion: cogward/v1
routes:
  - id: public
    path: /public/{rest..}
    rules: [ { id: everyone, roles: [anyone] } ]
  - id: admin
    path: /admin/{rest..}
    rules: [ { id: admins, roles: [admin] } ]
  - id: json
    path: /json/{rest..}
    rules: [ { id: owners, owner: { body: /owner } } ]
"""
AT_ONCE = 48
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
# What the gateway answers by itself.
OURS, PROBLEM = (400, 401, 404, 405, 408, 413, 431), "application/problem+json"
GOAWAY = b"\x00\x00\x08\x07\x00\x00\x00\x00\x00"
# What waits for more bytes is to be told soon; what is told so is refused. Where nothing has to wait, a busy machine may.
LIMITS = {"header_timeout": "700ms", "body_stall": "700ms", "keepalive": "700ms"}
PATIENT = {"header_timeout": "10s", "body_stall": "10s"}


@pytest.fixture
def front(gateway, issuer_file):
    def make(port, limits=LIMITS):
        return gateway({**issuer_file.settings, "limits": limits, "upstreams": [{"id": "app", "endpoints": [f"http://127.0.0.1:{port}"]}]},
                       {"policy.yaml": POLICY})

    return make


class Tally:
    def __init__(self, is_strict=False):
        self.is_strict = is_strict
        self.counts, self.faults, self.expected, self.begun, self.claimed = collections.Counter(), [], set(), set(), set()

    def blame(self, fault, mutation, more):
        self.counts[fault] += 1
        self.faults.append((fault, mutation.family, mutation.pieces, more))

    def judge(self, mutation, received, ended, echo):
        """`echo` finds in an answer what the upstream read: method, target, and the body where it tells."""
        expected, begun = readings(mutation.stream)
        self.expected.update((one.method, canonical(one.target)) for one in expected)
        if begun:
            # Its head is forwarded while its body comes; an upstream may even answer before it breaks off.
            self.begun.add((begun.method, canonical(begun.target)))
        if not ended:
            return self.blame("hanging", mutation, received)
        if mutation.stream.startswith(PREFACE):
            # What follows is to be frames, and is none: GOAWAY.
            self.counts["refused"] += 1
            return None if GOAWAY in received else self.blame("no goaway", mutation, received)
        try:
            got = answers(received, [one.method for one in [*expected, *[begun] * bool(begun)]])
        except Garbled as rest:
            return self.blame("garbled", mutation, rest)
        self.counts["forwarded" if got and got[0].status == 200 else "refused" if got else "closed"] += 1
        ours = lambda answer: answer.status in OURS and answer.fields.get("content-type") == PROBLEM
        if any(answer.status >= 500 or (self.is_strict and answer.status != 200 and not ours(answer)) for answer in got):
            self.blame("odd answer", mutation, received)
        if len(got) > len(expected) + 1:
            self.blame("desync", mutation, received)
        for number, answer in enumerate(got):
            if answer.status != 200:
                continue
            if number == len(expected) and begun and not self.is_strict and number == len(got) - 1:
                read, should = echo(answer)[:2], (begun.method, canonical(begun.target))
            elif number >= len(expected):
                self.blame("ambiguous", mutation, received)
                continue
            else:
                one, read = expected[number], echo(answer)
                should = (one.method, canonical(one.target), one.body)
            if read[:2] != should[:2] or (len(read) > 2 and read[2] != should[2]):
                self.blame("desync", mutation, (read, should))
        return None

    def told(self, title, seconds):
        counts = self.counts
        total = counts["forwarded"] + counts["refused"] + counts["closed"]
        print(f"\n{title}: {total} mutations in {seconds:.0f} s: {counts['refused'] + counts['closed']} refused, {counts['forwarded']} forwarded, "
              f"ambiguous={counts['ambiguous']}, smuggled={counts['smuggled']}, desync={counts['desync']}")
        assert not self.faults, "\n".join(map(repr, self.faults[:12]))
        assert counts["forwarded"] > total / 20


async def converse_all(port, chosen, tally, echo):
    places = asyncio.Semaphore(AT_ONCE)

    async def one(mutation):
        async with places:
            received, ended = await converse(port, mutation.pieces, mutation.waits)
        tally.judge(mutation, received, ended, echo)

    await asyncio.gather(*map(one, chosen))


def test_no_framing_mutation_is_read_in_two_ways(front):
    chosen, tally, began = mutations(60_000 if FULL else 2_500), Tally(is_strict=True), time.monotonic()
    if not FULL:
        rest = [one for one in chosen if one.family not in ("byte", "sequence")]
        chosen = random.Random(7).sample(rest, 3_700) + [one for one in chosen if one.family in ("byte", "sequence")][-1_500:]
    assert len({one.stream.replace(one.name.encode(), b"") for one in chosen}) >= 5_000

    async def run():
        upstream = await StrictUpstream().start()

        def echo(answer):
            number = int(answer.fields["x-seen"])
            # Two answers to one request would be as bad as one answer to two.
            if number in tally.claimed:
                return b"claimed twice", b""
            tally.claimed.add(number)
            one = upstream.seen[number]
            return one.method, one.target, one.body

        things = await asyncio.to_thread(front, upstream.port)
        await converse_all(things.port, chosen, tally, echo)
        upstream.close()
        return upstream, things

    upstream, things = asyncio.run(run())
    all_were_allowed(upstream, things)
    for one in upstream.seen:
        if b"/admin" in one.target:
            tally.counts["smuggled"] += 1
            tally.faults.append(("smuggled", one.raw))
        if one.framing and one.framing[0][0] == b"transfer-encoding" and not one.raw.endswith(b"\r\n0\r\n\r\n"):
            tally.faults.append(("trailers", one.raw))
        if (one.method, one.target) not in tally.expected or any(alias_of_framing(name) for name, _ in one.fields):
            tally.counts["ambiguous"] += 1
            tally.faults.append(("unexpected", one.raw))
    tally.faults += [("malformed", reason, raw) for reason, raw in upstream.malformed]
    tally.told("strict upstream", time.monotonic() - began)
    print(f"the upstream has read {len(upstream.seen)} requests; {upstream.cut} were cut off, none was malformed")


def all_were_allowed(upstream, things):
    """What the upstream has read is what was decided: an audit line says so, with the same method and path."""
    read = {(one.all(b"x-request-id")[0].decode(), one.method.decode(), one.target.split(b"?")[0].decode()) for one in upstream.seen}
    allowed = lambda: {(line["request_id"], line["method"], line["path"]) for line in things.audit() if line["outcome"] == "allow"}
    with contextlib.suppress(AssertionError):
        wait_for("an audit line for each request", lambda: not read - allowed())
    assert len(read) == len(upstream.seen) and not read - allowed(), list(read - allowed())[:5]


def alias_of_framing(name):
    folded = re.sub(rb"[^a-z0-9]", b"-", name.lower())
    return folded in (b"content-length", b"transfer-encoding") and folded != name.lower()


@pytest.mark.parametrize("name", sorted(BACKENDS))
def test_no_program_behind_the_gateway_reads_a_mutation_in_its_own_way(front, tmp_path, name):
    chosen, tally, began = mutations(2_500), Tally(), time.monotonic()
    if not FULL:
        chosen = random.Random(name).sample(chosen, 350)
    with BACKENDS[name](tmp_path) as backend:
        things = front(backend.port)
        asyncio.run(converse_all(things.port, chosen, tally, backend.echo))
    for method, target in backend.seen():
        if b"/admin" in target:
            tally.counts["smuggled"] += 1
            tally.faults.append(("smuggled", method, target))
        elif (method, target) not in tally.expected | tally.begun:
            tally.counts["ambiguous"] += 1
            tally.faults.append(("unexpected", method, target))
    tally.told(name, time.monotonic() - began)


def over_http2(port, number, spec, folder=b"/public/", more=()):
    """One request with a body, in frames; answers what came of it."""
    method, length, body, cut, end = spec
    name = b"h2-%0*d" % (len(ID) - 3, number)
    body = body.replace(ID, name)
    fields = [(b":method", method), (b":scheme", b"http"), (b":authority", b"app"), (b":path", folder + name), *more]
    fields += [(b"content-length", b"%d" % length)] if length is not None else []
    step = min(max(len(body) // 3, 1), 16_000)
    parts = [body] if cut in ("one", "padded") else [body[at:at + step] for at in range(0, len(body), step)]
    frames = []
    for part in filter(None, parts):
        frames.append(frame(DATA, PADDED, 1, b"\x05" + part + b"\0" * 5) if cut == "padded" else frame(DATA, 0, 1, part))
        frames += [frame(DATA, 0, 1)] if cut == "empty between" else []
    head = frame(HEADERS, END_HEADERS, 1, block(fields))
    if end == "last" and not frames:
        head = frame(HEADERS, END_HEADERS | END_STREAM, 1, block(fields))
    elif end == "last":
        frames[-1] = frames[-1][:4] + bytes([frames[-1][4] | END_STREAM]) + frames[-1][5:]
    else:
        frames += {"empty": [frame(DATA, END_STREAM, 1)], "trailers": [frame(HEADERS, END_HEADERS | END_STREAM, 1, block([(b"x-trailer", b"a")]))],
                   "reset": [frame(RST_STREAM, 0, 1, CANCEL.to_bytes(4))], "gone": []}[end]
    with Wire(port, patience=20) as wire:
        wire.send(head, *frames)
        whole = end in ("last", "empty", "trailers") and length in (None, len(body))
        came = wire.outcome() if end in ("last", "empty", "trailers") else None
        return name, body, whole, came, wire.fields.get(b"x-seen")


def test_no_body_over_http2_becomes_a_request_upstream(front):
    chosen, began = list(http2_bodies()), time.monotonic()
    chosen = chosen if FULL else random.Random(4).sample(chosen, 800)
    wrong, canaries, known = [], 0, {}
    with StrictUpstream().in_a_thread() as upstream:
        things = front(upstream.port, PATIENT)

        def one(numbered):
            number, spec = numbered
            made = over_http2(things.port, number, spec)
            # Whoever comes next on the same connections gets an answer of its own.
            canary = f"/public/canary-{number}"
            status, fields, _ = ask(things.port, "GET", canary)
            if status != 200 or upstream.seen[int(fields["x-seen"])].target != canary.encode():
                wrong.append(("canary", spec, status, fields))
            return spec, made

        with ThreadPoolExecutor(12) as pool:
            for spec, (name, body, whole, came, seen) in pool.map(one, enumerate(chosen)):
                known[b"/public/" + name] = spec, body, whole
                answered = came == ("answer", 200)
                canaries += 1
                if whole and not (answered and upstream.seen[int(seen)].target == b"/public/" + name):
                    wrong.append(("not answered", spec, came))
                if answered and not whole and spec[1] != 0:
                    wrong.append(("answered", spec, came))
        for one_seen in upstream.seen:
            if one_seen.target.startswith(b"/public/canary-"):
                continue
            spec, body, whole = known[one_seen.target]
            announced = spec[1] if spec[1] is not None else len(body)
            if one_seen.method != spec[0] or one_seen.body != body[:announced] or len(one_seen.framing) > 1:
                wrong.append(("read", spec, one_seen.raw))
        wrong += [("malformed", *one) for one in upstream.malformed]
        all_were_allowed(upstream, things)
    print(f"\nHTTP/2: {len(chosen)} bodies in {time.monotonic() - began:.0f} s, {len(upstream.seen) - canaries} read whole, {upstream.cut} cut off, "
          f"{len(wrong)} read in another way, {canaries} requests behind them each with its own answer")
    assert not wrong, "\n".join(map(repr, wrong[:12]))


def decided_bodies():
    """JSON that a rule looks into, in both versions of HTTP: body, chunk sizes or a length, what stands behind, how it is cut."""
    bodies = [b'{"owner":"u-1","x":%s}' % json.dumps(text).encode() for text in ("", HIDDEN.decode(), "0\r\n\r\n" + HIDDEN.decode(), "a" * 5_000, "b" * 60_000)]
    chunked = [(None, b"", b""), (1, b"", b""), (7, b";a=b", b""), (1_000, b"", b"X-Trailer: a\r\n"), (16_384, b"", b"")]
    for body, (size, extension, trailer), waits in itertools.product(bodies, chunked, (False, True)):
        if size is None:
            framed, announced = body, b"Content-Length: %d\r\n" % len(body)
        elif len(body) / size < 3_000:
            parts = [body[at:at + size] for at in range(0, len(body), size)]
            framed = b"".join(b"%x%s\r\n%s\r\n" % (len(part), extension, part) for part in parts) + b"0\r\n" + trailer + b"\r\n"
            announced = b"Transfer-Encoding: chunked\r\n"
        else:
            continue
        for pieces in (1, 2, 5):
            yield body, announced, framed, waits, pieces


def test_a_body_that_is_decided_on_is_forwarded_as_it_was_read(front, issuer_file):
    token, began, wrong, known = issuer_file.token("u-1").encode(), time.monotonic(), [], {}
    fields = b"Host: app\r\nContent-Type: application/json\r\nAuthorization: Bearer " + token + b"\r\n"
    http1, rng = list(decided_bodies()), random.Random(8)
    bodies = list(dict.fromkeys(body for body, *_ in http1))
    http2 = [(b"PUT", length, body, cut, end) for body in bodies for cut in ("one", "many", "padded", "empty between") if len(body) < 16_000 or cut == "many"
             for end in ("last", "empty", "trailers", "reset", "gone") for length in (None, len(body), len(body) + 1, len(body) - 1)]
    with StrictUpstream().in_a_thread() as upstream:
        things = front(upstream.port, PATIENT)

        def first(numbered):
            number, (body, announced, framed, waits, pieces) = numbered
            target = b"/json/h1-%d" % number
            head = b"PUT " + target + b" HTTP/1.1\r\n" + fields + announced + (b"Expect: 100-continue\r\n" if waits else b"") + b"\r\n"
            following = b"GET /public/behind-%d HTTP/1.1\r\nHost: app\r\nConnection: close\r\n\r\n" % number
            whole = framed + following
            places = sorted(rng.sample(range(1, len(whole)), pieces - 1))
            cut = [whole[start:end] for start, end in zip([0, *places], [*places, len(whole)])]
            received, _ = asyncio.run(converse(things.port, [head, *cut] if waits else [head + cut[0], *cut[1:]]))
            got = answers(received, [b"PUT", b"GET"])
            known[target] = body
            read = [upstream.seen[int(answer.fields["x-seen"])] for answer in got if answer.status == 200]
            if [(one.target, one.body) for one in read] != [(target, body), (b"/public/behind-%d" % number, b"")]:
                wrong.append(("http1", announced, framed[:200], got))

        def second(numbered):
            number, spec = numbered
            name, body, whole, came, seen = over_http2(things.port, number, spec, b"/json/", [(b"content-type", b"application/json"), (b"authorization", b"Bearer " + token)])
            known[b"/json/" + name] = body
            status, headers, _ = ask(things.port, "GET", f"/public/canary-{number}")
            if status != 200 or upstream.seen[int(headers["x-seen"])].target != f"/public/canary-{number}".encode():
                wrong.append(("canary", spec, status))
            if whole != (came == ("answer", 200)) or (whole and upstream.seen[int(seen)].body != body):
                wrong.append(("http2", spec[:2], spec[3:], came))

        with ThreadPoolExecutor(12) as pool:
            list(pool.map(first, enumerate(http1)))
            list(pool.map(second, enumerate(http2)))
        for one in upstream.seen:
            if one.target.startswith(b"/json/") and (one.body != known[one.target] or len(one.framing) != 1):
                wrong.append(("read", one.target, one.framing, one.body[:200]))
        wrong += [("malformed", *one) for one in upstream.malformed]
        all_were_allowed(upstream, things)
    print(f"\nbodies that are decided on: {len(http1)} over HTTP/1.1 and {len(http2)} over HTTP/2 in {time.monotonic() - began:.0f} s, {len(wrong)} read in another way")
    assert not wrong, "\n".join(map(repr, wrong[:12]))
