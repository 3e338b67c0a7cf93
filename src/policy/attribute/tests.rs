use std::net::IpAddr;

use http::HeaderMap;
use serde_json::json;

use super::*;
use crate::request::{Headers, Host, Query, Target};

fn find(source: &Source, host: &str, target: &str, body: Option<&Value>) -> String {
    let host = Host::parse(host.as_bytes()).unwrap();
    let target = Target::parse(target.as_bytes(), &host).unwrap();
    let fields = HeaderMap::new();
    let view = RequestView {
        method: &http::Method::GET,
        host: &host,
        path: &target.path,
        query: Query::new(target.query().as_str()),
        headers: Headers::new(&fields),
        client: IpAddr::from([192, 0, 2, 1]),
        secure: false,
        websocket: false,
        client_certificate: None,
    };
    let captures = [Cow::Borrowed("a b"), Cow::Borrowed("")];
    let body = body.map_or(Body::Unread, Body::Json);
    let inputs = Inputs { principal: &Principal::Anonymous, view: &view, captures: &captures, body };
    match source.find(&inputs) {
        Found::Absent => "absent".to_owned(),
        Found::Text(text) => format!("text {text}"),
        Found::Json(value) => format!("json {value}"),
        Found::Malformed => "malformed".to_owned(),
        Found::Unread => "unread".to_owned(),
    }
}

#[test]
fn a_source_is_absent_present_or_without_a_single_reading() {
    let owner = Source::Query("owner".into());
    for (target, expected) in [
        ("/", "absent"),
        ("/?owner=", "absent"),
        ("/?owner=a+b", "text a b"),
        ("/?%6fwner=a%26b", "text a&b"),
        ("/?owner=a&owner=a", "malformed"),
        ("/?owner=a;owner=b", "malformed"),
        ("/?owner=%ff", "malformed"),
        ("/?Owner=a", "absent"),
    ] {
        assert_eq!(find(&owner, "h", target, None), expected, "{target}");
    }
}

#[test]
fn a_capture_that_is_empty_is_absent() {
    assert_eq!(find(&Source::Path(0), "h", "/", None), "text a b");
    assert_eq!(find(&Source::Path(1), "h", "/", None), "absent");
}

#[test]
fn host_labels_count_from_the_left_and_addresses_have_none() {
    for (label, host, expected) in [
        (0, "acme.example.com:8443", "text acme"),
        (0, "ACME.example.com", "text acme"),
        (2, "acme.example.com", "text com"),
        (3, "acme.example.com", "absent"),
        (0, "10.0.0.1", "absent"),
        (0, "[::1]:80", "absent"),
    ] {
        assert_eq!(find(&Source::Host(label), host, "/", None), expected, "{label} {host}");
    }
}

#[test]
fn a_value_of_the_body_keeps_its_type_and_is_unread_until_the_body_is() {
    let owner = Source::Body("/owner".parse().unwrap());
    assert_eq!(find(&owner, "h", "/", None), "unread");
    for (body, expected) in [
        (json!({"owner": "u"}), "json \"u\""),
        (json!({"owner": ""}), "absent"),
        (json!({"owner": 7}), "json 7"),
        (json!({"owner": null}), "json null"),
        (json!({}), "absent"),
        (json!("u"), "absent"),
    ] {
        assert_eq!(find(&owner, "h", "/", Some(&body)), expected, "{body}");
    }
}

#[test]
fn a_claim_of_nobody_is_absent_and_a_constant_is_always_there() {
    assert_eq!(find(&Source::Claim("sub".into()), "h", "/", None), "absent");
    assert_eq!(find(&Source::Const(json!([1])), "h", "/", None), "json [1]");
}
