"""The life of signing keys: rotation, outage, floods of unknown keys."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from policies import ONE_ROUTE
from support import KeyServer, ask, new_key, sign, wait_for

POOL, CLIENT = "eu-west-1_RoTaTiOn1", "app"


def token(key, **more):
    now = int(time.time())
    return sign({
        "iss": f"https://cognito-idp.eu-west-1.amazonaws.com/{POOL}", "sub": "u-1", "username": "u-1",
        "client_id": CLIENT, "token_use": "access", "cognito:groups": ["user"],
        "iat": now, "exp": now + 3600, "jti": str(time.monotonic_ns()),
    } | more, key)


def settings(url, recorder, **keys):
    return {
        "identity": {
            "providers": [{"id": "main", "cognito": {
                "user_pool_id": POOL, "client_ids": [CLIENT], "jwks": {"url": url}}}],
        } | ({"keys": keys} if keys else {}),
        "upstreams": [{"id": "things", "endpoints": [f"http://127.0.0.1:{recorder.port}"]}],
    }


@pytest.fixture
def issuer():
    issuer = KeyServer(new_key("first"))
    yield issuer
    issuer.close()


def test_no_valid_token_is_refused_while_keys_rotate(gateway, recorder, issuer):
    things = gateway(settings(issuer.url, recorder, refresh="5s"), {"things.yaml": ONE_ROUTE})
    statuses, key = [], issuer.keys[0]
    for turn in range(2):
        following = new_key(f"key-{turn}")
        issuer.keys.append(following)
        published = time.monotonic()
        while time.monotonic() < published + 10:
            statuses.append(things.ask("GET", "/things/1", token(key))[0])
            time.sleep(0.05)
        key = following
        statuses.append(things.ask("GET", "/things/1", token(key))[0])
    assert set(statuses) == {200}, statuses
    # A removed key stops verifying after a refresh, tokens that are cached included.
    old = token(issuer.keys[0])
    assert things.ask("GET", "/things/1", old)[0] == 200
    issuer.keys = [key]
    wait_for("the removed key", lambda: things.ask("GET", "/things/1", old)[0] == 401)
    assert things.ask("GET", "/things/1", token(key))[0] == 200


def test_a_new_key_is_fetched_for_its_first_token(gateway, recorder, issuer):
    things = gateway(settings(issuer.url, recorder, min_refetch="1s"), {"things.yaml": ONE_ROUTE})
    time.sleep(1.1)
    issuer.keys.append(new_key("second"))
    assert things.ask("GET", "/things/1", token(issuer.keys[1]))[0] == 200


def test_an_outage_of_the_issuer_changes_nothing(gateway, recorder, issuer):
    things = gateway(settings(issuer.url, recorder, refresh="1s", timeout="1s"), {"things.yaml": ONE_ROUTE})
    assert things.ask("GET", "/things/1", token(issuer.keys[0]))[0] == 200
    issuer.down = True
    failed = lambda: things.metric("cogward_jwks_fetches_total") - things.metric(
        "cogward_jwks_fetches_total", result="ok") >= 3
    wait_for("three failed fetches", failed, 30)
    for _ in range(50):
        assert things.ask("GET", "/things/1", token(issuer.keys[0]))[0] == 200
    assert ask(things.admin, "GET", "/readyz")[0] == 200


def test_without_any_key_the_answer_is_503_and_public_routes_work(gateway, recorder, issuer):
    issuer.down = True
    public = ONE_ROUTE + "  - { id: public, path: '/public/{rest..}', rules: [ { id: all, roles: [anyone] } ] }\n"
    things = gateway(settings(issuer.url, recorder), {"things.yaml": public}, ready=False)
    wait_for("the gateway", lambda: things.ask("GET", "/public/x")[0] == 200)
    status, headers, _ = things.ask("GET", "/things/1", token(issuer.keys[0]))
    assert status == 503 and "retry-after" in headers
    assert ask(things.admin, "GET", "/readyz")[0] == 503
    issuer.down = False
    wait_for("readiness", lambda: ask(things.admin, "GET", "/readyz")[0] == 200, 30)
    assert things.ask("GET", "/things/1", token(issuer.keys[0]))[0] == 200


def test_a_flood_of_unknown_keys_causes_one_fetch_in_ten_seconds(gateway, recorder, issuer):
    things = gateway(settings(issuer.url, recorder), {"things.yaml": ONE_ROUTE})
    good, parts = token(issuer.keys[0]), token(new_key("x")).split(".")
    import base64, json

    def unknown(index):
        head = base64.urlsafe_b64encode(json.dumps({"alg": "RS256", "kid": f"kid-{index}"}).encode()).decode().rstrip("=")
        return ".".join([head, *parts[1:]])

    before, began = len(issuer.fetches), time.monotonic()
    with ThreadPoolExecutor(16) as pool:
        statuses = list(pool.map(lambda index: things.ask(
            "GET", "/things/1", good if index % 100 == 0 else unknown(index))[0], range(10_000)))
    took = time.monotonic() - began
    fetches = len(issuer.fetches) - before
    print(f"\nunknown keys: 10000 requests in {took:.1f} s, {fetches} fetches")
    assert set(statuses[::100]) == {200}
    assert {status for index, status in enumerate(statuses) if index % 100} == {401}
    assert fetches <= took / 10 + 1
