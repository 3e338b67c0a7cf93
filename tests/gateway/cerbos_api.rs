//! The check API of Cerbos from outside: over HTTP and gRPC, with and without credentials, through reloads, stops and upgrades.

use std::{fs, net::SocketAddr, os::unix::fs::PermissionsExt};

use http::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Client, Gateway, H2, H2Request, House, Upstream, access, eventually, signed, with};

const ROUTES: &str = "- { id: open, path: '/{rest..}', rules: [ { id: everyone, roles: [anyone] } ] }";

/// Own contacts for users, all for administrators; what the token of a question says counts for `share`.
const POLICY: &str = r#"apiVersion: api.cerbos.dev/v1
resourcePolicy:
  resource: contact
  version: default
  rules:
    - { name: admins, actions: ['*'], roles: [admin], effect: EFFECT_ALLOW }
    - name: owners
      actions: [read, update]
      roles: [user]
      effect: EFFECT_ALLOW
      condition: { match: { expr: R.attr.owner == P.id } }
    - name: sharers
      actions: [share]
      roles: [user]
      effect: EFFECT_ALLOW
      condition: { match: { expr: 'request.auxData.jwt.sub == P.id && "api" in request.auxData.jwt.aud' } }
"#;

const SECRET: &str = "0123456789abcdef-secret";

fn house(api: Value) -> House {
    let all = with(json!({ "address": "127.0.0.1:0", "grpc_address": "127.0.0.1:0" }), api);
    let house = House::new(&Upstream::start(), ROUTES).file("policies/contact.yaml", POLICY);
    house.set("/decision_api/cerbos", all)
}

fn post_with(address: SocketAddr, path: &str, fields: &str, body: &str) -> Answer {
    let mut client = Client::connect(address);
    client.send(format!("POST {path} HTTP/1.1\r\nHost: api\r\n{fields}Content-Length: {}\r\n\r\n{body}", body.len()));
    client.answer()
}

fn post(gateway: &Gateway, path: &str, body: &Value) -> Answer {
    post_with(gateway.api("Http"), path, "", &body.to_string())
}

fn get(gateway: &Gateway, path: &str) -> Answer {
    let mut client = Client::connect(gateway.api("Http"));
    client.send(format!("GET {path} HTTP/1.1\r\nHost: api\r\n\r\n"));
    client.answer()
}

/// May this user do that with the contact of `owner`?
fn question(action: &str, owner: &str) -> Value {
    let resource = json!({ "kind": "contact", "id": "c1", "attr": { "owner": owner } });
    json!({ "principal": { "id": "u-1", "roles": ["user"] }, "resources": [{ "actions": [action], "resource": resource }] })
}

fn effect(answer: &Answer, action: &str) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["results"][0]["actions"][action].clone()
}

/// Code and message of a refusal.
fn refusal(answer: &Answer) -> (u16, u64, String) {
    let told = answer.json();
    (answer.status, told["code"].as_u64().unwrap(), told["message"].as_str().unwrap().to_owned())
}

/// A field of a Protobuf message that holds bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2, u8::try_from(bytes.len()).unwrap()];
    field.extend_from_slice(bytes);
    field
}

/// [`question`] as gRPC has it.
fn message(action: &str, owner: &str) -> Vec<u8> {
    let principal = [field(1, b"u-1"), field(3, b"user")].concat();
    let owner = [field(1, b"owner"), field(2, &field(3, owner.as_bytes()))].concat();
    let resource = [field(1, b"contact"), field(3, b"c1"), field(4, &owner)].concat();
    let entry = [field(1, action.as_bytes()), field(2, &resource)].concat();
    [field(1, b"id-1"), field(3, &principal), field(4, &entry)].concat()
}

fn call_with(address: SocketAddr, method: &str, fields: &[(&str, &str)], message: &[u8]) -> Answer {
    let mut body = vec![0];
    body.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
    body.extend_from_slice(message);
    let request =
        H2Request::new(Method::POST, method).field("content-type", "application/grpc").field("te", "trailers");
    let request = fields.iter().fold(request, |request, (name, value)| request.field(name, value)).body(body);
    H2::connect(address).ask(request).unwrap()
}

fn call(gateway: &Gateway, method: &str, message: &[u8]) -> Answer {
    call_with(gateway.api("Grpc"), method, &[], message)
}

const CHECK: &str = "/cerbos.svc.v1.CerbosService/CheckResources";

/// The status of a call, which stands in the trailers, or in the head of an answer without a message.
fn status(answer: &Answer) -> (String, String) {
    assert_eq!((answer.status, answer.field("content-type")), (200, Some("application/grpc")));
    let all: Vec<_> = answer.trailers.iter().chain(&answer.fields).collect();
    let of =
        |wanted: &str| all.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone()).unwrap_or_default();
    (of("grpc-status"), of("grpc-message"))
}

fn holds(answer: &Answer, bytes: &[u8]) -> bool {
    answer.body.windows(bytes.len()).any(|window| window == bytes)
}

/// `read: EFFECT_ALLOW` as a map entry of Protobuf.
const READ_ALLOWED: &[u8] = b"\x0a\x04read\x10\x01";
const READ_DENIED: &[u8] = b"\x0a\x04read\x10\x02";

#[test]
fn questions_are_answered_over_http() {
    let gateway = house(json!({})).start();
    let mut asked = question("read", "u-1");
    asked["requestId"] = "q-1".into();
    asked["includeMeta"] = true.into();
    let answer = post(&gateway, "/api/check/resources", &asked);
    assert_eq!(effect(&answer, "read"), "EFFECT_ALLOW");
    let told = answer.json();
    let id = told["cerbosCallId"].as_str().unwrap();
    assert_eq!((told["requestId"].as_str(), id.len()), (Some("q-1"), 26));
    let resource = json!({ "id": "c1", "kind": "contact" });
    let meta = json!({ "actions": { "read": { "matchedPolicy": "resource.contact.vdefault" } } });
    assert_eq!((&told["results"][0]["resource"], &told["results"][0]["meta"]), (&resource, &meta));
    let fields =
        ["content-type", "grpc-metadata-cerbos-version", "grpc-metadata-content-type"].map(|name| answer.field(name));
    assert_eq!(fields, [Some("application/json"), Some("0.51.0"), Some("application/grpc")]);
    assert!(!answer.closes());

    assert_eq!(effect(&post(&gateway, "/api/check/resources", &question("read", "u-2")), "read"), "EFFECT_DENY");
    assert_eq!(effect(&post(&gateway, "/api/check/resources", &question("delete", "u-1")), "delete"), "EFFECT_DENY");
    let plain = "Content-Type: text/plain;charset=UTF-8\r\n";
    let answer = post_with(gateway.api("Http"), "/api/check/resources", plain, &question("read", "u-1").to_string());
    assert_eq!(effect(&answer, "read"), "EFFECT_ALLOW");

    let batch = post(&gateway, "/api/check_resource_batch", &question("read", "u-1")).json();
    assert_eq!(batch["results"], json!([{ "resourceId": "c1", "actions": { "read": "EFFECT_ALLOW" } }]));
    let set = json!({ "principal": { "id": "u-1", "roles": ["user"] }, "actions": ["read"],
        "resource": { "kind": "contact", "instances": { "a": { "attr": { "owner": "u-1" } }, "b": {} } } });
    let set = post(&gateway, "/api/check", &set).json();
    let instances =
        json!({ "a": { "actions": { "read": "EFFECT_ALLOW" } }, "b": { "actions": { "read": "EFFECT_DENY" } } });
    assert_eq!(set["resourceInstances"], instances);

    let line = gateway.audit(1)[0].clone();
    let decision = json!([{ "kind": "contact", "id": "c1", "action": "read", "outcome": "allow", "policy": "resource.contact.vdefault",
        "rule": line["decisions"][0]["rule"], "errs": false, "disputed": false }]);
    assert_eq!(
        (&line["decisions"], line["call_id"].as_str(), &line["request_id"]),
        (&decision, Some(id), &json!("q-1"))
    );
    let named = ["api", "transport", "method", "code", "principal", "caller"]
        .map(|name| line[name].as_str().unwrap().to_owned());
    assert_eq!(named, ["cerbos", "http", "CheckResources", "ok", "u-1", "127.0.0.1"]);
    assert_eq!(gateway.metric("cogward_cerbos_checks_total", &["method=\"CheckResources\"", "code=\"ok\""]), 4.0);
    assert_eq!(gateway.metric("cogward_cerbos_decisions_total", &["allow"]), 4.0);
}

#[test]
fn questions_are_answered_over_grpc() {
    let gateway = house(json!({})).start();
    let answer = call(&gateway, CHECK, &message("read", "u-1"));
    assert_eq!(status(&answer), ("0".to_owned(), String::new()));
    assert!(holds(&answer, READ_ALLOWED) && holds(&answer, b"id-1"), "{:?}", answer.body);
    assert!(holds(&call(&gateway, CHECK, &message("read", "u-2")), READ_DENIED));
    // gRPC is understood on the listener of HTTP as well.
    assert!(holds(&call_with(gateway.api("Http"), CHECK, &[], &message("read", "u-1")), READ_ALLOWED));

    let info = call(&gateway, "/cerbos.svc.v1.CerbosService/ServerInfo", b"");
    assert!(status(&info).0 == "0" && holds(&info, b"0.51.0"));
    let health = call(&gateway, "/grpc.health.v1.Health/Check", &field(1, b"cerbos.svc.v1.CerbosService"));
    assert_eq!((&*status(&health).0, &*health.body), ("0", &[0, 0, 0, 0, 2, 8, 1][..]));

    let rows: [(&str, Vec<u8>, &str, &str); 6] = [
        (
            CHECK,
            Vec::new(),
            "3",
            "validation errors:%0A - principal: value is required%0A - resources: value is required",
        ),
        (CHECK, b"\xff".to_vec(), "3", "the message cannot be read"),
        ("/grpc.health.v1.Health/Check", field(1, b"x"), "5", "unknown service"),
        ("/grpc.health.v1.Health/Watch", Vec::new(), "12", "Unknown service"),
        ("/cerbos.svc.v1.CerbosAdminService/ListPolicies", Vec::new(), "12", "Unknown service"),
        (
            "/cerbos.svc.v1.CerbosService/PlanResources",
            Vec::new(),
            "12",
            "PlanResources is not implemented: Cogward decides, and plans no queries",
        ),
    ];
    for (method, message, code, text) in rows {
        let answer = call(&gateway, method, &message);
        assert_eq!(status(&answer), (code.to_owned(), text.to_owned()), "{method}");
        assert!(answer.is_head_only, "{method}");
    }
    assert_eq!(gateway.audit(1)[0]["transport"], "grpc");
}

#[test]
fn what_is_no_question_is_refused_as_cerbos_refuses_it() {
    let limits = json!({ "request_bytes": "2KiB", "resources_per_request": 1, "actions_per_resource": 2 });
    let gateway = house(json!({ "limits": limits })).start();
    let check = "/api/check/resources";
    let told = |path: &str, body: &str| refusal(&post_with(gateway.api("Http"), path, "", body));
    let rows = [
        (check, "", 400, 3, "validation errors:\n - principal: value is required\n - resources: value is required"),
        (check, "{", 400, 3, "unexpected EOF"),
        (check, r#"{"bogus":1}"#, 400, 3, "proto: (line 1:2): unknown field \"bogus\""),
        (
            "/api/plan/resources",
            "{}",
            501,
            12,
            "PlanResources is not implemented: Cogward decides, and plans no queries",
        ),
        ("/api/server_info", "", 501, 12, "Method Not Allowed"),
        ("/_cerbos/health", "", 501, 12, "Method Not Allowed"),
        ("/api/nothing", "", 404, 5, "Not Found"),
        ("/api/check/resources/", "", 404, 5, "Not Found"),
        ("/", "", 404, 5, "Not Found"),
    ];
    for (path, body, status, code, message) in rows {
        assert_eq!(told(path, body), (status, code, message.to_owned()), "{path} {body}");
    }
    assert_eq!(refusal(&get(&gateway, check)), (501, 12, "Method Not Allowed".to_owned()));
    let mut empty = question("read", "u-1");
    empty["principal"]["roles"] = json!([]);
    let roles = (400, 3, "validation error: principal.roles: value is required".to_owned());
    assert_eq!(told(check, &empty.to_string()), roles);
    let mut many = question("read", "u-1");
    many["resources"][0]["actions"] = json!(["a", "b", "c"]);
    assert_eq!(told(check, &many.to_string()).2, "number of actions (3) exceeds configured limit (2)");
    many["resources"] = json!([many["resources"][0], many["resources"][0]]);
    assert_eq!(told(check, &many.to_string()).2, "number of resources in batch (2) exceeds configured limit (1)");
    let large = told(check, &"x".repeat(2049));
    assert_eq!(large, (429, 8, "received message larger than max (2049 vs. 2048)".to_owned()));
    assert_eq!(status(&call(&gateway, CHECK, &vec![0; 2049])).0, "8");

    let mut client = Client::connect(gateway.api("Grpc"));
    client.send("GET /api/server_info HTTP/1.1\r\nHost: api\r\n\r\n");
    assert_eq!(client.answer().status, 415);
    assert_eq!(get(&gateway, "/_cerbos/health").json(), json!({ "status": "SERVING" }));
    let info = get(&gateway, "/api/server_info").json();
    assert_eq!(info["version"], "0.51.0");
    assert!(info["commit"].as_str().unwrap().starts_with("cogward-"), "{info}");
}

#[test]
fn a_caller_without_the_secret_is_refused() {
    let gateway = house(json!({ "secret_file": "api.secret" })).file("api.secret", &format!("{SECRET}\n")).start();
    let asked = question("read", "u-1").to_string();
    let ask = |fields: &str| post_with(gateway.api("Http"), "/api/check/resources", fields, &asked);
    for fields in [
        "",
        "Authorization: Bearer\r\n",
        "Authorization: Bearer \r\n",
        "Authorization: Bearer 0123456789abcdef-secreT\r\n",
        "Authorization: Bearer 0123456789abcdef-secret2\r\n",
        "Authorization: Bearer 0123456789abcdef-secre\r\n",
        "Authorization: 0123456789abcdef-secret\r\n",
        "Authorization: Basic 0123456789abcdef-secret\r\n",
        "X-Authorization: Bearer 0123456789abcdef-secret\r\n",
    ] {
        let answer = ask(fields);
        let told = (401, 16, "the request does not carry the secret of this API".to_owned());
        assert_eq!(
            (refusal(&answer), answer.field("www-authenticate")),
            (told, Some("Bearer realm=\"cogward\"")),
            "{fields}"
        );
    }
    let shown = format!("Authorization: Bearer {SECRET}\r\n");
    assert_eq!(effect(&ask(&shown), "read"), "EFFECT_ALLOW");
    let grpc = gateway.api("Grpc");
    assert_eq!(status(&call_with(grpc, CHECK, &[], &message("read", "u-1"))).0, "16");
    let bearer = format!("Bearer {SECRET}");
    let told = call_with(grpc, CHECK, &[("authorization", &bearer)], &message("read", "u-1"));
    assert!(holds(&told, READ_ALLOWED));
    // Probes have no secret.
    assert_eq!(get(&gateway, "/_cerbos/health").status, 200);
    assert_eq!(status(&call(&gateway, "/grpc.health.v1.Health/Check", b"")).0, "0");
    assert_eq!(get(&gateway, "/api/server_info").status, 401);
    assert!(
        gateway.audit(9).iter().take(9).all(|line| line["code"] == "unauthenticated" && line["principal"].is_null())
    );

    // Another secret counts at once, and one that is none changes nothing.
    gateway.write("api.secret", "another-secret-0123");
    eventually("the new secret", || (ask("Authorization: Bearer another-secret-0123\r\n").status == 200).then_some(()));
    assert_eq!(ask(&shown).status, 401);
    gateway.write("api.secret", "short");
    eventually("the rejection", || gateway.log().contains("F032").then_some(()));
    assert_eq!(ask("Authorization: Bearer another-secret-0123\r\n").status, 200);
    assert!(!gateway.log().contains("another-secret-0123"));
}

#[test]
fn the_token_of_a_question_is_verified() {
    let sets = json!({ "jwt": { "key_sets": [{ "id": "main", "file": "jwks.json" }] } });
    let gateway = house(json!({ "aux_data": sets })).start();
    assert_eq!(gateway.metric("cogward_cerbos_unverified_jwt", &[]), 0.0);
    let ask = |token: &str, set: &str| {
        let mut asked = question("share", "u-1");
        asked["auxData"] = json!({ "jwt": { "token": token, "keySetId": set } });
        post(&gateway, "/api/check/resources", &asked)
    };
    let claims = with(access("u-1", &[]), json!({ "aud": "api" }));
    let good = signed(&claims);
    assert_eq!(effect(&ask(&good, "main"), "share"), "EFFECT_ALLOW");
    assert_eq!(effect(&ask(&good, ""), "share"), "EFFECT_ALLOW");
    assert_eq!(effect(&ask(&signed(&with(claims.clone(), json!({ "sub": "u-2" }))), "main"), "share"), "EFFECT_DENY");
    assert_eq!(effect(&post(&gateway, "/api/check/resources", &question("share", "u-1")), "share"), "EFFECT_DENY");
    let forged = format!("{}x", good.strip_suffix(|_: char| true).unwrap());
    let expired = signed(&with(claims, json!({ "exp": 1_000_000_000 })));
    for (token, set) in [(&*forged, "main"), (&*expired, "main"), (&*good, "other"), ("x", "main"), ("a.b.c", "")] {
        assert_eq!(refusal(&ask(token, set)), (400, 3, "invalid auxData".to_owned()), "{token} {set}");
    }
    assert!(!gateway.log().contains(&good));
}

#[test]
fn a_gateway_that_believes_every_token_says_so() {
    let gateway = house(json!({ "aux_data": { "jwt": { "disable_verification": true } } })).start();
    assert_eq!(gateway.metric("cogward_cerbos_unverified_jwt", &[]), 1.0);
    let log = gateway.log();
    assert!(log.contains("INSECURE") && log.contains("C052"), "{log}");
    let mut asked = question("share", "u-1");
    let token = signed(&with(access("u-1", &[]), json!({ "aud": ["api"] })));
    let (unsigned, _) = token.rsplit_once('.').unwrap();
    asked["auxData"] = json!({ "jwt": { "token": format!("{unsigned}.c2lnbmF0dXJl") } });
    assert_eq!(effect(&post(&gateway, "/api/check/resources", &asked), "share"), "EFFECT_ALLOW");
}

#[test]
fn questions_are_answered_by_the_policies_that_serve() {
    let gateway = house(json!({})).start();
    let read = || effect(&post(&gateway, "/api/check/resources", &question("read", "u-2")), "read");
    assert_eq!(read(), "EFFECT_DENY");
    gateway.write("policies/contact.yaml", &POLICY.replace("R.attr.owner == P.id", "R.attr.owner != P.id"));
    eventually("the new policy", || (read() == "EFFECT_ALLOW").then_some(()));
    gateway.write("policies/contact.yaml", "apiVersion: api.cerbos.dev/v1\n");
    eventually("the rejection", || gateway.log().contains("rejected").then_some(()));
    assert_eq!(read(), "EFFECT_ALLOW");
    // Another address needs a restart, and says so.
    let mut settings = gateway.settings();
    settings["decision_api"]["cerbos"]["address"] = "127.0.0.1:1".into();
    gateway.write("policies/contact.yaml", POLICY);
    gateway.write("cogward.yaml", &settings.to_string());
    eventually("the hint", || (gateway.status()["restart_needed"] == json!(["decision_api"])).then_some(()));
    assert_eq!(read(), "EFFECT_DENY");
}

#[test]
fn without_its_section_there_is_no_api() {
    let house = House::new(&Upstream::start(), ROUTES).file("policies/contact.yaml", POLICY);
    assert!(!house.start().log().contains("decision API"));
}

#[test]
fn a_question_that_stalls_is_ended() {
    let gateway = house(json!({})).set("/limits/body_stall", json!("200ms")).start();
    let mut client = Client::connect(gateway.api("Http"));
    client.send("POST /api/check/resources HTTP/1.1\r\nHost: api\r\nContent-Length: 10\r\n\r\n{");
    client.rest();
    let stalled = || gateway.metric("cogward_connections_cut_total", &["body_stalled"]) == 1.0;
    eventually("the account of it", || stalled().then_some(()));
}

#[test]
fn a_stop_lets_questions_finish() {
    let gateway = house(json!({})).set("/shutdown_grace", json!("10s")).start();
    let mut kept = Client::connect(gateway.api("Http"));
    kept.send("GET /_cerbos/health HTTP/1.1\r\nHost: api\r\n\r\n");
    assert_eq!(kept.answer().status, 200);
    let body = question("read", "u-1").to_string();
    let mut begun = Client::connect(gateway.api("Http"));
    let (head, tail) = body.split_at(20);
    begun.send(format!(
        "POST /api/check/resources HTTP/1.1\r\nHost: api\r\nContent-Length: {}\r\n\r\n{head}",
        body.len()
    ));
    let mut gateway = gateway;
    gateway.signal("TERM");
    eventually("the stop", || gateway.log().contains("stopping").then_some(()));
    begun.send(tail);
    assert_eq!(effect(&begun.answer(), "read"), "EFFECT_ALLOW");
    kept.is_closed();
    assert_eq!(gateway.ended().code(), Some(0));
}

#[test]
fn an_upgrade_hands_the_listeners_of_the_api_over() {
    let house = house(json!({})).set("/upgrade_socket", json!("run/upgrade.sock"));
    fs::create_dir(house.path("run")).unwrap();
    fs::set_permissions(house.path("run"), fs::Permissions::from_mode(0o700)).unwrap();
    let mut old = house.start();
    let heir = old.heir(|_| {});
    heir.said("waiting for the sockets");
    old.signal("QUIT");
    let new = heir.serves();
    assert_eq!(old.ended().code(), Some(0));
    assert_eq!((new.api("Http"), new.api("Grpc")), (old.api("Http"), old.api("Grpc")));
    assert_eq!(effect(&post(&new, "/api/check/resources", &question("read", "u-1")), "read"), "EFFECT_ALLOW");
    assert!(holds(&call(&new, CHECK, &message("read", "u-1")), READ_ALLOWED));
}
