//! Request bodies: passed on as they come, refused when too large, and read first where a decision needs them.

use std::{
    io::Write,
    sync::{
        Mutex,
        mpsc::{self, Sender},
    },
};

use bytes::Bytes;
use http::Method;
use serde_json::json;

use crate::support::{Gateway, H2, H2Request, House, Recorded, Upstream, ok, token};

const ROUTES: &str = "
- { id: open, path: '/open/{rest..}', rules: [ { id: everyone, roles: [anyone] } ] }
- { id: small, path: /small, body_bytes: 1KiB, rules: [ { id: everyone, roles: [anyone] } ] }
- id: mine
  path: /mine
  methods: [POST]
  rules: [ { id: own, owner: { body: /item/owner } } ]
- id: guarded
  path: /guarded
  methods: [POST]
  rules: [ { id: own, roles: [user], owner: { body: /item/owner } } ]";

/// More than a route takes that asks for 1 KiB, less than the default.
const MEGABYTE: usize = 1024 * 1024;

fn house() -> (Upstream, Gateway) {
    let upstream = Upstream::start();
    let gateway = House::new(&upstream, ROUTES).start();
    (upstream, gateway)
}

/// Bytes that repeat only after a prime number of them.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8).collect()
}

/// The body in chunks of this size.
fn chunked(body: &[u8], size: usize) -> Vec<u8> {
    let mut wire = Vec::with_capacity(body.len() + body.len() / size * 8 + 16);
    for chunk in body.chunks(size) {
        write!(wire, "{:x}\r\n", chunk.len()).unwrap();
        wire.extend_from_slice(chunk);
        wire.extend_from_slice(b"\r\n");
    }
    wire.extend_from_slice(b"0\r\n\r\n");
    wire
}

fn post(path: &str, fields: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("POST {path} HTTP/1.1\r\nHost: app\r\nContent-Length: {}\r\n{fields}\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn post_chunked(path: &str, fields: &str, body: &[u8], size: usize) -> Vec<u8> {
    let head = format!("POST {path} HTTP/1.1\r\nHost: app\r\nTransfer-Encoding: chunked\r\n{fields}\r\n");
    [head.as_bytes(), &chunked(body, size)].concat()
}

/// The fields of a JSON request of this principal.
fn json_of(sub: &str) -> String {
    format!("Content-Type: application/json\r\nAuthorization: Bearer {}\r\n", token(sub, &["user"]))
}

#[test]
fn a_megabyte_passes_up_byte_for_byte() {
    let (upstream, gateway) = house();
    let body = pattern(MEGABYTE);
    assert_eq!(gateway.ask(post("/open/a", "", &body)).status, 200);
    let seen = upstream.one();
    assert_eq!(seen.field("content-length"), MEGABYTE.to_string());
    assert!(seen.body == body);
    for size in [MEGABYTE, 65_536, 1000] {
        assert_eq!(gateway.ask(post_chunked("/open/a", "", &body, size)).status, 200);
        let seen = upstream.one();
        assert_eq!((seen.field("transfer-encoding"), seen.field("content-length")), ("chunked".into(), String::new()));
        assert!(seen.body == body, "{size}");
    }
    let mut client = H2::connect(gateway.listener);
    let request = H2Request::new(Method::POST, "/open/a").body(body.clone());
    for request in [request.clone(), request.field("content-length", &MEGABYTE.to_string())] {
        assert_eq!(client.ask(request).unwrap().status, 200);
        assert!(upstream.one().body == body);
    }
}

#[test]
fn a_megabyte_passes_down_byte_for_byte() {
    let upstream = Upstream::with(|request, stream| {
        let body = pattern(MEGABYTE);
        let (head, body) = match request.target().as_str() {
            "/open/length" => (format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()), body),
            "/open/chunked" => {
                ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(), chunked(&body, 7000))
            }
            _ => ("HTTP/1.0 200 OK\r\n\r\n".to_owned(), body),
        };
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body)).is_ok()
            && !request.target().ends_with("close")
    });
    let gateway = House::new(&upstream, ROUTES).start();
    let mut h2 = H2::connect(gateway.listener);
    for path in ["/open/length", "/open/chunked", "/open/close"] {
        let answer = gateway.get_anonymously(path);
        assert_eq!((answer.status, answer.body.len()), (200, MEGABYTE), "{path}");
        assert!(answer.body == pattern(MEGABYTE));
        assert!(h2.get(path, None).unwrap().body == pattern(MEGABYTE));
    }
}

/// An upstream that tells of each part of a body as it comes.
fn streaming(told: Sender<Vec<u8>>) -> impl Fn(&Recorded, &mut std::net::TcpStream) -> bool + Send + Sync {
    let told = Mutex::new(told);
    move |request, stream| {
        told.lock().unwrap().send(request.body.clone()).unwrap();
        ok(request, stream)
    }
}

#[test]
fn a_body_is_passed_on_before_its_end() {
    use std::io::{BufRead, BufReader, Read};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let gateway = House::before(&[listener.local_addr().unwrap()], ROUTES).start();
    let mut client = gateway.connect();
    client.send("POST /open/a HTTP/1.1\r\nHost: app\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
    let (stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(crate::support::PATIENCE)).unwrap();
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        reader.read_line(&mut line).unwrap();
    }
    let mut part = vec![0; "5\r\nfirst\r\n".len()];
    reader.read_exact(&mut part).unwrap();
    assert_eq!(part, b"5\r\nfirst\r\n");
    client.send("6\r\nsecond\r\n0\r\n\r\n");
    let mut part = vec![0; "6\r\nsecond\r\n0\r\n\r\n".len()];
    reader.read_exact(&mut part).unwrap();
    reader.get_mut().write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
    assert_eq!(client.answer().status, 204);
}

#[test]
fn an_announced_body_that_is_too_large_is_refused_before_it_is_read() {
    let (upstream, gateway) = house();
    for path in ["/small", "/open/a"] {
        let mut client = gateway.connect();
        // Not a byte of it is sent.
        client.send(format!("POST {path} HTTP/1.1\r\nHost: app\r\nContent-Length: {}\r\n\r\n", 11 * MEGABYTE));
        client.answer().is(413, "body_too_large");
    }
    let mut client = H2::connect(gateway.listener);
    let request = H2Request::new(Method::POST, "/small").field("content-length", "1025").body(pattern(1025));
    client.ask(request).unwrap().is(413, "body_too_large");
    assert!(upstream.take().is_empty());
    assert_eq!(gateway.ask(post("/small", "", &pattern(1024))).status, 200);
    assert_eq!(upstream.one().body.len(), 1024);
}

#[test]
fn a_body_that_grows_too_large_is_cut() {
    let (upstream, gateway) = house();
    for size in [1025, 600, 64 * 1024] {
        let mut client = gateway.connect();
        client.try_send(post_chunked("/small", "", &pattern(64 * 1024), size));
        let answer = client.answer();
        answer.is(413, "body_too_large");
        assert!(answer.closes());
        client.is_closed();
    }
    let mut client = H2::connect(gateway.listener);
    client.ask(H2Request::new(Method::POST, "/small").body(pattern(64 * 1024))).unwrap().is(413, "body_too_large");
    // The upstream never had a whole one.
    assert!(upstream.take().is_empty());
    assert_eq!(gateway.ask(post_chunked("/small", "", &pattern(1024), 100)).status, 200);
    assert_eq!(upstream.one().body, pattern(1024));
}

#[test]
fn an_owner_in_the_body_decides_and_the_same_bytes_go_upstream() {
    let (upstream, gateway) = house();
    let body = br#" { "item" : { "owner" : "u-1", "n": 1.50, "t": "\u00e9" } } "#;
    let requests = |sub: &str| {
        let fields = json_of(sub);
        [post("/mine", &fields, body), post_chunked("/mine", &fields, body, 7), post_chunked("/mine", &fields, body, 1)]
    };
    for request in requests("u-1") {
        assert_eq!(gateway.ask(request).status, 200);
        assert_eq!(upstream.one().body, body);
    }
    for request in requests("u-2") {
        gateway.ask(request).is(403, "not_owner");
    }
    let mut client = H2::connect(gateway.listener);
    for (sub, status) in [("u-1", 200), ("u-2", 403)] {
        let request = H2Request::new(Method::POST, "/mine")
            .field("content-type", "application/json; charset=utf-8")
            .field("authorization", &format!("Bearer {}", token(sub, &["user"])))
            .body(Bytes::from_static(body));
        for request in [request.clone(), request.field("content-length", &body.len().to_string())] {
            assert_eq!(client.ask(request).unwrap().status, status);
            let seen: Vec<_> = upstream.take().into_iter().map(|request| request.body).collect();
            assert_eq!(seen, if status == 200 { vec![body.to_vec()] } else { vec![] });
        }
    }
}

#[test]
fn a_connection_goes_on_behind_a_body_that_was_decided_on() {
    let (upstream, gateway) = house();
    let body = br#"{"item":{"owner":"u-1"}}"#;
    let mut client = gateway.connect();
    for request in [
        post("/mine", &json_of("u-1"), body),
        post_chunked("/mine", &json_of("u-1"), body, 5),
        post("/mine", &json_of("u-1"), body),
    ] {
        client.send(request);
        assert_eq!(client.answer().status, 200);
        assert_eq!(upstream.one().body, body);
    }
    client.send(post("/mine", &json_of("u-2"), body));
    let refused = client.answer();
    refused.is(403, "not_owner");
    assert!(!refused.closes(), "the body was read to its end");
    client.send(post("/mine", &json_of("u-1"), body));
    assert_eq!(client.answer().status, 200);
    assert_eq!(upstream.one().body, body);
}

#[test]
fn a_body_that_is_not_one_plain_json_document_is_refused() {
    let (upstream, gateway) = house();
    let bearer = format!("Authorization: Bearer {}\r\n", token("u-1", &["user"]));
    let good = br#"{"item":{"owner":"u-1"}}"#;
    for kind in [
        "",
        "Content-Type: text/plain\r\n",
        "Content-Type: application/x-www-form-urlencoded\r\n",
        "Content-Type: application/json; charset=utf-16\r\n",
        "Content-Type: application/jsonp\r\n",
        "Content-Type: application/json\r\nContent-Type: application/json\r\n",
        "Content-Type: application/json, text/plain\r\n",
        "Content-Type: application/json\r\nContent-Encoding: gzip\r\n",
        "Content-Type: application/json\r\nContent-Encoding: identity\r\n",
        "Content_Type: application/json\r\n",
    ] {
        gateway.ask(post("/mine", &format!("{kind}{bearer}"), good)).is(415, "body_unsupported");
    }
    for body in [
        &br#"{"item":{"owner":"u-2"},"item":{"owner":"u-1"}}"#[..],
        br#"{"item":{"owner":"u-1","owner":"u-2"}}"#,
        br#"{"item":{"owner":"u-1","\u006fwner":"u-2"}}"#,
        br#"{"item":{"owner":"u-1"}}{"item":{"owner":"u-2"}}"#,
        br#"{"item":{"owner":"u-1"}} x"#,
        br#"{"item":{"owner":"u-1"}"#,
        b"",
        b"\xef\xbb\xbf{}",
        br#"{"a":"\xff"}"#,
        b"{\"a\":\"\xff\"}",
    ] {
        gateway
            .ask(post("/mine", &format!("Content-Type: application/json\r\n{bearer}"), body))
            .is(400, "attribute_malformed");
    }
    for body in [
        &b"{}"[..],
        b"[]",
        b"null",
        br#""u-1""#,
        br#"{"item":{"owner":""}}"#,
        br#"{"item":{"owner":null}}"#,
        br#"{"item":{"owner":["u-1"]}}"#,
    ] {
        let told = gateway.ask(post("/mine", &format!("Content-Type: application/json\r\n{bearer}"), body));
        assert!(told.status == 403 || told.status == 400, "{}: {told:?}", String::from_utf8_lossy(body));
    }
    assert!(upstream.take().is_empty());
}

#[test]
fn a_body_past_the_decision_limit_is_refused() {
    let upstream = Upstream::start();
    let gateway = House::new(&upstream, ROUTES).set("/limits", json!({ "decision_body_bytes": "1KiB" })).start();
    let of_length = |length: usize| {
        let start = br#"{"item":{"owner":"u-1"},"fill":""#;
        [start, "x".repeat(length - start.len() - 2).as_bytes(), br#""}"#].concat()
    };
    let fields = json_of("u-1");
    assert_eq!(gateway.ask(post("/mine", &fields, &of_length(1024))).status, 200);
    assert_eq!(upstream.one().body, of_length(1024));
    assert_eq!(gateway.ask(post_chunked("/mine", &fields, &of_length(1024), 100)).status, 200);
    assert_eq!(upstream.one().body, of_length(1024));
    gateway.ask(post("/mine", &fields, &of_length(1025))).is(413, "body_too_large");
    let mut client = gateway.connect();
    client.try_send(post_chunked("/mine", &fields, &of_length(1025), 100));
    client.answer().is(413, "body_too_large");
    // A second document behind the limit is not what was decided on.
    let mut client = gateway.connect();
    client.try_send(post_chunked("/mine", &fields, &[of_length(1024), of_length(1024)].concat(), 512));
    client.answer().is(413, "body_too_large");
    assert!(upstream.take().is_empty());
}

#[test]
fn the_largest_decision_body_of_the_default_is_64_kib() {
    let (upstream, gateway) = house();
    let of_length = |length: usize| {
        let start = br#"{"item":{"owner":"u-1"},"fill":""#;
        [start, "x".repeat(length - start.len() - 2).as_bytes(), br#""}"#].concat()
    };
    let fields = json_of("u-1");
    let largest = of_length(64 * 1024);
    for request in [post("/mine", &fields, &largest), post_chunked("/mine", &fields, &largest, 1000)] {
        assert_eq!(gateway.ask(request).status, 200);
        assert!(upstream.one().body == largest);
    }
    let mut client = gateway.connect();
    client.try_send(post("/mine", &fields, &of_length(64 * 1024 + 1)));
    client.answer().is(413, "body_too_large");
    assert!(upstream.take().is_empty());
}

#[test]
fn a_body_is_read_only_where_everything_else_has_passed() {
    let (upstream, gateway) = house();
    let head = |fields: &str| {
        format!(
            "POST /guarded HTTP/1.1\r\nHost: app\r\nContent-Type: application/json\r\n{fields}Content-Length: 20\r\n\r\n"
        )
    };
    // None of these has to send a body to be told no.
    let mut client = gateway.connect();
    client.send(head(""));
    client.head().field("www-authenticate").unwrap();
    let mut client = gateway.connect();
    client.send(head(&format!("Authorization: Bearer {}\r\n", token("u-1", &["guest"]))));
    assert_eq!(client.head().status, 403);
    assert!(upstream.take().is_empty());
}

#[test]
fn a_client_that_expects_100_continue_gets_it() {
    let (told, parts) = mpsc::channel();
    let upstream = Upstream::with(streaming(told));
    let gateway = House::new(&upstream, ROUTES).start();
    let body = br#"{"item":{"owner":"u-1"}}"#;
    for path in ["/mine", "/open/a"] {
        let mut client = gateway.connect();
        let fields = json_of("u-1");
        client.send(format!(
            "POST {path} HTTP/1.1\r\nHost: app\r\nExpect: 100-continue\r\nContent-Length: {}\r\n{fields}\r\n",
            body.len()
        ));
        assert_eq!(client.head().status, 100, "{path}");
        client.send(body);
        assert_eq!(client.answer().status, 200, "{path}");
        assert_eq!(parts.recv().unwrap(), body);
    }
    // A refusal comes in its place.
    let mut client = gateway.connect();
    client.send("POST /mine HTTP/1.1\r\nHost: app\r\nExpect: 100-continue\r\nContent-Length: 24\r\n\r\n");
    client.answer().is(401, "credential_missing");
    let mut client = gateway.connect();
    client.send("POST /small HTTP/1.1\r\nHost: app\r\nExpect: 100-continue\r\nContent-Length: 2000\r\n\r\n");
    client.answer().is(413, "body_too_large");
}

#[test]
fn a_body_that_stops_coming_is_answered_408() {
    let upstream = Upstream::start();
    let gateway = House::new(&upstream, ROUTES).set("/limits", json!({ "body_stall": "300ms" })).start();
    for (path, fields) in [("/open/a", String::new()), ("/mine", json_of("u-1"))] {
        let mut client = gateway.connect();
        client.send(format!("POST {path} HTTP/1.1\r\nHost: app\r\nContent-Length: 10\r\n{fields}\r\n{{"));
        let answer = client.answer();
        answer.is(408, "request_timeout");
        assert!(answer.closes());
        client.is_closed();
    }
    assert!(upstream.take().is_empty());
}

#[test]
fn a_body_that_stops_coming_over_http2_is_told_in_the_audit() {
    let upstream = Upstream::start();
    let gateway = House::new(&upstream, ROUTES).set("/limits/body_stall", json!("200ms")).start();
    let token = format!("Bearer {}", token("u-1", &["user"]));
    // On its way to the upstream, and before the decision that needs it.
    for (place, (path, outcome)) in [("/open/a", "allow"), ("/guarded", "deny")].into_iter().enumerate() {
        let request = H2Request::new(Method::POST, path).field("authorization", &token).field("content-length", "9");
        let request = request.field("content-type", "application/json").body("{").open_end();
        // Whoever reads the body may be the first to lose patience, and then there is an answer.
        if let Ok(answer) = H2::connect(gateway.listener).ask(request) {
            answer.is(408, "request_timeout");
        }
        let line = &gateway.audit(place + 1)[place];
        assert_eq!((&line["outcome"], &line["reason"]), (&json!(outcome), &json!("request_timeout")), "{line}");
    }
}
