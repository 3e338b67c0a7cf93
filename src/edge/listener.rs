//! Listening sockets, and the way of a connection from `accept` to its protocol.
//!
//! Every fault at the start is an error that names the address or the file. A connection takes a place among all connections before
//! anything is done for it, the TLS handshake has a deadline, and a listener outlives a lack of file descriptors.

use std::{
    fmt,
    future::Future,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::AsRawFd,
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use pingora::{
    apps::HttpServerApp,
    protocols::{
        ALPN, GetSocketDigest, SocketDigest, Stream, l4::socket::SocketAddr as PingoraAddr,
        l4::stream::Stream as L4Stream,
    },
};
use thiserror::Error;
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
};

use super::{
    conn::Conn,
    crowd::{Crowd, Place},
    drain::{Census, Draining, Ending},
    guard::{Guard, turn_away},
    head::Greeting,
    http1, http2,
    refusal::{EdgeEvent, EdgeRefusal, Served},
    sockets::{Inherit, Sockets},
    tls::{Handshake, TlsSlot, shake},
};
use crate::config::{Limits, Listener};

/// Connections that wait for `accept`.
const BACKLOG: u32 = 4096;

/// Bytes that the kernel takes for a connection before the first of them can be sent.
#[cfg(target_os = "linux")]
const UNSENT: u32 = 128 * 1024;

/// How long a listener may take to answer itself.
const PROBE: Duration = Duration::from_secs(1);

/// After an `accept` that failed for lack of something.
const BACK_OFF: Duration = Duration::from_millis(100);

/// Connections over the cap that are told so at once; more are just closed.
const TOLD: usize = 256;

/// The limits for the next connection: a reload may change them.
pub type CurrentLimits = Arc<dyn Fn() -> Limits + Send + Sync>;

/// Whether the connections of an address are counted among all connections only: those of a proxy bring many clients.
pub type IsProxy = Arc<dyn Fn(IpAddr) -> bool + Send + Sync>;

/// Why the edge cannot serve.
#[derive(Debug, Error)]
pub enum EdgeError {
    /// An address cannot be taken.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address as configured.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// A listener was bound, but a connection to it fails.
    #[error("the listener on {address} does not answer: {source}")]
    Silent {
        /// The bound address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// Signals cannot be received.
    #[error("cannot receive signals")]
    Signals {
        /// Why.
        source: io::Error,
    },
}

/// Bound listeners that answer.
pub struct Edge {
    bound: Vec<Bound>,
    limits: CurrentLimits,
    is_proxy: IsProxy,
    census: Arc<Census>,
    draining: Draining,
}

struct Bound {
    listener: Arc<TcpListener>,
    configured: SocketAddr,
    address: SocketAddr,
    /// Another process still accepts from the same queue.
    inherited: bool,
    tls: Option<Arc<TlsSlot>>,
    /// Clients that were quicker than the probe.
    early: Vec<(TcpStream, SocketAddr)>,
}

impl Bound {
    /// Connects to itself, and takes that connection. What stands in an inherited queue is left to the process that still serves it: it
    /// would be lost if this one did not come to serve.
    async fn probe(&mut self) -> io::Result<()> {
        let ip: IpAddr = match (self.address.ip(), self.address.is_ipv4()) {
            (ip, true) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            (ip, false) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            (ip, true | false) => ip,
        };
        let probe = TcpStream::connect((ip, self.address.port())).await?.local_addr()?;
        while !self.inherited {
            let (tcp, peer) = self.listener.accept().await?;
            if peer == probe {
                return Ok(());
            }
            self.early.push((tcp, peer));
        }
        Ok(())
    }
}

impl fmt::Debug for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Edge").field("addresses", &self.addresses()).finish_non_exhaustive()
    }
}

impl Edge {
    /// Takes every address, and checks that each listener answers. All or none.
    pub async fn bind(listeners: &[Listener], limits: CurrentLimits) -> Result<Edge, EdgeError> {
        Edge::inherit(listeners, &mut |_| None, limits).await
    }

    /// The same, with sockets of another process where it has given some. They are not accepted from before [`run`](Edge::run).
    pub async fn inherit(
        listeners: &[Listener],
        inherit: Inherit<'_>,
        limits: CurrentLimits,
    ) -> Result<Edge, EdgeError> {
        let mut bound = Vec::with_capacity(listeners.len());
        for listener in listeners {
            bound.push(bind(listener, inherit)?);
        }
        for bound in &mut bound {
            let answered = tokio::time::timeout(PROBE, bound.probe()).await;
            let answered = answered.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
            answered.map_err(|source| EdgeError::Silent { address: bound.address, source })?;
        }
        let is_proxy = Arc::new(|_| false);
        Ok(Edge { bound, limits, is_proxy, census: Arc::default(), draining: Draining::default() })
    }

    /// These peers may have as many connections as there are.
    pub fn behind(self, is_proxy: IsProxy) -> Edge {
        Edge { is_proxy, ..self }
    }

    /// Where the listeners are, in their order; port 0 has become the real one.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.bound.iter().map(|bound| bound.address).collect()
    }

    /// The sockets, to hand them over while they are served.
    pub fn sockets(&self) -> Sockets {
        Sockets::of(self.bound.iter().map(|bound| (bound.configured, &bound.listener)))
    }

    /// What each listener shakes hands with, in their order; `None` for plain ones. Empty until it is set, which may be done at any time.
    pub fn tls(&self) -> Vec<Option<Arc<TlsSlot>>> {
        self.bound.iter().map(|bound| bound.tls.clone()).collect()
    }

    /// Whether a stop has begun: for readiness.
    pub fn draining(&self) -> Draining {
        self.draining.clone()
    }

    /// Tells how many connections are open: for the gauge.
    pub fn open_connections(&self) -> impl Fn() -> usize + Send + Sync + 'static {
        let census = self.census.clone();
        move || census.open()
    }

    pub(super) fn census(&self) -> Arc<Census> {
        self.census.clone()
    }

    pub(super) fn into_listening<A>(
        self,
        served: Served<A>,
        closing: &watch::Receiver<bool>,
        ending: &Ending,
    ) -> Vec<Listening<A>> {
        let shared = Arc::new(Shared {
            served,
            limits: self.limits,
            is_proxy: self.is_proxy,
            crowd: Arc::default(),
            census: self.census,
            draining: self.draining,
            told: Arc::new(Semaphore::new(TOLD)),
            ending: ending.clone(),
        });
        let listening = |bound| Listening { bound, shared: shared.clone(), closing: closing.clone() };
        self.bound.into_iter().map(listening).collect()
    }
}

fn bind(listener: &Listener, inherit: Inherit<'_>) -> Result<Bound, EdgeError> {
    let configured = listener.address;
    let address = configured;
    let tls = listener.tls.as_ref().map(|_| Arc::default());
    let listen = |source| EdgeError::Listen { address, source };
    let given = inherit(configured);
    let inherited = given.is_some();
    let listener = given.map_or_else(|| listen_on(configured), adopt).map_err(listen)?;
    let address = listener.local_addr().map_err(listen)?;
    Ok(Bound { listener: Arc::new(listener), configured, address, inherited, tls, early: Vec::new() })
}

fn adopt(given: std::net::TcpListener) -> io::Result<TcpListener> {
    given.set_nonblocking(true)?;
    TcpListener::from_std(given)
}

fn listen_on(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    let listener = socket.listen(BACKLOG)?;
    hold_little(&listener)?;
    Ok(listener)
}

/// A connection of this listener takes no more than a little that is not on its way yet. So one that is read slowly holds no
/// megabytes, and what it takes is seen soon. Connections inherit it.
#[cfg(target_os = "linux")]
fn hold_little(listener: &TcpListener) -> io::Result<()> {
    // SECURITY: `a_client_that_never_reads_holds_little_memory`.
    socket2::SockRef::from(listener).set_tcp_notsent_lowat(UNSENT)
}

#[cfg(not(target_os = "linux"))]
fn hold_little(_: &TcpListener) -> io::Result<()> {
    Ok(())
}

/// A listener with what its connections share.
pub(super) struct Listening<A> {
    bound: Bound,
    shared: Arc<Shared<A>>,
    closing: watch::Receiver<bool>,
}

struct Shared<A> {
    served: Served<A>,
    limits: CurrentLimits,
    is_proxy: IsProxy,
    crowd: Arc<Crowd>,
    census: Arc<Census>,
    draining: Draining,
    told: Arc<Semaphore>,
    ending: Ending,
}

/// Takes connections until told to close, and then those that wait already. The connections live as long as what is returned.
pub(super) async fn accept<A>(listening: Listening<A>) -> JoinSet<()>
where
    A: HttpServerApp + Send + Sync + 'static,
{
    let Listening { bound, shared, mut closing } = listening;
    let tls = bound.tls.as_ref();
    let mut connections = JoinSet::new();
    let mut failing = false;
    for client in bound.early {
        shared.spawn(&mut connections, client, tls);
    }
    loop {
        let accepted = tokio::select! {
            biased;
            _ = closing.wait_for(|closing| *closing) => break,
            accepted = bound.listener.accept() => accepted,
        };
        match accepted {
            Ok((tcp, peer)) => {
                failing = false;
                shared.spawn(&mut connections, (tcp, peer), tls);
            }
            Err(error) if is_of_the_client(&error) => {}
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::error!(address = %bound.address, %error, "cannot accept connections");
                }
                tokio::time::sleep(BACK_OFF).await;
            }
        }
        reap(&mut connections);
    }
    // No more than could wait at that moment: the process that takes over accepts from the same queue.
    for _ in 0..BACKLOG {
        let Some(client) = waiting(&bound.listener).await else { break };
        shared.spawn(&mut connections, client, tls);
    }
    connections
}

/// A connection that the kernel has accepted already.
async fn waiting(listener: &TcpListener) -> Option<(TcpStream, SocketAddr)> {
    let mut accept = pin!(tokio::task::unconstrained(listener.accept()));
    std::future::poll_fn(|cx| match accept.as_mut().poll(cx) {
        Poll::Ready(accepted) => Poll::Ready(accepted.ok()),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

fn is_of_the_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}

fn reap(connections: &mut JoinSet<()>) {
    while let Some(ended) = connections.try_join_next() {
        if let Err(error) = ended
            && error.is_panic()
        {
            tracing::error!("a connection ended in a panic");
        }
    }
}

impl<A: HttpServerApp + Send + Sync + 'static> Shared<A> {
    fn spawn(
        self: &Arc<Self>,
        connections: &mut JoinSet<()>,
        (tcp, peer): (TcpStream, SocketAddr),
        tls: Option<&Arc<TlsSlot>>,
    ) {
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let limits = (self.limits)();
        match self.place(peer.ip(), &limits) {
            Ok(place) => {
                let arrival = Arrival { tcp, peer, place, limits };
                connections.spawn(serve(self.clone(), arrival, tls.cloned()));
                return;
            }
            Err(why) => self.served.refusals.note(why),
        }
        let answer = self.served.refusals.answer(EdgeRefusal::Overloaded, peer);
        if tls.is_none()
            && let Ok(told) = self.told.clone().try_acquire_owned()
        {
            connections.spawn(async move {
                turn_away(tcp, &answer).await;
                drop(told);
            });
        }
    }

    /// A place for one more connection of this client, or why there is none.
    fn place(&self, client: IpAddr, limits: &Limits) -> Result<Place, EdgeEvent> {
        // SECURITY: `a_connection_over_the_cap_is_answered_503`.
        let permit = self.census.admit(limits.connections).ok_or(EdgeEvent::Crowded)?;
        let most = limits.connections_per_address;
        // SECURITY: `one_address_cannot_take_every_connection`.
        let seat = match most < limits.connections && !(self.is_proxy)(client) {
            true => Some(self.crowd.seat(client, most).ok_or(EdgeEvent::AddressCrowded)?),
            false => None,
        };
        Ok(Place { crowd: self.crowd.clone(), told: self.served.refusals.clone(), _permit: permit, _seat: seat })
    }
}

/// A connection that has a place.
struct Arrival {
    tcp: TcpStream,
    peer: SocketAddr,
    place: Place,
    limits: Limits,
}

async fn serve<A>(shared: Arc<Shared<A>>, arrival: Arrival, tls: Option<Arc<TlsSlot>>)
where
    A: HttpServerApp + Send + Sync + 'static,
{
    let Arrival { tcp, peer, place, limits } = arrival;
    // Without it a small answer may wait for 40 ms; a socket that refuses it is about to fail anyway.
    let _ = tcp.set_nodelay(true);
    let l4 = identified(tcp, peer);
    let (io, facts): (Stream, _) = match tls {
        None => (Box::new(l4), None),
        Some(slot) => {
            let Some(tls) = slot.current() else { return };
            let shaken = shake(&tls, l4, limits.tls_handshake).await;
            let how = shaken.as_ref().map_or_else(|(how, _)| *how, |_| Handshake::Done);
            shared.served.refusals.note(EdgeEvent::Handshake(how));
            match shaken {
                Ok((stream, facts)) => (Box::new(stream), Some(facts)),
                // Of the client, who may send what it likes: nothing that an operator must see.
                Err((_, error)) => return tracing::debug!(%peer, error, "a TLS handshake failed"),
            }
        }
    };
    let greeting = if facts.is_some() { Greeting::Http1 } else { Greeting::Any };
    let negotiated = io.selected_alpn_proto();
    let conn = Arc::new(Conn::new(peer, facts, shared.draining.clone(), place));
    let guard = Guard::new(io, conn, limits);
    match negotiated {
        Some(ALPN::H2) => http2::serve(&shared.served.app, guard.into_http2(), &shared.ending.soon).await,
        _ => http1::serve(&shared.served, guard, greeting, &shared.ending).await,
    }
}

/// A stream whose session can tell the client's address.
fn identified(tcp: TcpStream, peer: SocketAddr) -> L4Stream {
    let digest = SocketDigest::from_raw_fd(tcp.as_raw_fd());
    // A new cell takes its first value.
    let _ = digest.peer_addr.set(Some(PingoraAddr::Inet(peer)));
    let mut stream = L4Stream::from(tcp);
    stream.set_socket_digest(digest);
    stream
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_client_that_never_reads_holds_little_memory() {
        let listener = listen_on("127.0.0.1:0".parse().unwrap()).unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        stream.writable().await.unwrap();
        let (block, mut taken) = (vec![0; 64 * 1024], 0);
        while let Ok(written) = stream.try_write(&block) {
            taken += written;
        }
        // What the client's own side takes, and what may wait here.
        assert!(taken < 1024 * 1024, "{taken}");
    }
}
