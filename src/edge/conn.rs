//! What a connection and an exchange on it know about themselves, shared with pingora's filters.
//!
//! A filter finds its [`Exchange`] through the session's digest: the one way that is the same for HTTP/1 and HTTP/2, plain and TLS.
//! HTTP/1 exchanges are ended by the guarded stream, HTTP/2 ones by dropping their future, which resets the stream alone.

mod cutoff;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use pingora::protocols::{Digest, http::ServerSession};
use tokio::time::Instant;

pub(super) use self::cutoff::{CUTOFF, Cutoff};
use super::{
    crowd::{Place, Turn},
    drain::Draining,
    expiring,
    refusal::EdgeEvent,
};
use crate::request::ClientCertificate;

/// What the TLS handshake of a connection told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFacts {
    /// The server name that the client asked for.
    pub server_name: Option<String>,
    /// The client's certificate: verified for this connection.
    pub client_certificate: Option<Arc<ClientCertificate>>,
}

/// What an exchange has turned into after `101 Switching Protocols`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tunnel {
    /// WebSocket: it is told why it ends, by a Close frame.
    WebSocket,
    /// Anything else: it just ends.
    Opaque,
}

/// Why the edge ended an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Its deadline has passed ([`Exchange::expire_in`]).
    Expired,
    /// The request body stopped coming, or came too slowly.
    BodyStalled,
    /// The chunked framing of the request body is broken.
    BodyMalformed,
    /// The client stopped taking the answer, or took it too slowly.
    WriteStalled,
    /// An HTTP/2 preface, frame or header block was begun and not finished.
    FrameStalled,
    /// The gateway stops, and the grace is over.
    Shutdown,
    /// It has lived as long as any exchange may.
    Overdue,
    /// Too many HTTP/2 frames that ask for nothing, or too many requests that were reset.
    Flooded,
}

/// What the peers of a WebSocket are told at its end (RFC 6455 section 7.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Farewell {
    /// The status code for the client.
    pub(super) client: u16,
    /// The status code for the upstream, in the client's name.
    pub(super) upstream: u16,
    /// The reason.
    pub(super) text: &'static str,
}

/// The endpoint goes away.
const GOING_AWAY: u16 = 1001;
/// A policy says so.
const POLICY_VIOLATION: u16 = 1008;

impl Cut {
    /// What is said; nothing where the client has stopped to listen.
    pub(super) const fn farewell(self) -> Option<Farewell> {
        match self {
            Cut::Expired => Some(Farewell { client: POLICY_VIOLATION, upstream: GOING_AWAY, text: "token expired" }),
            Cut::Shutdown => Some(Farewell { client: GOING_AWAY, upstream: GOING_AWAY, text: "gateway stops" }),
            Cut::Overdue => Some(Farewell { client: GOING_AWAY, upstream: GOING_AWAY, text: "open for too long" }),
            Cut::BodyStalled | Cut::BodyMalformed | Cut::WriteStalled | Cut::FrameStalled | Cut::Flooded => None,
        }
    }

    const fn code(self) -> u8 {
        match self {
            Cut::Expired => 1,
            Cut::BodyStalled => 2,
            Cut::BodyMalformed => 3,
            Cut::WriteStalled => 4,
            Cut::FrameStalled => 5,
            Cut::Flooded => 6,
            Cut::Shutdown => 7,
            Cut::Overdue => 8,
        }
    }

    /// Every cause.
    pub const ALL: [Cut; 8] = [
        Cut::Expired,
        Cut::BodyStalled,
        Cut::BodyMalformed,
        Cut::WriteStalled,
        Cut::FrameStalled,
        Cut::Flooded,
        Cut::Shutdown,
        Cut::Overdue,
    ];

    fn from_code(code: u8) -> Option<Cut> {
        Cut::ALL.into_iter().find(|cut| cut.code() == code)
    }
}

/// One connection.
#[derive(Debug)]
pub struct Conn {
    peer: SocketAddr,
    tls: Option<TlsFacts>,
    draining: Draining,
    opened: Instant,
    /// Milliseconds after `opened`; 0 is none.
    deadline: AtomicU64,
    /// The latest `deadline` of this exchange.
    latest: AtomicU64,
    tunnel: AtomicU8,
    cut: AtomicU8,
    shed: AtomicBool,
    place: Place,
}

impl Conn {
    pub(super) fn new(peer: SocketAddr, tls: Option<TlsFacts>, draining: Draining, place: Place) -> Conn {
        Conn {
            peer,
            tls,
            draining,
            opened: Instant::now(),
            deadline: AtomicU64::new(0),
            latest: AtomicU64::new(0),
            tunnel: AtomicU8::new(0),
            cut: AtomicU8::new(0),
            shed: AtomicBool::new(false),
            place,
        }
    }

    /// The connection that a session stands on; `None` where the stream is not the edge's.
    pub fn of(digest: &Digest) -> Option<&Arc<Conn>> {
        digest.proxy_digest.as_ref()?.user_data.as_ref()?.downcast_ref()
    }

    /// The address that connected; an IPv4 address is never shown as IPv6.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// What the TLS handshake told; `None` on a plain connection.
    pub fn tls(&self) -> Option<&TlsFacts> {
        self.tls.as_ref()
    }

    /// Whether shutdown has begun: answers must then say `Connection: close`.
    pub fn is_draining(&self) -> bool {
        self.draining.has_begun()
    }

    /// Whether the process stops.
    pub(super) fn draining(&self) -> &Draining {
        &self.draining
    }

    /// Forgets what belonged to the exchange before. The new one lives so long at most.
    pub(super) fn begin_exchange(&self, within: Duration) {
        let latest = self.after(within);
        self.latest.store(latest, Relaxed);
        self.deadline.store(latest, Relaxed);
        self.tunnel.store(0, Relaxed);
        self.cut.store(0, Relaxed);
    }

    /// A turn among the requests in flight. Without one the exchange is to be answered `overloaded`.
    pub(super) fn take_turn(&self, most: usize) -> Option<Turn> {
        let turn = self.place.crowd.turn(most);
        self.shed.store(turn.is_none(), Relaxed);
        turn
    }

    /// The same for a stream, which keeps by itself what came of it.
    fn turn(&self, most: usize) -> Option<Turn> {
        self.place.crowd.turn(most)
    }

    /// Tells whoever keeps account.
    pub(super) fn tell(&self, event: EdgeEvent) {
        self.place.told.note(event);
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.deadline.load(Relaxed) {
            0 => None,
            after => Some(self.opened + Duration::from_millis(after)),
        }
    }

    pub(super) fn tunnel(&self) -> Option<Tunnel> {
        match self.tunnel.load(Relaxed) {
            0 => None,
            1 => Some(Tunnel::WebSocket),
            _ => Some(Tunnel::Opaque),
        }
    }

    pub(super) fn set_tunnel(&self, tunnel: Tunnel) {
        let code = match tunnel {
            Tunnel::WebSocket => 1,
            Tunnel::Opaque => 2,
        };
        self.tunnel.store(code, Relaxed);
    }

    pub(super) fn note_cut(&self, cut: Cut) {
        self.cut.store(cut.code(), Relaxed);
        self.tell(EdgeEvent::Cut(cut));
    }

    pub(super) fn expire_in(&self, remaining: Duration) {
        self.deadline.store(self.after(remaining).min(self.latest.load(Relaxed)), Relaxed);
    }

    /// What it means that the deadline has passed.
    pub(super) fn time_up(&self) -> Cut {
        if self.deadline.load(Relaxed) < self.latest.load(Relaxed) { Cut::Expired } else { Cut::Overdue }
    }

    /// As a deadline holds it.
    fn after(&self, within: Duration) -> u64 {
        u64::try_from(self.opened.elapsed().saturating_add(within).as_millis()).unwrap_or(u64::MAX).clamp(1, FAR_AWAY)
    }
}

/// Thirty years, in milliseconds: a timer can hold it, and no connection lives longer.
const FAR_AWAY: u64 = 30 * 365 * 24 * 60 * 60 * 1000;

/// One request and its answer: how a filter reaches the edge.
#[derive(Clone, Debug)]
pub struct Exchange {
    conn: Arc<Conn>,
    stream: Option<Arc<Cutoff>>,
}

impl Exchange {
    /// The exchange of a session. Called from the filters, in the task that runs the session; `None` where the connection is not the
    /// edge's, or a HTTP/2 session runs outside its task: treat it as an internal error.
    pub fn of(session: &ServerSession) -> Option<Exchange> {
        let conn = Conn::of(session.digest()?)?.clone();
        let stream = match session.is_http2() {
            true => Some(CUTOFF.try_with(Arc::clone).ok()?),
            false => None,
        };
        Some(Exchange { conn, stream })
    }

    /// The connection.
    pub fn conn(&self) -> &Arc<Conn> {
        &self.conn
    }

    /// Whether there are as many requests as the limits allow: this one is to be answered `overloaded`, and nothing else.
    pub fn is_shed(&self) -> bool {
        match &self.stream {
            Some(stream) => stream.turn.is_none(),
            None => self.conn.shed.load(Relaxed),
        }
    }

    /// Ends the exchange after this time, whatever it does then: a WebSocket gets Close 1008, a HTTP/2 stream a reset, anything else a
    /// closed connection without the end of its body. Called again, it replaces the time. Never later than the limits say.
    pub fn expire_in(&self, remaining: Duration) {
        match &self.stream {
            Some(stream) => stream.expire_in(remaining),
            None => self.conn.expire_in(remaining),
        }
    }

    /// Lets an HTTP/2 session end at the time of [`Exchange::expire_in`] by an error that filters see, so that they can still end the
    /// answer. For each attempt, before the request is sent; [`Exchange::unwatch`] must come before the next one and before an answer.
    pub fn watch(&self, session: &mut ServerSession) {
        if let Some(stream) = &self.stream {
            expiring::watch(session, stream);
        }
    }

    /// Gives back the session as it was before [`Exchange::watch`].
    pub fn unwatch(&self, session: &mut ServerSession) {
        if let Some(stream) = &self.stream {
            expiring::unwatch(session, stream);
        }
    }

    /// The upstream has agreed to switch protocols: from now on bytes pass in both directions. Must be called before the 101 is
    /// written; without it the client's bytes are held back as a next request.
    pub fn upgraded(&self, tunnel: Tunnel) {
        self.conn.set_tunnel(tunnel);
    }

    /// A request body is awaited: on HTTP/2 the body clock starts. The clock of an HTTP/1 body runs by itself.
    pub fn body_awaited(&self) {
        if let Some(stream) = &self.stream {
            stream.body_awaited();
        }
    }

    /// That many body bytes have come. The clock of HTTP/2 also counts the time in which the upstream takes no bytes.
    pub fn body_progress(&self, bytes: usize) {
        if let Some(stream) = &self.stream {
            stream.body_progress(bytes);
        }
    }

    /// The request body is complete, or its parts may come whenever they like: the body clock of HTTP/2 stops.
    pub fn body_complete(&self) {
        if let Some(stream) = &self.stream {
            stream.body_complete();
        }
    }

    /// Why the edge has ended this exchange, if it has. After the end of a HTTP/2 exchange no filter runs: ask in `Drop` of the
    /// context.
    pub fn cut(&self) -> Option<Cut> {
        let cut = match &self.stream {
            Some(stream) => Cut::from_code(stream.cut.load(Relaxed)),
            None => None,
        };
        cut.or_else(|| Cut::from_code(self.conn.cut.load(Relaxed)))
    }
}
