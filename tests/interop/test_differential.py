"""The targets that are accepted, at programs that read them in their own ways: what is protected is never reached."""

import asyncio
import itertools
import random
import time

import pytest

from backends import BACKENDS
from support import FULL
from wire import Garbled, answers, canonical

POLICY = """\
apiVersion: cogward/v1
routes:
  - id: public
    path: /public/{rest..}
    rules: [ { id: everyone, roles: [anyone] } ]
  - id: admin
    path: /admin/{rest..}
    rules: [ { id: admins, roles: [admin] } ]
"""

UP = ["..", ".", "...", "%2e%2e", "%2E%2E", ".%2e", "%2e.", "%2e", "%252e%252e", "%25%32%65%25%32%65", "%c0%ae%c0%ae", "%e0%80%ae%e0%80%ae", "%uff0e%uff0e",
      "%ef%bc%8e%ef%bc%8e", "．．", "..;", "..;x=1", "..%00", "..%0d", "..%20", "..%09", "%2e%2e;", "..%3b", ". .", "..%", "..%ff", "%00..", "..%c2%a0", "%u002e%u002e",
      "..#", "..?", "..%23", "..%3f", "..,", "..&", "..=", "..:", "..@", "..!", "..+", "..*", "..'", "..$", "..~", "(..)", "%80..", "%e2%80%a5", "%e2%80%8b..",
      "..%5c..", "%c0%2e", "0x2e0x2e", "%%32%65%%32%65", "%2%65", "..%u2215"]
SLASH = ["/", "//", "///", "%2f", "%2F", "\\", "%5c", "%5C", "/\\", "\\/", "/./", "/;/", ";/", "%252f", "%255c", "%c0%af", "%e0%80%af", "%ef%bc%8f", "%u2215", "%e2%88%95",
         "%e2%81%84", "%2f/", "/%2f", "%00/", "/%00", "%0a/", "%0d%0a", "?/", "#/", "%3f/", "%23/", "/%20", "%20/", "%09/", ":/", "|", "%7c", "/.//", "%c1%9c", "%bg%qf"]
ADMIN = ["admin", "%61dmin", "%61%64%6d%69%6e", "a%64min", "ADMIN", "Admin", "%41dmin", "admin%20", "admin%00", "admin.", "admin..", "admin;x=1", "admin%3bx", "admin/", "admin//",
         "admin%2f", "admin/.", "admin/..", "admin/../admin", "%2561dmin", "%u0061dmin", "аdmin", "%d0%b0dmin", "ａdmin", "%ef%bd%81dmin", "admin%09", "admin?", "admin#", "admin~",
         "%c3%a0dmin", "admın", "adm%c4%b1n", "admin.json", "admin:x", "admin,x", "admin@x", "admin%ff", "admin::$DATA", "admin%2e", "ad%6Din", "a%64%6Din", "admin!"]
FRONT = ["/public", "/public/", "/public/x", "/public/x/y", "/PUBLIC", "/public%20", "/public/%61", "/pub", "", "/", "//", "/public//", "/public/.", "/./public", "//public",
         "/public;x", "/%70ublic", "/public?x=", "/public/?x=", "/public#", "/public/#", "/public/x?y=1&z=", "/public/%e2%82%ac", "/public/a%25b", "/public/a+b", "/x/../public"]
FORMS = ["http://app", "HTTP://APP", "http://app:80", "https://app", "http://evil", "http://app@evil", "//app", "http:", "http:/", "///app", "app", "http://admin", "//admin"]
CHARACTERS = [chr(code) for code in range(0x21, 0x7F)]


def targets(random_ones):
    """Thousands of targets, most of them on the way from what is public to what is not; each once."""
    rng = random.Random(5)

    def made():
        for front, slash, up, again in itertools.product(["/public", "/public/x"], SLASH, UP, ["/", "%2f", "\\", "//"]):
            yield f"{front}{slash}{up}{again}admin"
        for front, slash, admin in itertools.product(FRONT, SLASH, ADMIN):
            yield f"{front}{slash}{admin}"
        for front, admin in itertools.product(FRONT, ADMIN):
            yield f"{front}/../{admin}"
        for depth, up, slash in itertools.product(range(1, 5), UP, SLASH[:12]):
            yield "/public/a/b" + (slash + up) * depth + "/admin/x"
        for form, rest in itertools.product(FORMS, ["/public/x", "/admin", "/public/../admin", "", "?/public/", "/public/x?http://evil/admin", "#/public/"]):
            yield form + rest
        for one, two in itertools.product(CHARACTERS, CHARACTERS):
            yield f"/public/{one}{two}admin"
        for code in range(256):
            for pattern in ("/public/%{}", "/public%{}admin", "/public/..%{}/admin", "/public/..%{}admin", "/%{}admin", "/public/x%{}../admin", "/public/%{}%{}/admin"):
                yield pattern.format(*[f"{code:02x}"] * pattern.count("{}"))
        # Names that pass, so that there is something to compare.
        for _ in range(random_ones):
            words = [rng.choice(["a", "b1", "%61", "%7E", "%20", "%C3%A9", "%e2%82%ac", "x.y", "x..y", "...", "-", "~", "a=b", "a,b", "a:b", "a@b", "(a)", "100%25", "%2B", "+", "$", "&",
                                 "!", "*", "'", "%22", "%7c", "%5E", "%60", "%3c", "%5B", "%27", "admin", "%f0%9f%a6%80"]) for _ in range(rng.randrange(1, 5))]
            joined = "".join(word + rng.choice(["", "", "/"]) for word in words)
            query = rng.choice(["", "", "?", "?a=b", "?/../admin", "?a=%2e%2e%2fadmin&b=;", "?x=//admin", "?_method=DELETE", "?a[]=1&a[]=2", "?%00", "?\"<>", "?a?b", "?http://evil/"])
            yield f"/public/{joined}{query}"
        for _ in range(random_ones):
            parts = rng.choices([*UP, *SLASH, *ADMIN, "public", "x", "?", "a=b", "%", "é"], k=rng.randrange(2, 8))
            yield rng.choice(["/public/", "/public", "/"]) + "".join(parts)

    every = list(dict.fromkeys(target.encode("utf-8", "surrogatepass") for target in made()))
    # A space or a line end is another request line, which the framing mutations try.
    return [target for target in every if target and not set(target) & set(b" \r\n")]


def head(target):
    return b"GET " + target + b" HTTP/1.1\r\nHost: app\r\n\r\n"


async def ask_all(port, chosen, lanes=24):
    """The answer to each target, over a few connections that are kept."""
    found, left = {}, iter(chosen)

    async def lane():
        reader = writer = None
        for target in left:
            for attempt in range(2):
                if writer is None:
                    reader, writer = await asyncio.open_connection("127.0.0.1", port)
                received = b""
                writer.write(head(target))
                try:
                    async with asyncio.timeout(20):
                        received = await one_answer(reader)
                except ConnectionError:
                    pass
                if received:
                    break
                # The connection was closed before it was used.
                writer.close()
                writer = None
            found[target] = answer = only(received)
            if writer and (answer is None or "close" in answer.fields.get("connection", "").lower() or received.startswith(b"HTTP/1.0")):
                writer.close()
                writer = None
        if writer:
            writer.close()

    await asyncio.gather(*(lane() for _ in range(lanes)))
    return found


async def one_answer(reader):
    """The bytes of the next answer; none when there comes none."""
    try:
        received = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""
    lower = received.lower()
    if b"transfer-encoding" in lower:
        while not received.endswith(b"0\r\n\r\n"):
            received += await reader.readuntil(b"\r\n")
    elif b"content-length:" in lower:
        received += await reader.readexactly(int(lower.split(b"content-length:")[1].split(b"\r\n")[0]))
    else:
        received += await reader.read()
    return received


def only(received):
    try:
        return answers(received, [b"GET"])[0] if received else None
    except Garbled:
        # What a program says to a target that it does not understand.
        return None


def protected(found):
    return [target for target, answer in found.items() if answer and answer.fields.get("x-handler") == "protected"]


@pytest.mark.parametrize("name", sorted(BACKENDS))
def test_no_accepted_target_reaches_what_is_protected(gateway, issuer_file, tmp_path, name):
    every, began = targets(20_000 if FULL else 1_500), time.monotonic()
    rng = random.Random(name)
    # Half of the sample may pass: the way through is as well worth a look as the refusals.
    likely = [target for target in every if canonical(target).startswith(b"/public/") and not set(target) & set(b"\\;#")]
    chosen = every if FULL else list(dict.fromkeys(rng.sample(every, 500) + rng.sample(likely, 500)))
    with BACKENDS[name](tmp_path) as backend:
        one = gateway({**issuer_file.settings, "upstreams": [{"id": "app", "endpoints": [f"http://127.0.0.1:{backend.port}"]}]}, {"policy.yaml": POLICY})
        found = asyncio.run(ask_all(one.port, chosen))
        seen = backend.seen()
        # The same lines without the gateway: they are attacks.
        attacks = [target for target in chosen if not target.lower().startswith((b"/admin", b"//admin"))]
        bare = asyncio.run(ask_all(backend.port, [*attacks[:300], b"/%61dmin", b"/%61%64min/x"]))
    accepted = {target: answer for target, answer in found.items() if answer and answer.status == 200}
    hits = protected(found)
    print(f"\n{name}: {len(chosen)} targets in {time.monotonic() - began:.0f} s, {len(accepted)} accepted, {len(hits)} protected hits "
          f"({len(protected(bare))} of {len(bare)} without the gateway)")
    assert not hits, hits[:20]
    unclear = {target: answer for target, answer in found.items() if answer is None or answer.status not in (200, 400, 401, 404, 405, 431)}
    assert not unclear, list(unclear.items())[:10]
    # What arrives is the one form of what was sent.
    for target, answer in accepted.items():
        arrives = canonical(target)
        if backend.forgets_an_empty_query and arrives.find(b"?") == len(arrives) - 1:
            arrives = arrives[:-1]
        assert backend.echo(answer) == (b"GET", arrives), (target, answer)
        assert canonical(target).startswith(b"/public/"), target
    assert len(seen) == len(accepted) and not [target for _, target in seen if not target.startswith(b"/public/")]
    assert len(accepted) > 100 and protected(bare)
