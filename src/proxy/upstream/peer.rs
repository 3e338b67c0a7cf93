//! The peer for one attempt: where to connect, what to prove, and whose pooled connections may serve.
//!
//! Invariant: no peer without a [`Permit`], none with TLS but without a name to verify, and no connection that was made under one
//! upstream's terms serves another's request.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use pingora::{
    protocols::TcpKeepalive,
    upstreams::peer::{HttpPeer, PeerOptions},
};

use super::{NoServer, Server, Upstream};
use crate::{
    config::{Protocol, Timeouts},
    gate::Permit,
    policy::TimeoutOverrides,
    proxy::{late::Late, reading::Answer, wire::Wired},
    reload::Trust,
};

/// Streams at once on one HTTP/2 connection; the upstream may allow fewer.
const STREAMS: usize = 100;
/// What an upstream may send on one HTTP/2 stream, and on one connection, before the client has taken it.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 8 << 20;
/// A silent connection is asked whether anybody is there.
const KEEPALIVE: TcpKeepalive = TcpKeepalive {
    idle: Duration::from_secs(60),
    interval: Duration::from_secs(10),
    count: 3,
    #[cfg(target_os = "linux")]
    user_timeout: Duration::ZERO,
};

/// The groups of pooled connections: pingora's own key knows neither the protocol nor the authorities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PoolKeys {
    messages: u64,
    websockets: u64,
}

/// A number that no group of connections has had before.
fn new_key() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Relaxed)
}

impl PoolKeys {
    /// The keys of an upstream: the former ones while connections would be made under the same terms, else new ones.
    pub(super) fn of(settings: &crate::config::Upstream, trust: &Trust, previous: Option<&Upstream>) -> Self {
        // SECURITY: held by `connections_made_under_other_terms_are_not_used`.
        let same = previous.filter(|previous| {
            previous.protocol == settings.protocol
                && previous.tls == settings.tls
                && previous.trust.fingerprint == trust.fingerprint
        });
        same.map_or_else(|| Self { messages: new_key(), websockets: new_key() }, |previous| previous.pools)
    }
}

/// What an attempt needs.
#[derive(Clone, Copy, Debug)]
pub(in crate::proxy) struct Ask<'a> {
    pub(in crate::proxy) permit: &'a Permit,
    pub(in crate::proxy) answer: Answer,
    /// The request has no body, or a small one.
    pub(in crate::proxy) is_small: bool,
    /// The server that failed before.
    pub(in crate::proxy) avoid: Option<&'a Arc<Server>>,
    pub(in crate::proxy) reach: Reach,
}

/// Which connections will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Reach {
    /// One that was used before, or a new one.
    Pooled,
    /// A new one, for this request alone.
    Fresh,
}

impl Upstream {
    /// The peer for one attempt, and its times.
    pub(in crate::proxy) fn peer(&self, ask: Ask<'_>) -> Result<(Arc<Server>, Box<HttpPeer>, Timeouts), NoServer> {
        let server = self.pick(ask.avoid)?;
        let timeouts = over(ask.permit.route().timeouts, self.timeouts);
        let mut peer = self.reach(&server, timeouts.connect)?;
        let options = &mut peer.options;
        options.read_timeout = Some(match ask.answer {
            // pingora's clock for the head of an HTTP/2 answer runs while the body is still being sent.
            Answer::Message if self.protocol == Protocol::Http2 && !ask.is_small => {
                timeouts.read.max(timeouts.stream_idle)
            }
            Answer::Message => timeouts.read,
            Answer::EventStream | Answer::WebSocket => timeouts.stream_idle,
        });
        options.write_timeout = Some(timeouts.write);
        options.idle_timeout = Some(timeouts.idle);
        options.custom_l4 = Some(Arc::new(Wired));
        peer.group_key = self.pools.messages;
        if ask.answer == Answer::WebSocket {
            options.custom_l4 = Some(Arc::new(Late));
            peer.group_key = self.pools.websockets;
        }
        if ask.reach == Reach::Fresh {
            peer.group_key = new_key();
            options.idle_timeout = Some(Duration::ZERO);
            options.max_h2_streams = 1;
        }
        Ok((server, Box::new(peer), timeouts))
    }

    /// A peer as far as requests and health checks agree on it.
    pub(super) fn reach(&self, server: &Server, connect: Duration) -> Result<HttpPeer, NoServer> {
        let endpoint = &server.endpoint;
        let name = match (endpoint.tls, &self.tls.server_name) {
            (false, _) => String::new(),
            (true, Some(name)) => name.clone(),
            (true, None) => endpoint.host.clone(),
        };
        // SECURITY: pingora skips all verification for an empty name: `a_tls_peer_always_has_a_name`.
        if endpoint.tls && name.is_empty() {
            return Err(NoServer::Nameless);
        }
        let mut peer = HttpPeer::new(server.address, endpoint.tls, name);
        peer.client_cert_key.clone_from(&self.trust.client);
        let options = &mut peer.options;
        options.connection_timeout = Some(connect);
        options.total_connection_timeout = Some(connect);
        options.tcp_keepalive = Some(KEEPALIVE);
        options.ca.clone_from(&self.trust.ca);
        speak(options, self.protocol);
        Ok(peer)
    }
}

fn speak(options: &mut PeerOptions, protocol: Protocol) {
    match protocol {
        Protocol::Http1 => options.set_http_version(1, 1),
        Protocol::Http2 => {
            options.set_http_version(2, 2);
            options.max_h2_streams = STREAMS;
            options.h2_stream_window_size = Some(STREAM_WINDOW);
            options.h2_connection_window_size = Some(CONNECTION_WINDOW);
        }
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
