//! The numbers that Prometheus scrapes, in a registry of their own.
//!
//! Owns every metric and its labels; `docs/metrics.md` is rendered from [`REFERENCE`]. Does not count anything by itself: the edge calls
//! one `record_*` per event. Invariant: the value of a label is a member of a closed list or a name that [`Metrics::adopt`] was given,
//! whatever a caller passes. What clients send therefore adds no series, and what a reload removes leaves none behind.

mod definition;
mod labels;
mod scrape;

pub use definition::{Definition, Kind, Label, REFERENCE, render_reference};
pub use labels::{
    CutCause, HandshakeResult, MethodLabel, RefusedConnection, StatusClass, StreamEnd, StreamKind, UpstreamError,
};

use std::{collections::HashSet, net::SocketAddr, sync::OnceLock, time::Duration};

use arc_swap::ArcSwap;
use prometheus::{
    Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry,
    core::{Collector, MetricVec, MetricVecBuilder},
};
use thiserror::Error;

use crate::{time::UnixTime, token::TokenError};

use self::scrape::{Probe, ServerProbe};
use super::{Outcome, spool::Loss};

/// The label of a name that is not there: a request without a route, a token of no provider, an allow without a reason.
const NONE: &str = "none";

/// The result of a fetch of keys that went well.
const FETCHED: &str = "ok";

/// The label of a name that the configuration does not hold, or no longer.
const REMOVED: &str = "removed";

/// A metric that cannot be made: a name or a label in the table is wrong.
#[derive(Debug, Error)]
#[error("metrics cannot be set up")]
pub struct MetricsError(#[from] prometheus::Error);

/// The names that labels may hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Ids of routes.
    pub routes: HashSet<Box<str>>,
    /// Ids of providers.
    pub providers: HashSet<Box<str>>,
    /// Ids of upstreams.
    pub upstreams: HashSet<Box<str>>,
}

/// Every metric of the gateway. One per process; shared by `Arc`.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    names: ArcSwap<Names>,
    requests: IntCounterVec,
    decisions: IntCounterVec,
    disputes: IntCounterVec,
    decision_duration: Histogram,
    upstream_duration: HistogramVec,
    upstream_errors: IntCounterVec,
    upstream_servers: IntGaugeVec,
    upstream_ejections: IntCounterVec,
    upstream_retries: IntCounterVec,
    servers: OnceLock<ServerProbe>,
    verifications: IntCounterVec,
    cache_hits: IntCounter,
    cache_misses: IntCounter,
    jwks_fetches: IntCounterVec,
    jwks_keys: IntGaugeVec,
    jwks_last_success: IntGaugeVec,
    reloads_applied: IntCounter,
    reloads_rejected: IntCounter,
    generation: IntGauge,
    reload_last_success: IntGauge,
    open_connections: IntGauge,
    connections: OnceLock<Probe>,
    streams_ended: IntCounterVec,
    connections_refused: IntCounterVec,
    connections_cut: IntCounterVec,
    panics: IntCounter,
    certificate_expiry: IntGaugeVec,
    tls_handshakes: IntCounterVec,
    unsettled: IntCounter,
    audit_dropped: IntCounterVec,
    log_dropped: IntCounter,
    log: OnceLock<Probe>,
}

impl Metrics {
    /// Fresh metrics, all zero, without any configured name.
    pub fn new() -> Result<Self, MetricsError> {
        let registry = Registry::new();
        #[cfg(target_os = "linux")]
        registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        let build_info = definition::BUILD_INFO.gauges(&registry)?;
        build_info.with_label_values(&[env!("CARGO_PKG_VERSION"), std::env::consts::OS, std::env::consts::ARCH]).set(1);
        let token_cache = definition::TOKEN_CACHE.counters(&registry)?;
        let reloads = definition::RELOADS.counters(&registry)?;
        let audit_dropped = definition::AUDIT_DROPPED.counters(&registry)?;
        for loss in Loss::ALL {
            audit_dropped.with_label_values(&[loss.as_str()]);
        }
        let connections_refused = definition::CONNECTIONS_REFUSED.counters(&registry)?;
        for reason in RefusedConnection::ALL {
            connections_refused.with_label_values(&[reason.as_str()]);
        }
        let connections_cut = definition::CONNECTIONS_CUT.counters(&registry)?;
        for cause in CutCause::ALL {
            connections_cut.with_label_values(&[cause.as_str()]);
        }
        let tls_handshakes = definition::TLS_HANDSHAKES.counters(&registry)?;
        for result in HandshakeResult::ALL {
            tls_handshakes.with_label_values(&[result.as_str()]);
        }
        Ok(Self {
            names: ArcSwap::default(),
            requests: definition::REQUESTS.counters(&registry)?,
            decisions: definition::DECISIONS.counters(&registry)?,
            disputes: definition::DISPUTES.counters(&registry)?,
            decision_duration: definition::DECISION_DURATION.histogram(&registry)?,
            upstream_duration: definition::UPSTREAM_DURATION.histograms(&registry)?,
            upstream_errors: definition::UPSTREAM_ERRORS.counters(&registry)?,
            upstream_servers: definition::UPSTREAM_SERVERS.gauges(&registry)?,
            upstream_ejections: definition::UPSTREAM_EJECTIONS.counters(&registry)?,
            upstream_retries: definition::UPSTREAM_RETRIES.counters(&registry)?,
            servers: OnceLock::new(),
            verifications: definition::VERIFICATIONS.counters(&registry)?,
            cache_hits: token_cache.with_label_values(&["hit"]),
            cache_misses: token_cache.with_label_values(&["miss"]),
            jwks_fetches: definition::JWKS_FETCHES.counters(&registry)?,
            jwks_keys: definition::JWKS_KEYS.gauges(&registry)?,
            jwks_last_success: definition::JWKS_LAST_SUCCESS.gauges(&registry)?,
            reloads_applied: reloads.with_label_values(&["applied"]),
            reloads_rejected: reloads.with_label_values(&["rejected"]),
            generation: definition::GENERATION.gauge(&registry)?,
            reload_last_success: definition::RELOAD_LAST_SUCCESS.gauge(&registry)?,
            open_connections: definition::OPEN_CONNECTIONS.gauge(&registry)?,
            connections: OnceLock::new(),
            streams_ended: definition::STREAMS_ENDED.counters(&registry)?,
            connections_refused,
            connections_cut,
            panics: definition::PANICS.counter(&registry)?,
            certificate_expiry: definition::CERTIFICATE_EXPIRY.gauges(&registry)?,
            tls_handshakes,
            unsettled: definition::UNSETTLED.counter(&registry)?,
            audit_dropped,
            log_dropped: definition::LOG_DROPPED.counter(&registry)?,
            log: OnceLock::new(),
            registry,
        })
    }

    /// The names of the generation that is now in force. Series of other names disappear; each provider's series start.
    pub fn adopt(&self, names: Names) {
        let names = std::sync::Arc::new(names);
        self.names.store(names.clone());
        retain(&self.requests, 0, &names.routes);
        retain(&self.decisions, 0, &names.routes);
        retain(&self.disputes, 0, &names.routes);
        retain(&self.upstream_duration, 0, &names.upstreams);
        retain(&self.upstream_errors, 0, &names.upstreams);
        retain(&self.upstream_servers, 0, &names.upstreams);
        retain(&self.upstream_ejections, 0, &names.upstreams);
        retain(&self.upstream_retries, 0, &names.upstreams);
        retain(&self.verifications, 0, &names.providers);
        retain(&self.jwks_fetches, 0, &names.providers);
        retain(&self.jwks_keys, 0, &names.providers);
        retain(&self.jwks_last_success, 0, &names.providers);
        for provider in &names.providers {
            self.jwks_keys.with_label_values(&[provider]);
            self.jwks_last_success.with_label_values(&[provider]);
            self.jwks_fetches.with_label_values(&[&**provider, FETCHED]);
        }
        for upstream in &names.upstreams {
            self.upstream_duration.with_label_values(&[upstream]);
            self.upstream_ejections.with_label_values(&[upstream]);
            self.upstream_retries.with_label_values(&[upstream]);
        }
    }

    /// A request that is over.
    pub fn record_request(&self, route: Option<&str>, method: MethodLabel, status: StatusClass) {
        let names = self.names.load();
        let route = label(&names.routes, route);
        self.requests.with_label_values(&[route, method.as_str(), status.as_str()]).inc();
    }

    /// A decision: the reason is that of the audit line, none for an allow.
    pub fn record_decision(
        &self,
        route: Option<&str>,
        outcome: Outcome,
        reason: Option<&'static str>,
        duration: Duration,
    ) {
        let names = self.names.load();
        let route = label(&names.routes, route);
        self.decisions.with_label_values(&[route, outcome.as_str(), reason.unwrap_or(NONE)]).inc();
        self.decision_duration.observe(duration.as_secs_f64());
    }

    /// The other profile of Cerbos policies would have said that.
    pub fn record_dispute(&self, route: Option<&str>, other: &'static str) {
        let names = self.names.load();
        self.disputes.with_label_values(&[label(&names.routes, route), other]).inc();
    }

    /// The head of an upstream's answer came, so long after the decision.
    pub fn record_upstream(&self, upstream: &str, duration: Duration) {
        let names = self.names.load();
        self.upstream_duration
            .with_label_values(&[label(&names.upstreams, Some(upstream))])
            .observe(duration.as_secs_f64());
    }

    /// An attempt at an upstream failed.
    pub fn record_upstream_error(&self, upstream: &str, error: UpstreamError) {
        let names = self.names.load();
        self.upstream_errors.with_label_values(&[label(&names.upstreams, Some(upstream)), error.as_str()]).inc();
    }

    /// A server of an upstream was ejected.
    pub fn record_upstream_ejection(&self, upstream: &str) {
        let names = self.names.load();
        self.upstream_ejections.with_label_values(&[label(&names.upstreams, Some(upstream))]).inc();
    }

    /// A request is tried again.
    pub fn record_upstream_retry(&self, upstream: &str) {
        let names = self.names.load();
        self.upstream_retries.with_label_values(&[label(&names.upstreams, Some(upstream))]).inc();
    }

    /// A token was verified, not found in the cache. The provider is absent where none issues such tokens.
    pub fn record_verification(&self, provider: Option<&str>, result: Result<(), TokenError>) {
        let names = self.names.load();
        self.verifications.with_label_values(&[label(&names.providers, provider), labels::verification(result)]).inc();
    }

    /// A look-up in the cache of verified tokens.
    pub fn record_token_cache(&self, hit: bool) {
        if hit { self.cache_hits.inc() } else { self.cache_misses.inc() }
    }

    /// A fetch of a provider's keys, or the code of the fault.
    pub fn record_jwks_fetch(&self, provider: &str, result: Result<(), &'static str>) {
        let names = self.names.load();
        self.jwks_fetches
            .with_label_values(&[label(&names.providers, Some(provider)), result.err().unwrap_or(FETCHED)])
            .inc();
    }

    /// So many usable keys of a provider are held; `fetched` is when, absent when nothing was fetched just now. A provider that is not
    /// configured any more is passed over: the last value of a gauge would stand for ever.
    pub fn set_jwks_keys(&self, provider: &str, keys: usize, fetched: Option<UnixTime>) {
        if !self.names.load().providers.contains(provider) {
            return;
        }
        self.jwks_keys.with_label_values(&[provider]).set(signed(keys));
        if let Some(fetched) = fetched {
            self.jwks_last_success.with_label_values(&[provider]).set(signed(fetched.seconds()));
        }
    }

    /// Files were put into force.
    pub fn record_reload_applied(&self, at: UnixTime) {
        self.reloads_applied.inc();
        self.reload_last_success.set(signed(at.seconds()));
    }

    /// The generation that serves: files or keys have changed.
    pub fn set_generation(&self, generation: u64) {
        self.generation.set(signed(generation));
    }

    /// Files were refused; what was in force goes on.
    pub fn record_reload_rejected(&self) {
        self.reloads_rejected.inc();
    }

    /// A connection was turned away.
    pub fn record_refused_connection(&self, reason: RefusedConnection) {
        self.connections_refused.with_label_values(&[reason.as_str()]).inc();
    }

    /// The edge ended an exchange, a stream or a connection.
    pub fn record_cut(&self, cause: CutCause) {
        self.connections_cut.with_label_values(&[cause.as_str()]).inc();
    }

    /// A task panicked.
    pub fn record_panic(&self) {
        self.panics.inc();
    }

    /// When the first certificate of a listener expires. Listeners are those of the start: no series is ever left behind.
    pub fn set_certificate_expiry(&self, listener: SocketAddr, at: UnixTime) {
        self.certificate_expiry.with_label_values(&[&listener.to_string()]).set(signed(at.seconds()));
    }

    /// A TLS handshake of a client is over.
    pub fn record_handshake(&self, result: HandshakeResult) {
        self.tls_handshakes.with_label_values(&[result.as_str()]).inc();
    }

    /// A stream is over.
    pub fn record_stream_end(&self, kind: StreamKind, end: StreamEnd) {
        self.streams_ended.with_label_values(&[kind.as_str(), end.as_str()]).inc();
    }

    /// A request ended without an outcome.
    pub fn record_unsettled(&self) {
        self.unsettled.inc();
    }

    /// So many audit lines were lost.
    pub fn record_audit_loss(&self, loss: Loss, lines: u64) {
        self.audit_dropped.with_label_values(&[loss.as_str()]).inc_by(lines);
    }

    /// How many audit lines were lost, for whatever reason.
    pub fn audit_lost(&self) -> u64 {
        Loss::ALL.iter().map(|loss| self.audit_dropped.with_label_values(&[loss.as_str()]).get()).sum()
    }
}

/// The name as a label, if the configuration holds it.
fn label<'n>(names: &'n HashSet<Box<str>>, name: Option<&str>) -> &'n str {
    // SECURITY: whatever callers pass, only configured names become series: `a_scan_of_random_names_adds_no_series`.
    name.map_or(NONE, |name| names.get(name).map_or(REMOVED, |known| known))
}

/// Removes the series whose label at `place` is neither in `names` nor one of ours. Happens once a reload, not per request.
fn retain<B>(metric: &MetricVec<B>, place: usize, names: &HashSet<Box<str>>)
where
    B: MetricVecBuilder,
    MetricVec<B>: Collector,
{
    let order: Vec<String> = metric.desc().first().map(|desc| desc.variable_labels.clone()).unwrap_or_default();
    for family in metric.collect() {
        for series in family.get_metric() {
            let value_of = |name: &String| series.get_label().iter().find(|pair| pair.name() == name);
            let values: Vec<&str> = order.iter().filter_map(value_of).map(|pair| pair.value()).collect();
            let stays = values.get(place).is_none_or(|name| [NONE, REMOVED].contains(name) || names.contains(*name));
            if !stays {
                // It can only be gone already, which is what is wanted.
                let _ = metric.remove_label_values(&values);
            }
        }
    }
}

/// As a gauge holds it. Nothing that is counted here comes near the end of the range.
fn signed(value: impl TryInto<i64>) -> i64 {
    value.try_into().unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
