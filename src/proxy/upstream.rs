//! Upstreams: their servers, whose turn it is, and which of them are left alone at the moment.
//!
//! Names are resolved and servers are checked by background tasks, never on the path of a request; a name without an address has no
//! servers. Only the first answer of all is waited for, when a reload brings an upstream of names that are new. How one server stands is [`Server`]'s own; here it is only asked and told.

mod background;
mod budget;
mod checks;
mod peer;
mod server;

pub use background::Background;
pub(super) use peer::{Ask, Reach};
pub(super) use server::Server;

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
};

use arc_swap::ArcSwap;
use pingora::Error;
use tokio::sync::Notify;

use self::{budget::Budget, peer::PoolKeys, server::Rank};
use crate::{
    config::{Endpoint, HealthCheck, OutlierEjection, Protocol, Settings, Timeouts, UpstreamHost, UpstreamTls},
    reload::Trust,
    telemetry::{ServerState, ServerStatus, UpstreamStatus},
};

/// All upstreams of a generation, in the order of the settings.
#[derive(Debug)]
pub struct Upstreams(Vec<Upstream>);

/// One upstream and its servers.
#[derive(Debug)]
pub struct Upstream {
    id: Arc<str>,
    host: UpstreamHost,
    timeouts: Timeouts,
    protocol: Protocol,
    tls: UpstreamTls,
    trust: Trust,
    health_check: Option<HealthCheck>,
    ejection: OutlierEjection,
    retries: usize,
    pools: PoolKeys,
    names: Vec<Name>,
    /// All addresses of all names.
    servers: ArcSwap<Vec<Arc<Server>>>,
    /// Held while the servers, or which of them are ejected, change.
    changing: Mutex<()>,
    turn: AtomicUsize,
    budget: Budget,
    /// So that a lasting misunderstanding is told once.
    told_protocol: AtomicBool,
    /// A name was looked up.
    looked_up: Notify,
}

/// One endpoint, and its addresses as last resolved.
#[derive(Debug)]
struct Name {
    endpoint: Endpoint,
    addresses: ArcSwap<Vec<SocketAddr>>,
    /// It was not looked up yet.
    is_new: AtomicBool,
}

impl Name {
    fn new(endpoint: Endpoint) -> Self {
        let literal = endpoint.host.parse().map(|ip| SocketAddr::new(ip, endpoint.port));
        let is_new = AtomicBool::new(literal.is_err());
        Self { endpoint, addresses: ArcSwap::from_pointee(literal.into_iter().collect()), is_new }
    }

    fn is_literal(&self) -> bool {
        self.endpoint.host.parse::<std::net::IpAddr>().is_ok()
    }
}

/// Why no server can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoServer {
    /// No name of the upstream has an address.
    Unresolved,
    /// The health checks of all servers fail.
    AllRed,
    /// A connection would be made without a name to verify.
    Nameless,
}

impl Upstream {
    fn new(settings: &crate::config::Upstream, trust: &Trust, previous: Option<&Self>) -> Self {
        let name = |endpoint: &Endpoint| {
            let name = Name::new(endpoint.clone());
            let known = previous.and_then(|previous| previous.names.iter().find(|known| known.endpoint == *endpoint));
            if let Some(known) = known {
                name.addresses.store(known.addresses.load_full());
                name.is_new.store(known.is_new.load(Relaxed), Relaxed);
            }
            name
        };
        let upstream = Self {
            id: settings.id.as_str().into(),
            host: settings.host.clone(),
            timeouts: settings.timeouts,
            protocol: settings.protocol,
            tls: settings.tls.clone(),
            trust: trust.clone(),
            health_check: settings.health_check.clone(),
            ejection: settings.outlier_ejection,
            retries: settings.retries,
            pools: PoolKeys::of(settings, trust, previous),
            names: settings.endpoints.iter().map(name).collect(),
            servers: ArcSwap::new(previous.map(|previous| previous.servers.load_full()).unwrap_or_default()),
            changing: Mutex::default(),
            turn: AtomicUsize::new(0),
            budget: Budget::default(),
            told_protocol: AtomicBool::new(false),
            looked_up: Notify::new(),
        };
        upstream.arrange();
        if upstream.health_check.is_none() {
            upstream.servers.load().iter().for_each(|server| server.unchecked());
        }
        upstream
    }

    /// Its name, for metrics and audit lines.
    pub fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// The `Host` that it is sent.
    pub fn host(&self) -> &UpstreamHost {
        &self.host
    }

    /// What it speaks.
    pub(super) fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// How often a request is tried again.
    pub(super) fn retries(&self) -> usize {
        self.retries
    }

    /// Whether there is another server than this one.
    pub(super) fn has_another(&self, than: &Arc<Server>) -> bool {
        self.servers.load().iter().any(|server| !Arc::ptr_eq(server, than))
    }

    /// Waits while there is no server only because no name was looked up yet, for as long as a connection may take.
    pub(super) async fn arranged(&self) {
        let is_new = || self.servers.load().is_empty() && self.names.iter().any(|name| name.is_new.load(Relaxed));
        if !is_new() {
            return;
        }
        let looked_up = async {
            loop {
                let mut looked_up = std::pin::pin!(self.looked_up.notified());
                looked_up.as_mut().enable();
                if !is_new() {
                    return;
                }
                looked_up.await;
            }
        };
        // Whoever has waited in vain is told that there is no server.
        let _ = tokio::time::timeout(self.timeouts.connect, looked_up).await;
    }

    /// Makes the servers those that the names lead to; who stays keeps his health.
    fn arrange(&self) {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.servers.load();
        let mut servers: Vec<Arc<Server>> = Vec::with_capacity(known.len());
        for name in &self.names {
            for address in name.addresses.load().iter() {
                let is_it = |server: &&Arc<Server>| server.endpoint == name.endpoint && server.address == *address;
                let new = || Arc::new(Server::new(name.endpoint.clone(), *address));
                servers.push(known.iter().find(is_it).map_or_else(new, Arc::clone));
            }
        }
        self.servers.store(Arc::new(servers));
    }

    /// The server for this request: of those in turn the best, and `avoid` last of all.
    fn pick(&self, avoid: Option<&Arc<Server>>) -> Result<Arc<Server>, NoServer> {
        let (servers, now) = (self.servers.load(), server::now());
        let turn = self.turn.fetch_add(1, Relaxed);
        let in_turn = (0..servers.len()).filter_map(|step| servers.get(turn.wrapping_add(step) % servers.len()));
        let mut best: Option<(u8, &Arc<Server>)> = None;
        for server in in_turn {
            let avoided = avoid.is_some_and(|avoid| Arc::ptr_eq(avoid, server));
            // Asking for the rank of one that is avoided would use up its trial.
            let rank = match avoided {
                true if server.state() == ServerState::Unhealthy => Rank::Red,
                true => Rank::Ejected,
                false => server.rank(now),
            };
            let order = match rank {
                Rank::Ready => return Ok(Arc::clone(server)),
                Rank::Resting => 1,
                // Where the others are all absent too, it is better than none.
                Rank::Ejected => 2 + u8::from(avoided),
                Rank::Red => continue,
            };
            if best.is_none_or(|(known, _)| order < known) {
                best = Some((order, server));
            }
        }
        match best {
            Some((_, server)) => Ok(Arc::clone(server)),
            None if servers.is_empty() => Err(NoServer::Unresolved),
            None => Err(NoServer::AllRed),
        }
    }

    /// The server speaks HTTP/1, and the settings say HTTP/2.
    pub(super) fn tell_other_protocol(&self, server: &Server) {
        if !self.told_protocol.swap(true, Relaxed) {
            tracing::error!(
                upstream = %self.id,
                server = %server.address,
                "the server does not speak HTTP/2; set `protocol: http1`, or enable HTTP/2 there"
            );
        }
    }

    /// A connection to the server was refused.
    pub(super) fn refused(&self, server: &Server, error: &Error) {
        if server.refused(server::now()) {
            // Nothing of a request is in it: none was sent.
            tracing::warn!(upstream = %self.id, server = %server.address, %error, "a server takes no connection: the others are asked first");
        }
    }

    /// A connection to the server was made.
    pub(super) fn accepted(&self, server: &Server) {
        if server.accepted() {
            tracing::info!(upstream = %self.id, server = %server.address, "the server takes connections again");
        }
    }

    /// The server answered.
    pub(super) fn succeeded(&self, server: &Server) {
        if server.succeeded(server::now()) {
            tracing::info!(upstream = %self.id, server = %server.address, "the server answers again: it is no longer ejected");
        }
    }

    /// The server failed a request. True when it is ejected for that.
    pub(super) fn failed(&self, server: &Server) -> bool {
        let now = server::now();
        if !server.failed(now, self.ejection) {
            return false;
        }
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let servers = self.servers.load();
        let ejected = servers.iter().filter(|other| other.is_ejected() && !std::ptr::eq(&***other, server)).count();
        let most = servers.len().saturating_mul(self.ejection.most) / 100;
        if ejected >= most || !server.failed(now, self.ejection) {
            return false;
        }
        let time = server.eject(now, self.ejection.base);
        tracing::warn!(upstream = %self.id, server = %server.address, ?time, "the server fails requests: it is ejected");
        true
    }

    /// A request came: it adds to what may be tried again.
    pub(super) fn asked(&self) {
        self.budget.deposit();
    }

    /// Whether one more request may be tried again now.
    pub(super) fn may_retry(&self) -> bool {
        self.budget.withdraw(server::now())
    }

    fn status(&self) -> UpstreamStatus {
        let server = |server: &Arc<Server>| ServerStatus {
            endpoint: told(&server.endpoint),
            address: Some(server.address),
            state: server.state(),
        };
        let servers = self.servers.load();
        let absent = self.names.iter().filter(|name| name.addresses.load().is_empty()).map(|name| ServerStatus {
            endpoint: told(&name.endpoint),
            address: None,
            state: ServerState::Unresolved,
        });
        UpstreamStatus {
            upstream: self.id.as_ref().to_owned(),
            servers: servers.iter().map(server).chain(absent).collect(),
        }
    }

    /// Whether new settings say the same.
    fn says(&self, settings: &crate::config::Upstream, trust: &Trust) -> bool {
        let endpoints = self.names.iter().map(|name| &name.endpoint);
        *self.id == *settings.id
            && endpoints.eq(&settings.endpoints)
            && self.host == settings.host
            && self.timeouts == settings.timeouts
            && self.protocol == settings.protocol
            && self.tls == settings.tls
            && self.trust.fingerprint == trust.fingerprint
            && self.health_check == settings.health_check
            && self.ejection == settings.outlier_ejection
            && self.retries == settings.retries
    }
}

/// An endpoint as the settings write it.
fn told(endpoint: &Endpoint) -> String {
    let Endpoint { tls, host, port } = endpoint;
    let scheme = if *tls { "https" } else { "http" };
    if host.contains(':') { format!("{scheme}://[{host}]:{port}") } else { format!("{scheme}://{host}:{port}") }
}

impl Upstreams {
    /// The upstreams of new settings, each with its own trust. A server that is also in `previous` keeps its health, a name its
    /// addresses, and connections that were made under the same terms stay in use.
    pub fn build(settings: &Settings, trust: &[Trust], previous: Option<&Self>) -> Self {
        let known: HashMap<&str, &Upstream> =
            previous.iter().flat_map(|all| &all.0).map(|upstream| (&*upstream.id, upstream)).collect();
        let upstreams = settings.upstreams.iter().zip(trust);
        let upstream = |(upstream, trust): (&crate::config::Upstream, &Trust)| {
            Upstream::new(upstream, trust, known.get(upstream.id.as_str()).copied())
        };
        // An upstream without its trust is left out, and every request to it ends with an internal error.
        Self(upstreams.map(upstream).collect())
    }

    /// Whether new settings make the same upstreams.
    pub fn say(&self, settings: &Settings, trust: &[Trust]) -> bool {
        let new = settings.upstreams.iter().zip(trust);
        self.0.len() == new.len() && self.0.iter().zip(new).all(|(old, (new, trust))| old.says(new, trust))
    }

    /// The upstream at a place of the settings.
    pub fn get(&self, place: usize) -> Option<&Upstream> {
        self.0.get(place)
    }

    /// How all servers are.
    pub fn status(&self) -> Vec<UpstreamStatus> {
        self.0.iter().map(Upstream::status).collect()
    }
}

#[cfg(test)]
mod tests;
