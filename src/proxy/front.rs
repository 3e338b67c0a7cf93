//! The gateway as the edge sees it: pingora's proxy, and the words for what the edge refuses by itself.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use pingora::{
    apps::HttpServerOptions,
    proxy::{HttpProxy, http_proxy},
    server::configuration::ServerConf,
};

use super::{Gateway, Serving, request_id::RequestId};
use crate::{
    edge::{Cut, EdgeEvent, EdgeRefusal, Handshake, Refusals, closing_answer},
    gate::{Denial, Live, Seen},
    request::{TargetError, wire::Malformation},
    telemetry::{
        Account, Telemetry,
        metrics::{CutCause, HandshakeResult, RefusedConnection},
    },
};

/// The first attempt, one on a new connection for a pooled one that was closed, and the most retries of the settings.
const MOST_ATTEMPTS: usize = 7;

/// Idle upstream connections that are kept, over all upstreams.
const IDLE_UPSTREAM_CONNECTIONS: usize = 512;

/// Puts the gateway into pingora's proxy, for so many worker threads.
pub fn proxy(gateway: Gateway, threads: usize) -> Arc<HttpProxy<Gateway>> {
    let conf = ServerConf {
        threads,
        max_retries: MOST_ATTEMPTS,
        upstream_keepalive_pool_size: IDLE_UPSTREAM_CONNECTIONS,
        ..ServerConf::default()
    };
    let mut proxy = http_proxy(&Arc::new(conf), gateway);
    let mut options = HttpServerOptions::default();
    // SECURITY: `Exchange::begin` refuses it, counted and audited: `test_a_connect_over_http2_is_refused_and_audited`.
    options.allow_connect_method_proxying = true;
    proxy.server_options = Some(options);
    Arc::new(proxy)
}

/// Tells clients of the gateway why the edge refuses them, and keeps account of it.
#[derive(Debug)]
pub struct Turned {
    /// Where the account goes.
    pub telemetry: Arc<Telemetry>,
    /// What serves, for the number of its generation.
    pub live: Arc<Live<Serving>>,
}

impl Refusals for Turned {
    fn answer(&self, refusal: EdgeRefusal, _: SocketAddr) -> Bytes {
        let denial = match refusal {
            EdgeRefusal::Malformed => Denial::Malformed(Malformation::NotOneHead),
            EdgeRefusal::Ambiguous => Denial::Target(TargetError::NotOriginForm),
            EdgeRefusal::Connect => Denial::connect(),
            EdgeRefusal::HeadersTooLarge => Denial::HeadersTooLarge,
            EdgeRefusal::Timeout => Denial::RequestTimeout,
            EdgeRefusal::Overloaded => Denial::Overloaded,
        };
        let (face, request_id) = (denial.face(), RequestId::new());
        self.telemetry.settle(&Account {
            request_id: request_id.as_str(),
            generation: self.live.load().generation.number(),
            method: None,
            path: None,
            seen: &Seen::default(),
            allowed: false,
            denial: Some(&denial),
            status: Some(face.status),
            decision: Duration::ZERO,
            upstream: None,
        });
        let mut fields = vec![
            ("Content-Type", "application/problem+json"),
            ("Cache-Control", "no-store"),
            ("X-Request-Id", request_id.as_str()),
        ];
        let retry_after = face.retry_after.map(|after| after.to_string());
        fields.extend(retry_after.as_deref().map(|after| ("Retry-After", after)));
        fields.extend(denial.allow().and_then(|allow| allow.to_str().ok()).map(|allow| ("Allow", allow)));
        let status = http::StatusCode::from_u16(face.status).unwrap_or(http::StatusCode::BAD_REQUEST);
        closing_answer(status, &fields, &face.body(request_id.as_str()))
    }

    fn note(&self, event: EdgeEvent) {
        let metrics = &self.telemetry.metrics;
        match event {
            EdgeEvent::Crowded => metrics.record_refused_connection(RefusedConnection::Connections),
            EdgeEvent::AddressCrowded => metrics.record_refused_connection(RefusedConnection::Address),
            EdgeEvent::Handshake(how) => metrics.record_handshake(result(how)),
            EdgeEvent::Cut(cut) => metrics.record_cut(cause(cut)),
            EdgeEvent::StreamRefused => metrics.record_cut(CutCause::StreamRefused),
            EdgeEvent::ConnectionRefused => metrics.record_cut(CutCause::Http2Error),
        }
    }
}

const fn result(how: Handshake) -> HandshakeResult {
    match how {
        Handshake::Done => HandshakeResult::Ok,
        Handshake::Failed => HandshakeResult::Failed,
        Handshake::TimedOut => HandshakeResult::Timeout,
    }
}

const fn cause(cut: Cut) -> CutCause {
    match cut {
        Cut::Expired => CutCause::Expired,
        Cut::BodyStalled => CutCause::BodyStalled,
        Cut::BodyMalformed => CutCause::BodyMalformed,
        Cut::WriteStalled => CutCause::WriteStalled,
        Cut::FrameStalled => CutCause::FrameStalled,
        Cut::Flooded => CutCause::Flooded,
        Cut::Shutdown => CutCause::Shutdown,
        Cut::Overdue => CutCause::Overdue,
    }
}
