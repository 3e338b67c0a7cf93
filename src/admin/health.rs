//! How the gateway is: the conditions of readiness, and what an operator asks first.
//!
//! Files and keys are the reload's own account; the edge adds where it listens and that it stops. Never asked while a request is decided.

use std::sync::{
    OnceLock,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use serde::Serialize;

use crate::{
    diagnostic::Report,
    reload::{KeyStatus, SharedStatus, Status},
    telemetry::UpstreamStatus,
    time::UnixTime,
};

/// The gateway's health. One per process; shared by `Arc`.
#[derive(Debug)]
pub struct Health {
    started: UnixTime,
    reload: SharedStatus,
    listeners: OnceLock<Vec<Listening>>,
    draining: AtomicBool,
}

/// One address that is listened on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listening {
    /// Address and port, as bound.
    pub address: std::net::SocketAddr,
    /// TLS, or plain text.
    pub tls: bool,
}

/// The body of `/readyz`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// Every condition is green.
    pub ready: bool,
    /// Policies are held.
    pub policies: bool,
    /// The gateway is about to stop.
    pub draining: bool,
    /// Each provider, and whether keys of it are held.
    pub providers: Vec<ProviderReadiness>,
    /// The conditions that are red: `policies`, `draining`, `keys:PROVIDER`.
    pub red: Vec<String>,
}

/// One provider in [`Readiness`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProviderReadiness {
    /// The provider's id.
    pub provider: String,
    /// Keys of it are held.
    pub keys: bool,
}

/// The body of `/status`.
#[derive(Debug, Serialize)]
pub(super) struct Page {
    version: &'static str,
    ready: bool,
    draining: bool,
    started_at: String,
    uptime_seconds: u64,
    generation: u64,
    applied_at: Option<String>,
    /// Since when the files on disk are not those that decide.
    stale_since: Option<String>,
    /// Settings that differ on disk and count after a restart only.
    restart_needed: Vec<&'static str>,
    last_rejected: Option<RejectedPage>,
    providers: Vec<ProviderPage>,
    listeners: Vec<Listening>,
    upstreams: Vec<UpstreamStatus>,
}

#[derive(Debug, Serialize)]
struct RejectedPage {
    at: Option<String>,
    /// It came after what is in force: the files on disk are not the ones that decide.
    pending: bool,
    report: Report,
}

#[derive(Debug, Serialize)]
struct ProviderPage {
    provider: String,
    keys: usize,
    fetched_at: Option<String>,
    age_seconds: Option<u64>,
    /// Why the last fetch failed; absent when it did not.
    failing: Option<&'static str>,
}

impl Health {
    /// A gateway that has just started, and whatever its reload has to say.
    pub fn new(started: UnixTime, reload: SharedStatus) -> Self {
        Self { started, reload, listeners: OnceLock::new(), draining: AtomicBool::new(false) }
    }

    /// The addresses that are bound. They never change.
    pub fn set_listeners(&self, listeners: Vec<Listening>) {
        self.listeners.get_or_init(|| listeners);
    }

    /// The gateway is about to stop: readiness turns red and stays so.
    pub fn set_draining(&self) {
        self.draining.store(true, Relaxed);
    }

    /// The conditions of readiness, now.
    pub fn readiness(&self) -> Readiness {
        readiness(&self.reload.read(), self.draining.load(Relaxed))
    }

    pub(super) fn page(&self, now: UnixTime, upstreams: Vec<UpstreamStatus>) -> Page {
        let (reload, draining) = (self.reload.read(), self.draining.load(Relaxed));
        let ready = readiness(&reload, draining).ready;
        let Status { generation, applied, restart_needed, stale_since, rejected, keys } = reload;
        let rejected = rejected.map(|rejected| RejectedPage {
            at: rejected.at.map(told),
            pending: stale_since.is_some(),
            report: rejected.report,
        });
        let provider = |keys: KeyStatus| ProviderPage {
            provider: keys.provider,
            keys: keys.keys,
            fetched_at: keys.confirmed.map(told),
            age_seconds: keys.confirmed.map(|confirmed| now.seconds_since(confirmed)),
            failing: keys.failing,
        };
        Page {
            version: env!("CARGO_PKG_VERSION"),
            ready,
            draining,
            started_at: told(self.started),
            uptime_seconds: now.seconds_since(self.started),
            generation,
            applied_at: applied.map(told),
            stale_since: stale_since.map(told),
            restart_needed,
            last_rejected: rejected,
            providers: keys.into_iter().map(provider).collect(),
            listeners: self.listeners.get().cloned().unwrap_or_default(),
            upstreams,
        }
    }
}

fn readiness(reload: &Status, draining: bool) -> Readiness {
    let provider = |keys: &KeyStatus| ProviderReadiness { provider: keys.provider.clone(), keys: keys.keys > 0 };
    let providers: Vec<_> = reload.keys.iter().map(provider).collect();
    // The first generation is published with policies, and no later one is without.
    let policies = reload.generation > 0;
    let mut red = Vec::new();
    if !policies {
        red.push("policies".to_owned());
    }
    if draining {
        red.push("draining".to_owned());
    }
    red.extend(
        providers.iter().filter(|provider| !provider.keys).map(|provider| format!("keys:{}", provider.provider)),
    );
    Readiness { ready: red.is_empty(), policies, draining, providers, red }
}

fn told(time: UnixTime) -> String {
    crate::telemetry::rfc3339(std::time::Duration::from_secs(time.seconds()))
}
