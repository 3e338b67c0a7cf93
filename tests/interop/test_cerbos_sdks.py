"""Cerbos's own clients, each making the same calls to the real Cerbos and to Cogward."""

import json
import os
import subprocess
from pathlib import Path

import grpc
import pytest

from cerbos_engines import CERBOS, Cerbos, Cogward, node, npm

# The clients for node want different versions of what they share, and so each has a folder of its own.
CLIENTS = {"@cerbos/http": "0.26.0", "@cerbos/grpc": "0.27.0"}

CONTACT = """\
apiVersion: api.cerbos.dev/v1
resourcePolicy:
  resource: contact
  version: default
  schemas:
    resourceSchema:
      ref: cerbos:///contact.json
  rules:
    - actions: [read, create]
      effect: EFFECT_ALLOW
      roles: [admin, user]
    - actions: [update, delete]
      effect: EFFECT_ALLOW
      roles: [admin]
    - actions: [update, delete]
      effect: EFFECT_ALLOW
      roles: [user]
      name: owner
      condition:
        match:
          expr: request.resource.attr.owner == request.principal.id
      output:
        when:
          ruleActivated: '{"who": P.id, "n": 1.5, "big": 9007199254740993, "none": null, "at": timestamp("2021-04-22T10:05:20.021Z")}'
          conditionNotMet: '["not", P.id, 7u, duration("90s")]'
    - actions: [greet]
      effect: EFFECT_ALLOW
      roles: ["*"]
      condition:
        match:
          expr: request.auxData.jwt.sub == P.id
"""
FILES = {"contact.yaml": CONTACT, "_schemas/contact.json": '{"type": "object", "properties": {"active": {"type": "boolean"}}}'}
SUB = "0f3b8a4e-6c1d-4a7e-9a3c-2f6a1c9b7d10"
ACTIONS = ["list", "read", "create", "update", "delete"]
# Who asks, whose contact it is, and what is allowed.
TABLE = [
    (["admin"], owner, {"read", "create", "update", "delete"}) for owner in ({"owner": SUB}, {"owner": "other"}, {}, {"owner": None})
] + [
    (["user"], {"owner": SUB}, {"read", "create", "update", "delete"}),
] + [
    (["user"], owner, {"read", "create"}) for owner in ({"owner": "other"}, {"owner": SUB.upper()}, {"owner": ""}, {}, {"owner": None}, {"owner": 7}, {"owner": [SUB]})
] + [
    (["admin", "user"], {"owner": "other"}, {"read", "create", "update", "delete"}),
    (["other"], {"owner": SUB}, set()), (["Admin"], {"owner": SUB}, set()),
]
# Of nobody's key: neither side verifies it here. Its `sub` is SUB.
TOKEN = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIwZjNiOGE0ZS02YzFkLTRhN2UtOWEzYy0yZjZhMWM5YjdkMTAifQ.c2lnbmF0dXJl"


@pytest.fixture(scope="module")
def engines(tmp_path_factory):
    made = [kind(tmp_path_factory.mktemp(kind.name), enforcement="warn") for kind in (Cerbos, Cogward)]
    for one in made:
        assert one.load(FILES) is None
    yield made
    for one in made:
        one.stop()


def alike(engines, call):
    """What both give, which is the same."""
    theirs, ours = (call(engine) for engine in engines)
    assert ours == theirs
    return theirs


# The calls, in words that every client is told in its own way.

def principal(roles, **more):
    return {"id": SUB, "roles": roles} | more


def contact(attr, number=1):
    return {"kind": "contact", "id": f"c{number}", "attr": attr}


CALLS = [
    *[["checkResource", {"principal": principal(roles), "resource": contact(attr), "actions": ACTIONS}] for roles, attr, _ in TABLE],
    ["isAllowed", {"principal": principal(["user"]), "resource": contact({"owner": SUB}), "action": "update"}],
    ["isAllowed", {"principal": principal(["user"]), "resource": contact({"owner": "other"}), "action": "update"}],
    ["checkResources", {"principal": principal(["user"], attr={"a": [1, {"b": None}]}), "resources": [
        {"resource": contact({"owner": SUB, "active": "yes"}, 1), "actions": ["update", "delete"]},
        {"resource": contact({"owner": "other"}, 2) | {"policyVersion": "default"}, "actions": ["read"]},
        {"resource": {"kind": "nothing", "id": "x"}, "actions": ["read"]},
        {"resource": contact({}, 3) | {"scope": "acme"}, "actions": ["read"]}], "includeMetadata": True}],
    ["checkResource", {"principal": principal(["user"]), "resource": contact({}), "actions": ["greet"], "auxData": {"jwt": {"token": TOKEN}}, "includeMetadata": True}],
    ["checkResource", {"principal": principal(["user"]), "resource": contact({}), "actions": ["greet"]}],
    # What is refused: a user in no group, and other questions that are none.
    ["checkResource", {"principal": principal([]), "resource": contact({"owner": SUB}), "actions": ["read"]}],
    ["checkResource", {"principal": principal(["user", "user"]), "resource": contact({}), "actions": ["read"]}],
    ["checkResource", {"principal": principal([""]), "resource": contact({}), "actions": ["read"]}],
    ["checkResource", {"principal": principal(["user"]) | {"id": ""}, "resource": contact({}), "actions": ["read"]}],
    ["checkResource", {"principal": principal(["user"]), "resource": contact({}), "actions": []}],
    ["checkResource", {"principal": principal(["user"]), "resource": contact({}), "actions": ["a", "a"]}],
    ["checkResource", {"principal": principal(["user"]), "resource": contact({}), "actions": [f"a{one}" for one in range(51)]}],
    ["checkResource", {"principal": principal(["user"]), "resource": {"kind": "", "id": ""}, "actions": ["read"]}],
    ["checkResource", {"principal": principal(["user"], policyVersion="not a version", scope="not a scope"), "resource": contact({}), "actions": ["read"]}],
    ["checkResources", {"principal": principal(["user"]), "resources": []}],
    ["checkResources", {"principal": principal(["user"]), "resources": [{"resource": contact({}, one), "actions": ["read"]} for one in range(51)]}],
    ["checkResource", {"principal": principal(["user"]), "resource": contact({}), "actions": ["greet"], "auxData": {"jwt": {"token": "no token"}}}],
    ["serverInfo", None],
    ["checkHealth", None],
]


@pytest.mark.parametrize("package", CLIENTS)
def test_the_clients_for_node_see_the_same(engines, package):
    folder = npm(package.replace("/", "-"), f"{package}@{CLIENTS[package]}")
    # It is run from where the package is, which is how node finds it.
    program = folder / "cerbos_calls.mjs"
    program.write_text((Path(__file__).parent / "programs" / "cerbos_calls.mjs").read_text())

    def call(engine):
        address = f"http://127.0.0.1:{engine.http}" if package == "@cerbos/http" else f"127.0.0.1:{engine.grpc}"
        done = subprocess.run([node(), program, package, address], input=json.dumps(CALLS), capture_output=True, text=True, timeout=120, env=os.environ)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    theirs, ours = (call(engine) for engine in engines)
    for (method, request), one, other in zip(CALLS, theirs, ours, strict=True):
        if method == "serverInfo":
            # Each says its own build; the version is that of the protocol which is spoken.
            assert one["gives"].keys() == other["gives"].keys() and other["gives"]["version"] == one["gives"]["version"] == CERBOS
            continue
        assert settled(other) == settled(one), (method, request)
    for (roles, attr, allowed), told in zip(TABLE, ours, strict=False):
        assert {action for action, effect in told["gives"]["actions"].items() if effect == "EFFECT_ALLOW"} == allowed, (roles, attr)
    refused = {one["details"].partition("\n")[0] for one in ours if "fails" in one}
    assert "validation error: principal.roles: value is required" in refused, refused


def settled(value):
    """The same, whatever the order of outputs and of broken rules was."""
    if isinstance(value, dict):
        made = {name: settled(one) for name, one in value.items()}
        for name in ("outputs", "validationErrors", "effectiveDerivedRoles"):
            if isinstance(made.get(name), list):
                made[name] = sorted(made[name], key=json.dumps)
        return made
    return [settled(one) for one in value] if isinstance(value, list) else value


def by_http(engine, roles, attr, actions):
    from cerbos.sdk.client import CerbosClient
    from cerbos.sdk.model import Principal, Resource, ResourceAction, ResourceList

    with CerbosClient(f"http://127.0.0.1:{engine.http}") as client:
        asked = ResourceList([ResourceAction(Resource(f"c{at}", "contact", one), set(actions)) for at, one in enumerate(attr)])
        answer = client.check_resources(Principal(SUB, set(roles)), asked, "r")
        if answer.failed():
            return answer.status_code, answer.status_msg.code, answer.status_msg.message
        return [{action: effect.value for action, effect in sorted(one.actions.items())} for one in answer.results]


def by_grpc(engine, roles, attr, actions):
    from cerbos.engine.v1 import engine_pb2
    from cerbos.request.v1 import request_pb2
    from cerbos.effect.v1 import effect_pb2
    from cerbos.sdk.grpc.client import CerbosClient
    from google.protobuf import json_format

    def resource(at, one):
        made = engine_pb2.Resource(id=f"c{at}", kind="contact", policy_version="default")
        for name, value in one.items():
            json_format.ParseDict(value, made.attr[name])
        return made

    with CerbosClient(f"127.0.0.1:{engine.grpc}", timeout_secs=10) as client:
        asked = [request_pb2.CheckResourcesRequest.ResourceEntry(actions=actions, resource=resource(at, one)) for at, one in enumerate(attr)]
        try:
            answer = client.check_resources(engine_pb2.Principal(id=SUB, roles=roles, policy_version="default"), asked, "r")
        except grpc.RpcError as error:
            return error.code().name, error.details()
        assert answer.cerbos_call_id and answer.request_id == "r"
        return [{action: effect_pb2.Effect.Name(effect) for action, effect in sorted(one.actions.items())} for one in answer.results]


@pytest.mark.parametrize("call", [by_http, by_grpc])
def test_the_clients_for_python_see_the_same(engines, call):
    for roles, attr, allowed in TABLE:
        [actions] = alike(engines, lambda engine: call(engine, roles, [attr], ACTIONS))
        assert {action for action, effect in actions.items() if effect == "EFFECT_ALLOW"} == allowed, (roles, attr)
    alike(engines, lambda engine: call(engine, ["user"], [{"owner": SUB}, {"owner": "other"}, {}], ACTIONS))
    for refused in (
        alike(engines, lambda engine: call(engine, [], [{"owner": SUB}], ["read"])),
        alike(engines, lambda engine: call(engine, ["user"], [], ["read"])),
        alike(engines, lambda engine: call(engine, ["user"], [{}], [])),
    ):
        assert refused[0] in (400, "INVALID_ARGUMENT"), refused


def test_the_client_for_python_asks_for_one_action_and_for_health(engines):
    from cerbos.sdk.client import CerbosClient
    from cerbos.sdk.model import Principal, Resource

    def call(engine):
        with CerbosClient(f"http://127.0.0.1:{engine.http}") as client:
            who = client.with_principal(Principal(SUB, {"user"}))
            return client.is_healthy(), who.is_allowed("update", Resource("c", "contact", {"owner": SUB})), who.is_allowed("update", Resource("c", "contact", {"owner": "other"}))

    assert alike(engines, call) == (True, True, False)


RAW = {
    "nothing": ("POST", "/api/check/resources", ""),
    "an empty object": ("POST", "/api/check/resources", "{}"),
    "half an object": ("POST", "/api/check/resources", '{"principal":'),
    "a list": ("POST", "/api/check/resources", "[]"),
    "an unknown field": ("POST", "/api/check/resources", '{"bogus": 1}'),
    "a field twice": ("POST", "/api/check/resources", '{"requestId": "a", "requestId": "b"}'),
    "a wrong type": ("POST", "/api/check/resources", '{"principal": 1}'),
    "a wrong method": ("GET", "/api/check/resources", None),
    "a path that is none": ("GET", "/api/nothing", None),
    "another path that is none": ("POST", "/nothing", "{}"),
}


@pytest.mark.parametrize("what", RAW)
def test_what_is_no_question_is_refused_alike(engines, what):
    method, path, body = RAW[what]

    def call(engine):
        status, answer = engine.call(method, path, body)
        if not path.startswith("/api"):
            return status
        # The texts of a JSON reader put in spaces at random, and name places.
        message = answer["message"].replace("\xa0", " ")
        return status, answer["code"], sorted(line for line in message.splitlines()) if "validation" in message else message.partition(":")[0]

    alike(engines, call)


def test_snake_case_and_old_paths_are_taken(engines):
    asked = {"request_id": "r", "include_meta": True, "principal": {"id": SUB, "roles": ["user"], "policy_version": "default"}, "resources": [
        {"resource": contact({"owner": SUB}), "actions": ["update"]}]}
    batch = {"requestId": "r", "principal": principal(["user"]), "resources": [{"resource": contact({"owner": SUB}), "actions": ["update", "list"]}]}
    of_set = {"requestId": "r", "includeMeta": True, "principal": principal(["user"]), "actions": ["update", "list"], "resource": {
        "kind": "contact", "instances": {"c1": {"attr": {"owner": SUB}}, "c2": {"attr": {"owner": "other"}}}}}
    for path, body in (("/api/check/resources", asked), ("/api/check_resource_batch", batch), ("/api/check", of_set)):
        def call(engine):
            status, answer = engine.call("POST", path, body)
            answer.pop("cerbosCallId", None)
            return status, settled(answer)

        status, _ = alike(engines, call)
        assert status == 200


def test_server_info_and_headers(engines):
    for engine in engines:
        status, answer = engine.call("GET", "/api/server_info")
        assert status == 200 and answer["version"] == CERBOS and set(answer) >= {"version"}
        assert engine.call("GET", "/_cerbos/health") == (200, {"status": "SERVING"})


def test_a_query_plan_is_said_to_be_missing(engines):
    from cerbos.sdk.client import CerbosClient
    from cerbos.sdk.model import Principal, ResourceDesc

    _, ours = engines
    with CerbosClient(f"http://127.0.0.1:{ours.http}") as client:
        answer = client.plan_resources("read", Principal(SUB, {"user"}), ResourceDesc("contact"), "r")
    assert (answer.status_code, answer.status_msg.code) == (501, 12) and "PlanResources" in answer.status_msg.message
