//! How much at once, and what is over it.

use std::{io::Write, net::TcpStream, sync::Arc, thread, time::Duration};

use http::Method;
use serde_json::json;

use crate::support::{Client, Gate, Gateway, H2, H2Request, House, Upstream, eventually, ok, token};

const ROUTES: &str = "
- { id: open, path: '/open/{rest..}', rules: [ { id: everyone, roles: [anyone] } ] }
- { id: users, path: /users, rules: [ { id: known, roles: [authenticated] } ] }";

/// A gateway that serves one request at once, which waits at the gate.
fn full() -> (Upstream, Gateway, Arc<Gate>) {
    let gate = Gate::new();
    let held = Arc::clone(&gate);
    let upstream = Upstream::with(move |request, stream| {
        if request.target() == "/open/held" {
            held.wait();
        }
        ok(request, stream)
    });
    let gateway = House::new(&upstream, ROUTES).set("/limits/requests", json!(1)).start();
    (upstream, gateway, gate)
}

#[test]
fn a_request_over_the_cap_is_answered_503_before_its_token_is_read() {
    let (upstream, gateway, gate) = full();
    let mut first = gateway.connect();
    first.send("GET /open/held HTTP/1.1\r\nHost: app\r\n\r\n");
    upstream.reached();

    let mut second = gateway.connect();
    for _ in 0..2 {
        // A token that nobody could verify: what is refused is not looked at.
        second.send("GET /users HTTP/1.1\r\nHost: app\r\nAuthorization: Bearer broken\r\n\r\n");
        let refused = second.answer();
        refused.is(503, "overloaded");
        assert_eq!((refused.field("retry-after"), refused.closes()), (Some("1"), false));
    }
    let refused = H2::connect(gateway.listener).get("/users", Some("broken")).unwrap();
    refused.is(503, "overloaded");
    assert_eq!(refused.field("retry-after"), Some("1"));

    let shed = gateway.audit(3);
    assert_eq!(shed.len(), 3);
    for line in shed {
        assert_eq!(
            (&line["reason"], &line["status"], &line["outcome"]),
            (&json!("overloaded"), &json!(503), &json!("deny"))
        );
        assert!(line["route"].is_null(), "{line}");
    }
    assert_eq!(gateway.metric("cogward_decisions_total", &["reason=\"overloaded\""]), 3.0);
    assert_eq!(gateway.metric("cogward_token_verifications_total", &["token_malformed"]), 0.0);

    gate.open();
    assert_eq!(first.answer().status, 200);
    let request = format!("GET /users HTTP/1.1\r\nHost: app\r\nAuthorization: Bearer {}\r\n\r\n", token("u", &[]));
    eventually("the same connection is served once there is room", || {
        second.send(&request);
        (second.answer().status == 200).then_some(())
    });
    let mut h2 = H2::connect(gateway.listener);
    eventually("HTTP/2 as well", || (h2.get("/open/a", None).unwrap().status == 200).then_some(()));
}

#[test]
fn a_grpc_request_over_the_cap_is_told_to_come_again() {
    let (upstream, gateway, gate) = full();
    let mut first = gateway.connect();
    first.send("GET /open/held HTTP/1.1\r\nHost: app\r\n\r\n");
    upstream.reached();
    let call = H2Request::new(Method::POST, "/users").field("content-type", "application/grpc").body("");
    let refused = H2::connect(gateway.listener).ask(call).unwrap();
    assert_eq!((refused.status, refused.field("grpc-status")), (200, Some("14")));
    gate.open();
    assert_eq!(first.answer().status, 200);
}

#[test]
fn a_place_is_given_back_however_a_request_ends() {
    let (upstream, gateway, gate) = full();
    // A client that goes away in the middle, on either protocol, and one that is refused.
    let mut gone = gateway.connect();
    gone.send("GET /open/held HTTP/1.1\r\nHost: app\r\n\r\n");
    upstream.reached();
    drop(gone);
    let place = || eventually("a place", || (gateway.get_anonymously("/open/a").status == 200).then_some(()));
    place();
    gateway.get_anonymously("/nowhere").is(404, "no_route");
    place();
    let huge = "POST /open/a HTTP/1.1\r\nHost: app\r\nContent-Length: 99999999999\r\n\r\n";
    eventually("a refusal", || (gateway.ask(huge).problem().1 == "body_too_large").then_some(()));
    place();
    gate.open();
}

/// A client whose address is not the usual one.
fn neighbour(gateway: &Gateway) -> Client {
    Client::connect_from("127.0.0.2:0".parse().unwrap(), gateway.listener)
}

#[test]
fn connections_of_one_address_are_capped_and_those_of_a_trusted_proxy_are_not() {
    let upstream = Upstream::start();
    let gateway = House::new(&upstream, ROUTES)
        .set("/limits/connections_per_address", json!(2))
        .set("/trusted_proxies", json!(["127.0.0.2"]))
        .start();
    let mut held: Vec<_> = (0..2).map(|_| gateway.connect()).collect();
    for client in &mut held {
        client.send("GET /open/a HTTP/1.1\r\nHost: app\r\n\r\n");
        assert_eq!(client.answer().status, 200);
    }
    let refused = gateway.get_anonymously("/open/a");
    refused.is(503, "overloaded");
    assert_eq!((refused.field("retry-after"), refused.closes()), (Some("1"), true));
    let mut proxies: Vec<_> = (0..5).map(|_| neighbour(&gateway)).collect();
    for proxy in &mut proxies {
        proxy.send("GET /open/a HTTP/1.1\r\nHost: app\r\n\r\n");
        assert_eq!(proxy.answer().status, 200);
    }
    let refusals = |reason: &str| gateway.metric("cogward_connections_refused_total", &[reason]);
    assert_eq!((refusals("reason=\"address\""), refusals("reason=\"connections\"")), (1.0, 0.0));
    let lines = gateway.audit(8);
    assert_eq!(lines.iter().filter(|line| line["reason"] == "overloaded").count(), 1);

    // A reload counts for the connections that come after it.
    let mut settings = gateway.settings();
    settings["limits"]["connections_per_address"] = json!(3);
    gateway.write("cogward.yaml", &settings.to_string());
    gateway.signal("HUP");
    let mut third = eventually("a third place", || {
        let mut client = gateway.connect();
        client.send("GET /open/a HTTP/1.1\r\nHost: app\r\n\r\n");
        (client.answer().status == 200).then_some(client)
    });
    third.send("GET /open/a HTTP/1.1\r\nHost: app\r\n\r\n");
    assert_eq!(third.answer().status, 200);
}

#[test]
fn endless_interim_answers_are_ended() {
    let upstream = Upstream::with(|_, stream: &mut TcpStream| {
        while stream.write_all(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n").is_ok() {
            thread::sleep(Duration::from_millis(1));
        }
        false
    });
    let gateway = House::new(&upstream, ROUTES).start();
    let mut client = gateway.connect();
    client.send("GET /open/a HTTP/1.1\r\nHost: app\r\n\r\n");
    let rest = String::from_utf8_lossy(&client.rest()).into_owned();
    let interim = rest.matches("HTTP/1.1 103 ").count();
    assert!((1..=32).contains(&interim), "{interim} interim answers");
    eventually("account", || {
        (gateway.metric("cogward_upstream_errors_total", &["kind=\"invalid_answer\""]) == 1.0).then_some(())
    });
}

#[test]
fn an_answer_whose_head_never_ends_ends_with_its_exchange() {
    let upstream = Upstream::with(|_, stream: &mut TcpStream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nX-Drip: ");
        while stream.write_all(b"a").is_ok() {
            thread::sleep(Duration::from_millis(20));
        }
        false
    });
    let gateway = House::new(&upstream, ROUTES).set("/limits/exchange_time", json!("1s")).start();
    let mut client = gateway.connect();
    client.send("GET /open/a HTTP/1.1\r\nHost: app\r\n\r\n");
    client.is_closed();
    assert_eq!(gateway.metric("cogward_connections_cut_total", &["cause=\"overdue\""]), 1.0);
}

#[test]
fn an_answer_whose_head_is_huge_is_502() {
    for fields in ["X-Huge: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n", "A: b\r\n"] {
        let upstream = Upstream::with(move |_, stream: &mut TcpStream| {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
            let block = fields.repeat(1000);
            while stream.write_all(block.as_bytes()).is_ok() {}
            false
        });
        let gateway = House::new(&upstream, ROUTES).start();
        let before = gateway.resident();
        gateway.get_anonymously("/open/a").is(502, "upstream_unreachable");
        let after = gateway.resident();
        assert!(after < before + 16 * 1024, "{before} KiB before, {after} KiB after");
    }
}

#[test]
fn endless_trailers_of_a_request_are_refused() {
    let upstream = Upstream::start();
    let gateway = House::new(&upstream, ROUTES).start();
    let mut client = gateway.connect();
    client.send("POST /open/a HTTP/1.1\r\nHost: app\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n");
    for _ in 0..1000 {
        client.try_send("X-Trailer: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n");
    }
    client.answer().is(400, "request_malformed");
    assert_eq!(gateway.metric("cogward_connections_cut_total", &["cause=\"body_malformed\""]), 1.0);
}
