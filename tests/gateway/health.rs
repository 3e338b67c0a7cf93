//! Which servers of an upstream are asked: checks, ejections, and what operators see of them.

use std::{
    io::Write,
    net::{SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering::SeqCst},
    },
};

use serde_json::{Value, json};

use crate::support::{Gateway, House, Upstream, eventually};

const ROUTES: &str = "- { id: open, path: '/open/{rest..}', rules: [ { id: everyone, roles: [anyone] } ] }";

fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A server that answers with whatever status it is told.
fn answering(status: &Arc<AtomicU16>) -> Upstream {
    let status = Arc::clone(status);
    Upstream::with(move |_, stream| {
        let status = status.load(SeqCst);
        stream.write_all(format!("HTTP/1.1 {status} Told\r\nContent-Length: 0\r\n\r\n").as_bytes()).is_ok()
    })
}

/// The states of the servers, in their order.
fn states(gateway: &Gateway) -> Vec<String> {
    let status = gateway.status();
    let servers = status["upstreams"][0]["servers"].as_array().unwrap().clone();
    servers.iter().map(|server| server["state"].as_str().unwrap().to_owned()).collect()
}

fn until(gateway: &Gateway, expected: &[&str]) {
    eventually(&format!("{expected:?}"), || (states(gateway) == expected).then_some(()));
}

fn checked(servers: &[SocketAddr], check: Value) -> Gateway {
    House::before(servers, ROUTES).set("/upstreams/0/health_check", check).start()
}

#[test]
fn a_server_whose_checks_fail_is_not_asked_until_they_pass() {
    let status = Arc::new(AtomicU16::new(200));
    let (first, second) = (answering(&status), Upstream::start());
    let check = json!({ "path": "/healthz?x=1", "interval": "100ms", "healthy": 2, "unhealthy": 2 });
    let gateway = checked(&[first.address(), second.address()], check);
    let seen = first.reached();
    assert_eq!(
        (seen.target(), seen.field("user-agent")),
        ("/healthz?x=1".to_owned(), "cogward-health-check".to_owned())
    );
    assert_eq!(seen.field("host"), first.address().to_string());
    status.store(500, SeqCst);
    until(&gateway, &["unhealthy", "available"]);
    first.take();
    for _ in 0..10 {
        assert_eq!(gateway.get_anonymously("/open/a").status, 200);
    }
    assert!(first.take().iter().all(|request| request.target().starts_with("/healthz")));
    assert_eq!(gateway.metric("cogward_upstream_servers", &["state=\"unhealthy\""]), 1.0);
    assert_eq!(gateway.metric("cogward_upstream_servers", &["state=\"available\""]), 1.0);
    status.store(302, SeqCst);
    until(&gateway, &["available", "available"]);
    let told = || gateway.log().matches("the server fails its health checks").count();
    eventually("the line", || (told() > 0).then_some(()));
    assert_eq!(told(), 1, "once, not with each check");
}

#[test]
fn where_all_checks_fail_the_answer_is_502_and_nobody_is_asked() {
    let status = Arc::new(AtomicU16::new(503));
    let upstream = answering(&status);
    let gateway = checked(&[upstream.address()], json!({ "path": "/healthz", "interval": "100ms", "unhealthy": 1 }));
    until(&gateway, &["unhealthy"]);
    upstream.take();
    gateway.get_anonymously("/open/a").is(502, "upstream_unreachable");
    assert!(upstream.take().iter().all(|request| request.target() == "/healthz"));
    // What is known of a server outlives a reload that changes something else.
    let settings = gateway.settings();
    let mut changed = settings.clone();
    changed["upstreams"][0]["timeouts"] = json!({ "read": "7s" });
    let generation = gateway.status()["generation"].as_u64().unwrap();
    gateway.write("cogward.yaml", &changed.to_string());
    eventually("the reload", || (gateway.status()["generation"].as_u64().unwrap() > generation).then_some(()));
    assert_eq!(states(&gateway), ["unhealthy"]);
    // Without checks nobody would turn it green again.
    let mut unchecked = changed;
    unchecked["upstreams"][0].as_object_mut().unwrap().remove("health_check");
    gateway.write("cogward.yaml", &unchecked.to_string());
    until(&gateway, &["available"]);
}

#[test]
fn a_server_that_fails_requests_is_ejected_and_comes_back() {
    let status = Arc::new(AtomicU16::new(503));
    let (bad, good) = (answering(&status), Upstream::start());
    let gateway = House::before(&[bad.address(), good.address()], ROUTES)
        .set("/upstreams/0/outlier_ejection", json!({ "consecutive_failures": 3, "base": "300ms" }))
        .start();
    let ask = || gateway.get_anonymously("/open/a").status;
    eventually("an ejection", || {
        ask();
        (states(&gateway) == ["ejected", "available"]).then_some(())
    });
    assert_eq!(bad.take().len(), 3);
    assert!(gateway.metric("cogward_upstream_ejections_total", &[]) >= 1.0);
    // One request tries it again, and fails; then it answers well.
    eventually("a trial", || {
        ask();
        (bad.take().len() == 1).then_some(())
    });
    status.store(204, SeqCst);
    eventually("the return", || {
        ask();
        (states(&gateway) == ["available", "available"]).then_some(())
    });
    eventually("both lines", || {
        let log = gateway.log();
        (log.contains("it is ejected") && log.contains("no longer ejected")).then_some(())
    });
}

#[test]
fn the_only_server_is_never_ejected() {
    let status = Arc::new(AtomicU16::new(502));
    let upstream = answering(&status);
    let gateway = House::new(&upstream, ROUTES).start();
    for _ in 0..20 {
        assert_eq!(gateway.get_anonymously("/open/a").status, 502);
    }
    status.store(200, SeqCst);
    assert_eq!(gateway.get_anonymously("/open/a").status, 200);
    assert_eq!(upstream.take().len(), 21, "an answer of the upstream is not asked for again");
}

#[test]
fn a_dead_server_costs_its_upstream_nothing() {
    let upstream = Upstream::start();
    let gateway = House::before(&[nobody(), upstream.address()], ROUTES).start();
    for _ in 0..50 {
        assert_eq!(gateway.ask("POST /open/a HTTP/1.1\r\nHost: app\r\nContent-Length: 3\r\n\r\nabc").status, 200);
    }
    assert_eq!(upstream.take().len(), 50);
    assert!(gateway.metric("cogward_upstream_retries_total", &[]) < 10.0);
    assert_ne!(states(&gateway)[0], "available");
    let told = || gateway.log().matches("a server takes no connection").count();
    eventually("the line", || (told() > 0).then_some(()));
    assert_eq!(told(), 1, "once, not with each request");
}

#[test]
fn a_name_that_does_not_resolve_stops_neither_the_start_nor_its_neighbours() {
    let upstream = Upstream::start();
    let gateway = House::new(&upstream, ROUTES)
        .set("/upstreams/0/endpoints", json!(["http://nowhere.invalid:1", format!("http://{}", upstream.address())]))
        .start();
    assert_eq!(gateway.get_anonymously("/open/a").status, 200);
    let status = gateway.status();
    let servers = status["upstreams"][0]["servers"].as_array().unwrap();
    assert!(servers.iter().any(|server| server["state"] == "unresolved" && server["address"].is_null()), "{status}");
    let alone =
        House::new(&upstream, ROUTES).set("/upstreams/0/endpoints", json!(["http://nowhere.invalid:1"])).start();
    alone.get_anonymously("/open/a").is(502, "upstream_unreachable");
}

#[test]
fn a_server_that_returns_is_not_overrun() {
    // Down at first; when it is back, one request finds out before the others follow.
    let listener = nobody();
    let good = Upstream::start();
    let gateway = House::before(&[listener, good.address()], ROUTES).start();
    for _ in 0..5 {
        assert_eq!(gateway.get_anonymously("/open/a").status, 200);
    }
    let back = TcpListener::bind(listener).unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = back.accept().unwrap();
        let mut bytes = [0; 1024];
        let _ = std::io::Read::read(&mut stream, &mut bytes);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    });
    eventually("a trial", || {
        assert_eq!(gateway.get_anonymously("/open/a").status, 200);
        server.is_finished().then_some(())
    });
}
