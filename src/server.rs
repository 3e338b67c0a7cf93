//! Puts the rooms together: files to a first generation, sockets, tasks, signals, an orderly end.
//!
//! Decides nothing and parses nothing. Whatever cannot be had at the start ends it with an error; nothing is retried in silence.

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
    config::{KeySource, Limits, Listener, Outline, Settings},
    diagnostic::Report,
    edge::{Edge, ListenerTls, Stop, TlsSlot, signals},
    gate::{Live, source},
    policy::{PolicySet, World},
    proxy::{Background, Gateway, Serving, Turned, proxy},
    reload::{Compiled, News, Parts, Reload, SharedStatus, Steps, Surroundings, fetch::Fetcher},
    telemetry::{AuditSink, Metrics, Telemetry, logging, metrics::Names, panics},
    yaml::SourceFile,
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

/// The environment, as settings may refer to it.
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// How files become settings and policies: the same way for `serve`, `validate` and every reload.
fn steps() -> Steps<PolicySet> {
    Steps {
        settings: Box::new(|file| Settings::compile(file, &environment)),
        outline: Box::new(|file| Outline::guess(file, &environment)),
        policies: Box::new(compile_policies),
    }
}

/// Compiles policies against the names that the settings give.
fn compile_policies(files: &[SourceFile], outline: &Outline) -> (Option<PolicySet>, Report) {
    let world = World {
        providers: &outline.providers,
        upstreams: &outline.upstreams,
        identity_headers: &outline.identity_headers,
        credential_headers: &outline.credential_headers,
        policy_version: &outline.policy_version,
        allow_empty: outline.allow_empty,
    };
    PolicySet::compile(files, &world)
}

/// Compiles the settings at `path` and everything that they lead to.
pub fn compile(path: &Path) -> (Option<Compiled<PolicySet>>, Report) {
    crate::reload::compile(path, &steps())
}

/// Compiles the settings alone.
///
/// # Errors
/// Everything that is wrong with them.
pub fn read_settings(path: &Path) -> Result<Settings, Report> {
    let file = source::read_file(path).map_err(|finding| [finding].into_iter().collect::<Report>())?;
    let (settings, report) = Settings::compile(&file, &environment);
    settings.ok_or(report)
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
    /// When an address, a certificate or the audit file cannot be had.
    pub fn run(self, started: impl FnOnce(&Started)) -> Result<(), ServerError> {
        let _log = Arc::clone(&self.log);
        let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let threads = self.compiled.settings.threads.unwrap_or_else(cores);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build();
        let runtime = runtime.map_err(|error| could_not_run(&error))?;
        let ended = runtime.block_on(self.serve(threads, started));
        runtime.shutdown_timeout(Duration::from_millis(100));
        ended
    }

    async fn serve(self, threads: usize, started: impl FnOnce(&Started)) -> Result<(), ServerError> {
        let metrics = Arc::new(Metrics::new().map_err(|error| could_not_run(&error))?);
        panics::count(Arc::clone(&metrics));
        let audit = AuditSink::open(&self.compiled.settings.audit, Arc::clone(&metrics));
        let audit = audit.map_err(|error| could_not_run(&error))?;
        let telemetry = Arc::new(Telemetry { metrics: Arc::clone(&metrics), audit });
        let status = SharedStatus::default();
        let health = Arc::new(Health::new(now(), status.clone()));

        // Addresses first: a gateway that cannot listen shall not fetch keys or touch anything else.
        let settings = &self.compiled.settings;
        let limits = Arc::new(Live::new(settings.limits));
        let edge = bind(&settings.listeners, &limits).await?;
        let admin = bind(&[Listener { address: settings.admin, tls: None }], &limits).await?;
        let addresses = addresses(&edge, &admin);
        tell(&addresses, settings, &health);
        let open_connections = edge.open_connections();
        metrics.watch_connections(open_connections);
        metrics.watch_log(self.log.dropped());

        let listeners = TlsListeners { slots: edge.tls(), addresses: edge.addresses() };
        let (reload, live) = self.start_reload(&metrics, status, limits, listeners)?;
        let admissions = Admissions::new(Arc::clone(&live), reload.requests());
        let gateway = proxy(Gateway::new(admissions, Arc::clone(&telemetry)), threads);
        let upstreams = Arc::clone(&live.load().upstreams);
        upstreams.resolved(RESOLUTION).await;
        let asked = Arc::clone(&live);
        metrics.watch_servers(move || asked.load().upstreams.status());
        let stops = stops(&live, &health)?;
        hang_ups(reload, Arc::clone(&telemetry))?;
        // Answers until the process ends: nothing is ever sent through the channel.
        let (_never, no_stops) = mpsc::channel(1);
        let pages = Arc::new(Admin::new(metrics, health));
        tokio::spawn(admin.run(Arc::clone(&pages), pages, no_stops));

        let proxies = Arc::clone(&live);
        let edge = edge.behind(Arc::new(move |peer| proxies.load().generation.settings().trusted_proxies.trusts(peer)));
        let turned = Turned { telemetry: Arc::clone(&telemetry), live };
        started(&addresses);
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

async fn bind(listeners: &[Listener], limits: &Arc<Live<Limits>>) -> Result<Edge, ServerError> {
    let limits = Arc::clone(limits);
    Edge::bind(listeners, Arc::new(move || *limits.load())).await.map_err(|error| could_not_run(&error))
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

/// Turns SIGTERM and SIGINT into stops; readiness goes red at once.
fn stops(live: &Arc<Live<Serving>>, health: &Arc<Health>) -> Result<mpsc::Receiver<Stop>, ServerError> {
    let (live, health) = (Arc::clone(live), Arc::clone(health));
    let pace = move || {
        health.set_draining();
        let serving = live.load();
        let settings = serving.generation.settings();
        tracing::info!(delay = ?settings.shutdown_delay, grace = ?settings.shutdown_grace, "stopping");
        Stop { delay: settings.shutdown_delay, grace: settings.shutdown_grace }
    };
    signals(pace).map_err(|error| could_not_run(&error))
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
