//! Upstreams: their servers, whose turn it is, and which of them refuse at the moment.
//!
//! Names are resolved by a background task, never on the path of a request; a server without an address is one that refuses. No peer
//! is made without a [`Permit`], and none with TLS but without a name to verify.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use pingora::upstreams::peer::HttpPeer;

use super::{late::Late, reading::Answer};
use crate::{
    config::{Endpoint, Settings, Timeouts, UpstreamHost},
    gate::Permit,
    policy::TimeoutOverrides,
};

/// The group of upstream connections that WebSockets are opened on; all others are in group 0.
const WEBSOCKETS: u64 = 1;
/// How often names are resolved again.
const RESOLVE_EVERY: Duration = Duration::from_secs(10);
/// How long one name may take.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);
/// A server that refused is left alone for this long, doubled with each refusal in a row.
const FIRST_REST: Duration = Duration::from_millis(500);
const LONGEST_REST: Duration = Duration::from_secs(10);

/// All upstreams of a generation, in the order of the settings.
#[derive(Debug)]
pub struct Upstreams(Vec<Upstream>);

/// One upstream and its servers.
#[derive(Debug)]
pub struct Upstream {
    id: Arc<str>,
    host: UpstreamHost,
    timeouts: Timeouts,
    servers: Vec<Arc<Server>>,
    turn: AtomicUsize,
}

/// One server: its addresses as last resolved, and its health as last seen.
#[derive(Debug)]
pub(super) struct Server {
    endpoint: Endpoint,
    addresses: ArcSwap<Vec<SocketAddr>>,
    turn: AtomicUsize,
    born: Instant,
    /// Milliseconds after `born` until which it is skipped.
    resting_until: AtomicU64,
    refusals: AtomicU32,
}

impl Server {
    fn new(endpoint: Endpoint) -> Self {
        let literal = endpoint.host.parse().map(|ip| SocketAddr::new(ip, endpoint.port));
        Self {
            endpoint,
            addresses: ArcSwap::from_pointee(literal.into_iter().collect()),
            turn: AtomicUsize::new(0),
            born: Instant::now(),
            resting_until: AtomicU64::new(0),
            refusals: AtomicU32::new(0),
        }
    }

    fn is_literal(&self) -> bool {
        self.endpoint.host.parse::<std::net::IpAddr>().is_ok()
    }

    fn age(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn is_resting(&self) -> bool {
        let until = self.resting_until.load(Relaxed);
        until != 0 && self.age() < until
    }

    /// Notes that a connection was refused: the server is skipped for a while.
    pub(super) fn refused(&self) {
        let refusals = self.refusals.fetch_add(1, Relaxed).min(16);
        let rest = FIRST_REST.saturating_mul(1 << refusals).min(LONGEST_REST);
        let rest = u64::try_from(rest.as_millis()).unwrap_or(u64::MAX);
        self.resting_until.store(self.age().saturating_add(rest), Relaxed);
    }

    /// Notes that a connection was made.
    pub(super) fn accepted(&self) {
        if self.refusals.load(Relaxed) != 0 {
            self.refusals.store(0, Relaxed);
            self.resting_until.store(0, Relaxed);
        }
    }

    /// The next address in turn; `None` while the name does not resolve.
    fn address(&self) -> Option<SocketAddr> {
        let addresses = self.addresses.load();
        let turn = if addresses.len() > 1 { self.turn.fetch_add(1, Relaxed) } else { 0 };
        addresses.get(turn.checked_rem(addresses.len())?).copied()
    }

    async fn resolve(&self) {
        let name = (self.endpoint.host.as_str(), self.endpoint.port);
        let found = tokio::time::timeout(RESOLVE_TIMEOUT, tokio::net::lookup_host(name)).await;
        match found {
            Ok(Ok(found)) => {
                let mut addresses: Vec<_> = found.collect();
                addresses.sort_unstable();
                addresses.dedup();
                if !addresses.is_empty() && **self.addresses.load() != addresses {
                    tracing::info!(host = %self.endpoint.host, addresses = ?addresses, "upstream resolved");
                    self.addresses.store(Arc::new(addresses));
                }
            }
            Ok(Err(error)) => tracing::warn!(host = %self.endpoint.host, %error, "upstream does not resolve"),
            Err(_) => tracing::warn!(host = %self.endpoint.host, "upstream does not resolve in time"),
        }
    }
}

impl Upstream {
    /// Its name, for metrics and audit lines.
    pub fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// The `Host` that it is sent.
    pub fn host(&self) -> &UpstreamHost {
        &self.host
    }

    /// How many servers it has: trying more often than that is no use.
    pub fn size(&self) -> usize {
        self.servers.len()
    }

    /// The next server in turn that has an address and does not rest; a resting one when all do.
    fn next(&self) -> Option<(Arc<Server>, SocketAddr)> {
        let turn = self.turn.fetch_add(1, Relaxed);
        let in_turn =
            || (0..self.servers.len()).filter_map(|i| self.servers.get((turn.wrapping_add(i)) % self.servers.len()));
        let ready = in_turn().filter(|server| !server.is_resting()).find_map(|s| Some((Arc::clone(s), s.address()?)));
        ready.or_else(|| in_turn().find_map(|s| Some((Arc::clone(s), s.address()?))))
    }

    /// The peer for one attempt.
    pub(super) fn peer(&self, permit: &Permit, answer: Answer) -> Option<(Arc<Server>, Box<HttpPeer>)> {
        let (server, address) = self.next()?;
        let endpoint = &server.endpoint;
        let own = self.timeouts;
        let timeouts = over(permit.route().timeouts, own);
        // SECURITY: pingora skips all verification for an empty name: `a_tls_peer_always_has_a_name`.
        if endpoint.tls && endpoint.host.is_empty() {
            return None;
        }
        let name = if endpoint.tls { endpoint.host.clone() } else { String::new() };
        let mut peer = HttpPeer::new(address, endpoint.tls, name);
        let options = &mut peer.options;
        options.connection_timeout = Some(timeouts.connect);
        options.total_connection_timeout = Some(timeouts.connect);
        options.read_timeout = Some(match answer {
            Answer::Message => timeouts.read,
            Answer::EventStream | Answer::WebSocket => timeouts.stream_idle,
        });
        if answer == Answer::WebSocket {
            options.custom_l4 = Some(Arc::new(Late));
            // The pool does not tell such connections apart by itself.
            peer.group_key = WEBSOCKETS;
        }
        options.write_timeout = Some(timeouts.write);
        options.idle_timeout = Some(timeouts.idle);
        Some((server, Box::new(peer)))
    }
}

/// A route's times, and the upstream's own where the route says nothing.
fn over(route: TimeoutOverrides, own: Timeouts) -> Timeouts {
    Timeouts {
        connect: route.connect.unwrap_or(own.connect),
        read: route.read.unwrap_or(own.read),
        write: route.write.unwrap_or(own.write),
        idle: route.idle.unwrap_or(own.idle),
        stream_idle: route.stream_idle.unwrap_or(own.stream_idle),
    }
}

impl Upstreams {
    /// The upstreams of new settings; a server that is also in `previous` keeps its addresses and its health.
    pub fn build(settings: &Settings, previous: Option<&Self>) -> Self {
        let mut known: HashMap<Endpoint, Arc<Server>> = HashMap::new();
        for server in previous.iter().flat_map(|all| all.servers()) {
            known.insert(server.endpoint.clone(), Arc::clone(server));
        }
        let mut server = |endpoint: &Endpoint| {
            let new = || Arc::new(Server::new(endpoint.clone()));
            Arc::clone(known.entry(endpoint.clone()).or_insert_with(new))
        };
        let upstream = |upstream: &crate::config::Upstream| Upstream {
            id: upstream.id.as_str().into(),
            host: upstream.host.clone(),
            timeouts: upstream.timeouts,
            servers: upstream.endpoints.iter().map(&mut server).collect(),
            turn: AtomicUsize::new(0),
        };
        Self(settings.upstreams.iter().map(upstream).collect())
    }

    /// The upstream at a place of the settings.
    pub fn get(&self, place: usize) -> Option<&Upstream> {
        self.0.get(place)
    }

    fn servers(&self) -> impl Iterator<Item = &Arc<Server>> {
        self.0.iter().flat_map(|upstream| &upstream.servers)
    }

    /// Resolves every server that is named and not an address, all at once.
    pub async fn resolve(&self) {
        let mut tasks = tokio::task::JoinSet::new();
        for server in self.servers().filter(|server| !server.is_literal()) {
            let server = Arc::clone(server);
            tasks.spawn(async move { server.resolve().await });
        }
        tasks.join_all().await;
    }
}

/// Resolves the names of whatever upstreams are current, again and again.
pub async fn keep_resolved(current: impl Fn() -> Arc<super::Serving>) {
    loop {
        tokio::time::sleep(RESOLVE_EVERY).await;
        current().upstreams.resolve().await;
    }
}

#[cfg(test)]
mod tests {
    use pingora::upstreams::peer::Peer;

    use super::*;
    use crate::gate::testing::{PUBLIC, generation, permit};

    fn upstreams(endpoints: &str) -> (Upstreams, Permit) {
        let generation = generation(&format!("upstreams: [ {{ id: app, endpoints: {endpoints} }} ]"), PUBLIC);
        (Upstreams::build(generation.settings(), None), permit(&generation).unwrap())
    }

    #[test]
    fn a_tls_peer_always_has_a_name() {
        let (upstreams, permit) = upstreams("['https://127.0.0.1:9443']");
        let (_, peer) = upstreams.get(0).unwrap().peer(&permit, Answer::Message).unwrap();
        assert!(peer.tls() && !peer.sni().is_empty());
        assert!(peer.verify_cert() && peer.verify_hostname());

        // No settings lead here; a peer without a name would not be verified at all.
        let nameless = Server::new(Endpoint { tls: true, host: String::new(), port: 9443 });
        nameless.addresses.store(Arc::new(vec![SocketAddr::from(([127, 0, 0, 1], 9443))]));
        let mut upstream = upstreams.0.into_iter().next().unwrap();
        upstream.servers = vec![Arc::new(nameless)];
        assert!(upstream.peer(&permit, Answer::Message).is_none());
    }

    #[test]
    fn servers_are_used_in_turn_and_one_that_refuses_rests() {
        let (upstreams, permit) = upstreams("['http://127.0.0.1:1', 'http://127.0.0.1:2']");
        let upstream = upstreams.get(0).unwrap();
        let ask = || upstream.peer(&permit, Answer::Message).unwrap().0;
        let (first, second) = (ask(), ask());
        assert_ne!(first.endpoint, second.endpoint);
        first.refused();
        assert!((0..4).all(|_| ask().endpoint == second.endpoint));
        second.refused();
        assert_ne!(ask().endpoint, ask().endpoint, "where all rest, none does");
        first.accepted();
        assert!((0..4).all(|_| ask().endpoint == first.endpoint));
    }
}
