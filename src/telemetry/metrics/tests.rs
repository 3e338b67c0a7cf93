use std::{collections::BTreeSet, sync::Arc};

use expect_test::expect_file;
use http::{Method, StatusCode};

use super::*;
use crate::telemetry::{ServerState, ServerStatus, UpstreamStatus};

fn names(routes: &[&str], providers: &[&str], upstreams: &[&str]) -> Names {
    let set = |names: &[&str]| names.iter().map(|name| Box::from(*name)).collect();
    Names { routes: set(routes), providers: set(providers), upstreams: set(upstreams) }
}

/// The gateway's own series, without values.
fn series(metrics: &Metrics) -> BTreeSet<String> {
    let text = metrics.render();
    let lines = text.lines().filter(|line| line.starts_with("cogward_"));
    lines.filter_map(|line| line.rsplit_once(' ')).map(|(series, _)| series.to_owned()).collect()
}

fn touched() -> Metrics {
    let metrics = Metrics::new().unwrap();
    metrics.adopt(names(&["profile"], &["main"], &["contacts"]));
    metrics.record_request(Some("profile"), MethodLabel::Get, StatusClass::Success);
    metrics.record_decision(Some("profile"), Outcome::Deny, Some("not_owner"), Duration::from_micros(7));
    metrics.record_dispute(Some("profile"), "allow");
    metrics.record_upstream("contacts", Duration::from_millis(3));
    metrics.record_upstream_error("contacts", UpstreamError::Connect);
    metrics.record_upstream_ejection("contacts");
    metrics.record_upstream_retry("contacts");
    metrics.watch_servers(|| {
        let server = ServerStatus { endpoint: "http://a:1".into(), address: None, state: ServerState::Unresolved };
        let upstream = |upstream: &str| UpstreamStatus { upstream: upstream.into(), servers: vec![server.clone()] };
        vec![upstream("contacts"), upstream("removed-meanwhile")]
    });
    metrics.record_verification(Some("main"), Err(TokenError::Expired));
    metrics.record_token_cache(true);
    metrics.record_stream_end(StreamKind::WebSocket, StreamEnd::Expired);
    metrics.record_jwks_fetch("main", Ok(()));
    metrics.set_jwks_keys("main", 2, Some(UnixTime::from_seconds(1_700_000_000)));
    metrics.set_generation(3);
    metrics.record_reload_applied(UnixTime::from_seconds(1_700_000_001));
    metrics.set_certificate_expiry(([127, 0, 0, 1], 8443).into(), UnixTime::from_seconds(1_800_000_000));
    metrics.record_handshake(HandshakeResult::Timeout);
    metrics.record_check("http", "CheckResources", "ok");
    metrics.record_check_decisions(2, 1);
    metrics.set_unverified_jwt(true);
    metrics
}

#[test]
fn the_exposition_holds_every_metric_of_the_table_and_no_other() {
    let text = touched().render();
    let shown: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .filter(|line| line.starts_with("cogward_"))
        .collect();
    let table: BTreeSet<String> = REFERENCE.iter().map(|d| format!("{} {}", d.name, d.kind.as_str())).collect();
    assert_eq!(shown.iter().map(|line| line.to_string()).collect::<BTreeSet<_>>(), table);
}

#[test]
fn what_is_recorded_is_told_with_its_labels() {
    let text = touched().render();
    for line in [
        "cogward_requests_total{method=\"GET\",route=\"profile\",status_class=\"2xx\"} 1",
        "cogward_decisions_total{outcome=\"deny\",reason=\"not_owner\",route=\"profile\"} 1",
        "cogward_decisions_disputed_total{other=\"allow\",route=\"profile\"} 1",
        "cogward_decision_duration_seconds_bucket{le=\"0.000005\"} 0",
        "cogward_decision_duration_seconds_bucket{le=\"0.00001\"} 1",
        "cogward_upstream_duration_seconds_count{upstream=\"contacts\"} 1",
        "cogward_upstream_errors_total{kind=\"connect\",upstream=\"contacts\"} 1",
        "cogward_upstream_servers{state=\"unresolved\",upstream=\"contacts\"} 1",
        "cogward_upstream_servers{state=\"available\",upstream=\"contacts\"} 0",
        "cogward_upstream_ejections_total{upstream=\"contacts\"} 1",
        "cogward_upstream_retries_total{upstream=\"contacts\"} 1",
        "cogward_token_verifications_total{provider=\"main\",result=\"token_expired\"} 1",
        "cogward_token_cache_total{result=\"hit\"} 1",
        "cogward_streams_ended_total{cause=\"expired\",kind=\"websocket\"} 1",
        "cogward_token_cache_total{result=\"miss\"} 0",
        "cogward_certificate_expiry_timestamp_seconds{listener=\"127.0.0.1:8443\"} 1800000000",
        "cogward_tls_handshakes_total{result=\"ok\"} 0",
        "cogward_tls_handshakes_total{result=\"timeout\"} 1",
        "cogward_jwks_fetches_total{provider=\"main\",result=\"ok\"} 1",
        "cogward_jwks_keys{provider=\"main\"} 2",
        "cogward_jwks_last_success_timestamp_seconds{provider=\"main\"} 1700000000",
        "cogward_reloads_total{result=\"applied\"} 1",
        "cogward_reloads_total{result=\"rejected\"} 0",
        "cogward_policy_generation 3",
        "cogward_reload_last_success_timestamp_seconds 1700000001",
        "cogward_open_connections 0",
        "cogward_unsettled_requests_total 0",
        "cogward_audit_dropped_total{reason=\"queue_full\"} 0",
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line}\n\n{text}");
    }
    assert!(text.contains(&format!("version=\"{}\"", env!("CARGO_PKG_VERSION"))), "{text}");
}

#[test]
#[cfg(target_os = "linux")]
fn the_process_collector_stands_beside_ours() {
    let text = Metrics::new().unwrap().render();
    for name in ["process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds", "process_threads"] {
        assert!(text.contains(&format!("\n{name} ")), "{name}\n{text}");
    }
}

#[test]
fn a_request_without_a_route_is_none_and_an_unusual_method_is_other() {
    let metrics = Metrics::new().unwrap();
    let method = MethodLabel::of(&Method::from_bytes(b"PROPFIND").unwrap());
    metrics.record_request(None, method, StatusClass::of(Some(StatusCode::NOT_FOUND)));
    let expected = "cogward_requests_total{method=\"other\",route=\"none\",status_class=\"4xx\"} 1\n";
    assert!(metrics.render().contains(expected));
}

#[test]
fn a_scan_of_random_names_adds_no_series() {
    let metrics = touched();
    let scan = |at: u32| {
        let name = format!("scan-{}", at.wrapping_mul(2_654_435_761));
        let method = Method::from_bytes(format!("M{at}").as_bytes()).unwrap();
        let status = StatusClass::of(StatusCode::from_u16(100 + (at % 900) as u16).ok());
        metrics.record_request(Some(&name), MethodLabel::of(&method), status);
        metrics.record_decision(Some(&name), Outcome::Deny, Some("no_route"), Duration::ZERO);
        metrics.record_verification(Some(&name), Err(TokenError::UnknownKey { provider: 0 }));
        metrics.record_upstream(&name, Duration::ZERO);
        metrics.record_upstream_error(&name, UpstreamError::Other);
        metrics.record_jwks_fetch(&name, Err("too_large"));
        metrics.set_jwks_keys(&name, 1, Some(UnixTime::from_seconds(1)));
    };
    (0..1_000).for_each(scan);
    let after_a_few = series(&metrics);
    (1_000..100_000).for_each(scan);
    assert_eq!(series(&metrics), after_a_few);
    assert!(after_a_few.iter().all(|series| !series.contains("scan")), "{after_a_few:?}");
}

#[test]
fn keys_of_a_provider_that_is_gone_leave_no_gauge() {
    let metrics = touched();
    let before = series(&metrics);
    metrics.set_jwks_keys("gone", 1, Some(UnixTime::from_seconds(1)));
    assert_eq!(series(&metrics), before);
}

#[test]
fn series_of_what_a_reload_removed_disappear() {
    let metrics = touched();
    metrics.record_request(None, MethodLabel::Get, StatusClass::ClientError);
    metrics.adopt(names(&["other"], &["partner"], &["orders"]));
    let left = series(&metrics);
    for gone in ["\"profile\"", "\"main\"", "\"contacts\""] {
        assert!(left.iter().all(|series| !series.contains(gone)), "{gone}: {left:?}");
    }
    assert!(left.contains("cogward_requests_total{method=\"GET\",route=\"none\",status_class=\"4xx\"}"));
    assert!(left.contains("cogward_jwks_keys{provider=\"partner\"}"), "a provider's series start with it");
}

#[test]
fn counts_go_on_over_a_reload_that_keeps_the_route() {
    let metrics = touched();
    metrics.adopt(names(&["profile", "new"], &["main"], &["contacts"]));
    metrics.record_request(Some("profile"), MethodLabel::Get, StatusClass::Success);
    let expected = "cogward_requests_total{method=\"GET\",route=\"profile\",status_class=\"2xx\"} 2\n";
    assert!(metrics.render().contains(expected));
}

#[test]
fn a_request_that_outlives_its_route_does_not_bring_the_series_back() {
    let metrics = touched();
    metrics.adopt(names(&[], &[], &[]));
    metrics.record_request(Some("profile"), MethodLabel::Get, StatusClass::Success);
    assert!(metrics.render().contains("route=\"removed\""));
    assert!(!metrics.render().contains("profile"));
}

#[test]
fn open_connections_are_counted_at_the_scrape() {
    let (metrics, open) = (Metrics::new().unwrap(), Arc::new(std::sync::atomic::AtomicUsize::new(2)));
    let asked = Arc::clone(&open);
    metrics.watch_connections(move || asked.load(std::sync::atomic::Ordering::Relaxed));
    assert!(metrics.render().contains("cogward_open_connections 2\n"));
    open.store(0, std::sync::atomic::Ordering::Relaxed);
    assert!(metrics.render().contains("cogward_open_connections 0\n"));
}

#[test]
fn two_gateways_in_one_process_do_not_share_numbers() {
    let (one, other) = (Metrics::new().unwrap(), Metrics::new().unwrap());
    one.record_unsettled();
    assert!(one.render().contains("cogward_unsettled_requests_total 1\n"));
    assert!(other.render().contains("cogward_unsettled_requests_total 0\n"));
}

#[test]
fn a_name_with_quotes_and_line_feeds_cannot_forge_a_sample() {
    let metrics = Metrics::new().unwrap();
    let ugly = "a\"} 1\ncogward_forged 1\n\\";
    metrics.adopt(names(&[ugly], &[], &[]));
    metrics.record_request(Some(ugly), MethodLabel::Get, StatusClass::Success);
    assert!(metrics.render().lines().all(|line| !line.starts_with("cogward_forged")), "{}", metrics.render());
}

#[test]
fn the_reference_page_is_the_table() {
    expect_file![concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md")].assert_eq(&render_reference());
}
