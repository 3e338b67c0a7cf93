//! How the gateway is: the conditions of readiness, and what an operator asks first.
//!
//! Written by the room that knows (reload, keys, edge), read by the admin pages. Never asked while a request is decided.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use crate::{diagnostic::Report, time::UnixTime};

/// The gateway's health. One per process; shared by `Arc`.
#[derive(Debug)]
pub struct Health {
    started: UnixTime,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    policies: bool,
    draining: bool,
    providers: Vec<Keys>,
    listeners: Vec<Listening>,
    generation: Option<u64>,
    applied: Option<UnixTime>,
    rejected: Option<Rejected>,
}

/// The keys of one provider.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Keys {
    provider: String,
    count: usize,
    fetched: Option<UnixTime>,
}

/// One address that is listened on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listening {
    /// Address and port, as bound.
    pub address: std::net::SocketAddr,
    /// TLS, or plain text.
    pub tls: bool,
}

#[derive(Clone, Debug)]
struct Rejected {
    at: UnixTime,
    pending: bool,
    report: Report,
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
pub(super) struct Status {
    version: &'static str,
    ready: bool,
    draining: bool,
    started_at: String,
    uptime_seconds: u64,
    generation: Option<u64>,
    applied_at: Option<String>,
    last_rejected: Option<RejectedStatus>,
    providers: Vec<ProviderStatus>,
    listeners: Vec<Listening>,
}

#[derive(Debug, Serialize)]
struct RejectedStatus {
    at: String,
    /// It came after what is in force: the files on disk are not the ones that decide.
    pending: bool,
    report: Report,
}

#[derive(Debug, Serialize)]
struct ProviderStatus {
    provider: String,
    keys: usize,
    fetched_at: Option<String>,
    age_seconds: Option<u64>,
}

impl Health {
    /// A gateway that has just started: no policies, no keys, not ready.
    pub fn new(started: UnixTime) -> Self {
        Self { started, state: Mutex::default() }
    }

    /// The providers of the settings in force, by place. Those that stay keep what is known about their keys.
    pub fn set_providers<I: IntoIterator<Item: Into<String>>>(&self, providers: I) {
        let mut state = self.state();
        let mut known = std::mem::take(&mut state.providers);
        let keys = |provider: String| match known.iter().position(|keys| keys.provider == provider) {
            Some(at) => known.swap_remove(at),
            None => Keys { provider, count: 0, fetched: None },
        };
        let providers = providers.into_iter().map(Into::into).map(keys).collect();
        state.providers = providers;
    }

    /// The addresses that are bound.
    pub fn set_listeners(&self, listeners: Vec<Listening>) {
        self.state().listeners = listeners;
    }

    /// Policies are held, or no longer. [`applied`](Self::applied) sets it.
    pub fn set_policies_held(&self, held: bool) {
        self.state().policies = held;
    }

    /// So many keys of the provider at that place are held. `fetched` is absent where they are as old as before.
    pub fn provider_keys(&self, place: usize, count: usize, fetched: Option<UnixTime>) {
        if let Some(keys) = self.state().providers.get_mut(place) {
            keys.count = count;
            keys.fetched = fetched.or(keys.fetched);
        }
    }

    /// The gateway is about to stop: readiness turns red and stays so.
    pub fn set_draining(&self) {
        self.state().draining = true;
    }

    /// The number of the generation in force: files or keys have changed.
    pub fn set_generation(&self, generation: u64) {
        self.state().generation = Some(generation);
    }

    /// Files came into force.
    pub fn applied(&self, at: UnixTime) {
        let mut state = self.state();
        state.applied = Some(at);
        state.policies = true;
        if let Some(rejected) = &mut state.rejected {
            rejected.pending = false;
        }
    }

    /// Changed files were refused; what is in force goes on.
    pub fn rejected(&self, report: Report, at: UnixTime) {
        self.state().rejected = Some(Rejected { at, pending: true, report });
    }

    /// The conditions of readiness, now.
    pub fn readiness(&self) -> Readiness {
        self.state().readiness()
    }

    pub(super) fn status(&self, now: UnixTime) -> Status {
        let state = self.state();
        let rejected = |rejected: &Rejected| RejectedStatus {
            at: told(rejected.at),
            pending: rejected.pending,
            report: rejected.report.clone(),
        };
        let provider = |keys: &Keys| ProviderStatus {
            provider: keys.provider.clone(),
            keys: keys.count,
            fetched_at: keys.fetched.map(told),
            age_seconds: keys.fetched.map(|fetched| now.seconds_since(fetched)),
        };
        Status {
            version: env!("CARGO_PKG_VERSION"),
            ready: state.readiness().ready,
            draining: state.draining,
            started_at: told(self.started),
            uptime_seconds: now.seconds_since(self.started),
            generation: state.generation,
            applied_at: state.applied.map(told),
            last_rejected: state.rejected.as_ref().map(rejected),
            providers: state.providers.iter().map(provider).collect(),
            listeners: state.listeners.clone(),
        }
    }

    /// Nobody panics while holding the lock, and the state is whole between any two statements.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn readiness(&self) -> Readiness {
        let providers: Vec<_> = self
            .providers
            .iter()
            .map(|keys| ProviderReadiness { provider: keys.provider.clone(), keys: keys.count > 0 })
            .collect();
        let mut red = Vec::new();
        if !self.policies {
            red.push("policies".to_owned());
        }
        if self.draining {
            red.push("draining".to_owned());
        }
        red.extend(providers.iter().filter(|p| !p.keys).map(|p| format!("keys:{}", p.provider)));
        Readiness { ready: red.is_empty(), policies: self.policies, draining: self.draining, providers, red }
    }
}

fn told(time: UnixTime) -> String {
    crate::telemetry::rfc3339(std::time::Duration::from_secs(time.seconds()))
}
