//! What a request leaves behind: one line, the numbers, and nothing that is secret.

use std::collections::BTreeSet;

use http::Method;
use serde_json::{Value, json};

use crate::support::{Gateway, H2, H2Request, House, Upstream, token};

const ROUTES: &str = "
- { id: public, path: '/public/{rest..}', rules: [ { id: everyone, roles: [anyone] } ] }
- { id: own, path: '/own/{user}', rules: [ { id: admins, roles: [admin] }, { id: own, roles: [user], owner: { path: user } } ] }
- { id: hidden, path: /hidden, on_deny: not_found, rules: [ { id: admins, roles: [admin] } ] }";

/// The fields of every line, in order.
const FIELDS: [&str; 19] = [
    "time",
    "request_id",
    "generation",
    "route",
    "method",
    "path",
    "outcome",
    "reason",
    "rule",
    "principal",
    "kind",
    "client_id",
    "provider",
    "roles",
    "owner_source",
    "other_profile",
    "status",
    "decision_us",
    "upstream_us",
];

fn house() -> (Upstream, Gateway) {
    let upstream = Upstream::start();
    let gateway = House::new(&upstream, ROUTES).start();
    (upstream, gateway)
}

fn line_of(gateway: &Gateway, id: &str) -> Value {
    crate::support::eventually("the line", || gateway.audit_now().into_iter().find(|line| line["request_id"] == id))
}

/// Requests, and the status, outcome and reason that each comes to.
fn requests_of(token: &str) -> Vec<(String, u16, &'static str, Value)> {
    let bearer = format!("Authorization: Bearer {token}\r\n");
    vec![
        ("GET /public/a HTTP/1.1\r\nHost: app\r\n\r\n".to_owned(), 200, "allow", Value::Null),
        (format!("GET /own/u-1 HTTP/1.1\r\nHost: app\r\n{bearer}\r\n"), 200, "allow", Value::Null),
        (format!("GET /own/u-2 HTTP/1.1\r\nHost: app\r\n{bearer}\r\n"), 403, "deny", json!("not_owner")),
        (format!("GET /hidden HTTP/1.1\r\nHost: app\r\n{bearer}\r\n"), 404, "deny", json!("missing_role")),
        ("GET /own/u-1 HTTP/1.1\r\nHost: app\r\n\r\n".to_owned(), 401, "deny", json!("credential_missing")),
        (
            "GET /own/u-1 HTTP/1.1\r\nHost: app\r\nAuthorization: Bearer x\r\n\r\n".to_owned(),
            401,
            "deny",
            json!("token_malformed"),
        ),
        ("GET /nowhere HTTP/1.1\r\nHost: app\r\n\r\n".to_owned(), 404, "deny", json!("no_route")),
        ("TRACE /public/a HTTP/1.1\r\nHost: app\r\n\r\n".to_owned(), 405, "deny", json!("method_not_allowed")),
        ("GET /public/../a HTTP/1.1\r\nHost: app\r\n\r\n".to_owned(), 400, "deny", json!("target_ambiguous")),
        // Refused before there is a request.
        ("GET http://other/ HTTP/1.1\r\nHost: app\r\n\r\n".to_owned(), 400, "deny", json!("target_ambiguous")),
        ("GET /a<b HTTP/1.1\r\nHost: app\r\n\r\n".to_owned(), 400, "deny", json!("target_ambiguous")),
        ("GET /a#b HTTP/1.1\r\nHost: app\r\n\r\n".to_owned(), 400, "deny", json!("target_ambiguous")),
        ("CONNECT app:443 HTTP/1.1\r\nHost: app:443\r\n\r\n".to_owned(), 405, "deny", json!("method_not_allowed")),
        ("GET /a HTTP/1.1\r\n\r\n".to_owned(), 400, "deny", json!("request_malformed")),
        ("GET /a HTTP/9.9\r\nHost: app\r\n\r\n".to_owned(), 400, "deny", json!("request_malformed")),
        (
            "POST /public/a HTTP/1.1\r\nHost: app\r\nTransfer-Encoding: gzip\r\n\r\n".to_owned(),
            400,
            "deny",
            json!("request_malformed"),
        ),
        (format!("GET /{} HTTP/1.1\r\nHost: app\r\n\r\n", "a".repeat(9000)), 431, "deny", json!("headers_too_large")),
        (
            "POST /public/a HTTP/1.1\r\nHost: app\r\nContent-Length: 99999999\r\n\r\n".to_owned(),
            413,
            "deny",
            json!("body_too_large"),
        ),
    ]
}

#[test]
fn every_request_leaves_one_line_refused_ones_too() {
    let (_, gateway) = house();
    let requests = requests_of(&token("u-1", &["user"]));
    let mut expected = Vec::new();
    for (request, status, outcome, reason) in &requests {
        let answer = gateway.ask(request);
        assert_eq!(answer.status, *status, "{request}");
        expected.push((answer.field("x-request-id").unwrap().to_owned(), *status, *outcome, reason.clone()));
    }
    // A request whose end shows that all before it are written.
    let last = gateway.ask("GET /public/a HTTP/1.1\r\nHost: app\r\nX-Request-Id: the-last\r\n\r\n");
    assert_eq!(last.status, 200);
    line_of(&gateway, "the-last");
    let lines = gateway.audit(expected.len() + 1);
    assert_eq!(lines.len(), expected.len() + 1);
    for (id, status, outcome, reason) in expected {
        let found: Vec<_> = lines.iter().filter(|line| line["request_id"] == *id).collect();
        assert_eq!(found.len(), 1, "{id} {reason}");
        let line = found[0];
        assert_eq!(
            (&line["status"], &line["outcome"], &line["reason"]),
            (&json!(status), &json!(outcome), &reason),
            "{line}"
        );
        assert_eq!(
            line.as_object().unwrap().keys().collect::<BTreeSet<_>>(),
            FIELDS.map(str::to_owned).iter().collect()
        );
    }
}

#[test]
fn a_line_says_who_did_what_and_why() {
    let (_, gateway) = house();
    let user = token("u-1", &["user", "staff"]);
    let ask = |id: &str, line: &str| {
        gateway
            .ask(format!("{line} HTTP/1.1\r\nHost: app\r\nX-Request-Id: {id}\r\nAuthorization: Bearer {user}\r\n\r\n"))
    };
    assert_eq!(ask("allowed", "PUT /own/%75-1?secret=1").status, 200);
    let line = line_of(&gateway, "allowed");
    let expected = json!({
        "request_id": "allowed", "route": "own", "method": "PUT", "path": "/own/u-1", "outcome": "allow", "reason": null,
        "rule": "own/own", "principal": "u-1", "kind": "user", "client_id": "example", "provider": "main",
        "roles": ["user", "staff"], "owner_source": "path", "other_profile": null, "status": 200,
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&line[name], value, "{name}");
    }
    assert!(line["time"].as_str().unwrap().ends_with('Z') && line["generation"].as_u64().unwrap() > 0);
    assert!(line["decision_us"].is_u64() && line["upstream_us"].is_u64());

    assert_eq!(ask("denied", "GET /own/u-2").status, 403);
    let line = line_of(&gateway, "denied");
    let told = ["route", "path", "outcome", "reason", "principal", "upstream_us"].map(|name| line[name].clone());
    assert_eq!(told, [json!("own"), json!("/own/u-2"), json!("deny"), json!("not_owner"), json!("u-1"), Value::Null]);
}

#[test]
fn no_token_is_written_anywhere() {
    let upstream = Upstream::start();
    let gateway = House::new(&upstream, ROUTES)
        .set("/identity/credentials", json!(["bearer", { "cookie": "session" }]))
        .environment("COGWARD_LOG", "trace")
        .start();
    let token = token("u-1", &["user"]);
    let stale = format!("{token}x");
    let mut h2 = H2::connect(gateway.listener);
    for token in [&token, &stale] {
        for request in [
            format!("GET /own/u-1 HTTP/1.1\r\nHost: app\r\nAuthorization: Bearer {token}\r\n\r\n"),
            format!("GET /own/u-2 HTTP/1.1\r\nHost: app\r\nCookie: session={token}\r\n\r\n"),
            format!("GET /public/{token} HTTP/1.1\r\nHost: app\r\n\r\n"),
            format!("GET /public/a?access_token={token} HTTP/1.1\r\nHost: app\r\nReferer: http://x/?t={token}\r\n\r\n"),
            format!("GET /public/a HTTP/1.1\r\nHost: app\r\nX-Request-Id: {token}\r\n\r\n"),
            format!("GET /{token}/.. HTTP/1.1\r\nHost: app\r\n\r\n"),
            format!("GET http://{token}/ HTTP/1.1\r\nHost: app\r\n\r\n"),
            format!("{token} / HTTP/1.1\r\nHost: app\r\n\r\n"),
            format!("GET / HTTP/1.1\r\nHost: {token}\r\nAuthorization : Bearer {token}\r\n\r\n"),
            format!("GET / HTTP/1.1\r\nHost: app\r\nAuthorization: Bearer {token}\nX: y\r\n\r\n"),
        ] {
            gateway.ask(request);
        }
        let _ = h2.ask(H2Request::new(Method::GET, "/own/u-1").field("authorization", &format!("Bearer {token}")));
    }
    let _ = h2.ask(H2Request::new(Method::GET, "/public/a").field("x-request-id", "the-last"));
    line_of(&gateway, "the-last");
    let audit = std::fs::read_to_string(gateway.path("audit.jsonl")).unwrap();
    let pages = gateway.admin_get("/metrics").text() + &gateway.admin_get("/status").text();
    for text in [audit, gateway.log(), pages] {
        let leaked = text.lines().find(|line| line.contains("eyJ"));
        assert_eq!(leaked, None);
    }
}

#[test]
fn a_scan_of_random_paths_adds_no_series() {
    let (_, gateway) = house();
    let series = || {
        let page = gateway.admin_get("/metrics").text();
        let names =
            page.lines().filter(|line| !line.starts_with('#')).map(|line| line.rsplit_once(' ').unwrap().0.to_owned());
        names.collect::<BTreeSet<_>>()
    };
    let methods = ["GET", "POST", "BREW", "X1", "QUERY"];
    let mut client = gateway.connect();
    let mut ask = |number: u64| {
        // Spread over paths, hosts, methods and statuses.
        let mixed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let path = match mixed % 4 {
            0 => format!("/{mixed:x}"),
            1 => format!("/public/{mixed:x}"),
            2 => format!("/own/{mixed:x}"),
            _ => format!("/{mixed:x}/../x"),
        };
        let method =
            if number < 40 { methods[number as usize % methods.len()].to_owned() } else { format!("M{mixed:x}") };
        let method = if number.is_multiple_of(3) { "GET".to_owned() } else { method };
        client.send(format!("{method} {path} HTTP/1.1\r\nHost: h{mixed:x}\r\nContent-Length: 0\r\n\r\n"));
        client.answer()
    };
    for number in 0..40 {
        ask(number);
    }
    let before = series();
    for number in 40..3000 {
        ask(number);
    }
    let added: Vec<_> = series().difference(&before).cloned().collect();
    assert_eq!(added, [""; 0]);
    let told = gateway.metric("cogward_requests_total", &[]);
    assert_eq!(told, 3000.0);
}

#[test]
fn the_numbers_tell_what_happened() {
    let (_, gateway) = house();
    let user = token("u-1", &["user"]);
    for _ in 0..3 {
        assert_eq!(gateway.get("/own/u-1", &user).status, 200);
    }
    gateway.get("/own/u-2", &user);
    gateway.get("/own/u-1", "x");
    gateway.get_anonymously("/nowhere");
    gateway.audit(6);
    for (name, labels, value) in [
        ("cogward_requests_total", &["route=\"own\"", "method=\"GET\"", "status_class=\"2xx\""][..], 3.0),
        ("cogward_requests_total", &["route=\"own\"", "status_class=\"4xx\""], 2.0),
        ("cogward_requests_total", &["route=\"none\"", "status_class=\"4xx\""], 1.0),
        ("cogward_decisions_total", &["route=\"own\"", "outcome=\"allow\""], 3.0),
        ("cogward_decisions_total", &["route=\"own\"", "reason=\"not_owner\""], 1.0),
        ("cogward_decisions_total", &["reason=\"token_malformed\""], 1.0),
        ("cogward_token_cache_total", &["result=\"hit\""], 3.0),
        ("cogward_token_cache_total", &["result=\"miss\""], 1.0),
        ("cogward_upstream_duration_seconds_count", &["upstream=\"app\""], 3.0),
        ("cogward_decision_duration_seconds_count", &[], 6.0),
        ("cogward_jwks_keys", &["provider=\"main\""], 1.0),
        ("cogward_policy_generation", &[], 1.0),
        ("cogward_build_info", &[], 1.0),
    ] {
        crate::support::eventually(&format!("{name} {labels:?} {value}"), || {
            (gateway.metric(name, labels) == value).then_some(())
        });
    }
    assert!(gateway.metric("process_resident_memory_bytes", &[]) > 0.0);
}

#[test]
fn the_public_listener_serves_no_page_of_the_admin_listener() {
    let (_, gateway) = house();
    for path in ["/metrics", "/status", "/readyz", "/livez", "/healthz"] {
        gateway.get_anonymously(path).is(404, "no_route");
        assert_eq!(gateway.admin_get(path).status, 200, "{path}");
    }
    assert_eq!(gateway.admin_get("/own/u-1").status, 404);
    let status = gateway.status();
    assert_eq!(status["listeners"][0]["address"], gateway.listener.to_string());
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
}
