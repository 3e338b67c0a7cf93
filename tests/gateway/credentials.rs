//! Where a token may stand, and what happens when it stands twice.

use serde_json::json;

use crate::support::{Answer, Gateway, H2, H2Request, House, Upstream, access, machine, signed, token, with};

const ROUTES: &str = "
- { id: api, path: '/api/{rest..}', rules: [ { id: signed-in, roles: [authenticated] } ] }
- { id: either, path: /either, authentication: optional, rules: [ { id: everyone, roles: [anyone] } ] }
- { id: blind, path: /blind, authentication: none, rules: [ { id: everyone, roles: [anyone] } ] }
- { id: ids, path: /ids, token_use: [id], rules: [ { id: signed-in, roles: [authenticated] } ] }";

fn house() -> (Upstream, Gateway) {
    let upstream = Upstream::start();
    let gateway = House::new(&upstream, ROUTES).start();
    (upstream, gateway)
}

/// A gateway that takes tokens from three places.
fn open_house() -> (Upstream, Gateway) {
    let upstream = Upstream::start();
    let gateway = House::new(&upstream, ROUTES)
        .set("/identity/credentials", json!(["bearer", { "cookie": "session" }, { "header": "X-Token" }]))
        .set("/identity/cookie_origins", json!(["https://app.example"]))
        .start();
    (upstream, gateway)
}

fn ask(gateway: &Gateway, line: &str, fields: &str) -> Answer {
    gateway.ask(format!("{line} HTTP/1.1\r\nHost: app\r\n{fields}\r\n"))
}

#[test]
fn a_bearer_token_is_read_in_one_way() {
    let (upstream, gateway) = house();
    let token = token("u-1", &[]);
    for scheme in ["Bearer", "bearer", "BEARER", "bEaReR"] {
        assert_eq!(
            ask(&gateway, "GET /api/a", &format!("Authorization: {scheme} {token}\r\n")).status,
            200,
            "{scheme}"
        );
    }
    assert_eq!(upstream.take().len(), 4);
    for value in [
        format!("Bearer  {token}"),
        format!("Bearer\t{token}"),
        format!("Bearer:{token}"),
        format!("Bearer {token} x"),
        format!("Bearer {token},"),
        format!("Bearer \"{token}\""),
        "Bearer".to_owned(),
        "Bearer x".to_owned(),
        format!("Bearer {token}="),
        format!("Bearer {token}."),
        format!("Bearer {}", token.replace('.', "..")),
        format!("Bearer {}", "e".repeat(9000)),
        format!("Bearer, Bearer {token}"),
    ] {
        ask(&gateway, "GET /api/a", &format!("Authorization: {value}\r\n")).is(401, "token_invalid");
    }
    for value in
        [token.clone(), format!("Basic {token}"), "Digest x".to_owned(), format!("Token {token}"), String::new()]
    {
        ask(&gateway, "GET /api/a", &format!("Authorization: {value}\r\n")).is(401, "credential_missing");
    }
    // A token in the query or the body is none.
    ask(&gateway, &format!("GET /api/a?access_token={token}"), "").is(401, "credential_missing");
    // Nor does a cookie or another header count where it is not configured.
    ask(&gateway, "GET /api/a", &format!("Cookie: session={token}\r\n")).is(401, "credential_missing");
    ask(&gateway, "GET /api/a", &format!("X-Token: {token}\r\n")).is(401, "credential_missing");
    assert!(upstream.take().is_empty());
}

#[test]
fn two_authorization_fields_are_refused() {
    let (upstream, gateway) = house();
    let (one, two) = (token("u-1", &[]), token("u-2", &["admin"]));
    for fields in [
        format!("Authorization: Bearer {one}\r\nAuthorization: Bearer {two}\r\n"),
        format!("Authorization: Bearer {one}\r\nauthorization: Bearer {one}\r\n"),
        format!("Authorization: Bearer {one}\r\nAuthorization: Basic eDp5\r\n"),
    ] {
        ask(&gateway, "GET /api/a", &fields).is(400, "credential_conflict");
    }
    let mut client = H2::connect(gateway.listener);
    let request = http::Method::GET;
    let request = H2Request::new(request, "/api/a")
        .field("authorization", &format!("Bearer {one}"))
        .field("authorization", &format!("Bearer {two}"));
    client.ask(request).unwrap().is(400, "credential_conflict");
    assert!(upstream.take().is_empty());
}

#[test]
fn two_credentials_that_differ_are_refused() {
    let (upstream, gateway) = open_house();
    let (one, two) = (token("u-1", &[]), token("u-2", &["admin"]));
    for fields in [
        format!("Authorization: Bearer {one}\r\nCookie: session={two}\r\n"),
        format!("Authorization: Bearer {one}\r\nX-Token: {two}\r\n"),
        format!("Cookie: session={one}\r\nX-Token: {two}\r\n"),
        format!("Cookie: session={one}; session={two}\r\n"),
        format!("Cookie: session={one}; session={one}\r\n"),
        format!("Cookie: session={one}\r\nCookie: session={two}\r\n"),
        format!("X-Token: {one}\r\nX-Token: {two}\r\n"),
        format!("Authorization: Bearer x\r\nX-Token: {two}\r\n"),
    ] {
        ask(&gateway, "GET /api/a", &fields).is(400, "credential_conflict");
        ask(&gateway, "GET /either", &fields).is(400, "credential_conflict");
    }
    assert!(upstream.take().is_empty());
    // The same one twice is one.
    let same = format!("Authorization: Bearer {one}\r\nCookie: session={one}\r\nX-Token: {one}\r\n");
    assert_eq!(ask(&gateway, "GET /api/a", &same).status, 200);
}

#[test]
fn a_token_is_found_in_each_configured_place() {
    let (upstream, gateway) = open_house();
    let token = token("u-1", &[]);
    for fields in [
        format!("Cookie: session={token}\r\n"),
        format!("Cookie: a=b; session={token}; c=d\r\n"),
        format!("Cookie: a=b\r\nCookie: session={token}\r\n"),
        format!("X-Token: {token}\r\n"),
        format!("x-token:{token}\r\n"),
    ] {
        assert_eq!(ask(&gateway, "GET /api/a", &fields).status, 200, "{fields}");
        assert_eq!(upstream.one().field("x-auth-request-user"), "u-1");
    }
    for fields in [
        format!("Cookie: Session={token}\r\n"),
        format!("Cookie: xsession={token}\r\n"),
        format!("X_Token: {token}\r\n"),
    ] {
        ask(&gateway, "GET /api/a", &fields).is(401, "credential_missing");
    }
    ask(&gateway, "GET /api/a", &format!("X-Token: Bearer {token}\r\n")).is(401, "token_invalid");
    // HTTP/2 may split cookies.
    let mut client = H2::connect(gateway.listener);
    let request =
        H2Request::new(http::Method::GET, "/api/a").field("cookie", "a=b").field("cookie", &format!("session={token}"));
    assert_eq!(client.ask(request.field("cookie", "c=d")).unwrap().status, 200);
    assert_eq!(upstream.one().field("cookie"), "a=b; c=d");
}

#[test]
fn another_site_cannot_write_with_the_cookie() {
    let (upstream, gateway) = open_house();
    let cookie = format!("Cookie: session={}\r\n", token("u-1", &[]));
    let websocket = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    for fields in [
        "",
        "Origin: https://evil.example\r\n",
        "Origin: null\r\n",
        "Sec-Fetch-Site: cross-site\r\n",
        "Sec-Fetch-Site: same-site\r\n",
        "Sec-Fetch-Site: same-site\r\nOrigin: http://app\r\n",
        "Origin: http://app\r\nOrigin: http://app\r\n",
        "Sec-Fetch-Site: same-origin\r\nSec-Fetch-Site: same-origin\r\n",
        "Origin: https://app.example.evil\r\n",
        "Origin: https://app\r\n",
        "Origin: http://app:81\r\n",
        "Origin: http://app.example\r\n",
        "Sec_Fetch_Site: same-origin\r\n",
    ] {
        for method in ["POST", "PUT", "PATCH", "DELETE"] {
            let answer = ask(&gateway, &format!("{method} /api/a"), &format!("{cookie}{fields}"));
            answer.is(403, "cross_site");
        }
        ask(&gateway, "GET /api/a", &format!("{cookie}{fields}{websocket}")).is(403, "cross_site");
    }
    assert!(upstream.take().is_empty());
    for fields in [
        "Sec-Fetch-Site: same-origin\r\n",
        "Sec-Fetch-Site: none\r\n",
        "Origin: http://app\r\n",
        "Origin: https://app.example\r\n",
        "Sec-Fetch-Site: cross-site\r\nOrigin: https://app.example\r\n",
    ] {
        assert_eq!(ask(&gateway, "POST /api/a", &format!("{cookie}{fields}")).status, 200, "{fields}");
    }
    // Reading is harmless, and a token that no browser sends by itself is no matter of sites.
    assert_eq!(ask(&gateway, "GET /api/a", &format!("{cookie}Origin: https://evil.example\r\n")).status, 200);
    let bearer = format!("Authorization: Bearer {}\r\nOrigin: https://evil.example\r\n", token("u-1", &[]));
    assert_eq!(ask(&gateway, "POST /api/a", &bearer).status, 200);
}

#[test]
fn a_credential_that_fails_is_refused_where_none_is_needed() {
    let (upstream, gateway) = house();
    let stale = signed(&with(access("u-1", &[]), json!({ "exp": 1_700_000_000, "iat": 1_699_999_000 })));
    gateway.get("/either", &stale).is(401, "token_invalid");
    assert!(upstream.take().is_empty());
    assert_eq!(gateway.get_anonymously("/either").status, 200);
    assert!(!upstream.one().has("x-auth-request-user"));
    assert_eq!(gateway.get("/either", &token("u-1", &[])).status, 200);
    assert_eq!(upstream.one().field("x-auth-request-user"), "u-1");
    // Where nobody looks, nothing is verified, removed or told.
    assert_eq!(gateway.get("/blind", &stale).status, 200);
    let seen = upstream.one();
    assert_eq!(seen.field("authorization"), format!("Bearer {stale}"));
    assert!(!seen.has("x-auth-request-user"));
}

#[test]
fn a_route_may_ask_for_another_kind_of_token() {
    let (upstream, gateway) = house();
    let id = signed(&with(
        access("u-1", &[]),
        json!({
            "token_use": "id", "aud": "example", "client_id": null, "username": null, "cognito:username": "ada",
        }),
    ));
    gateway.get("/api/a", &id).is(401, "token_invalid");
    assert_eq!(gateway.get("/ids", &id).status, 200);
    assert_eq!(upstream.one().field("x-auth-request-preferred-username"), "ada");
    gateway.get("/ids", &token("u-1", &[])).is(401, "token_invalid");
    // What was verified for one route opens no other.
    gateway.get("/api/a", &id).is(401, "token_invalid");
    assert!(upstream.take().is_empty());
}

#[test]
fn a_machine_is_told_as_one() {
    let (upstream, gateway) = house();
    assert_eq!(gateway.get("/api/a", &machine("contacts/read")).status, 200);
    let seen = upstream.one();
    assert_eq!(seen.field("x-auth-request-user"), crate::support::MACHINE);
    assert!(!seen.has("x-auth-request-groups") && !seen.has("x-auth-request-preferred-username"));
    let line = &gateway.audit(1)[0];
    assert_eq!((&line["kind"], &line["client_id"]), (&json!("machine"), &json!(crate::support::MACHINE)));
}
