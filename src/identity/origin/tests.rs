//! Which pages may make a browser's cookie count.

use std::net::{IpAddr, Ipv4Addr};

use http::{HeaderMap, HeaderName, HeaderValue};

use super::*;
use crate::request::{CanonicalPath, Headers, Host, Query};

/// May the cookie be used, for this request?
fn may(method: &str, websocket: bool, target: (bool, &str), fields: &[(&str, &str)]) -> bool {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        map.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    let view = RequestView {
        method: &method.parse().unwrap(),
        host: &Host::parse(target.1.as_bytes()).unwrap(),
        path: &CanonicalPath::parse(b"/").unwrap(),
        query: Query::default(),
        headers: Headers::new(&map),
        client: IpAddr::V4(Ipv4Addr::LOCALHOST),
        secure: target.0,
        websocket,
        client_certificate: None,
    };
    let trusted = ["https://app.example", "http://localhost:3000"].map(|origin| origin.parse().unwrap());
    may_use_cookie(&view, &trusted)
}

/// A `POST` to `https://api.example`.
fn post(fields: &[(&str, &str)]) -> bool {
    may("POST", false, (true, "api.example"), fields)
}

#[test]
fn another_site_cannot_write_with_the_cookie() {
    for method in ["POST", "PUT", "PATCH", "DELETE", "PROPFIND", "get", "LOCK"] {
        let from = |fields: &[(&str, &str)]| may(method, false, (true, "api.example"), fields);
        assert!(!from(&[]), "{method}");
        assert!(!from(&[("origin", "https://evil.example")]), "{method}");
        assert!(!from(&[("sec-fetch-site", "cross-site")]), "{method}");
        assert!(from(&[("sec-fetch-site", "same-origin")]), "{method}");
    }
}

#[test]
fn a_safe_method_may_use_the_cookie_from_anywhere() {
    for method in ["GET", "HEAD", "OPTIONS"] {
        let fields = [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")];
        assert!(may(method, false, (true, "api.example"), &fields), "{method}");
    }
}

#[test]
fn another_site_cannot_open_a_websocket_with_the_cookie() {
    let get = |fields: &[(&str, &str)]| may("GET", true, (true, "api.example"), fields);
    assert!(!get(&[]));
    assert!(!get(&[("origin", "https://evil.example")]));
    assert!(!get(&[("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")]));
    assert!(get(&[("origin", "https://api.example")]));
    assert!(get(&[("origin", "https://app.example"), ("sec-fetch-site", "cross-site")]));
    assert!(get(&[("origin", "https://api.example"), ("sec-fetch-site", "same-origin")]));
}

#[test]
fn sec_fetch_site_decides_where_it_stands() {
    let rows = [
        ("same-origin", true),
        ("none", true),
        ("same-site", false),
        ("cross-site", false),
        ("", false),
        ("Same-Origin", false),
        ("same-origin ", false),
        ("same-origin, cross-site", false),
        ("null", false),
        ("\u{e9}", false),
    ];
    for (site, expected) in rows {
        assert_eq!(post(&[("sec-fetch-site", site)]), expected, "{site:?}");
        // The request's own origin does not count beside it: the browser has spoken.
        assert_eq!(post(&[("sec-fetch-site", site), ("origin", "https://api.example")]), expected, "{site:?}");
        // A trusted origin does.
        assert!(post(&[("sec-fetch-site", site), ("origin", "https://app.example")]), "{site:?}");
    }
}

#[test]
fn without_sec_fetch_site_the_origin_must_be_trusted_or_the_requests_own() {
    let rows = [
        ("https://app.example", true),
        ("http://localhost:3000", true),
        ("https://api.example", true),
        ("https://api.example:443", true),
        ("http://api.example", false),
        ("https://api.example:8443", false),
        ("https://api.example:80", false),
        ("http://app.example", false),
        ("https://app.example:444", false),
        ("http://localhost", false),
        ("http://localhost:3001", false),
        ("https://localhost:3000", false),
        ("null", false),
        ("", false),
        ("https://app.example/", false),
        ("https://app.example.", false),
        ("https://APP.example", false),
        ("HTTPS://app.example", false),
        ("https://xapp.example", false),
        ("https://app.example.evil.example", false),
        ("https://evil.example/https://app.example", false),
        ("https://user@app.example", false),
        ("https://app.example:0443", false),
        ("https://app.example:", false),
        ("https://app.example https://evil.example", false),
        ("https://app.example, https://evil.example", false),
        ("file://", false),
        ("app.example", false),
        ("//app.example", false),
        ("https:app.example", false),
        ("https://app.example#", false),
        ("https://\u{e4}pp.example", false),
    ];
    for (origin, expected) in rows {
        assert_eq!(post(&[("origin", origin)]), expected, "{origin:?}");
    }
    assert!(!post(&[]));
}

#[test]
fn the_requests_own_origin_is_scheme_host_and_port() {
    let rows = [
        ((true, "api.example"), "https://api.example", true),
        ((true, "API.Example"), "https://api.example", true),
        ((true, "api.example:443"), "https://api.example", true),
        ((true, "api.example:8443"), "https://api.example:8443", true),
        ((true, "api.example:8443"), "https://api.example", false),
        ((false, "api.example"), "http://api.example", true),
        ((false, "api.example:80"), "http://api.example", true),
        ((false, "api.example"), "https://api.example", false),
        ((true, "api.example"), "http://api.example", false),
        ((true, "api.example:80"), "http://api.example", false),
        ((false, "[::1]:8080"), "http://[::1]:8080", true),
        ((false, "[::1]:8080"), "http://[::2]:8080", false),
        ((false, "127.0.0.1:8080"), "http://127.0.0.1:8080", true),
    ];
    for (target, origin, expected) in rows {
        assert_eq!(may("POST", false, target, &[("origin", origin)]), expected, "{target:?} {origin}");
    }
}

#[test]
fn a_repeated_origin_or_sec_fetch_site_is_refused() {
    let (own, evil) = ("https://api.example", "https://evil.example");
    let rows: [&[(&str, &str)]; 6] = [
        &[("origin", own), ("origin", evil)],
        &[("origin", evil), ("origin", own)],
        &[("origin", own), ("origin", own)],
        &[("origin", own), ("origin", own), ("sec-fetch-site", "same-origin")],
        &[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "same-origin"), ("origin", "https://app.example")],
    ];
    for fields in rows {
        assert!(!post(fields), "{fields:?}");
    }
}

#[test]
fn an_origin_is_read_as_browsers_write_it() {
    for good in [
        "https://a.example",
        "http://localhost:1",
        "http://[2001:db8::1]",
        "http://[::1]:65535",
        "chrome-extension://abcdef",
        "https://a_b.example",
    ] {
        assert!(good.parse::<Origin>().is_ok(), "{good}");
    }
    let bad = [
        "",
        "null",
        "*",
        "https://",
        "https://*.example",
        "https://a.example/",
        "https://a.example?x",
        "https://A.example",
        "https://a.example:65536",
        "https://a.example:-1",
        "https://a.example:+1",
        "https://[::1",
        "https://::1",
        "https://[::g]",
        "https://[]",
        "https://a b",
        "1a://b",
        "://a",
    ];
    for bad in bad {
        assert_eq!(bad.parse::<Origin>(), Err(OriginError), "{bad}");
    }
}
