"""The contact table, over tokens of a real sign-in, with exactly the headers that the upstream should see."""

import json

import pytest

from policies import CONTACTS
from support import claims_of, code_of

MEMBERS = {"alice": ["admin"], "bob": ["user"], "carol": ["admin", "user"], "dave": []}
ACTIONS = {
    "list": ("GET", "/users/{owner}/contacts"),
    "create": ("POST", "/users/{owner}/contacts"),
    "read": ("GET", "/users/{owner}/contacts/7"),
    "update": ("PUT", "/users/{owner}/contacts/7"),
    "delete": ("DELETE", "/users/{owner}/contacts/7"),
}


def allowed(roles, is_owner, action):
    if "admin" in roles:
        return True
    return "user" in roles and (action in ("list", "create", "read") or is_owner)


@pytest.fixture(scope="module")
def contacts(moto, recorder, tmp_path_factory):
    from support import Gateway

    gateway = Gateway(tmp_path_factory.mktemp("contacts"), {
        "identity": {"providers": [moto.provider(token_use=["access", "id"])]},
        "upstreams": [{"id": "contacts", "endpoints": [f"http://127.0.0.1:{recorder.port}"]}],
    }, CONTACTS).start()
    yield gateway
    gateway.stop()


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("is_owner", [True, False], ids=["owner", "stranger"])
@pytest.mark.parametrize("who", MEMBERS)
def test_the_contact_table(contacts, recorder, moto, who, is_owner, action):
    token, _ = moto.sign_in(who)
    claims = claims_of(token)
    owner = claims["sub"] if is_owner else "somebody-else"
    method, path = ACTIONS[action]
    path = path.format(owner=owner)
    body = json.dumps({"name": "Ada"}) if method in ("POST", "PUT") else None
    recorder.take()
    answer = contacts.ask(method, path, token, {"X-Auth-Request-User": "root", "x_auth_request_groups": "admin"}, body)
    seen = recorder.take()
    if not allowed(MEMBERS[who], is_owner, action):
        assert code_of(answer) == (403, "no_rule")
        assert seen == []
        return
    assert answer[0] == 200, answer
    [(seen_method, seen_path, fields, seen_body)] = seen
    assert (seen_method, seen_path, seen_body.decode() or None) == (method, path, body)
    expected = {
        "host": f"127.0.0.1:{contacts.port}",
        "accept-encoding": "identity",
        "x-auth-request-user": claims["sub"],
        "x-auth-request-preferred-username": who,
        "x-auth-request-groups": ",".join(claims["cognito:groups"]),
        "x-forwarded-for": "127.0.0.1",
        "x-forwarded-proto": "http",
        "x-forwarded-host": f"127.0.0.1:{contacts.port}",
        "x-request-id": answer[1]["x-request-id"],
    }
    if body:
        expected |= {"content-length": str(len(body))}
    assert dict(fields) == expected
    assert len(fields) == len(expected), "a field is sent twice"


def test_an_id_token_is_taken_where_the_pool_says_so(contacts, recorder, moto):
    _, token = moto.sign_in("bob")
    assert contacts.ask("GET", "/users/x/contacts/1", token)[0] == 200
    [(_, _, fields, _)] = recorder.take()
    assert dict(fields)["x-auth-request-preferred-username"] == "bob"


def test_each_decision_is_one_audit_line(contacts, moto):
    token, _ = moto.sign_in("bob")
    answer = contacts.ask("DELETE", "/users/somebody-else/contacts/7", token)
    from support import wait_for

    request_id = answer[1]["x-request-id"]
    lines = wait_for("the audit line", lambda: [line for line in contacts.audit() if line["request_id"] == request_id])
    assert len(lines) == 1
    line = lines[0]
    assert (line["route"], line["method"], line["path"]) == ("contact", "DELETE", "/users/somebody-else/contacts/7")
    assert (line["outcome"], line["reason"], line["status"]) == ("deny", "no_rule", 403)
    assert (line["principal"], line["kind"], line["provider"]) == (claims_of(token)["sub"], "user", "main")
    assert line["roles"] == ["user"]
    assert "eyJ" not in (contacts.folder / "audit.log").read_text()
    assert "eyJ" not in (contacts.folder / "gateway.log").read_text()
