//! Puts the rooms together: files to a first generation, sockets, tasks, signals, an orderly end.
//!
//! Decides nothing and parses nothing. Whatever cannot be had at the start ends it with an error; nothing is retried in silence.

mod files;
mod systemd;
mod trial;
mod upgrade;

pub use files::{compile, read_settings};
pub use trial::{Place, test};
pub use upgrade::Start;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::Duration,
};

use thiserror::Error;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

use crate::{
    admin::{Admin, Health, Listening},
    admission::{Admissions, now},
    config::{KeySource, Limits, Listener, Settings},
    diagnostic::Report,
    edge::{Edge, ListenerTls, SETTLE, Stop, TlsSlot, signals},
    gate::Live,
    handover::Role,
    policy::PolicySet,
    proxy::{Background, Gateway, Serving, Turned, proxy},
    reload::{Compiled, News, Parts, Reload, SharedStatus, Surroundings, fetch::Fetcher},
    telemetry::{AuditSink, Metrics, Telemetry, logging, metrics::Names, panics},
};

use self::{
    files::{environment, steps},
    upgrade::{Inheritance, Running, quits},
};

/// Audit lines may take so long to be written at the end.
const FLUSH: Duration = Duration::from_secs(2);

/// The start waits so long for the names of upstreams; who has none by then is looked up while the gateway serves.
const RESOLUTION: Duration = Duration::from_secs(2);

/// Why the gateway did not run.
#[derive(Debug, Error)]
pub enum ServerError {
    /// Settings or policies do not compile.
    #[error("the files do not compile")]
    DoesNotCompile(Report),
    /// A certificate of a listener, or its key, cannot be had. All else compiles.
    #[error("a certificate cannot be served")]
    NoCertificate(Report),
    /// Something that the gateway needs cannot be had.
    #[error("{0}")]
    CouldNotRun(String),
}

fn could_not_run(error: &dyn std::error::Error) -> ServerError {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        // Some errors repeat their cause in their own text.
        let told = cause.to_string();
        if !text.ends_with(&told) {
            text = format!("{text}: {told}");
        }
        source = cause.source();
    }
    ServerError::CouldNotRun(text)
}

/// Where a running gateway can be reached.
#[derive(Clone, Debug)]
pub struct Started {
    /// The listeners, in the order of the settings; port 0 has become a real one.
    pub listeners: Vec<SocketAddr>,
    /// The admin listener.
    pub admin: SocketAddr,
}

/// A gateway whose files compile, ready to run.
#[derive(Debug)]
pub struct Server {
    path: PathBuf,
    compiled: Compiled<PolicySet>,
    /// Dropped last: it writes out what waits.
    log: Arc<logging::Log>,
}

impl Server {
    /// Starts the log and compiles all files.
    ///
    /// # Errors
    /// When they do not compile, or the log's level is no level.
    pub fn prepare(path: &Path) -> Result<Self, ServerError> {
        let verbosity = match environment("COGWARD_LOG") {
            Some(text) => text.parse().map_err(|error: logging::VerbosityError| could_not_run(&error))?,
            None => logging::Verbosity::default(),
        };
        let log = logging::start(verbosity).map_err(|error| could_not_run(&error))?;
        pingora_rustls::install_default_crypto_provider();
        let (compiled, report) = compile(path);
        let Some(compiled) = compiled else {
            let is_tls = crate::reload::only_tls_is_wrong(&report);
            let error = if is_tls { ServerError::NoCertificate } else { ServerError::DoesNotCompile };
            return Err(error(report));
        };
        if !report.is_empty() {
            tracing::warn!("the files compile, with findings:\n{report}");
        }
        Ok(Self { path: path.to_owned(), compiled, log: Arc::new(log) })
    }

    /// Serves until a signal ends it; `started` is called once all listeners answer.
    ///
    /// # Errors
    /// When an address, a certificate or the audit file cannot be had, or there is nothing to take over.
    pub fn run(self, start: Start, started: impl FnOnce(&Started)) -> Result<(), ServerError> {
        let _log = Arc::clone(&self.log);
        let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let threads = self.compiled.settings.threads.unwrap_or_else(cores);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build();
        let runtime = runtime.map_err(|error| could_not_run(&error))?;
        let ended = runtime.block_on(async {
            // From here on a SIGQUIT that was meant for another process does no harm.
            let _quits = quits()?;
            let telemetry = self.telemetry()?;
            let mut inheritance = Inheritance::of(start, self.compiled.settings.upgrade_socket.as_deref()).await?;
            let ended = self.serve(threads, telemetry, &mut inheritance, started).await;
            if let Err(error) = &ended {
                inheritance.decline(error).await;
            }
            ended
        });
        runtime.shutdown_timeout(Duration::from_millis(100));
        ended
    }

    fn telemetry(&self) -> Result<Arc<Telemetry>, ServerError> {
        let metrics = Arc::new(Metrics::new().map_err(|error| could_not_run(&error))?);
        panics::count(Arc::clone(&metrics));
        let audit = AuditSink::open(&self.compiled.settings.audit, Arc::clone(&metrics));
        let audit = audit.map_err(|error| could_not_run(&error))?;
        Ok(Arc::new(Telemetry { metrics, audit }))
    }

    async fn serve(
        self,
        threads: usize,
        telemetry: Arc<Telemetry>,
        inheritance: &mut Inheritance,
        started: impl FnOnce(&Started),
    ) -> Result<(), ServerError> {
        let status = SharedStatus::default();
        let health = Arc::new(Health::new(now(), status.clone()));
        let metrics = Arc::clone(&telemetry.metrics);

        // Addresses first: a gateway that cannot listen shall not fetch keys or touch anything else.
        let settings = &self.compiled.settings;
        let path = settings.upgrade_socket.clone();
        let limits = Arc::new(Live::new(settings.limits));
        let (edge, admin) = bind(settings, &limits, inheritance).await?;
        let addresses = addresses(&edge, &admin);
        tell(&addresses, settings, &health);
        metrics.watch_connections(edge.open_connections());
        metrics.watch_log(self.log.dropped());

        let listeners = TlsListeners { slots: edge.tls(), addresses: edge.addresses() };
        let (reload, live) = self.start_reload(&metrics, status, limits, listeners)?;
        let admissions = Admissions::new(Arc::clone(&live), reload.requests());
        let gateway = proxy(Gateway::new(admissions, Arc::clone(&telemetry)), threads);
        let upstreams = Arc::clone(&live.load().upstreams);
        upstreams.resolved(RESOLUTION).await;
        let asked = Arc::clone(&live);
        metrics.watch_servers(move || asked.load().upstreams.status());
        let pace = pace(&live);
        hang_ups(reload, Arc::clone(&telemetry))?;
        inheritance.ready(&health).await?;
        let (stopping, stops) = stops(&pace, &health)?;
        inheritance.confirm().await?;

        // Before the admin listener answers: whoever sees this process ready may send it one.
        let quits = quits()?;
        let (admin_stops, to_stop) = mpsc::channel(1);
        let running = Running {
            path,
            listeners: edge.sockets(),
            admin: admin.sockets(),
            draining: edge.draining(),
            stops: stopping,
            admin_stops,
            pace,
            health: Arc::clone(&health),
        };
        let pages = Arc::new(Admin::new(metrics, health));
        let pages = tokio::spawn(admin.run(Arc::clone(&pages), pages, to_stop));
        running.hand_over_on(quits, pages);

        let proxies = Arc::clone(&live);
        let edge = edge.behind(Arc::new(move |peer| proxies.load().generation.settings().trusted_proxies.trusts(peer)));
        let turned = Turned { telemetry: Arc::clone(&telemetry), live };
        started(&addresses);
        inheritance.serving();
        let outcome = edge.run(gateway, Arc::new(turned), stops).await;
        tracing::info!(cut = outcome.cut, "stopped");
        if !telemetry.audit.close(FLUSH) {
            tracing::warn!("the last audit lines were not written in time");
        }
        if outcome.lost_listener {
            return Err(ServerError::CouldNotRun("a listener was lost".to_owned()));
        }
        Ok(())
    }

    /// Publishes the first generation, and starts the task that will publish the next ones.
    fn start_reload(
        self,
        metrics: &Arc<Metrics>,
        status: SharedStatus,
        limits: Arc<Live<Limits>>,
        listeners: TlsListeners,
    ) -> Result<(Reload, Arc<Live<Serving>>), ServerError> {
        let cell: Arc<OnceLock<Arc<Live<Serving>>>> = Arc::default();
        let (to_publish, told) = (Arc::clone(&cell), Arc::clone(metrics));
        let background = Background::default();
        let publish = move |parts: Parts<PolicySet>| {
            tell_generation(&parts, &told);
            listeners.adopt(&parts.tls, &told);
            limits.swap(Arc::new(parts.settings.limits));
            let previous = to_publish.get().map(|live| live.load());
            let serving = Serving::of(parts, previous.as_deref());
            background.follow(&serving.upstreams);
            match to_publish.get() {
                Some(live) => live.swap(Arc::new(serving)),
                None => drop(to_publish.set(Arc::new(Live::new(serving)))),
            }
        };
        let noted = Arc::clone(metrics);
        let surroundings = Surroundings {
            path: self.path,
            steps: Arc::new(steps()),
            fetcher: Arc::new(Fetcher::new().map_err(|error| could_not_run(&error))?),
            publish: Box::new(publish),
            status,
            observe: Box::new(move |news| note(&news, &noted)),
        };
        let reload = Reload::start(self.compiled, surroundings);
        // The start is the first time that files are applied.
        metrics.record_reload_applied(now());
        let live = cell.get().cloned();
        let live = live.ok_or_else(|| ServerError::CouldNotRun("nothing was published".to_owned()))?;
        Ok((reload, live))
    }
}

/// Where the listeners of the edge find what they shake hands with.
struct TlsListeners {
    slots: Vec<Option<Arc<TlsSlot>>>,
    addresses: Vec<SocketAddr>,
}

impl TlsListeners {
    /// Puts in what a generation brings, for the next handshakes.
    fn adopt(&self, tls: &[Option<Arc<ListenerTls>>], metrics: &Metrics) {
        for ((slot, address), tls) in self.slots.iter().zip(&self.addresses).zip(tls) {
            let (Some(slot), Some(tls)) = (slot, tls) else { continue };
            if slot.set(tls) {
                tracing::info!(%address, expires = tls.expires().seconds(), "the certificates of the listener serve");
            }
            metrics.set_certificate_expiry(*address, tls.expires());
        }
    }
}

/// Takes the addresses of clients and operators, inherited ones where they fit.
async fn bind(
    settings: &Settings,
    limits: &Arc<Live<Limits>>,
    inheritance: &mut Inheritance,
) -> Result<(Edge, Edge), ServerError> {
    let current = || {
        let limits = Arc::clone(limits);
        Arc::new(move || *limits.load())
    };
    let listener = &mut |address| inheritance.take(Role::Listener, address);
    let edge = Edge::inherit(&settings.listeners, listener, current()).await.map_err(|error| could_not_run(&error))?;
    let operators = [Listener { address: settings.admin, tls: None }];
    let listener = &mut |address| inheritance.take(Role::Admin, address);
    let admin = Edge::inherit(&operators, listener, current()).await.map_err(|error| could_not_run(&error))?;
    inheritance.close_the_rest();
    Ok((edge, admin))
}

fn addresses(edge: &Edge, admin: &Edge) -> Started {
    let unspecified = SocketAddr::from(([0, 0, 0, 0], 0));
    Started { listeners: edge.addresses(), admin: admin.addresses().first().copied().unwrap_or(unspecified) }
}

/// Tells the log and `/status` where the gateway listens.
fn tell(addresses: &Started, settings: &Settings, health: &Health) {
    let listeners = addresses.listeners.iter().zip(&settings.listeners);
    let listening = listeners.map(|(address, listener)| {
        tracing::info!(%address, tls = listener.tls.is_some(), "listening");
        Listening { address: *address, tls: listener.tls.is_some() }
    });
    health.set_listeners(listening.collect());
    tracing::info!(address = %addresses.admin, "admin listening");
}

/// Counts what the reload did.
fn note(news: &News<'_>, metrics: &Metrics) {
    match news {
        News::Applied => metrics.record_reload_applied(now()),
        News::Rejected => metrics.record_reload_rejected(),
        News::Keys { provider, result, held } => {
            let fetched = result.is_ok().then(now);
            metrics.record_jwks_fetch(provider.as_str(), *result);
            metrics.set_jwks_keys(provider.as_str(), *held, fetched);
        }
    }
}

/// Tells metrics the number and the names of a new generation, and how many keys it holds of each provider.
fn tell_generation(parts: &Parts<PolicySet>, metrics: &Metrics) {
    metrics.adopt(names(parts));
    metrics.set_generation(parts.number);
    let providers = &parts.settings.identity.providers;
    for (place, settings) in providers.iter().enumerate() {
        let held = parts.keys.get(place).map_or(0, |keys| keys.len());
        // Keys of a file are as old as the generation that read it.
        let read = matches!(settings.keys, KeySource::File(_)).then(now);
        metrics.set_jwks_keys(settings.provider.id.as_str(), held, read);
    }
}

/// The names that metric labels may hold.
fn names(parts: &Parts<PolicySet>) -> Names {
    let providers = parts.settings.identity.providers.iter().map(|one| one.provider.id.as_str().into());
    Names {
        routes: parts.policies.routes().iter().map(|route| (*route.id).into()).collect(),
        providers: providers.collect(),
        upstreams: parts.settings.upstreams.iter().map(|upstream| upstream.id.as_str().into()).collect(),
    }
}

/// How the settings in force would have the gateway stop.
type Pace = Arc<dyn Fn() -> Stop + Send + Sync>;

fn pace(live: &Arc<Live<Serving>>) -> Pace {
    let live = Arc::clone(live);
    Arc::new(move || {
        let serving = live.load();
        let settings = serving.generation.settings();
        Stop { delay: settings.shutdown_delay, linger: SETTLE, grace: settings.shutdown_grace }
    })
}

/// Turns SIGTERM and SIGINT into stops; readiness goes red at once.
fn stops(pace: &Pace, health: &Arc<Health>) -> Result<(mpsc::Sender<Stop>, mpsc::Receiver<Stop>), ServerError> {
    let (pace, health) = (Arc::clone(pace), Arc::clone(health));
    let stop = move || {
        health.set_draining();
        let stop = pace();
        tracing::info!(delay = ?stop.delay, grace = ?stop.grace, "stopping");
        stop
    };
    signals(stop).map_err(|error| could_not_run(&error))
}

/// SIGHUP: look at the files again, and open the audit file anew for whoever rotates it.
fn hang_ups(reload: Reload, telemetry: Arc<Telemetry>) -> Result<(), ServerError> {
    let mut hang_ups = signal(SignalKind::hangup()).map_err(|error| could_not_run(&error))?;
    tokio::spawn(async move {
        while hang_ups.recv().await.is_some() {
            telemetry.audit.reopen();
            reload.poke();
        }
    });
    Ok(())
}
