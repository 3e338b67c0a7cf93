//! The table of all metrics: the one place that names them, and the source of `docs/metrics.md`.

use std::fmt::Write as _;

use prometheus::{
    Error, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

/// What kind of number a metric is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts of observations up to these bounds, in seconds.
    Histogram(&'static [f64]),
}

impl Kind {
    /// The word for it in the exposition.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }
}

/// One metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Definition {
    /// The whole name, prefix and unit included.
    pub name: &'static str,
    /// What kind of number.
    pub kind: Kind,
    /// Its labels and where their values come from.
    pub labels: &'static [Label],
    /// What it counts.
    pub help: &'static str,
}

/// One label of a metric: its name, and what its values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label(pub &'static str, pub &'static str);

/// 2 us to 1 s: a cached token decides in microseconds, a look-up in milliseconds.
const DECISION_BOUNDS: &[f64] =
    &[0.000_002, 0.000_005, 0.000_01, 0.000_02, 0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.005, 0.025, 0.1, 1.0];
/// 1 ms to 30 s.
const UPSTREAM_BOUNDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

const ROUTE: Label = Label(
    "route",
    "a route's id; `none` without a route; `removed` where a reload took it away before the request was over",
);
const PROVIDER: Label =
    Label("provider", "a provider's id; `none` where the issuer is unknown; `removed` as for routes");
const CONFIGURED_PROVIDER: Label = Label("provider", "a provider's id");
const FETCHING_PROVIDER: Label = Label("provider", "a provider's id; `removed` as for routes");
const UPSTREAM: Label = Label("upstream", "an upstream's id; `removed` as for routes");

const fn counter(name: &'static str, labels: &'static [Label], help: &'static str) -> Definition {
    Definition { name, kind: Kind::Counter, labels, help }
}

const fn gauge(name: &'static str, labels: &'static [Label], help: &'static str) -> Definition {
    Definition { name, kind: Kind::Gauge, labels, help }
}

pub(super) const REQUESTS: Definition = counter(
    "cogward_requests_total",
    &[
        ROUTE,
        Label("method", "`GET`, `HEAD`, `POST`, `PUT`, `PATCH`, `DELETE`, `OPTIONS`, `other`"),
        Label("status_class", "`1xx` to `5xx`; `none` where the client left before an answer"),
    ],
    "Requests, when they are over; streams, when they are opened.",
);
pub(super) const DECISIONS: Definition = counter(
    "cogward_decisions_total",
    &[
        ROUTE,
        Label("outcome", "`allow`, `deny`"),
        Label(
            "reason",
            "`none` for an allow, `preflight` for an answered CORS preflight; else the reason code of the audit line",
        ),
    ],
    "Decisions.",
);
pub(super) const DISPUTES: Definition = counter(
    "cogward_decisions_disputed_total",
    &[ROUTE, Label("other", "`allow`, `deny`: what the other profile would have said")],
    "Decisions of Cerbos policies that the other profile (`policies.cerbos.profile`) would have made differently.",
);
pub(super) const DECISION_DURATION: Definition = Definition {
    name: "cogward_decision_duration_seconds",
    kind: Kind::Histogram(DECISION_BOUNDS),
    labels: &[],
    help: "Time from a complete request head to the decision, the reading of a body included.",
};
pub(super) const UPSTREAM_DURATION: Definition = Definition {
    name: "cogward_upstream_duration_seconds",
    kind: Kind::Histogram(UPSTREAM_BOUNDS),
    labels: &[UPSTREAM],
    help: "Time from the decision to the head of the upstream's answer.",
};
pub(super) const UPSTREAM_ERRORS: Definition = counter(
    "cogward_upstream_errors_total",
    &[
        UPSTREAM,
        Label(
            "kind",
            "`connect`, `connect_timeout`, `tls`, `read_timeout`, `write_timeout`, `closed`, `invalid_answer`, `other`",
        ),
    ],
    "Attempts at an upstream that failed.",
);
pub(super) const UPSTREAM_SERVERS: Definition = gauge(
    "cogward_upstream_servers",
    &[UPSTREAM, Label("state", "`available`, `resting`, `ejected`, `unhealthy`, `unresolved`")],
    "Servers of an upstream, each address of a name by itself; a name without an address counts once, as `unresolved`.",
);
pub(super) const UPSTREAM_EJECTIONS: Definition = counter(
    "cogward_upstream_ejections_total",
    &[UPSTREAM],
    "Times that a server was ejected because it failed requests in a row.",
);
pub(super) const UPSTREAM_RETRIES: Definition =
    counter("cogward_upstream_retries_total", &[UPSTREAM], "Attempts at an upstream after the first one of a request.");
pub(super) const VERIFICATIONS: Definition = counter(
    "cogward_token_verifications_total",
    &[PROVIDER, Label("result", "`ok`, or the first check that failed, such as `token_expired`")],
    "Tokens that were verified, cache hits left out.",
);
pub(super) const TOKEN_CACHE: Definition = counter(
    "cogward_token_cache_total",
    &[Label("result", "`hit`, `miss`")],
    "Look-ups in the cache of verified tokens.",
);
pub(super) const JWKS_FETCHES: Definition = counter(
    "cogward_jwks_fetches_total",
    &[
        FETCHING_PROVIDER,
        Label(
            "result",
            "`ok`; `dropped` when the held keys grew too old; or why it failed: `resolve`, `connect`, `tls`, `timeout`, `redirect`, `status`, \
             `encoded`, `broken`, `url`, `too_large`, `not_a_key_set`, `too_many_keys`, `no_usable_key`",
        ),
    ],
    "Fetches of a provider's keys.",
);
pub(super) const JWKS_KEYS: Definition =
    gauge("cogward_jwks_keys", &[CONFIGURED_PROVIDER], "Usable keys that are held.");
pub(super) const JWKS_LAST_SUCCESS: Definition = gauge(
    "cogward_jwks_last_success_timestamp_seconds",
    &[CONFIGURED_PROVIDER],
    "When a provider's keys were last fetched, in seconds since the epoch; 0 before the first time.",
);
pub(super) const RELOADS: Definition = counter(
    "cogward_reloads_total",
    &[Label("result", "`applied`, `rejected`")],
    "Attempts to put changed files into force, the first one at start included.",
);
pub(super) const GENERATION: Definition =
    gauge("cogward_policy_generation", &[], "The generation of settings and policies that is in force.");
pub(super) const RELOAD_LAST_SUCCESS: Definition = gauge(
    "cogward_reload_last_success_timestamp_seconds",
    &[],
    "When files were last put into force, in seconds since the epoch.",
);
pub(super) const OPEN_CONNECTIONS: Definition =
    gauge("cogward_open_connections", &[], "Connections of clients that are open now, over all listeners.");
pub(super) const STREAMS_ENDED: Definition = counter(
    "cogward_streams_ended_total",
    &[
        Label(
            "kind",
            "`websocket`; `event_stream`, also `multipart/x-mixed-replace`; `grpc`, calls of one message included",
        ),
        Label(
            "cause",
            "`expired` with its token; `client_closed`; `upstream_closed`, as it should or not; `idle` for `stream_idle`; \
             `stalled`, the client took no more; `shutdown`; `overdue` by `limits.exchange_time`; `failed` within the gateway",
        ),
    ],
    "Streams, when they are over.",
);
pub(super) const CONNECTIONS_REFUSED: Definition = counter(
    "cogward_connections_refused_total",
    &[Label("reason", "`connections`: all places are taken; `address`: all places of its address are taken")],
    "Connections that were turned away before anything was done for them.",
);
pub(super) const CONNECTIONS_CUT: Definition = counter(
    "cogward_connections_cut_total",
    &[Label(
        "cause",
        "`expired` with its token; `overdue` by `limits.exchange_time`; `body_stalled`, `body_malformed`, `write_stalled`, `frame_stalled`, \
          `flooded`; `shutdown`; `stream_refused` and `http2_error`: HTTP/2 \
         that was refused before there was a request, so without an audit line",
    )],
    "Exchanges, HTTP/2 streams and connections that were ended for what the client did or did not do.",
);
pub(super) const PANICS: Definition =
    counter("cogward_panics_total", &[], "Panics of any task. Each is isolated; anything but 0 is a bug.");
pub(super) const CERTIFICATE_EXPIRY: Definition = gauge(
    "cogward_certificate_expiry_timestamp_seconds",
    &[Label("listener", "a TLS listener's address and port, as bound")],
    "When the first of the certificates that a listener serves expires, in seconds since the epoch.",
);
pub(super) const TLS_HANDSHAKES: Definition = counter(
    "cogward_tls_handshakes_total",
    &[Label(
        "result",
        "`ok`; `failed`, where a client left, or the two do not agree on TLS or a certificate; `timeout`",
    )],
    "TLS handshakes of clients that are over.",
);
pub(super) const UNSETTLED: Definition = counter(
    "cogward_unsettled_requests_total",
    &[],
    "Requests that ended without an outcome, because their task panicked. Anything but 0 is a bug.",
);
pub(super) const AUDIT_DROPPED: Definition = counter(
    "cogward_audit_dropped_total",
    &[Label("reason", "`queue_full`, `write_failed`, `closed`")],
    "Audit lines that were lost.",
);
pub(super) const LOG_DROPPED: Definition = counter(
    "cogward_log_dropped_total",
    &[],
    "Log lines that were lost because standard error did not take them. Lines above the rate are not among them.",
);
pub(super) const BUILD_INFO: Definition = gauge(
    "cogward_build_info",
    &[Label("version", "of Cogward"), Label("os", "such as `linux`"), Label("arch", "such as `x86_64`")],
    "Always 1.",
);

/// Every metric of the gateway itself, in the order of the reference page.
pub const REFERENCE: &[Definition] = &[
    REQUESTS,
    DECISIONS,
    DISPUTES,
    DECISION_DURATION,
    UPSTREAM_DURATION,
    UPSTREAM_ERRORS,
    UPSTREAM_SERVERS,
    UPSTREAM_EJECTIONS,
    UPSTREAM_RETRIES,
    VERIFICATIONS,
    TOKEN_CACHE,
    JWKS_FETCHES,
    JWKS_KEYS,
    JWKS_LAST_SUCCESS,
    RELOADS,
    GENERATION,
    RELOAD_LAST_SUCCESS,
    OPEN_CONNECTIONS,
    STREAMS_ENDED,
    CONNECTIONS_REFUSED,
    CONNECTIONS_CUT,
    PANICS,
    CERTIFICATE_EXPIRY,
    TLS_HANDSHAKES,
    UNSETTLED,
    AUDIT_DROPPED,
    LOG_DROPPED,
    BUILD_INFO,
];

impl Definition {
    fn opts(&self) -> Opts {
        Opts::new(self.name, self.help)
    }

    fn label_names(&self) -> Vec<&'static str> {
        self.labels.iter().map(|Label(name, _)| *name).collect()
    }

    fn histogram_opts(&self) -> HistogramOpts {
        let opts = HistogramOpts::new(self.name, self.help);
        match self.kind {
            Kind::Histogram(bounds) => opts.buckets(bounds.to_vec()),
            Kind::Counter | Kind::Gauge => opts,
        }
    }

    pub(super) fn counter(&self, registry: &Registry) -> Result<IntCounter, Error> {
        register(registry, IntCounter::with_opts(self.opts())?)
    }

    pub(super) fn counters(&self, registry: &Registry) -> Result<IntCounterVec, Error> {
        register(registry, IntCounterVec::new(self.opts(), &self.label_names())?)
    }

    pub(super) fn gauge(&self, registry: &Registry) -> Result<IntGauge, Error> {
        register(registry, IntGauge::with_opts(self.opts())?)
    }

    pub(super) fn gauges(&self, registry: &Registry) -> Result<IntGaugeVec, Error> {
        register(registry, IntGaugeVec::new(self.opts(), &self.label_names())?)
    }

    pub(super) fn histogram(&self, registry: &Registry) -> Result<Histogram, Error> {
        register(registry, Histogram::with_opts(self.histogram_opts())?)
    }

    pub(super) fn histograms(&self, registry: &Registry) -> Result<HistogramVec, Error> {
        register(registry, HistogramVec::new(self.histogram_opts(), &self.label_names())?)
    }
}

fn register<C: prometheus::core::Collector + Clone + 'static>(registry: &Registry, metric: C) -> Result<C, Error> {
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

/// The reference page, `docs/metrics.md`.
pub fn render_reference() -> String {
    let mut page = String::from(PREAMBLE);
    for definition in REFERENCE {
        let _ = write!(page, "\n### `{}`\n\n{} ({})\n", definition.name, definition.help, definition.kind.as_str());
        if let Kind::Histogram(bounds) = definition.kind {
            let bounds: Vec<String> = bounds.iter().map(f64::to_string).collect();
            let _ = write!(page, "\nBuckets, in seconds: {}\n", bounds.join(", "));
        }
        if !definition.labels.is_empty() {
            page.push_str("\n| label | values |\n|---|---|\n");
        }
        for Label(name, values) in definition.labels {
            let _ = writeln!(page, "| `{name}` | {values} |");
        }
    }
    page
}

const PREAMBLE: &str = "\
# Metrics

The admin listener answers `GET /metrics` in the Prometheus text format. This page is rendered from the code; a test compares it.

Label values come from the configuration and from closed lists only: no path, host, method or token of a client ever becomes a
series. When a reload removes a route, a provider or an upstream, its series go with it.

On Linux the standard `process_*` metrics (`process_cpu_seconds_total`, `process_resident_memory_bytes`, `process_open_fds`,
`process_max_fds`, `process_threads`, `process_virtual_memory_bytes`, `process_start_time_seconds`) stand beside these:
";
