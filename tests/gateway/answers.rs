//! What a client is told, byte for byte where it matters.

use std::{io::Write, net::TcpListener};

use http::Method;
use serde_json::json;

use crate::support::{Answer, Gateway, H2, H2Request, House, Upstream, access, machine, signed, token, with};

const ROUTES: &str = r#"
- { id: public, path: '/public/{rest..}', methods: [GET], rules: [ { id: everyone, roles: [anyone] } ] }
- { id: api, path: '/api/{rest..}', rules: [ { id: signed-in, roles: [authenticated] } ] }
- { id: admin, path: /admin, rules: [ { id: admins, roles: [admin] } ] }
- { id: own, path: '/own/{user}', rules: [ { id: own, owner: { path: user } } ] }
- { id: asked, path: /asked, rules: [ { id: own, owner: { query: user } } ] }
- { id: scoped, path: /scoped, rules: [ { id: readers, scopes: [contacts/read] } ] }
- id: barred
  path: /barred
  rules:
    - { id: everyone, roles: [authenticated] }
    - { id: nobody, effect: deny, when: 'principal.id == "u-1"' }
- { id: erring, path: /erring, rules: [ { id: odd, roles: [authenticated], when: 'principal.claims["nothing"] == "x"' } ] }
- { id: writes, path: /writes, rules: [ { id: writers, methods: [POST], roles: [authenticated] } ] }
- { id: hidden, path: /hidden, on_deny: not_found, rules: [ { id: admins, roles: [admin] } ] }
- { id: hidden-own, path: '/hidden/{user}', on_deny: not_found, rules: [ { id: own, owner: { path: user } } ] }"#;

const REALM: &str = "Bearer realm=\"cogward\"";

fn house() -> (Upstream, Gateway) {
    let upstream = Upstream::start();
    let gateway = House::new(&upstream, ROUTES).start();
    (upstream, gateway)
}

/// The whole answer but what differs from one to the next: its id and its date.
fn without_id(answer: &Answer) -> (u16, Vec<(String, String)>, String) {
    let id = answer.field("x-request-id").unwrap();
    let fields = answer.fields.iter().filter(|(name, _)| name != "date").cloned();
    let fields = fields.map(|(name, value)| (name, value.replace(id, "ID"))).collect();
    (answer.status, fields, answer.text().replace(id, "ID"))
}

#[test]
fn whoever_has_not_signed_in_is_asked_to() {
    let (upstream, gateway) = house();
    for path in ["/api/a", "/admin", "/own/u-1", "/hidden", "/hidden/u-1", "/scoped"] {
        let answer = gateway.get_anonymously(path);
        answer.is(401, "credential_missing");
        assert_eq!(answer.field("www-authenticate"), Some(REALM), "{path}");
        assert_eq!(answer.field("cache-control"), Some("no-store"));
        assert_eq!(answer.field("retry-after"), None);
    }
    assert!(upstream.take().is_empty());
}

#[test]
fn a_token_that_fails_is_told_apart_only_in_the_audit() {
    let (upstream, gateway) = house();
    let good = access("u-1", &["admin"]);
    let bad = [
        ("token_malformed", "eyJ.eyJ.x".to_owned()),
        ("unknown_issuer", signed(&with(good.clone(), json!({ "iss": "https://evil.example" })))),
        ("bad_signature", {
            let whole = signed(&good);
            let other = signed(&access("u-2", &["admin"]));
            format!("{}.{}", whole.rsplit_once('.').unwrap().0, other.rsplit_once('.').unwrap().1)
        }),
        ("wrong_use", signed(&with(good.clone(), json!({ "token_use": "id", "aud": "example" })))),
        ("wrong_client", signed(&with(good.clone(), json!({ "client_id": "other" })))),
        ("token_expired", signed(&with(good.clone(), json!({ "exp": good["iat"].as_u64().unwrap() + 1 })))),
        ("token_not_yet_valid", signed(&with(good.clone(), json!({ "nbf": good["exp"] })))),
        ("claims_invalid", signed(&with(good.clone(), json!({ "cognito:groups": "admin" })))),
        ("unknown_key", cogward::dev::DemoKey::generate().unwrap().sign_claims(&good).unwrap()),
    ];
    let answers: Vec<_> = bad.iter().map(|(_, token)| gateway.get("/api/a", token)).collect();
    for answer in &answers {
        answer.is(401, "token_invalid");
        assert_eq!(answer.field("www-authenticate"), Some("Bearer realm=\"cogward\", error=\"invalid_token\""));
        assert_eq!(without_id(answer), without_id(&answers[0]));
    }
    let lines = gateway.audit(bad.len());
    for ((reason, _), answer) in bad.iter().zip(&answers) {
        let line = lines.iter().find(|line| line["request_id"].as_str() == answer.field("x-request-id")).unwrap();
        assert_eq!(line["reason"], *reason);
    }
    assert!(upstream.take().is_empty());
}

#[test]
fn a_denied_principal_is_told_the_first_reason() {
    let (upstream, gateway) = house();
    let user = token("u-1", &["user"]);
    for (path, code) in [
        ("/admin", "missing_role"),
        ("/own/u-2", "not_owner"),
        ("/asked", "not_owner"),
        ("/barred", "explicit_deny"),
        ("/erring", "evaluation_error"),
        ("/writes", "no_rule"),
    ] {
        let answer = gateway.get(path, &user);
        answer.is(403, code);
        assert_eq!(answer.field("www-authenticate"), None);
    }
    let answer = gateway.get("/scoped", &user);
    answer.is(403, "insufficient_scope");
    assert_eq!(answer.field("www-authenticate"), Some("Bearer realm=\"cogward\", error=\"insufficient_scope\""));
    assert!(upstream.take().is_empty());
    assert_eq!(gateway.get("/scoped", &machine("contacts/read")).status, 200);
    // A machine owns nothing, whatever its id is.
    gateway.get(&format!("/own/{}", crate::support::MACHINE), &machine("")).is(403, "not_owner");
}

#[test]
fn a_repeated_parameter_that_a_rule_needs_is_refused() {
    let (upstream, gateway) = house();
    let user = token("u-1", &["user"]);
    for query in ["user=u-1&user=u-2", "user=u-1&user=u-1", "user=u-1&us%65r=u-2", "user=%ff", "user=%zz"] {
        gateway.get(&format!("/asked?{query}"), &user).is(400, "attribute_malformed");
    }
    assert!(upstream.take().is_empty());
    assert_eq!(gateway.get("/asked?user=u-1&other=1&other=2", &user).status, 200);
}

#[test]
fn a_path_or_method_without_a_route_is_told_so() {
    let (upstream, gateway) = house();
    for path in ["/nowhere", "/public", "/Api/a", "/"] {
        let answer = gateway.get_anonymously(path);
        answer.is(404, "no_route");
        assert_eq!(answer.field("www-authenticate"), None);
    }
    let answer = gateway.ask("DELETE /public/a HTTP/1.1\r\nHost: app\r\n\r\n");
    answer.is(405, "method_not_allowed");
    assert_eq!(answer.field("allow"), Some("GET, HEAD"));
    assert!(upstream.take().is_empty());
}

#[test]
fn a_concealed_denial_looks_like_no_route() {
    let (upstream, gateway) = house();
    let user = token("u-1", &["user"]);
    let mut h2 = H2::connect(gateway.listener);
    let nothing = gateway.get("/nowhere", &user);
    nothing.is(404, "no_route");
    let nothing_h2 = h2.get("/nowhere", Some(&user)).unwrap();
    for path in ["/hidden", "/hidden/u-2"] {
        assert_eq!(without_id(&gateway.get(path, &user)), without_id(&nothing));
        assert_eq!(without_id(&h2.get(path, Some(&user)).unwrap()), without_id(&nothing_h2));
    }
    let head = |path: &str| {
        let mut client = gateway.connect();
        client.send(format!("HEAD {path} HTTP/1.1\r\nHost: app\r\nAuthorization: Bearer {user}\r\n\r\n"));
        without_id(&client.head())
    };
    assert_eq!(head("/hidden"), head("/nowhere"));
    let post = |path: &str| {
        gateway.ask(format!(
            "POST {path} HTTP/1.1\r\nHost: app\r\nContent-Length: 2\r\nAuthorization: Bearer {user}\r\n\r\nab"
        ))
    };
    assert_eq!(without_id(&post("/hidden")), without_id(&post("/nowhere")));
    assert!(upstream.take().is_empty());
    assert_eq!(gateway.get("/hidden", &token("u-9", &["admin"])).status, 200);
    // The operator knows better.
    let lines = gateway.audit(11);
    assert!(
        lines.iter().any(|line| line["reason"] == "missing_role" && line["route"] == "hidden" && line["status"] == 404)
    );
}

#[test]
fn head_is_answered_without_a_body() {
    let (upstream, gateway) = house();
    let mut client = gateway.connect();
    for (path, status) in [("/nowhere", 404), ("/api/a", 401), ("/public/a", 200), ("/%2e%2e", 400)] {
        client.send(format!("HEAD {path} HTTP/1.1\r\nHost: app\r\n\r\n"));
        let answer = client.head();
        assert_eq!(answer.status, status);
        assert!(answer.field("content-length").unwrap().parse::<usize>().unwrap() > 0);
    }
    // Had a body come with one of them, this would not be the head of an answer.
    client.send("GET /nowhere HTTP/1.1\r\nHost: app\r\n\r\n");
    client.answer().is(404, "no_route");
    assert_eq!(upstream.one().line(), "HEAD /public/a HTTP/1.1");
}

#[test]
fn a_connection_is_kept_behind_a_refusal() {
    let (_, gateway) = house();
    let mut client = gateway.connect();
    let user = token("u-1", &["user"]);
    for _ in 0..3 {
        for (path, status) in [("/api/a", 401), ("/nowhere", 404)] {
            client.send(format!("GET {path} HTTP/1.1\r\nHost: app\r\n\r\n"));
            let answer = client.answer();
            assert_eq!(answer.status, status);
            assert!(!answer.closes(), "{answer:?}");
        }
        client.send(format!(
            "POST /admin HTTP/1.1\r\nHost: app\r\nContent-Length: 3\r\nAuthorization: Bearer {user}\r\n\r\nabc"
        ));
        client.answer().is(403, "missing_role");
        client.send(format!("GET /api/a HTTP/1.1\r\nHost: app\r\nAuthorization: Bearer {user}\r\n\r\n"));
        assert_eq!(client.answer().status, 200);
    }
    client.send("GET /nowhere HTTP/1.1\r\nHost: app\r\nConnection: close\r\n\r\n");
    assert!(client.answer().closes());
    client.is_closed();
}

#[test]
fn no_answer_of_the_gateway_repeats_what_the_request_said() {
    let (_, gateway) = house();
    for path in ["/nowhere-marker", "/public/%2e%2e/marker", "/own/marker"] {
        let answer = gateway.ask(format!(
            "GET {path}?marker HTTP/1.1\r\nHost: marker\r\nX-Marker: marker\r\nUser-Agent: marker\r\nX-Request-Id: mark er\r\n\r\n"
        ));
        assert!(answer.status >= 400);
        assert!(!format!("{:?}{}", answer.fields, answer.text()).contains("marker"), "{answer:?}");
        assert!(answer.field("server").is_none(), "{answer:?}");
    }
}

#[test]
fn grpc_callers_are_told_a_status_of_their_own() {
    let upstream = Upstream::start();
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gone_route = "apiVersion: cogward/v1\nroutes: [{ id: gone, path: /gone, upstream: gone, rules: [{ id: all, roles: [anyone] }] }]\n";
    let gateway = House::new(&upstream, ROUTES)
        .file(
            "policies/routes.yaml",
            &format!("defaults: {{ upstream: app }}\n{}", crate::support::routes_file(ROUTES)),
        )
        .file("policies/gone.yaml", gone_route)
        .set(
            "/upstreams",
            json!([
                { "id": "app", "endpoints": [format!("http://{}", upstream.address())] },
                { "id": "gone", "endpoints": [format!("http://{gone}")] },
            ]),
        )
        .start();
    let mut client = H2::connect(gateway.listener);
    let user = token("u-1", &["user"]);
    let bearer = format!("Bearer {user}");
    let mut ask = |path: &str, kind: &str, authorization: Option<&str>| {
        let mut request =
            H2Request::new(Method::POST, path).field("content-type", kind).field("te", "trailers").body("x");
        if let Some(authorization) = authorization {
            request = request.field("authorization", authorization);
        }
        client.ask(request).unwrap_or_else(|error| panic!("{path} {kind}: {error}"))
    };
    for (path, authorization, status, message) in [
        ("/api/a", None, "16", "credential_missing"),
        ("/api/a", Some("Bearer x"), "16", "token_invalid"),
        ("/admin", Some(&*bearer), "7", "missing_role"),
        ("/nowhere", None, "12", "no_route"),
        ("/gone", None, "14", "upstream_unreachable"),
    ] {
        for kind in ["application/grpc", "application/grpc+proto"] {
            let answer = ask(path, kind, authorization);
            assert_eq!((answer.status, answer.is_head_only), (200, true), "{path}");
            assert_eq!(answer.field("content-type"), Some("application/grpc"));
            assert_eq!(
                (answer.field("grpc-status"), answer.field("grpc-message")),
                (Some(status), Some(message)),
                "{path}"
            );
        }
    }
    // Something else whose name begins alike, and HTTP/1, are told as everybody is.
    ask("/api/a", "application/grpc-web", None).is(401, "credential_missing");
    let over_1 =
        gateway.ask("POST /api/a HTTP/1.1\r\nHost: app\r\nContent-Type: application/grpc\r\nContent-Length: 0\r\n\r\n");
    over_1.is(401, "credential_missing");
    assert!(upstream.take().is_empty());
}

#[test]
fn keys_that_are_not_there_are_503_and_never_401() {
    let upstream = Upstream::start();
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gateway = House::new(&upstream, ROUTES)
        .set("/identity/providers/0/cognito/jwks", json!({ "url": format!("http://{gone}/jwks.json") }))
        .start_unready();
    assert_eq!(gateway.admin_get("/readyz").status, 503);
    assert_eq!(gateway.admin_get("/livez").status, 200);
    let answer = gateway.get("/api/a", &token("u-1", &[]));
    answer.is(503, "keys_unavailable");
    assert_eq!((answer.field("retry-after"), answer.field("www-authenticate")), (Some("1"), None));
    // What needs no key goes on.
    gateway.get_anonymously("/api/a").is(401, "credential_missing");
    assert_eq!(gateway.get_anonymously("/public/a").status, 200);
    assert_eq!(upstream.one().target(), "/public/a");
}

#[test]
fn keys_are_fetched_before_the_gateway_is_ready() {
    let upstream = Upstream::start();
    let keys = Upstream::with(|_, stream| {
        let body = crate::support::key().jwks();
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all(format!("{head}{body}").as_bytes()).is_ok()
    });
    let gateway = House::new(&upstream, ROUTES)
        .set("/identity/providers/0/cognito/jwks", json!({ "url": format!("http://{}/jwks.json", keys.address()) }))
        .start();
    assert_eq!(keys.take().iter().map(|request| request.line()).collect::<Vec<_>>(), ["GET /jwks.json HTTP/1.1"]);
    assert_eq!(gateway.get("/api/a", &token("u-1", &[])).status, 200);
    let status = gateway.status();
    assert_eq!(
        (&status["providers"][0]["keys"], &status["providers"][0]["provider"]),
        (&json!(1), &json!("main")),
        "{status}"
    );
}

#[test]
fn head_over_http2_is_answered_without_a_body_also_when_the_upstream_is_gone() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gateway = House::before(&[gone], ROUTES).start();
    let mut client = H2::connect(gateway.listener);
    for (path, status) in [("/nowhere", 404), ("/api/a", 401), ("/public/a", 502)] {
        let request = H2Request::new(Method::HEAD, path);
        for request in [request.clone(), request.body("unread")] {
            let answer = client.ask(request).unwrap();
            assert_eq!((answer.status, answer.body.len(), answer.is_head_only), (status, 0, true), "{path}");
        }
    }
}
