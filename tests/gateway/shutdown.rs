//! How a gateway ends: no request is lost, and it says that it goes.

use std::{net::TcpStream, thread};

use serde_json::json;

use crate::support::{H2, House, PATIENCE, eventually, slow};

const ROUTES: &str = "- { id: open, path: '/{rest..}', rules: [ { id: everyone, roles: [anyone] } ] }";

#[test]
fn a_request_in_flight_is_finished_and_new_ones_are_served_until_the_delay_is_over() {
    let (gate, upstream) = slow();
    let mut gateway = House::new(&upstream, ROUTES).set("/shutdown_delay", json!("60s")).start();
    let mut kept = gateway.connect();
    kept.send("GET /a HTTP/1.1\r\nHost: app\r\n\r\n");
    assert!(!kept.answer().closes());
    let mut in_flight = gateway.connect();
    in_flight.send("GET /slow HTTP/1.1\r\nHost: app\r\n\r\n");
    eventually("the slow request", || upstream.take().iter().any(|seen| seen.target() == "/slow").then_some(()));

    gateway.signal("TERM");
    let red =
        eventually("readiness to turn red", || Some(gateway.admin_get("/readyz")).filter(|told| told.status == 503));
    assert!(red.text().contains("draining"), "{red:?}");
    assert_eq!(gateway.admin_get("/livez").status, 200);
    // Still served, on a new connection and on one that was open, and told to go elsewhere.
    kept.send("GET /b HTTP/1.1\r\nHost: app\r\n\r\n");
    let answer = kept.answer();
    assert_eq!((answer.status, answer.closes()), (200, true));
    kept.is_closed();
    for path in ["/c", "/%2e"] {
        let answer = gateway.get_anonymously(path);
        assert_eq!((answer.status, answer.closes()), (if path == "/c" { 200 } else { 400 }, true));
    }

    // A second signal ends the delay, and the listener closes.
    gateway.signal("TERM");
    let listener = gateway.listener;
    eventually("the listener to close", || TcpStream::connect_timeout(&listener, PATIENCE).is_err().then_some(()));
    assert!(gateway.is_running());
    gate.open();
    assert_eq!(in_flight.answer().status, 200);
    assert_eq!(gateway.ended().code(), Some(0));
    let lines = gateway.audit_now();
    assert_eq!(lines.iter().filter(|line| line["path"] == "/slow" && line["status"] == 200).count(), 1, "{lines:?}");
}

#[test]
fn the_grace_is_not_waited_for_where_nothing_is_open() {
    let (_, upstream) = slow();
    let mut gateway = House::new(&upstream, ROUTES).set("/shutdown_grace", json!("1h")).start();
    let idle = gateway.connect();
    gateway.signal("TERM");
    // An idle connection is nothing to wait for either.
    assert_eq!(gateway.ended().code(), Some(0));
    drop(idle);
}

#[test]
fn what_outlives_the_grace_is_cut() {
    let (gate, upstream) = slow();
    let mut gateway = House::new(&upstream, ROUTES).set("/shutdown_grace", json!("100ms")).start();
    let mut client = gateway.connect();
    client.send("GET /slow HTTP/1.1\r\nHost: app\r\n\r\n");
    upstream.reached();
    gateway.signal("TERM");
    assert_eq!(gateway.ended().code(), Some(0));
    client.is_closed();
    let lines = gateway.audit_now();
    assert_eq!(lines.iter().filter(|line| line["path"] == "/slow").count(), 1, "{lines:?}");
    gate.open();
}

#[test]
fn http2_requests_that_outlive_the_grace_are_in_the_audit() {
    const STREAMS: usize = 90;
    let (gate, upstream) = slow();
    let mut gateway = House::new(&upstream, ROUTES).set("/shutdown_grace", json!("100ms")).start();
    let listener = gateway.listener;
    thread::scope(|scope| {
        for _ in 0..STREAMS {
            scope.spawn(|| assert!(H2::connect(listener).get("/slow", None).is_err()));
        }
        let mut reached = 0;
        eventually("all requests", || {
            reached += upstream.take().len();
            (reached == STREAMS).then_some(())
        });
        gateway.signal("TERM");
        assert_eq!(gateway.ended().code(), Some(0));
    });
    let lines = gateway.audit_now();
    let told = lines.iter().filter(|line| line["path"] == "/slow" && line["outcome"] == "allow");
    assert_eq!(told.count(), STREAMS);
    gate.open();
}

#[test]
fn an_interrupt_does_not_wait_for_the_delay() {
    let (_, upstream) = slow();
    let mut gateway = House::new(&upstream, ROUTES).set("/shutdown_delay", json!("5m")).start();
    assert_eq!(gateway.get_anonymously("/a").status, 200);
    gateway.signal("INT");
    assert_eq!(gateway.ended().code(), Some(0));
}
