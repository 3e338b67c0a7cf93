//! The way of a connection from `accept` to its protocol.
//!
//! It takes a place among all connections before anything is done for it, the TLS handshake has a deadline, and a listener outlives a lack
//! of file descriptors.

use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
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
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
};

use super::{BACKLOG, Bound, CurrentLimits, Edge, IsProxy};
use crate::{
    config::Limits,
    edge::{
        conn::Conn,
        crowd::{Crowd, Place},
        drain::{Census, Draining, Ending},
        guard::{Guard, turn_away},
        head::Greeting,
        http1, http2,
        refusal::{EdgeEvent, EdgeRefusal, Served},
        tls::{Handshake, TlsSlot, shake},
    },
};

/// After an `accept` that failed for lack of something.
const BACK_OFF: Duration = Duration::from_millis(100);

/// Connections over the cap that are told so at once; more are just closed.
const TOLD: usize = 256;

impl Edge {
    pub(in crate::edge) fn into_listening<A>(
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

/// A listener with what its connections share.
pub(in crate::edge) struct Listening<A> {
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
pub(in crate::edge) async fn accept<A>(listening: Listening<A>) -> JoinSet<()>
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
