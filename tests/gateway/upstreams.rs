//! The way to the upstream and back: turns, failures, streams, and the edits of a route.

use std::{
    collections::BTreeSet,
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    sync::Arc,
};

use serde_json::json;

use crate::support::{Gate, Gateway, H2, House, Upstream, eventually, ok, token};

const ROUTES: &str = "
- { id: open, path: '/open/{rest..}', rules: [ { id: everyone, roles: [anyone] } ] }
- { id: closed, path: '/closed/{rest..}', rules: [ { id: admins, roles: [admin] } ] }
- { id: hasty, path: /hasty, timeouts: { read: 200ms }, rules: [ { id: everyone, roles: [anyone] } ] }";

/// An address where nobody listens.
fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn servers_take_turns() {
    let servers = [Upstream::start(), Upstream::start(), Upstream::start()];
    let gateway = House::before(&servers.each_ref().map(Upstream::address), ROUTES).start();
    for _ in 0..30 {
        assert_eq!(gateway.get_anonymously("/open/a").status, 200);
    }
    assert_eq!(servers.each_ref().map(|server| server.take().len()), [10, 10, 10]);
}

#[test]
fn a_server_that_refuses_is_skipped() {
    let upstream = Upstream::start();
    let gateway = House::before(&[nobody(), upstream.address(), nobody()], ROUTES).start();
    for _ in 0..20 {
        let answer = gateway.ask("POST /open/a HTTP/1.1\r\nHost: app\r\nContent-Length: 3\r\n\r\nabc");
        assert_eq!(answer.status, 200);
        // Nothing was sent to the others, so even a POST may go on to the next.
        assert_eq!(upstream.one().body, b"abc");
    }
}

#[test]
fn without_any_server_the_answer_is_502() {
    let gateway = House::before(&[nobody(), nobody()], ROUTES).start();
    for _ in 0..3 {
        gateway.get_anonymously("/open/a").is(502, "upstream_unreachable");
    }
    gateway.ask("POST /open/a HTTP/1.1\r\nHost: app\r\nContent-Length: 3\r\n\r\nabc").is(502, "upstream_unreachable");
    // Who may not pass does not learn of it.
    gateway.get_anonymously("/closed/a").is(401, "credential_missing");
    let lines = gateway.audit(5);
    assert_eq!(lines.iter().filter(|line| line["outcome"] == "allow" && line["status"] == 502).count(), 4, "{lines:?}");
}

#[test]
fn an_upstream_that_is_late_is_answered_504() {
    let gate = Gate::new();
    let held = Arc::clone(&gate);
    let upstream = Upstream::with(move |request, stream| {
        held.wait();
        ok(request, stream)
    });
    let gateway = House::new(&upstream, ROUTES).start();
    gateway.get_anonymously("/hasty").is(504, "upstream_timeout");
    gateway.ask("POST /hasty HTTP/1.1\r\nHost: app\r\nContent-Length: 3\r\n\r\nabc").is(504, "upstream_timeout");
    assert_eq!(upstream.take().len(), 2, "what may have had an effect is not asked again");
    gate.open();
}

#[test]
fn a_post_is_sent_once_when_the_upstream_dies() {
    let (upstream, other) = (Upstream::with(|_, _| false), Upstream::with(|_, _| false));
    let gateway = House::before(&[upstream.address(), other.address()], ROUTES).start();
    for framing in [
        "Content-Length: 3\r\n\r\nabc",
        "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        "Content-Length: 0\r\n\r\n",
    ] {
        gateway.ask(format!("POST /open/a HTTP/1.1\r\nHost: app\r\n{framing}")).is(502, "upstream_unreachable");
        assert_eq!(upstream.take().len() + other.take().len(), 1);
    }
}

#[test]
fn a_post_on_a_stale_connection_is_not_sent_again() {
    // A connection dies with its second request.
    let upstream = Upstream::with(|request, stream| request.place == 0 && ok(request, stream));
    let gateway = House::new(&upstream, ROUTES).start();
    let mut client = gateway.connect();
    eventually("a connection that is used twice", || {
        client.send("POST /open/a HTTP/1.1\r\nHost: app\r\nContent-Length: 3\r\n\r\nabc");
        let status = client.answer().status;
        let died = upstream.one().place == 1;
        assert_eq!(status, if died { 502 } else { 200 });
        died.then_some(())
    });
}

#[test]
fn a_get_on_a_stale_connection_is_sent_again() {
    let upstream = Upstream::with(|request, stream| request.place == 0 && ok(request, stream));
    let gateway = House::new(&upstream, ROUTES).start();
    let mut client = gateway.connect();
    eventually("a connection that is used twice", || {
        client.send("GET /open/a HTTP/1.1\r\nHost: app\r\n\r\n");
        assert_eq!(client.answer().status, 200);
        (upstream.take().len() == 2).then_some(())
    });
}

#[test]
fn connections_to_the_upstream_are_kept() {
    let upstream = Upstream::start();
    let gateway = House::new(&upstream, ROUTES).set("/threads", json!(1)).start();
    let mut client = gateway.connect();
    for _ in 0..50 {
        client.send("GET /open/a HTTP/1.1\r\nHost: app\r\n\r\n");
        assert_eq!(client.answer().status, 200);
    }
    let used: BTreeSet<_> = upstream.take().iter().map(|request| request.connection).collect();
    assert!(used.len() < 10, "{used:?}");
}

#[test]
fn an_answer_with_broken_framing_is_502() {
    for answer in [
        "garbage\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
        "HTTP/1.1 abc\r\n\r\n",
        "",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    ] {
        let upstream = Upstream::with(move |_, stream| {
            let _ = stream.write_all(answer.as_bytes());
            false
        });
        let gateway = House::new(&upstream, ROUTES).start();
        gateway.get_anonymously("/open/a").is(502, "upstream_unreachable");
    }
}

#[test]
fn an_answer_that_breaks_off_does_not_look_whole() {
    let upstream = Upstream::with(|request, stream| {
        let head = if request.target().ends_with("length") {
            "Content-Length: 10\r\n\r\nabc"
        } else {
            "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
        };
        let _ = stream.write_all(format!("HTTP/1.1 200 OK\r\n{head}").as_bytes());
        false
    });
    let gateway = House::new(&upstream, ROUTES).start();
    for path in ["/open/length", "/open/chunked"] {
        let mut client = gateway.connect();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: app\r\n\r\n"));
        // What came before it broke off may be sent or not; it must not end as a whole answer does.
        let told = String::from_utf8(client.rest()).unwrap();
        let body = told.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        assert!(!told.contains("problem") && !body.ends_with("0\r\n\r\n") && body.len() < 10, "{told:?}");
        let mut h2 = H2::connect(gateway.listener);
        assert!(h2.get(path, None).is_err());
    }
}

const UPGRADE: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// Switches protocols, greets, and sends everything back.
fn echo() -> Upstream {
    Upstream::with(|request, stream| {
        assert_eq!(request.field("upgrade"), "websocket");
        let head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
        stream.write_all(format!("{head}hello").as_bytes()).unwrap();
        let mut bytes = [0; 1024];
        while let Ok(read @ 1..) = stream.read(&mut bytes) {
            stream.write_all(&bytes[..read]).unwrap();
        }
        false
    })
}

#[test]
fn a_websocket_passes_bytes_both_ways() {
    let upstream = echo();
    let gateway = House::new(&upstream, ROUTES).start();
    let request = format!(
        "GET /closed/ws HTTP/1.1\r\nHost: app\r\n{UPGRADE}X-Auth-Request-User: root\r\nAuthorization: Bearer {}\r\n\r\n",
        token("u-1", &["admin"])
    );
    let mut client = gateway.connect();
    client.send(request);
    let head = client.head();
    assert_eq!((head.status, head.field("upgrade")), (101, Some("websocket")));
    assert_eq!(client.bytes(5), b"hello");
    for round in 0..20_u8 {
        let frame = [round; 1000];
        client.send(frame);
        assert_eq!(client.bytes(1000), frame);
    }
    let seen = upstream.one();
    assert_eq!((seen.field("x-auth-request-user"), seen.has("authorization")), ("u-1".to_owned(), false));
    drop(client);
    assert_eq!(gateway.audit(1)[0]["status"], 101);
}

#[test]
fn a_websocket_that_is_denied_does_not_reach_the_upstream() {
    let upstream = echo();
    let gateway = House::new(&upstream, ROUTES).start();
    let ask = |fields: &str| {
        let mut client = gateway.connect();
        // What is sent early must not be taken for another request either.
        client.send(format!("GET /closed/ws HTTP/1.1\r\nHost: app\r\n{UPGRADE}{fields}\r\n"));
        client.answer()
    };
    ask("").is(401, "credential_missing");
    ask(&format!("Authorization: Bearer {}\r\n", token("u-1", &["user"]))).is(403, "missing_role");
    assert!(upstream.take().is_empty());
}

#[test]
fn an_upgrade_that_the_upstream_declines_is_an_ordinary_answer() {
    let upstream = Upstream::start();
    let gateway = House::new(&upstream, ROUTES).start();
    let mut client = gateway.connect();
    client.send(format!("GET /open/ws HTTP/1.1\r\nHost: app\r\n{UPGRADE}\r\n"));
    let answer = client.answer();
    assert_eq!((answer.status, answer.text()), (200, r#"{"ok":true}"#.to_owned()));
    assert_eq!(upstream.one().field("upgrade"), "websocket");
}

#[test]
fn an_event_arrives_before_the_stream_ends() {
    let gate = Gate::new();
    let held = Arc::clone(&gate);
    let upstream = Upstream::with(move |_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n").unwrap();
        held.wait();
        stream.write_all(b"9\r\ndata: 2\n\n\r\n0\r\n\r\n").is_ok()
    });
    let gateway = House::new(&upstream, ROUTES).start();
    let mut client = gateway.connect();
    client.send("GET /open/events HTTP/1.1\r\nHost: app\r\nAccept: text/event-stream\r\n\r\n");
    assert_eq!(client.head().field("content-type"), Some("text/event-stream"));
    assert_eq!(client.chunk().unwrap(), b"data: 1\n\n");
    gate.open();
    assert_eq!(client.chunk().unwrap(), b"data: 2\n\n");
    assert_eq!(client.chunk(), None);
}

#[test]
fn an_event_stream_may_be_silent_longer_than_an_answer() {
    let gate = Gate::new();
    let held = Arc::clone(&gate);
    let upstream = Upstream::with(move |_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n").unwrap();
        held.wait();
        stream.write_all(b"1\r\nb\r\n0\r\n\r\n").is_ok()
    });
    let gateway = House::new(&upstream, ROUTES).start();
    let begin = |accept: &str| {
        let mut client = gateway.connect();
        client.send(format!("GET /hasty HTTP/1.1\r\nHost: app\r\nAccept: {accept}\r\n\r\n"));
        assert_eq!(client.head().status, 200);
        assert_eq!(client.chunk().unwrap(), b"a");
        client
    };
    let mut events = begin("text/event-stream");
    // The read time of 200 ms is over when this one has been cut.
    assert!(!begin("*/*").rest().ends_with(b"0\r\n\r\n"));
    gate.open();
    assert_eq!((events.chunk().unwrap(), events.chunk()), (b"b".to_vec(), None));
}

fn edited() -> (Upstream, Gateway) {
    let upstream = Upstream::with(|_, stream| {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Powered-By: secret\r\nX-Powered-By: more\r\nX-Frame-Options: ALLOWALL\r\nX-Kept: 1\r\n\r\n";
        stream.write_all(head.as_bytes()).is_ok()
    });
    let routes = "
- id: api
  path: '/api/{rest..}'
  strip_prefix: /api
  rules: [ { id: everyone, roles: [anyone] } ]
  request_headers: { set: { X-Tenant: blue, X-Over: gateway }, remove: [X-Debug] }
  response_headers: { set: { X-Frame-Options: DENY }, remove: [X-Powered-By] }
- id: whole
  path: '/v1'
  strip_prefix: /v1
  rules: [ { id: everyone, roles: [anyone] } ]";
    let gateway = House::new(&upstream, routes).start();
    (upstream, gateway)
}

#[test]
fn a_prefix_is_stripped_after_deciding() {
    let (upstream, gateway) = edited();
    for (sent, arrives) in [
        ("/api/users/1?x=/api/y", "/users/1?x=/api/y"),
        ("/api/", "/"),
        ("/api/api/a", "/api/a"),
        ("/%61pi/a%20b?", "/a%20b?"),
        ("/v1?a", "/?a"),
    ] {
        assert_eq!(gateway.get_anonymously(sent).status, 200, "{sent}");
        assert_eq!(upstream.one().target(), arrives, "{sent}");
    }
    // What is left must not become a path of another server.
    gateway.get_anonymously("/api//evil.example/a").is(400, "target_ambiguous");
    gateway.get_anonymously("/apix/a").is(404, "no_route");
    assert!(upstream.take().is_empty());
}

#[test]
fn a_route_edits_headers_both_ways() {
    let (upstream, gateway) = edited();
    let answer = gateway.ask("GET /api/a HTTP/1.1\r\nHost: app\r\nX-Debug: 1\r\nX-Debug: 2\r\nX-Over: client\r\nX-Over: client\r\nX-Kept: 1\r\n\r\n");
    let seen = upstream.one();
    assert_eq!(["x-tenant", "x-over", "x-kept"].map(|name| seen.field(name)), ["blue", "gateway", "1"]);
    assert!(!seen.has("x-debug"));
    assert_eq!(
        ["x-frame-options", "x-powered-by", "x-kept"].map(|name| answer.field(name)),
        [Some("DENY"), None, Some("1")]
    );
}

#[test]
fn the_upstream_is_sent_the_host_that_the_settings_name() {
    let upstream = Upstream::start();
    let gateway = House::new(&upstream, ROUTES).set("/upstreams/0/host", json!("inner.example")).start();
    assert_eq!(gateway.get_anonymously("/open/a").status, 200);
    let seen = upstream.one();
    assert_eq!((seen.field("host"), seen.field("x-forwarded-host")), ("inner.example".to_owned(), "app".to_owned()));
    let mut h2 = H2::connect(gateway.listener);
    assert_eq!(h2.get("/open/a", None).unwrap().status, 200);
    assert_eq!(upstream.one().field("host"), "inner.example");
}

#[test]
fn a_name_is_resolved_before_the_first_request() {
    let upstream = Upstream::start();
    let gateway = House::new(&upstream, ROUTES)
        .set("/upstreams/0/endpoints", json!([format!("http://localhost:{}", upstream.address().port())]))
        .start();
    assert_eq!(gateway.get_anonymously("/open/a").status, 200);
    assert_eq!(upstream.one().field("host"), "app");
}

#[test]
fn many_requests_share_an_http2_connection() {
    let upstream = Upstream::start();
    let gateway = House::new(&upstream, ROUTES).start();
    let mut h2 = H2::connect(gateway.listener);
    let token = token("u-1", &["admin"]);
    for round in 0..50 {
        assert_eq!(h2.get("/closed/a", Some(&token)).unwrap().status, 200);
        h2.get("/closed/a", None).unwrap().is(401, "credential_missing");
        assert_eq!(upstream.one().field("x-auth-request-user"), "u-1", "{round}");
    }
}
