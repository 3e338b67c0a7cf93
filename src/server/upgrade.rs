//! One process takes the place of another: what the server does on either side of the handover.
//!
//! The old process serves until the new one has said that it is ready, and drains then. Whatever fails before is logged, and
//! nothing has changed.

use std::{
    error::Error,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, sleep},
};

use super::{Pace, ServerError, could_not_run, systemd};
use crate::{
    admin::Health,
    edge::{DrainOutcome, Draining, Sockets, Stop},
    handover::{Confirmed, HandoverError, Inherited, Meeting, Offered, Role, Takeover, hand_over},
};

/// How long the new process may take until it holds keys and policies.
const READY: Duration = Duration::from_secs(30);

/// How long the old process waits for that.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often a process looks whether it is ready, or stops.
const LOOK: Duration = Duration::from_millis(10);

/// How long questions of operators that are being answered may take after the handover.
const ADMIN_GRACE: Duration = Duration::from_secs(1);

/// How a process starts to serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// On sockets of its own.
    Fresh,
    /// On the sockets of the gateway that runs, once that has handed them over.
    Upgrade {
        /// How long to wait for it.
        wait: Duration,
    },
}

/// What the gateway that ran before has given.
#[derive(Debug, Default)]
pub(super) struct Inheritance {
    sockets: Vec<Inherited>,
    takeover: Option<Takeover>,
    confirmed: Option<Confirmed>,
}

impl Inheritance {
    /// Nothing on a fresh start; else waits for the old process.
    pub(super) async fn of(start: Start, path: Option<&Path>) -> Result<Self, ServerError> {
        if let Some(path) = path {
            Meeting::check(path).map_err(|error| could_not_run(&error))?;
        }
        let Start::Upgrade { wait } = start else { return Ok(Self::default()) };
        let Some(path) = path else {
            let text = "`--upgrade` needs `upgrade_socket` in the settings: the path where both processes meet";
            return Err(ServerError::CouldNotRun(text.to_owned()));
        };
        let taken = async {
            let meeting = Meeting::open(path)?;
            tracing::info!(path = %path.display(), ?wait, "waiting for the sockets of the running gateway: send it SIGQUIT");
            meeting.take_over(wait).await
        };
        let (takeover, sockets) = taken.await.map_err(|error: HandoverError| could_not_run(&error))?;
        tracing::info!(sockets = sockets.len(), "the running gateway has offered its sockets");
        Ok(Self { sockets, takeover: Some(takeover), confirmed: None })
    }

    /// A socket for this address, once. Where the port is a free one each time, what it was for counts as well.
    pub(super) fn take(&mut self, role: Role, address: SocketAddr) -> Option<std::net::TcpListener> {
        let fits = |one: &Inherited| one.configured == address && (address.port() != 0 || one.role == role);
        let place = self.sockets.iter().position(fits)?;
        // In order: two sockets may differ in it alone.
        Some(self.sockets.remove(place).socket)
    }

    /// Closes what the settings name no more: the old process serves what it still holds of it to the end.
    pub(super) fn close_the_rest(&mut self) {
        for left in self.sockets.drain(..) {
            tracing::info!(address = %left.configured, "a socket of the old process is not wanted any more");
        }
    }

    /// Returns when this process could take over; at once on a fresh start, which may be without keys for a while.
    pub(super) async fn ready(&mut self, health: &Health) -> Result<(), ServerError> {
        let Some(takeover) = &mut self.takeover else { return Ok(()) };
        tokio::select! {
            ready = ready(health) => ready,
            () = takeover.abandoned() => Err(could_not_run(&HandoverError::Gone)),
        }
    }

    /// Returns when this process is the one that serves; at once on a fresh start.
    pub(super) async fn confirm(&mut self) -> Result<(), ServerError> {
        let Some(takeover) = self.takeover.take() else { return Ok(()) };
        self.confirmed = Some(takeover.confirm().await.map_err(|error| could_not_run(&error))?);
        tracing::info!("this process serves now; the old one finishes what it has begun");
        Ok(())
    }

    /// This process accepts: systemd knows it before the old one ends.
    pub(super) fn serving(&mut self) {
        systemd::serving();
        self.confirmed = None;
    }

    /// Tells the old process that this one does not come to serve.
    pub(super) async fn decline(self, reason: &ServerError) {
        if let Some(takeover) = self.takeover {
            takeover.decline(&reason.to_string()).await;
        }
    }
}

/// Waits until the gateway would call itself ready.
async fn ready(health: &Health) -> Result<(), ServerError> {
    let end = Instant::now() + READY;
    loop {
        let readiness = health.readiness();
        if readiness.ready {
            return Ok(());
        }
        if Instant::now() > end {
            let red = readiness.red.join(", ");
            return Err(ServerError::CouldNotRun(format!("not ready within {READY:?}: {red}")));
        }
        sleep(LOOK).await;
    }
}

/// The parts of a running gateway that a handover touches.
pub(super) struct Running {
    pub(super) path: Option<PathBuf>,
    pub(super) listeners: Sockets,
    pub(super) admin: Sockets,
    pub(super) decision_api: Vec<Sockets>,
    pub(super) draining: Draining,
    pub(super) stops: mpsc::Sender<Stop>,
    pub(super) admin_stops: mpsc::Sender<Stop>,
    pub(super) pace: Pace,
    pub(super) health: Arc<Health>,
}

/// Hears SIGQUIT from now on. A process that does not serve yet must outlive one that was meant for the other.
pub(super) fn quits() -> Result<Signal, ServerError> {
    signal(SignalKind::quit()).map_err(|error| could_not_run(&error))
}

impl Running {
    /// Hands over on SIGQUIT, again and again until it succeeds.
    pub(super) fn hand_over_on(self, mut quits: Signal, mut admin: JoinHandle<DrainOutcome>) {
        tokio::spawn(async move {
            while quits.recv().await.is_some() {
                if self.draining.has_begun() {
                    tracing::warn!("SIGQUIT, but the gateway stops already");
                    continue;
                }
                let Err(error) = self.offer().await else {
                    self.let_go(&mut admin).await;
                    break;
                };
                let error = &error as &dyn Error;
                tracing::error!(error, "the sockets are not handed over, and this process goes on serving");
            }
            // The admin listener lives as long as the process: so must what could stop it.
            std::future::pending::<()>().await;
        });
    }

    async fn offer(&self) -> Result<(), OfferError> {
        let path = self.path.as_deref().ok_or(OfferError::NoPath)?;
        let of = |role, sockets: &Sockets| -> Result<Vec<Offered>, OfferError> {
            let lent = sockets.lend().map_err(OfferError::Lend)?;
            Ok(lent.into_iter().map(|(configured, socket)| Offered { role, configured, socket }).collect())
        };
        let mut offered = of(Role::Listener, &self.listeners)?;
        offered.extend(of(Role::Admin, &self.admin)?);
        for sockets in &self.decision_api {
            offered.extend(of(Role::DecisionApi, sockets)?);
        }
        tracing::info!(path = %path.display(), sockets = offered.len(), "offering the sockets to a new process");
        Ok(hand_over(path, offered, PATIENCE, self.stopped()).await?)
    }

    /// Returns when the gateway stops for another reason.
    async fn stopped(&self) {
        while !self.draining.has_begun() {
            sleep(LOOK).await;
        }
    }

    /// The new process serves: this one accepts nothing more, and ends when its connections have.
    async fn let_go(&self, admin: &mut JoinHandle<DrainOutcome>) {
        let pace = (self.pace)();
        tracing::info!(grace = ?pace.grace, "the sockets are handed over; stopping");
        let now = Stop { delay: Duration::ZERO, linger: Duration::ZERO, grace: ADMIN_GRACE };
        let _ = self.admin_stops.send(now).await;
        // Idle connections are kept for their next request: each answer sends the client to the new process.
        let _ = self.stops.send(Stop { delay: Duration::ZERO, linger: pace.grace / 2, grace: pace.grace }).await;
        // Questions from now on belong to the new process, which is ready; whoever still asks here sees this one go.
        let _ = admin.await;
        self.health.set_draining();
    }
}

/// Why nothing was handed over.
#[derive(Debug, thiserror::Error)]
enum OfferError {
    #[error("`upgrade_socket` is not set: there is no place where a new process could wait")]
    NoPath,
    #[error("the sockets cannot be lent out")]
    Lend(#[source] std::io::Error),
    #[error(transparent)]
    Handover(#[from] HandoverError),
}
