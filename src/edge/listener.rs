//! Listening sockets: bound or inherited, and shown to answer.
//!
//! Every fault at the start is an error that names the address. What becomes of a connection is told in `accept`.

mod accept;

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use thiserror::Error;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

pub(super) use self::accept::accept;
use super::{
    drain::{Census, Draining},
    sockets::{Inherit, Sockets},
    tls::TlsSlot,
};
use crate::config::{Limits, Listener};

/// Connections that wait for `accept`.
const BACKLOG: u32 = 4096;

/// Bytes that the kernel takes for a connection before the first of them can be sent.
#[cfg(target_os = "linux")]
const UNSENT: u32 = 128 * 1024;

/// How long a listener may take to answer itself.
const PROBE: Duration = Duration::from_secs(1);

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
