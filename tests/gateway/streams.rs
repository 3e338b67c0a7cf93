//! WebSockets, event streams and gRPC calls: how they begin, who may open them, and how they end.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        mpsc::{Receiver, channel},
    },
    thread,
};

use cogward::admission::now;
use serde_json::json;

use crate::support::{
    Client, Gate, Gateway, H2, H2Request, House, Recorded, Upstream, access, eventually, ok, signed, token, with,
};

const ROUTES: &str = "
- { id: open, path: '/open/{rest..}', rules: [ { id: everyone, roles: [anyone] } ] }
- { id: closed, path: '/closed/{rest..}', rules: [ { id: admins, roles: [admin] } ] }
- { id: lasting, path: '/lasting/{rest..}', streams: { end_at_expiry: false }, rules: [ { id: admins, roles: [admin] } ] }
- { id: hidden, path: '/hidden/{rest..}', on_deny: not_found, rules: [ { id: admins, roles: [admin] } ] }
- { id: idle, path: '/idle/{rest..}', timeouts: { stream_idle: 200ms }, rules: [ { id: everyone, roles: [anyone] } ] }
- { id: calls, path: '/pkg.Svc/Method', methods: [POST], rules: [ { id: admins, roles: [admin] } ] }
- { id: scoped, path: '/pkg.Svc/Scoped', methods: [POST], rules: [ { id: scoped, scopes: [write] } ] }";

const KEY: &str = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// What the client is told at the end of its token.
const EXPIRED: &[u8] = b"\x88\x0f\x03\xf0token expired";
/// What the upstream is told then: 1001, masked.
const EXPIRED_UPSTREAM: &[u8] = b"\x88\x8f\0\0\0\0\x03\xe9token expired";

/// A token that is good for a moment.
fn brief() -> String {
    signed(&with(access("u-1", &["admin"]), json!({ "exp": now().seconds() + 2 })))
}

fn request(path: &str, fields: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: app\r\n{fields}\r\n")
}

fn upgrade(path: &str, fields: &str) -> String {
    request(path, &format!("Upgrade: websocket\r\nConnection: Upgrade\r\n{KEY}{fields}"))
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

/// Opens a WebSocket.
#[track_caller]
fn open(gateway: &Gateway, path: &str, token: &str) -> Client {
    let mut client = gateway.connect();
    client.send(upgrade(path, &bearer(token)));
    assert_eq!(client.head().status, 101);
    client
}

/// Sends back all that comes; tells what came on each connection, when it has ended.
fn echo() -> (Upstream, Receiver<Vec<u8>>) {
    let (told, tells) = channel();
    let upstream = Upstream::with(move |_, stream| {
        let _ = stream.write_all(SWITCH.as_bytes());
        let mut all = Vec::new();
        let mut bytes = [0; 4096];
        while let Ok(read @ 1..) = stream.read(&mut bytes) {
            all.extend_from_slice(&bytes[..read]);
            if stream.write_all(&bytes[..read]).is_err() {
                break;
            }
        }
        let _ = told.send(all);
        false
    });
    (upstream, tells)
}

/// Sends one part of an answer without a length, and the last one when the gate opens.
fn parts(gate: Arc<Gate>) -> impl Fn(&Recorded, &mut TcpStream) -> bool + Send + Sync {
    move |request, stream| {
        if request.target().ends_with("/a") {
            return ok(request, stream);
        }
        let kind = if request.target().contains("events") { "text/event-stream" } else { "application/octet-stream" };
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n");
        let _ = stream.write_all(format!("{head}5\r\nfirst\r\n").as_bytes());
        gate.wait();
        stream.write_all(b"4\r\nlast\r\n0\r\n\r\n").is_ok()
    }
}

fn ended(gateway: &Gateway, kind: &str, cause: &str) -> f64 {
    let labels = [format!("kind=\"{kind}\""), format!("cause=\"{cause}\"")];
    gateway.metric("cogward_streams_ended_total", &labels.each_ref().map(String::as_str))
}

#[track_caller]
fn ends(gateway: &Gateway, kind: &str, cause: &str) {
    eventually(&format!("a {kind} that ended as {cause}"), || (ended(gateway, kind, cause) == 1.0).then_some(()));
}

#[test]
fn a_websocket_ends_when_its_token_expires() {
    let (upstream, tells) = echo();
    let gateway = House::new(&upstream, ROUTES).start();
    let mut client = open(&gateway, "/closed/ws", &brief());
    client.send(b"\x81\x82\0\0\0\0hi");
    assert_eq!(client.bytes(8), b"\x81\x82\0\0\0\0hi");
    assert_eq!(client.rest(), EXPIRED);
    assert_eq!(tells.recv().unwrap(), [b"\x81\x82\0\0\0\0hi", EXPIRED_UPSTREAM].concat());
    ends(&gateway, "websocket", "expired");
}

#[test]
fn a_frame_that_comes_after_the_expiry_does_not_reach_the_upstream() {
    let (upstream, tells) = echo();
    let gateway = House::new(&upstream, ROUTES).start();
    let mut client = open(&gateway, "/closed/ws", &brief());
    assert_eq!(client.bytes(EXPIRED.len()), EXPIRED);
    client.try_send(b"\x81\x84\0\0\0\0late");
    assert_eq!(tells.recv().unwrap(), EXPIRED_UPSTREAM);
    client.is_closed();
}

#[test]
fn an_upstream_is_not_told_in_the_middle_of_a_frame_of_the_client() {
    let (upstream, tells) = echo();
    let gateway = House::new(&upstream, ROUTES).start();
    let mut client = open(&gateway, "/closed/ws", &brief());
    client.send(b"\x81\x84\0\0\0\0ha");
    assert!(client.rest().ends_with(b"\0\0\0\0ha"), "what was echoed is half a frame: nothing may stand behind it");
    assert_eq!(tells.recv().unwrap(), b"\x81\x84\0\0\0\0ha");
    ends(&gateway, "websocket", "expired");
}

#[test]
fn an_upstream_that_never_stops_talking_is_cut_at_the_expiry() {
    let upstream = Upstream::with(|_, stream| {
        let _ = stream.write_all(SWITCH.as_bytes());
        let frame = [&[0x82, 126, 0x40, 0][..], &[7; 0x4000]].concat();
        while stream.write_all(&frame).is_ok() {}
        false
    });
    let gateway = House::new(&upstream, ROUTES).start();
    let told = open(&gateway, "/closed/ws", &brief()).rest();
    let (frames, last) = told.split_at(told.len() - EXPIRED.len());
    assert_eq!(last, EXPIRED);
    assert_eq!(frames.len() % 0x4004, 0, "the last frame is whole");
    ends(&gateway, "websocket", "expired");
}

#[test]
fn an_event_stream_ends_when_its_token_expires() {
    let upstream = Upstream::with(parts(Gate::new()));
    let gateway = House::new(&upstream, ROUTES).start();
    let mut client = gateway.connect();
    let token = brief();
    client.send(request("/closed/events", &bearer(&token)));
    assert_eq!(client.head().status, 200);
    assert_eq!(client.chunk().unwrap(), b"first");
    // Not the end of a whole answer: whoever reads it must not take it for one.
    client.is_closed();
    assert_eq!(ended(&gateway, "event_stream", "expired"), 1.0);
    gateway.get("/closed/events", &token).is(401, "token_invalid");

    let mut h2 = H2::connect(gateway.listener);
    let end = h2.get("/closed/events", Some(&brief())).unwrap_err();
    assert!(end.contains("no longer needed"), "reset as CANCEL, not ended: {end}");
    eventually("both", || (ended(&gateway, "event_stream", "expired") == 2.0).then_some(()));
}

#[test]
fn only_streams_of_a_token_end_with_it() {
    let gate = Gate::new();
    let upstream = Upstream::with(parts(Arc::clone(&gate)));
    let (sockets, tells) = echo();
    let routes = format!(
        "{ROUTES}
- {{ id: sockets, path: '/lasting/ws', upstream: sockets, streams: {{ end_at_expiry: false }}, rules: [ {{ id: admins, roles: [admin] }} ] }}"
    )
    .replace("path: '/", "upstream: app, path: '/")
    .replace("upstream: app, path: '/lasting/ws', upstream", "path: '/lasting/ws', upstream");
    let endpoint = format!("http://{}", sockets.address());
    let gateway = House::new(&upstream, &routes)
        .set(
            "/upstreams",
            json!([
                { "id": "app", "endpoints": [format!("http://{}", upstream.address())] },
                { "id": "sockets", "endpoints": [endpoint] },
            ]),
        )
        .start();
    let token = brief();
    let ask = |path: &str, fields: &str| {
        let mut client = gateway.connect();
        client.send(request(path, fields));
        assert_eq!(client.head().status, 200);
        assert_eq!(client.chunk().unwrap(), b"first");
        client
    };
    let mut others = [
        ("a download", ask("/closed/file", &bearer(&token))),
        ("an anonymous stream", ask("/open/events", "")),
        ("a stream of a route that lets it be", ask("/lasting/events", &bearer(&token))),
    ];
    let mut socket = open(&gateway, "/lasting/ws", &token);
    ask("/closed/events", &bearer(&token)).is_closed();
    gate.open();
    for (what, other) in &mut others {
        assert_eq!((other.chunk().as_deref(), other.chunk()), (Some(&b"last"[..]), None), "{what}");
    }
    socket.send(b"\x81\x82\0\0\0\0hi");
    assert_eq!(socket.bytes(8), b"\x81\x82\0\0\0\0hi");
    drop(socket);
    assert_eq!(tells.recv().unwrap(), b"\x81\x82\0\0\0\0hi");
    ends(&gateway, "websocket", "client_closed");
    assert_eq!(ended(&gateway, "event_stream", "upstream_closed"), 2.0);
}

#[test]
fn the_settings_may_leave_streams_alone() {
    for streams in [json!({ "end_at_expiry": false }), json!({ "expiry_grace": "1h" })] {
        let gate = Gate::new();
        let upstream = Upstream::with(parts(Arc::clone(&gate)));
        let gateway = House::new(&upstream, ROUTES).set("/streams", streams).start();
        let token = brief();
        let mut client = gateway.connect();
        client.send(request("/closed/events", &bearer(&token)));
        assert_eq!((client.head().status, client.chunk().unwrap()), (200, b"first".to_vec()));
        eventually("the end of the token", || (gateway.get("/closed/a", &token).status == 401).then_some(()));
        gate.open();
        assert_eq!((client.chunk().as_deref(), client.chunk()), (Some(&b"last"[..]), None));
    }
}

#[test]
fn a_stream_is_in_the_audit_from_its_beginning() {
    let (upstream, _tells) = echo();
    let gateway = House::new(&upstream, ROUTES).start();
    let mut client = open(&gateway, "/closed/ws", &token("u-1", &["admin"]));
    let lines = gateway.audit(1);
    assert_eq!(
        (&lines[0]["outcome"], &lines[0]["status"], &lines[0]["principal"]),
        (&json!("allow"), &json!(101), &json!("u-1"))
    );
    client.send("still open");
    assert_eq!(client.bytes(10), b"still open");
    drop(client);
    ends(&gateway, "websocket", "client_closed");
    assert_eq!(gateway.audit_now().len(), 1, "one line a decision");
}

#[test]
fn a_websocket_is_told_when_the_gateway_stops() {
    let (upstream, tells) = echo();
    let mut gateway = House::new(&upstream, ROUTES).set("/shutdown_grace", json!("0s")).start();
    let mut client = open(&gateway, "/open/ws", &token("u-1", &["admin"]));
    gateway.signal("TERM");
    assert_eq!(client.rest(), b"\x88\x0f\x03\xe9gateway stops");
    assert_eq!(tells.recv().unwrap(), b"\x88\x8f\0\0\0\0\x03\xe9gateway stops");
    assert_eq!(gateway.ended().code(), Some(0));
}

#[test]
fn a_stream_that_is_silent_for_too_long_is_closed() {
    let (upstream, _tells) = echo();
    let gateway = House::new(&upstream, ROUTES).start();
    open(&gateway, "/idle/ws", &token("u-1", &[])).is_closed();
    ends(&gateway, "websocket", "idle");
}

#[test]
fn who_ended_a_websocket_is_counted() {
    let upstream = Upstream::with(|_, stream| {
        let _ = stream.write_all(SWITCH.as_bytes());
        false
    });
    let gateway = House::new(&upstream, ROUTES).start();
    open(&gateway, "/open/ws", &token("u-1", &[])).is_closed();
    ends(&gateway, "websocket", "upstream_closed");
}

#[test]
fn a_websocket_without_a_good_token_does_not_reach_the_upstream() {
    let (upstream, _tells) = echo();
    let gateway = House::new(&upstream, ROUTES).start();
    let good = token("u-1", &["admin"]);
    let old = signed(&with(access("u-1", &["admin"]), json!({ "exp": now().seconds() - 1 })));
    let ask = |path: &str, fields: &str| gateway.ask(upgrade(path, fields));
    ask("/closed/ws", "").is(401, "credential_missing");
    ask("/closed/ws", &bearer(&old)).is(401, "token_invalid");
    ask("/closed/ws", &bearer("a.b.c")).is(401, "token_invalid");
    ask("/closed/ws", &bearer(&token("u-1", &["user"]))).is(403, "missing_role");
    // Where some servers look for one, and logs keep it.
    for query in ["token", "access_token", "authorization", "jwt"] {
        ask(&format!("/closed/ws?{query}={good}"), "").is(401, "credential_missing");
    }
    for protocol in [good.clone(), format!("bearer, {good}"), format!("base64url.bearer.authorization.k8s.io.{good}")] {
        ask("/closed/ws", &format!("Sec-WebSocket-Protocol: {protocol}\r\n")).is(401, "credential_missing");
    }
    assert!(upstream.take().is_empty());
}

#[test]
fn an_odd_upgrade_opens_no_tunnel() {
    // Switches protocols whatever it is asked.
    let upstream = Upstream::with(|_, stream| stream.write_all(SWITCH.as_bytes()).is_ok());
    let gateway = House::new(&upstream, ROUTES).start();
    for fields in [
        "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
        "Upgrade: h2c, foo\r\nConnection: Upgrade\r\n",
        "Upgrade: websocket\r\n",
        "Upgrade: websocket\r\nConnection: close\r\n",
        "Connection: Upgrade\r\n",
    ] {
        let answer = gateway.ask(request("/open/ws", &format!("{fields}{KEY}")));
        answer.is(502, "upstream_unreachable");
        let seen = upstream.one();
        assert!(!seen.has("upgrade") && !seen.has("http2-settings"), "{fields}: {:?}", seen.fields());
    }
    let old = upgrade("/open/ws", "").replace("HTTP/1.1", "HTTP/1.0");
    gateway.ask(old).is(502, "upstream_unreachable");
    assert!(!upstream.one().has("upgrade"));
}

#[test]
fn an_upgrade_in_another_spelling_is_the_same_websocket() {
    let (upstream, _tells) = echo();
    let gateway = House::new(&upstream, ROUTES).start();
    for fields in [
        "uPgRaDe: WebSocket\r\ncOnNeCtIoN: keep-alive, uPgRaDe\r\n",
        "UPGRADE: WEBSOCKET\r\nConnection: x-a\r\nConnection: Upgrade\r\n",
    ] {
        let mut client = gateway.connect();
        client.send(request("/open/ws", &format!("{fields}{KEY}")));
        assert_eq!(client.head().status, 101, "{fields}");
        assert_eq!(upstream.one().field("upgrade"), "websocket");
        let denied = gateway.ask(request("/closed/ws", &format!("{fields}{KEY}")));
        denied.is(401, "credential_missing");
    }
    assert!(upstream.take().is_empty());
}

#[test]
fn an_upgrade_to_several_protocols_is_no_tunnel_to_another_one() {
    let upstream = Upstream::start();
    let gateway = House::new(&upstream, ROUTES).start();
    for protocols in ["websocket, h2c", "h2c, websocket"] {
        let fields = format!("Upgrade: {protocols}\r\nConnection: Upgrade\r\n{KEY}");
        assert_eq!(gateway.ask(request("/open/ws", &fields)).status, 200);
        let seen = upstream.one();
        assert!(["", "websocket"].contains(&&*seen.field("upgrade")), "{:?}", seen.fields());
    }
}

#[test]
fn bytes_behind_a_handshake_are_no_request_of_the_tunnel_before_the_101() {
    let upstream = Upstream::with(|request, stream| {
        // Declines, and answers whatever else it is sent.
        ok(request, stream)
    });
    let gateway = House::new(&upstream, ROUTES).start();
    let mut client = gateway.connect();
    client.send(format!("{}{}", upgrade("/open/ws", ""), request("/closed/smuggled", "")));
    assert_eq!(client.answer().status, 200);
    client.answer().is(401, "credential_missing");
    assert_eq!(upstream.one().target(), "/open/ws");
}

#[test]
fn an_upstream_that_switches_to_another_protocol_is_refused() {
    for head in [
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
    ] {
        let upstream = Upstream::with(move |_, stream| stream.write_all(head.as_bytes()).is_ok());
        let gateway = House::new(&upstream, ROUTES).start();
        gateway.ask(upgrade("/open/ws", "")).is(502, "upstream_unreachable");
    }
}

#[test]
fn a_handshake_without_key_or_version_is_for_the_upstream_to_judge() {
    let upstream = Upstream::with(|request, stream| {
        let good = request.has("sec-websocket-key") && request.has("sec-websocket-version");
        let head = if good { SWITCH } else { "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n" };
        stream.write_all(head.as_bytes()).is_ok()
    });
    let gateway = House::new(&upstream, ROUTES).start();
    let fields = "Upgrade: websocket\r\nConnection: Upgrade\r\n";
    let mut client = gateway.connect();
    client.send(request("/open/ws", fields));
    assert_eq!(client.answer().status, 426);
    // No tunnel was opened: what follows is a request like any other.
    client.send(request("/closed/ws", ""));
    client.answer().is(401, "credential_missing");
    assert_eq!(upstream.take().len(), 1);
}

#[test]
fn another_site_cannot_open_a_websocket_with_a_cookie() {
    let (upstream, _tells) = echo();
    let gateway = House::new(&upstream, ROUTES)
        .set("/identity/credentials", json!(["bearer", { "cookie": "session" }]))
        .set("/identity/cookie_origins", json!(["https://app.example"]))
        .start();
    let token = token("u-1", &["admin"]);
    let ask = |fields: &str| {
        let mut client = gateway.connect();
        client.send(upgrade("/closed/ws", &format!("Cookie: session={token}\r\n{fields}")));
        client
    };
    for fields in [
        "",
        "Origin: null\r\n",
        "Origin: https://evil.example\r\n",
        "Origin: https://app.example.evil.example\r\n",
        "Origin: https://evilapp.example\r\n",
        "Origin: https://app.example:8443\r\n",
        "Origin: http://app.example\r\n",
        "Origin: https://app.example/\r\n",
        "Origin: https://app.example@evil.example\r\n",
        "Origin: https://app.example https://evil.example\r\n",
        "Origin: https://app.example\r\nOrigin: https://evil.example\r\n",
        "Origin: https://evil.example\r\nSec-Fetch-Site: cross-site\r\n",
        "Origin: https://sub.app.example\r\nSec-Fetch-Site: same-site\r\n",
    ] {
        ask(fields).answer().is(403, "cross_site");
    }
    assert!(upstream.take().is_empty());
    for fields in ["Origin: https://app.example\r\n", "Origin: http://app\r\n", "Sec-Fetch-Site: same-origin\r\n"] {
        assert_eq!(ask(fields).head().status, 101, "{fields}");
    }
}

#[test]
fn a_grpc_caller_that_is_denied_reads_a_grpc_status() {
    let upstream = Upstream::start();
    let gateway = House::new(&upstream, ROUTES).set("/limits/token_bytes", json!("4KiB")).start();
    let admin = token("u-1", &["admin"]);
    let mut h2 = H2::connect(gateway.listener);
    let mut ask = |target: &str, kind: &str, token: Option<&str>| {
        let request = H2Request::new(http::Method::POST, target).field("content-type", kind).field("te", "trailers");
        let request = match token {
            Some(token) => request.field("authorization", &format!("Bearer {token}")),
            None => request,
        };
        let answer = h2.ask(request.body(&b"\0\0\0\0\0"[..])).unwrap();
        (
            answer.clone(),
            answer.field("grpc-status").map(str::to_owned),
            answer.field("grpc-message").map(str::to_owned),
        )
    };
    let user = token("u-1", &["user"]);
    for (target, token, status, message) in [
        ("/pkg.Svc/Method", None, "16", "credential_missing"),
        ("/pkg.Svc/Method", Some("a.b.c"), "16", "token_invalid"),
        ("/pkg.Svc/Method", Some(&*user), "7", "missing_role"),
        ("/pkg.Svc/Scoped", Some(&*user), "7", "insufficient_scope"),
        // Exact, also in case.
        ("/pkg.svc/method", Some(&*admin), "12", "no_route"),
        ("/pkg.Svc/Method/", Some(&*admin), "12", "no_route"),
        ("/pkg.Svc/%2e%2e/Method", Some(&*admin), "3", "target_ambiguous"),
        ("/hidden/a", Some(&*user), "12", "no_route"),
        ("/hidden/a", None, "16", "credential_missing"),
    ] {
        for kind in ["application/grpc", "application/grpc+proto", "Application/gRPC;x=y"] {
            let (answer, code, told) = ask(target, kind, token);
            assert_eq!((answer.status, answer.is_head_only), (200, true), "{target} {kind}");
            assert_eq!((code.as_deref(), told.as_deref()), (Some(status), Some(message)), "{target} {kind}");
            assert_eq!(answer.field("content-type"), Some("application/grpc"));
        }
    }
    // Callers of gRPC-Web read HTTP statuses.
    let (answer, code, _) = ask("/pkg.Svc/Method", "application/grpc-web+proto", None);
    answer.is(401, "credential_missing");
    assert_eq!(code, None);
    assert!(upstream.take().is_empty());
    // Without HTTP/2 there is no gRPC.
    let body =
        "POST /pkg.Svc/Method HTTP/1.1\r\nHost: app\r\nContent-Type: application/grpc\r\nContent-Length: 0\r\n\r\n";
    gateway.ask(body).is(401, "credential_missing");
}

#[test]
fn a_grpc_caller_reads_that_the_upstream_is_gone() {
    let upstream = Upstream::with(|_, _| false);
    let gateway = House::new(&upstream, ROUTES).start();
    let request = H2Request::new(http::Method::POST, "/open/a").field("content-type", "application/grpc");
    let answer = H2::connect(gateway.listener).ask(request.body(&b"\0\0\0\0\0"[..])).unwrap();
    assert_eq!((answer.status, answer.field("grpc-status"), answer.is_head_only), (200, Some("14"), true));
}

fn call(target: &str, token: &str) -> H2Request {
    let request = H2Request::new(http::Method::POST, target).field("content-type", "application/grpc");
    request.field("te", "trailers").field("authorization", &format!("Bearer {token}"))
}

const GRPC_HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nTransfer-Encoding: chunked\r\n\r\n";

#[test]
fn a_grpc_call_ends_with_a_status_when_its_token_expires() {
    let upstream = Upstream::with(|request, stream| {
        match request.target().as_ref() {
            "/closed/late" => {}
            "/closed/silent" => {
                let _ = stream.write_all(&[GRPC_HEAD, b"5\r\n\0\0\0\0\0\r\n"].concat());
            }
            _ => {
                let _ = stream.write_all(GRPC_HEAD);
                let message = [&b"4005\r\n\0\0\0\x40\0"[..], &[7; 0x4000], b"\r\n"].concat();
                while stream.write_all(&message).is_ok() {}
            }
        }
        // Until the gateway goes away.
        let _ = stream.read(&mut [0]);
        false
    });
    let gateway = House::new(&upstream, ROUTES).start();
    let mut h2 = H2::connect(gateway.listener);
    let told = |fields: &[(String, String)]| {
        let all = fields.iter().filter(|(name, _)| name.starts_with("grpc-")).cloned();
        all.map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>()
    };
    let status = ["grpc-status: 16", "grpc-message: token_invalid"];
    let late = h2.ask(call("/closed/late", &brief()).body(&b"\0\0\0\0\0"[..])).unwrap();
    assert_eq!((told(&late.fields), late.is_head_only), (status.map(str::to_owned).to_vec(), true));
    let silent = h2.ask(call("/closed/silent", &brief()).body(&b"\0\0\0\0\0"[..])).unwrap();
    assert_eq!((&*silent.body, told(&silent.trailers)), (&b"\0\0\0\0\0"[..], status.map(str::to_owned).to_vec()));
    let busy = h2.ask(call("/closed/busy", &brief()).body(&b"\0\0\0\0\0"[..])).unwrap();
    assert_eq!((busy.body.len() > 0x4000, told(&busy.trailers)), (true, status.map(str::to_owned).to_vec()));
    // The connection lives on.
    h2.get("/closed/late", None).unwrap().is(401, "credential_missing");
    eventually("two calls that were begun", || (ended(&gateway, "grpc", "expired") == 2.0).then_some(()));
}

#[test]
fn a_grpc_call_of_a_client_that_goes_on_sending_ends_when_its_token_expires() {
    let upstream = Upstream::with(|_, stream| {
        let _ = stream.write_all(GRPC_HEAD);
        let _ = stream.read(&mut [0]);
        false
    });
    let gateway = House::new(&upstream, ROUTES).start();
    // The body is announced and never ends.
    let request = call("/closed/upload", &brief()).field("content-length", "100").body(&b"\0\0\0\0\0"[..]).open_end();
    let answer = H2::connect(gateway.listener).ask(request).unwrap();
    let all = [answer.fields, answer.trailers].concat();
    assert!(all.contains(&("grpc-status".to_owned(), "16".to_owned())), "{all:?}");
}

#[test]
fn a_grpc_call_whose_upstream_breaks_off_ends_with_a_status() {
    let upstream = Upstream::with(|_, stream| {
        let _ = stream.write_all(&[GRPC_HEAD, b"5\r\n\0\0\0\0\0\r\n"].concat());
        false
    });
    let gateway = House::new(&upstream, ROUTES).start();
    let answer = H2::connect(gateway.listener).ask(call("/closed/a", &token("u-1", &["admin"])).body("x")).unwrap();
    assert!(answer.trailers.contains(&("grpc-status".to_owned(), "14".to_owned())), "{answer:?}");
    ends(&gateway, "grpc", "upstream_closed");
}

/// Speaks gRPC over HTTP/2: answers each call with one message when the gate opens, whatever the caller sends.
fn calls(gate: Arc<Gate>) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer_calls(stream, Arc::clone(&gate)));
            }
        });
    });
    address
}

async fn answer_calls(stream: tokio::net::TcpStream, gate: Arc<Gate>) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let gate = Arc::clone(&gate);
        tokio::spawn(async move {
            let head = http::Response::builder().header("content-type", "application/grpc").body(()).unwrap();
            let mut out = respond.send_response(head, false).unwrap();
            tokio::task::spawn_blocking(move || gate.wait()).await.unwrap();
            let _ = out.send_data(bytes::Bytes::from_static(b"\0\0\0\0\0"), false);
            let trailers = http::HeaderMap::from_iter([(
                http::HeaderName::from_static("grpc-status"),
                http::HeaderValue::from_static("0"),
            )]);
            let _ = out.send_trailers(trailers);
            drop(request);
        });
    }
}

#[test]
fn a_grpc_call_whose_caller_only_listens_is_not_cut() {
    let gate = Gate::new();
    let gateway = House::before(&[calls(Arc::clone(&gate))], ROUTES)
        .set("/upstreams/0/protocol", json!("http2"))
        .set("/limits/body_stall", json!("300ms"))
        .start();
    let admin = token("u-1", &["admin"]);
    let listener = gateway.listener;
    thread::scope(|scope| {
        let listens = scope.spawn(|| {
            let request = call("/pkg.Svc/Method", &admin).body(&b"\0\0\0\0\0"[..]).open_end();
            H2::connect(listener).ask(request)
        });
        eventually("the call", || (answers_begun(&gateway) == 1.0).then_some(()));
        // Any other body must come. It began later, so by now the call would have been cut too.
        let silent = H2Request::new(http::Method::POST, "/open/a").body("x").open_end();
        assert!(H2::connect(listener).ask(silent).is_err());
        gate.open();
        let answer = listens.join().unwrap().unwrap();
        assert!(answer.trailers.contains(&("grpc-status".to_owned(), "0".to_owned())), "{answer:?}");
    });
}

/// gRPC answers that were begun.
fn answers_begun(gateway: &Gateway) -> f64 {
    gateway.metric("cogward_requests_total", &["route=\"calls\"", "status_class=\"2xx\""])
}
