//! Smuggling: a request that could be framed in two ways is refused, and the connection ends with it.

use std::io::Write;

use http::Method;
use serde_json::json;

use crate::support::{Client, Gateway, H2, H2Request, House, PATIENCE, Upstream, token};

const ROUTES: &str = "
- { id: all, path: '/{rest..}', rules: [ { id: everyone, roles: [anyone] } ] }
- { id: closed, path: /closed, rules: [ { id: admins, roles: [admin] } ] }";

fn house() -> (Upstream, Gateway) {
    let upstream = Upstream::start();
    let gateway = House::new(&upstream, ROUTES).start();
    (upstream, gateway)
}

/// Sends the bytes with a second request behind them; answers the only answer.
fn refused_alone(gateway: &Gateway, bytes: &[u8]) -> (u16, String) {
    let mut client = gateway.connect();
    client.try_send([bytes, b"GET /smuggled HTTP/1.1\r\nHost: app\r\n\r\n"].concat());
    let answer = client.answer();
    assert!(answer.closes(), "{}: {answer:?}", String::from_utf8_lossy(bytes));
    client.is_closed();
    answer.problem()
}

#[test]
fn a_request_that_can_be_framed_in_two_ways_is_refused() {
    let (upstream, gateway) = house();
    let post = |fields: &str, body: &str| format!("POST /a HTTP/1.1\r\nHost: app\r\n{fields}\r\n{body}").into_bytes();
    let cases: Vec<Vec<u8>> = vec![
        // Content-Length with Transfer-Encoding, in both orders.
        post("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\nX"),
        post("Transfer-Encoding: chunked\r\nContent-Length: 6\r\n", "0\r\n\r\nX"),
        post("transfer-encoding: CHUNKED\r\ncontent-length: 0\r\n", "0\r\n\r\n"),
        // Content-Length: twice, a list, odd numbers.
        post("Content-Length: 5\r\nContent-Length: 5\r\n", "aaaaa"),
        post("Content-Length: 5\r\nContent-Length: 6\r\n", "aaaaa"),
        post("Content-Length: 5, 5\r\n", "aaaaa"),
        post("Content-Length: +5\r\n", "aaaaa"),
        post("Content-Length: -1\r\n", ""),
        post("Content-Length: 0x5\r\n", "aaaaa"),
        post("Content-Length: 5;\r\n", "aaaaa"),
        post("Content-Length: \"5\"\r\n", "aaaaa"),
        post("Content-Length:\r\n", ""),
        post("Content-Length: 99999999999999999999\r\n", ""),
        // Transfer-Encoding: anything but one `chunked`.
        post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "0\r\n\r\n"),
        post("Transfer-Encoding: identity, chunked\r\n", "0\r\n\r\n"),
        post("Transfer-Encoding: chunked, chunked\r\n", "0\r\n\r\n"),
        post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"),
        post("Transfer-Encoding: ,chunked\r\n", "0\r\n\r\n"),
        post("Transfer-Encoding: chunked;q=1\r\n", "0\r\n\r\n"),
        post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"),
        post("Transfer-Encoding: identity\r\n", ""),
        post("Transfer-Encoding: \"chunked\"\r\n", "0\r\n\r\n"),
        post("Transfer-Encoding:\x0bchunked\r\n", "0\r\n\r\n"),
        post("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"),
        b"POST /a HTTP/1.0\r\nHost: app\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_vec(),
        // Line ends, folding, NUL, names.
        b"GET /a HTTP/1.1\nHost: app\n\n".to_vec(),
        b"GET /a HTTP/1.1\r\nHost: app\n\r\n".to_vec(),
        b"GET /a HTTP/1.1\r\nHost: app\r\nX: a\nTransfer-Encoding: chunked\r\n\r\n".to_vec(),
        b"GET /a HTTP/1.1\r\nHost: app\r\nX: a\rTransfer-Encoding: chunked\r\n\r\n".to_vec(),
        b"GET /a HTTP/1.1\r\nHost: app\r\nX: a\r\n b\r\n\r\n".to_vec(),
        b"GET /a HTTP/1.1\r\nHost: app\r\nX: a\r\n\tb\r\n\r\n".to_vec(),
        b"GET /a HTTP/1.1\r\n Host: app\r\n\r\n".to_vec(),
        b"GET /a HTTP/1.1\r\nHost: app\r\nX: a\0b\r\n\r\n".to_vec(),
        b"GET /a HTTP/1.1\r\nHost: app\r\nX : a\r\n\r\n".to_vec(),
        b"GET /a HTTP/1.1\r\nHost: app\r\n: a\r\n\r\n".to_vec(),
        b"GET /a HTTP/1.1\r\nHost: app\r\nno colon\r\n\r\n".to_vec(),
        b"GET /a HTTP/1.1\r\nHost: app\r\nX\xff: a\r\n\r\n".to_vec(),
        // Request lines.
        b"GET  /a HTTP/1.1\r\nHost: app\r\n\r\n".to_vec(),
        b"GET /a  HTTP/1.1\r\nHost: app\r\n\r\n".to_vec(),
        b" GET /a HTTP/1.1\r\nHost: app\r\n\r\n".to_vec(),
        b"GET\t/a HTTP/1.1\r\nHost: app\r\n\r\n".to_vec(),
        b"GET /a b HTTP/1.1\r\nHost: app\r\n\r\n".to_vec(),
        b"GET /a\r\n\r\n".to_vec(),
        b"\r\n\r\n\r\n".to_vec(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec(),
    ];
    for case in &cases {
        let told = refused_alone(&gateway, case);
        assert_eq!(told, (400, "request_malformed".to_owned()), "{}", String::from_utf8_lossy(case));
    }
    assert_eq!(gateway.get_anonymously("/last").status, 200);
    assert_eq!(upstream.one().target(), "/last");
}

#[test]
fn a_version_other_than_1_0_and_1_1_is_refused() {
    let (upstream, gateway) = house();
    for version in [
        "HTTP/0.9",
        "HTTP/1.2",
        "HTTP/2.0",
        "HTTP/2",
        "HTTP/3",
        "http/1.1",
        "HTTP/1.1x",
        "HTTP/01.1",
        "HTP/1.1",
        "HTTP/1",
    ] {
        let told = refused_alone(&gateway, format!("GET /a {version}\r\nHost: app\r\n\r\n").as_bytes());
        assert_eq!(told, (400, "request_malformed".to_owned()), "{version}");
    }
    assert!(upstream.take().is_empty());
    let old = gateway.ask("GET /old HTTP/1.0\r\nHost: app\r\n\r\n");
    assert_eq!((old.status, upstream.one().line()), (200, "GET /old HTTP/1.1".to_owned()));
}

#[test]
fn a_client_of_http_1_0_is_sent_no_chunks() {
    let upstream = Upstream::with(|request, stream| {
        let answer = match request.target().as_str() {
            "/chunked" => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            "/endless" => "HTTP/1.0 200 OK\r\n\r\nabc",
            _ => "HTTP/1.0 200 OK\r\nContent-Length: 3\r\nConnection: keep-alive\r\n\r\nabc",
        };
        stream.write_all(answer.as_bytes()).is_ok() && request.target() != "/endless"
    });
    let gateway = House::new(&upstream, ROUTES).start();
    for (target, is_kept) in [("/chunked", false), ("/endless", false), ("/length", true)] {
        let mut client = gateway.connect();
        client.send(format!("GET {target} HTTP/1.0\r\nHost: app\r\nConnection: keep-alive\r\n\r\n"));
        let head = client.head();
        assert_eq!((head.status, head.field("transfer-encoding")), (200, None), "{target}");
        assert_eq!(head.closes(), !is_kept, "{target}");
        assert_eq!(client.bytes(3), b"abc", "{target}");
        if !is_kept {
            assert_eq!(client.rest(), b"", "{target}");
        }
    }
    // Others are told in the gateway's own version, whatever the upstream speaks.
    let mut client = gateway.connect();
    client.send("GET /length HTTP/1.1\r\nHost: app\r\n\r\n");
    assert_eq!(client.bytes(15), b"HTTP/1.1 200 OK");
}

#[test]
fn a_host_that_is_missing_repeated_or_odd_is_refused() {
    let (upstream, gateway) = house();
    for hosts in [
        "",
        "Host:\r\n",
        "Host: app\r\nHost: app\r\n",
        "Host: app\r\nHost: other\r\n",
        "Host: app/admin\r\n",
        "Host: app evil\r\n",
        "Host: app,evil\r\n",
        "Host: app:99999\r\n",
        "Host: app:x\r\n",
        "Host: app#x\r\n",
        "Host: user@app\r\n",
        "Host: app?x\r\n",
        "Host: [::1\r\n",
        "Host: http://app\r\n",
    ] {
        let told = refused_alone(&gateway, format!("GET /a HTTP/1.1\r\n{hosts}\r\n").as_bytes());
        assert_eq!(told, (400, "request_malformed".to_owned()), "{hosts:?}");
    }
    let old = refused_alone(&gateway, b"GET /a HTTP/1.0\r\n\r\n");
    assert_eq!(old, (400, "request_malformed".to_owned()));
    assert!(upstream.take().is_empty());
}

#[test]
fn a_broken_chunk_is_refused_and_the_rest_is_no_request() {
    let (upstream, gateway) = house();
    for body in [
        "0x3\r\nabc\r\n0\r\n\r\n",
        "+3\r\nabc\r\n0\r\n\r\n",
        "-3\r\nabc\r\n0\r\n\r\n",
        "3\nabc\n0\n\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "3\r\nabc0\r\n\r\n",
        "\r\nabc\r\n0\r\n\r\n",
        "3;\nabc\r\n0\r\n\r\n",
        "FFFFFFFFFFFFFFFFF\r\nabc\r\n0\r\n\r\n",
        "g\r\nabc\r\n0\r\n\r\n",
    ] {
        let mut client = gateway.connect();
        client.try_send(format!(
            "POST /a HTTP/1.1\r\nHost: app\r\nTransfer-Encoding: chunked\r\n\r\n{body}GET /smuggled HTTP/1.1\r\nHost: app\r\n\r\n"
        ));
        let answer = client.answer();
        assert_eq!(answer.problem(), (400, "request_malformed".to_owned()), "{body:?}");
        assert_eq!(client.rest(), b"", "{body:?}");
    }
    assert_eq!(gateway.get_anonymously("/last").status, 200);
    assert_eq!(upstream.one().target(), "/last");
}

#[test]
fn a_head_that_is_too_large_is_refused_with_431() {
    let (upstream, gateway) = house();
    let cases = [
        format!("GET /{} HTTP/1.1\r\nHost: app\r\n\r\n", "a".repeat(8 * 1024)),
        format!("GET /a HTTP/1.1\r\nHost: app\r\nX: {}\r\n\r\n", "a".repeat(33 * 1024)),
        format!("GET /a HTTP/1.1\r\nHost: app\r\n{}\r\n", "X: a\r\n".repeat(100)),
    ];
    for case in &cases {
        assert_eq!(refused_alone(&gateway, case.as_bytes()), (431, "headers_too_large".to_owned()));
    }
    assert!(upstream.take().is_empty());
    // What just fits passes.
    let fits = format!("GET /{} HTTP/1.1\r\nHost: app\r\n{}\r\n", "a".repeat(8 * 1024 - 1), "X: a\r\n".repeat(99));
    assert_eq!(gateway.ask(fits).status, 200);
    assert_eq!(upstream.one().target().len(), 8 * 1024);
}

#[test]
fn a_head_that_stops_coming_is_answered_408() {
    let upstream = Upstream::start();
    let gateway = House::new(&upstream, ROUTES).set("/limits", json!({ "header_timeout": "300ms" })).start();
    for begun in ["G", "GET /a HTTP/1.1\r\n", "GET /a HTTP/1.1\r\nHost: app\r\n", "PRI * HTTP/2.0\r\n"] {
        let mut client = gateway.connect();
        client.send(begun);
        let answer = client.answer();
        answer.is(408, "request_timeout");
        assert!(answer.closes());
        client.is_closed();
    }
    assert!(upstream.take().is_empty());
}

#[test]
fn an_unread_body_is_not_the_next_request() {
    let (upstream, gateway) = house();
    let token = token("u-1", &["user"]);
    let hidden = "GET /smuggled HTTP/1.1\r\nHost: app\r\n\r\n";
    let head = format!("POST /closed HTTP/1.1\r\nHost: app\r\nAuthorization: Bearer {token}\r\n");
    let bodies = [
        format!("Content-Length: {}\r\n\r\n{hidden}", hidden.len()),
        format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{hidden}\r\n0\r\n\r\n", hidden.len()),
        // Too large to be worth reading.
        format!("Content-Length: {}\r\n\r\n{}", hidden.len() * 2000, hidden.repeat(2000)),
    ];
    for body in &bodies {
        let mut client = gateway.connect();
        client.try_send(format!("{head}{body}"));
        client.answer().is(403, "missing_role");
        // Whether the connection is kept or not: the only further answer is the one to a request that was meant as one.
        client.try_send("GET /next HTTP/1.1\r\nHost: app\r\nConnection: close\r\n\r\n");
        let rest = String::from_utf8(client.rest()).unwrap();
        assert!(rest.is_empty() || rest.matches("HTTP/1.1 ").count() == 1, "{rest}");
        let seen: Vec<_> = upstream.take().iter().map(|request| request.target()).collect();
        assert!(seen.is_empty() || seen == ["/next"], "{seen:?}");
        assert_eq!(seen.len(), rest.matches("HTTP/1.1 200").count());
    }
}

#[test]
fn a_second_request_behind_a_body_is_answered_on_its_own() {
    let (upstream, gateway) = house();
    let mut client = gateway.connect();
    client.send(
        "POST /one HTTP/1.1\r\nHost: app\r\nContent-Length: 3\r\n\r\nabcPOST /two HTTP/1.1\r\nHost: app\r\nTransfer-Encoding: chunked\r\n\r\n\
         3\r\ndef\r\n0\r\n\r\nGET /three HTTP/1.1\r\nHost: app\r\n\r\n",
    );
    for _ in 0..3 {
        assert_eq!(client.answer().status, 200);
    }
    let seen: Vec<_> = upstream.take().into_iter().map(|request| (request.target(), request.body)).collect();
    let expected = [("/one", "abc"), ("/two", "def"), ("/three", "")];
    assert_eq!(seen, expected.map(|(target, body)| (target.to_owned(), body.as_bytes().to_vec())));
}

#[test]
fn a_body_over_http2_that_ends_with_an_empty_frame_ends_once_upstream() {
    let (upstream, gateway) = house();
    let mut client = H2::connect(gateway.listener);
    for body in ["", "abc"] {
        // Of unknown length: the library ends such a stream by a DATA frame of its own, with nothing in it where the body is empty.
        assert_eq!(client.ask(H2Request::new(Method::POST, "/one").body(body)).unwrap().status, 200);
        assert_eq!(client.get("/two", None).unwrap().status, 200);
        let seen: Vec<_> = upstream.take().iter().map(|request| (request.line(), request.body.clone())).collect();
        let expected = [("POST /one HTTP/1.1", body), ("GET /two HTTP/1.1", "")];
        assert_eq!(seen, expected.map(|(line, body)| (line.to_owned(), body.as_bytes().to_vec())));
    }
}

#[test]
fn aliases_of_framing_fields_do_not_arrive() {
    let (upstream, gateway) = house();
    let answer = gateway.ask(
        "POST /a HTTP/1.1\r\nHost: app\r\nTransfer_Encoding: chunked\r\nContent_Length: 100\r\nTransfer.Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc",
    );
    assert_eq!(answer.status, 200);
    let seen = upstream.one();
    assert_eq!((seen.field("content-length"), seen.body.as_slice()), ("3".to_owned(), &b"abc"[..]));
    for name in ["transfer_encoding", "content_length", "transfer.encoding", "transfer-encoding"] {
        assert!(!seen.has(name), "{name}");
    }
}

#[test]
fn hop_by_hop_fields_do_not_arrive() {
    let (upstream, gateway) = house();
    let answer = gateway.ask(
        "GET /a HTTP/1.1\r\nHost: app\r\nConnection: keep-alive, X-Mine\r\nX-Mine: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\n\
         TE: trailers\r\nProxy-Authorization: Basic eDp5\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\nX-Kept: 1\r\n\r\n",
    );
    assert_eq!(answer.status, 200);
    let seen = upstream.one();
    for name in ["x-mine", "keep-alive", "proxy-connection", "proxy-authorization", "upgrade", "http2-settings"] {
        assert!(!seen.has(name), "{name}: {}", String::from_utf8_lossy(&seen.head));
    }
    assert_eq!(seen.field("x-kept"), "1");
}

#[test]
fn a_connection_field_that_nominates_too_much_or_nonsense_is_refused() {
    let (upstream, gateway) = house();
    let many: Vec<_> = (0..10).map(|number| format!("x-{number}")).collect();
    let cases =
        [&many.join(", "), "\"x-a\"", "x a", "host", ":path", "content-length", "transfer-encoding", "X-Forwarded-For"];
    for nominated in cases {
        let answer = gateway.ask(format!("GET /a HTTP/1.1\r\nHost: app\r\nConnection: {nominated}\r\n\r\n"));
        answer.is(400, "request_malformed");
    }
    assert!(upstream.take().is_empty());
    // Before the decision: nobody reads that it was allowed.
    let lines = gateway.audit(cases.len());
    assert!(lines.iter().all(|line| line["outcome"] == "deny" && line["reason"] == "request_malformed"), "{lines:?}");
    let nine = format!("GET /a HTTP/1.1\r\nHost: app\r\nConnection: {}\r\n\r\n", many.get(..9).unwrap().join(","));
    assert_eq!(gateway.ask(nine).status, 200);
}

#[test]
fn more_connections_than_the_limit_are_answered_503() {
    let upstream = Upstream::start();
    let gateway = House::new(&upstream, ROUTES).set("/limits", json!({ "connections": 2 })).start();
    let mut held: Vec<Client> = (0..2).map(|_| gateway.connect()).collect();
    for client in &mut held {
        client.send("GET /a HTTP/1.1\r\nHost: app\r\n\r\n");
        assert_eq!(client.answer().status, 200);
    }
    let mut third = gateway.connect();
    let answer = third.answer();
    answer.is(503, "overloaded");
    assert_eq!(answer.field("retry-after"), Some("1"));
    third.is_closed();
    drop(held);
    let end = std::time::Instant::now() + PATIENCE;
    while gateway.get_anonymously("/b").status != 200 {
        assert!(std::time::Instant::now() < end, "a place is never free again");
    }
}
