"""Tokens that must not pass: the code that the client hears, the reason in the audit line, and nothing at the upstream."""

import time

import pytest

from policies import ONE_ROUTE
from support import Gateway, claims_of, code_of, new_key, sign, signing_key_of_moto, wait_for


@pytest.fixture(scope="module")
def things(moto, recorder, tmp_path_factory):
    gateway = Gateway(tmp_path_factory.mktemp("things"), {
        "identity": {"providers": [moto.provider()]},
        "upstreams": [{"id": "things", "endpoints": [f"http://127.0.0.1:{recorder.port}"]}],
    }, {"things.yaml": ONE_ROUTE}).start()
    yield gateway
    gateway.stop()


def bad_tokens(moto):
    good, id_token = moto.sign_in("bob")
    claims, key = claims_of(good), signing_key_of_moto()
    head, payload, signature = good.split(".")
    other_pool = moto.cognito.create_user_pool(PoolName="other")["UserPool"]["Id"]
    client = moto.new_client("app", other_pool)
    moto.cognito.create_group(UserPoolId=other_pool, GroupName="user")
    moto.new_user("bob", ["user"], other_pool)
    foreign, _ = moto.sign_in("bob", client, other_pool)
    now = int(time.time())
    return {
        "expired": (sign(claims | {"iat": now - 7200, "exp": now - 1}, key), "token_expired"),
        "foreign": (foreign, "unknown_issuer"),
        "wrong use": (id_token, "wrong_use"),
        "wrong client": (moto.sign_in("bob", moto.other_client)[0], "wrong_client"),
        "tampered payload": (f"{head}.{payload[:-2]}{'AA' if payload[-2:] != 'AA' else 'AB'}.{signature}", None),
        "tampered signature": (f"{head}.{payload}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}", "bad_signature"),
        "another's key": (sign(claims, new_key("dummy")), "bad_signature"),
        "unknown key": (sign(claims, new_key("nobody")), "unknown_key"),
        "not yet valid": (sign(claims | {"nbf": now + 600}, key), "token_not_yet_valid"),
        "lives for ever": (sign(claims | {"exp": now + 10 * 365 * 86400}, key), "claims_invalid"),
        "no signature": (f"{head}.{payload}.", "token_malformed"),
        "no token": ("x", "token_malformed"),
    }


def test_bad_tokens_are_refused_and_reach_nobody(things, recorder, moto):
    recorder.take()
    reasons = {}
    for name, (token, reason) in bad_tokens(moto).items():
        answer = things.ask("GET", "/things/1", token)
        assert code_of(answer) == (401, "token_invalid"), name
        assert answer[1]["www-authenticate"] == 'Bearer realm="cogward", error="invalid_token"', name
        if reason:
            reasons[answer[1]["x-request-id"]] = (name, reason)
    assert recorder.take() == []
    told = lambda: {line["request_id"]: line["reason"] for line in things.audit()}
    lines = wait_for("audit lines", lambda: told() if reasons.keys() <= told().keys() else None)
    for request_id, (name, reason) in reasons.items():
        assert lines[request_id] == reason, name


def test_no_token_is_asked_for(things, recorder):
    answer = things.ask("GET", "/things/1")
    assert code_of(answer) == (401, "credential_missing")
    assert answer[1]["www-authenticate"] == 'Bearer realm="cogward"'
    assert recorder.take() == []


def test_a_good_token_passes_after_all_that(things, recorder, moto):
    assert things.ask("GET", "/things/1", moto.sign_in("bob")[0])[0] == 200
    assert len(recorder.take()) == 1
