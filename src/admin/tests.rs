use expect_test::expect;
use pingora::{apps::HttpServerApp, protocols::l4::stream::Stream};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::*;
use crate::{
    diagnostic::{Diagnostic, Report},
    reload::{KeyStatus, Rejected, SharedStatus},
};

/// The keys of a provider, as a reload tells of them.
fn keys(provider: &str, keys: usize, confirmed: u64) -> KeyStatus {
    let confirmed = Some(UnixTime::from_seconds(confirmed));
    KeyStatus { provider: provider.to_owned(), keys, confirmed, failing: None }
}

/// A health, and the reload's side of it.
fn health() -> (Arc<Health>, SharedStatus) {
    let reload = SharedStatus::default();
    (Arc::new(Health::new(UnixTime::from_seconds(1_700_000_000), reload.clone())), reload)
}

fn serving() -> (Arc<Health>, SharedStatus) {
    let (health, reload) = health();
    reload.update(|status| {
        (status.generation, status.applied) = (1, Some(UnixTime::from_seconds(1_700_000_005)));
        status.keys = vec![keys("main", 2, 1_700_000_010), keys("partner", 1, 1_700_000_020)];
    });
    (health, reload)
}

fn ready() -> Arc<Health> {
    serving().0
}

fn admin(health: Arc<Health>) -> Arc<Admin> {
    Arc::new(Admin::new(Arc::new(Metrics::new().unwrap()), health))
}

fn body(answer: &Response<Vec<u8>>) -> String {
    String::from_utf8(answer.body().clone()).unwrap()
}

/// Serves one connection on a real listener.
async fn serve(admin: Arc<Admin>) -> (std::net::SocketAddr, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let served = tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        let (_keep, shutdown) = tokio::sync::watch::channel(false);
        let mut stream: Option<pingora::protocols::Stream> = Some(Box::new(Stream::from(socket)));
        while let Some(io) = stream.take() {
            let session = ServerSession::new_http1(io);
            stream = admin.process_new_http(session, &shutdown).await.map(|reused| reused.consume().0);
        }
    });
    (address, served)
}

/// What stands on the wire when these bytes are sent and the sending half is closed.
async fn exchange(admin: Arc<Admin>, request: &str) -> String {
    let (address, served) = serve(admin).await;
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(request.as_bytes()).await.unwrap();
    client.shutdown().await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    served.await.unwrap();
    answer
}

#[test]
fn every_page_answers_get_with_its_type() {
    let admin = admin(ready());
    for (path, content_type, start) in [
        ("/metrics", "text/plain; version=0.0.4; charset=utf-8", "# HELP "),
        ("/livez", "text/plain; charset=utf-8", "ok\n"),
        ("/healthz", "text/plain; charset=utf-8", "ok\n"),
        ("/readyz", "application/json", "{\"ready\":true"),
        ("/status", "application/json", "{\"version\":"),
    ] {
        let answer = admin.answer(&Method::GET, path.as_bytes());
        assert_eq!(answer.status(), 200, "{path}");
        assert_eq!(answer.headers()[CONTENT_TYPE], content_type);
        assert_eq!(answer.headers()[CACHE_CONTROL], "no-store");
        assert!(body(&answer).starts_with(start), "{path}: {}", body(&answer));
    }
}

#[test]
fn a_head_is_a_get_without_its_body() {
    let admin = admin(ready());
    let (get, head) = (admin.answer(&Method::GET, b"/readyz"), admin.answer(&Method::HEAD, b"/readyz"));
    assert_eq!(head.headers(), get.headers());
    assert_eq!(head.headers()[CONTENT_LENGTH], get.body().len().to_string());
    assert!(head.body().is_empty());
}

#[test]
fn another_method_is_405_and_told_which_are_allowed() {
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS, Method::TRACE, Method::CONNECT] {
        let answer = admin(ready()).answer(&method, b"/metrics");
        assert_eq!((answer.status().as_u16(), answer.headers()[ALLOW].to_str().unwrap()), (405, "GET, HEAD"));
    }
}

#[test]
fn only_exact_paths_are_pages() {
    for path in
        ["/", "", "*", "/metrics/", "//metrics", "/METRICS", "/metrics%2f", "/./metrics", "/%6detrics", "/ready"]
    {
        let answer = admin(ready()).answer(&Method::GET, path.as_bytes());
        assert_eq!(answer.status(), 404, "{path}");
        assert_eq!(answer.headers()[CACHE_CONTROL], "no-store");
    }
}

#[test]
fn readiness_is_red_until_policies_and_the_keys_of_every_provider_are_held_and_while_draining() {
    let (health, reload) = health();
    let admin = admin(health.clone());
    let red = || {
        let answer = admin.answer(&Method::GET, b"/readyz");
        let read: Value = serde_json::from_slice(answer.body()).unwrap();
        assert_eq!(answer.status() == 200, read["ready"] == true);
        assert_eq!(answer.status() == 503, read["red"] != serde_json::json!([]));
        read["red"].to_string()
    };
    let hold =
        |main, partner| reload.update(|status| status.keys = vec![keys("main", main, 2), keys("partner", partner, 2)]);
    hold(0, 0);
    expect![[r#"["policies","keys:main","keys:partner"]"#]].assert_eq(&red());
    hold(0, 1);
    expect![[r#"["policies","keys:main"]"#]].assert_eq(&red());
    reload.update(|status| status.generation = 1);
    expect![[r#"["keys:main"]"#]].assert_eq(&red());
    hold(1, 1);
    expect!["[]"].assert_eq(&red());
    hold(0, 1);
    expect![[r#"["keys:main"]"#]].assert_eq(&red());
    hold(1, 1);
    health.set_draining();
    expect![[r#"["draining"]"#]].assert_eq(&red());
    assert_eq!(admin.answer(&Method::GET, b"/livez").status(), 200, "a gateway that is not ready is alive");
    assert_eq!(admin.answer(&Method::GET, b"/healthz").status(), 200, "a restart brings no keys");
}

#[test]
fn readiness_tells_which_condition_is_red() {
    let (health, reload) = serving();
    reload.update(|status| status.keys[1].keys = 0);
    expect![[r#"
        {"ready":false,"policies":true,"draining":false,"providers":[{"provider":"main","keys":true},{"provider":"partner","keys":false}],"red":["keys:partner"]}
    "#]]
    .assert_eq(&body(&admin(health).answer(&Method::GET, b"/readyz")));
}

#[test]
fn a_rejected_reload_keeps_readiness_and_is_told_with_its_report() {
    let (health, reload) = serving();
    let finding = Diagnostic::of_file("P001", "policies/a.yaml", "the file is empty");
    let at = Some(UnixTime::from_seconds(1_700_000_100));
    reload.update(|status| {
        status.rejected = Some(Rejected { at, report: Report::from_iter([finding]) });
        status.stale_since = at;
        status.restart_needed = vec!["listeners"];
    });
    health.set_listeners(vec![Listening { address: "0.0.0.0:8080".parse().unwrap(), tls: false }]);
    let admin = admin(health.clone());
    assert_eq!(admin.answer(&Method::GET, b"/readyz").status(), 200);

    let status = serde_json::to_value(health.page(UnixTime::from_seconds(1_700_000_110), Vec::new())).unwrap();
    let expected = serde_json::json!({
        "version": env!("CARGO_PKG_VERSION"),
        "ready": true,
        "draining": false,
        "started_at": "2023-11-14T22:13:20.000Z",
        "uptime_seconds": 110,
        "generation": 1,
        "applied_at": "2023-11-14T22:13:25.000Z",
        "stale_since": "2023-11-14T22:15:00.000Z",
        "restart_needed": ["listeners"],
        "last_rejected": {
            "at": "2023-11-14T22:15:00.000Z",
            "pending": true,
            "report": [{
                "severity": "error", "code": "P001", "file": "policies/a.yaml", "line": null, "column": null,
                "pointer": "", "message": "the file is empty",
            }],
        },
        "providers": [
            { "provider": "main", "keys": 2, "fetched_at": "2023-11-14T22:13:30.000Z", "age_seconds": 100, "failing": null },
            { "provider": "partner", "keys": 1, "fetched_at": "2023-11-14T22:13:40.000Z", "age_seconds": 90, "failing": null },
        ],
        "listeners": [{ "address": "0.0.0.0:8080", "tls": false }],
        "upstreams": [],
    });
    assert_eq!(status, expected);

    reload.update(|status| (status.generation, status.stale_since) = (2, None));
    let status = serde_json::to_value(health.page(UnixTime::from_seconds(1_700_000_110), Vec::new())).unwrap();
    assert_eq!(status["generation"], 2);
    assert_eq!(status["last_rejected"]["pending"], false, "the report stays readable after it was put right");
}

#[tokio::test]
async fn the_pages_are_served_over_a_connection_that_stays_open() {
    let request = "GET /livez?verbose=1 HTTP/1.1\r\nHost: a\r\n\r\n";
    let answer = exchange(admin(ready()), request).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nok\n"), "{answer}");
    assert!(!answer.to_ascii_lowercase().contains("connection: close"), "{answer}");
}

#[tokio::test]
async fn a_head_leaves_no_byte_behind_that_the_next_answer_could_be_mistaken_for() {
    let answer = exchange(admin(ready()), "HEAD /readyz HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
    assert!(answer.to_ascii_lowercase().contains("content-length: "), "{answer}");
}

#[tokio::test]
async fn a_body_is_not_read_as_a_second_request() {
    let smuggled = "GET /status HTTP/1.1\r\nHost: a\r\n\r\n";
    let request = format!("GET /livez HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{smuggled}", smuggled.len());
    let answer = exchange(admin(ready()), &request).await;
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    assert!(answer.to_ascii_lowercase().contains("connection: close"), "{answer}");
}

#[tokio::test]
async fn an_absolute_target_is_no_page() {
    let answer = exchange(admin(ready()), "GET http://a/metrics HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
}

#[tokio::test]
async fn the_health_check_is_told_what_readiness_says() {
    let (starting, _) = health();
    for (health, expected) in [(ready(), true), (starting, false)] {
        let (address, served) = serve(admin(health)).await;
        let timeout = std::time::Duration::from_secs(20);
        let is_ready = tokio::task::spawn_blocking(move || healthcheck(address, timeout)).await.unwrap();
        assert_eq!(is_ready, expected);
        served.await.unwrap();
    }
}
