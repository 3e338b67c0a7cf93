//! The listeners of the decision API: bound, stopped and handed over with those of clients.

use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::{sync::mpsc, task::JoinHandle};

use super::{ServerError, could_not_run, upgrade::Inheritance};
use crate::{
    config::{Limits, Settings},
    decision_api::{Api, Budget, Snapshot, Transport},
    edge::{CurrentLimits, DrainOutcome, Edge, Refusals, SETTLE, Sockets, Stop, TlsSlot},
    gate::Live,
    handover::Role,
    policy::PolicySet,
    reload::Parts,
    telemetry::{Metrics, Telemetry},
};

/// Bound listeners, in the order of [`TRANSPORTS`]; none where the settings have no decision API.
#[derive(Default)]
pub(super) struct ApiListeners {
    edges: Vec<Edge>,
}

const TRANSPORTS: [Transport; 2] = [Transport::Http, Transport::Grpc];

impl ApiListeners {
    /// Takes the addresses, inherited ones where they fit.
    pub(super) async fn bind(
        settings: &Settings,
        limits: &Arc<Live<Limits>>,
        inheritance: &mut Inheritance,
    ) -> Result<Self, ServerError> {
        let mut edges = Vec::new();
        for listener in settings.cerbos_api.iter().flat_map(|api| api.listeners()) {
            let limits = Arc::clone(limits);
            let current: CurrentLimits = Arc::new(move || *limits.load());
            let mut inherited = |address| inheritance.take(Role::DecisionApi, address);
            let edge = Edge::inherit(&[listener], &mut inherited, current).await;
            edges.push(edge.map_err(|error| could_not_run(&error))?);
        }
        for (edge, transport) in edges.iter().zip(TRANSPORTS) {
            let tls = edge.tls().iter().any(Option::is_some);
            for address in edge.addresses() {
                tracing::info!(%address, ?transport, tls, "decision API listening");
            }
        }
        Ok(Self { edges })
    }

    /// The sockets, to hand them over while they are served.
    pub(super) fn sockets(&self) -> Vec<Sockets> {
        self.edges.iter().map(Edge::sockets).collect()
    }

    /// What they are served with, to be kept up to date.
    pub(super) fn served(&self) -> Arc<Answering> {
        let slots =
            self.edges.iter().flat_map(|edge| edge.tls().into_iter().flatten().map(|slot| (slot, edge.addresses())));
        let is_served = !self.edges.is_empty();
        Arc::new(Answering { slots: slots.collect(), is_served, live: OnceLock::new() })
    }

    /// Serves until stopped, beside the listeners of clients, which take the stops that are given back.
    pub(super) fn run(
        self,
        answering: &Answering,
        company: Company,
        stops: mpsc::Receiver<Stop>,
    ) -> (Beside, mpsc::Receiver<Stop>) {
        let mut stops = Stops { source: stops, ends: Vec::new() };
        let to_clients = stops.one_more();
        let budget = Arc::new(Budget::default());
        let mut tasks = Vec::new();
        for (edge, transport) in self.edges.into_iter().zip(TRANSPORTS) {
            let Some(live) = answering.live.get() else { continue };
            let api = Arc::new(Api {
                transport,
                live: Arc::clone(live),
                telemetry: Arc::clone(&company.telemetry),
                budget: Arc::clone(&budget),
                events: Arc::clone(&company.events),
            });
            let (stops, stopping) = (stops.one_more(), company.stopping.clone());
            tasks.push(tokio::spawn(async move {
                let outcome = edge.run(Arc::clone(&api), api, stops).await;
                if outcome.lost_listener {
                    // Nobody listens any more where nothing runs.
                    let _ = stopping.send(AT_ONCE).await;
                }
                outcome
            }));
        }
        stops.spread();
        (Beside { tasks, stopping: company.stopping }, to_clients)
    }
}

/// Where a listener has died: rather no gateway than half of one.
const AT_ONCE: Stop = Stop { delay: Duration::ZERO, linger: SETTLE, grace: SETTLE };

/// The API while it serves.
pub(super) struct Beside {
    tasks: Vec<JoinHandle<DrainOutcome>>,
    stopping: mpsc::Sender<Stop>,
}

impl Beside {
    /// Waits for the listeners of clients, and then for those of the API: how both ended.
    pub(super) async fn until(self, clients: impl Future<Output = DrainOutcome>) -> DrainOutcome {
        let mut outcome = clients.await;
        if outcome.lost_listener {
            // The others end as well, or have ended.
            let _ = self.stopping.send(AT_ONCE).await;
        }
        for task in self.tasks {
            // A task that panicked has lost its listener.
            let other = task.await.unwrap_or(DrainOutcome { cut: 0, lost_listener: true });
            outcome.cut += other.cut;
            outcome.lost_listener |= other.lost_listener;
        }
        outcome
    }
}

/// What the API needs of the rest of the server.
pub(super) struct Company {
    pub(super) telemetry: Arc<Telemetry>,
    pub(super) events: Arc<dyn Refusals>,
    pub(super) stopping: mpsc::Sender<Stop>,
}

/// What the listeners of the API are served with.
pub(super) struct Answering {
    slots: Vec<(Arc<TlsSlot>, Vec<SocketAddr>)>,
    is_served: bool,
    live: OnceLock<Arc<Live<Snapshot>>>,
}

impl Answering {
    /// Questions from now on are answered by this generation.
    pub(super) fn adopt(&self, parts: &Parts<PolicySet>, metrics: &Metrics) {
        if !self.is_served {
            return;
        }
        for (slot, addresses) in &self.slots {
            let Some(tls) = &parts.api.tls else { continue };
            if slot.set(tls) {
                tracing::info!(
                    ?addresses,
                    expires = tls.expires().seconds(),
                    "the certificates of the decision API serve"
                );
            }
            addresses.iter().for_each(|address| metrics.set_certificate_expiry(*address, tls.expires()));
        }
        let unverified = parts.settings.cerbos_api.as_ref().is_some_and(|api| api.aux_jwt.disable_verification);
        metrics.set_unverified_jwt(unverified);
        if unverified {
            tracing::warn!("INSECURE: the decision API believes every token of a question (`disable_verification`)");
        }
        let snapshot = Snapshot::of(parts);
        match self.live.get() {
            Some(live) => live.swap(Arc::new(snapshot)),
            None => drop(self.live.set(Arc::new(Live::new(snapshot)))),
        }
    }
}

/// One source of stops for several edges.
struct Stops {
    source: mpsc::Receiver<Stop>,
    ends: Vec<mpsc::Sender<Stop>>,
}

impl Stops {
    /// An end that hears every stop from [`Stops::spread`] on.
    fn one_more(&mut self) -> mpsc::Receiver<Stop> {
        let (end, stops) = mpsc::channel(4);
        self.ends.push(end);
        stops
    }

    /// Passes stops on.
    fn spread(self) {
        let Self { mut source, ends } = self;
        tokio::spawn(async move {
            while let Some(stop) = source.recv().await {
                for end in &ends {
                    // Whoever does not hear it has ended.
                    let _ = end.send(stop).await;
                }
            }
        });
    }
}
