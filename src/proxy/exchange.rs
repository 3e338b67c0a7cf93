//! One request from its first byte to its last: what is known of it so far, and the one place where it is accounted for.
//!
//! Settles in `Drop`, whatever happened: answered, forwarded, cut, or lost to a panic. Nothing here decides.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use pingora::{Error, ErrorType, Result, proxy::Session, upstreams::peer::HttpPeer};

use super::{
    Serving, forward,
    reading::{Peer, Reading},
    upstream::{Server, Upstream},
};
use crate::{
    edge::Conn,
    gate::{Denial, Permit, Seen},
    identity::CredentialSource,
    request::Query,
    telemetry::{Account, RequestId, Telemetry},
};

/// At most so many servers are asked for one request.
const MOST_ATTEMPTS: usize = 3;

/// What went wrong with an upstream. Closed: it is a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UpstreamFault {
    /// No connection was made.
    Connect,
    /// It did not answer in time.
    Timeout,
    /// It closed, reset or sent what is no HTTP.
    Broken,
}

impl UpstreamFault {
    pub(super) fn of(error: &ErrorType) -> Self {
        if matches!(
            error,
            ErrorType::ConnectTimedout
                | ErrorType::TLSHandshakeTimedout
                | ErrorType::ReadTimedout
                | ErrorType::WriteTimedout
        ) {
            Self::Timeout
        } else if matches!(
            error,
            ErrorType::ConnectError
                | ErrorType::ConnectRefused
                | ErrorType::ConnectNoRoute
                | ErrorType::ConnectProxyFailure
                | ErrorType::TLSHandshakeFailure
                | ErrorType::TLSWantX509Lookup
                | ErrorType::InvalidCert
                | ErrorType::BindError
                | ErrorType::SocketError
        ) {
            Self::Connect
        } else {
            Self::Broken
        }
    }

    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::Broken => "broken",
        }
    }

    fn denial(self) -> Denial {
        match self {
            Self::Connect | Self::Broken => Denial::UpstreamUnreachable,
            Self::Timeout => Denial::UpstreamTimeout,
        }
    }
}

/// A request that may go upstream, and all that is needed to send it.
#[derive(Debug)]
pub(super) struct Admitted {
    pub(super) serving: Arc<Serving>,
    pub(super) permit: Permit,
    pub(super) reading: Reading,
    /// The target as it goes upstream: the path that was decided on, less the route's prefix, and the query as it came.
    pub(super) wire_target: String,
    pub(super) request_id: RequestId,
}

impl Admitted {
    /// The upstream that the route leads to.
    pub(super) fn upstream(&self) -> Result<&Upstream> {
        let found = self.serving.upstreams.get(self.permit.route().upstream);
        found.ok_or_else(|| Error::explain(ErrorType::InternalError, "the route's upstream is gone"))
    }

    /// The credential that the upstream must not see.
    pub(super) fn credential_to_remove(&self) -> Option<&CredentialSource> {
        if self.serving.generation.settings().forward_credential { None } else { self.permit.credential() }
    }
}

/// How far a request has come.
#[derive(Debug)]
enum Stage {
    /// Not decided yet.
    Received,
    /// Forwarded, or about to be.
    Admitted(Box<Admitted>),
    /// Answered by the gateway.
    Refused(Denial),
}

/// The state of one request.
pub struct Exchange {
    telemetry: Arc<Telemetry>,
    started: Instant,
    stage: Stage,
    pub(super) serving: Option<Arc<Serving>>,
    pub(super) seen: Seen,
    request_id: RequestId,
    method: http::Method,
    path: Option<String>,
    decision: Option<Duration>,
    body_bytes: u64,
    server: Option<Arc<Server>>,
    attempts: usize,
    sent: Option<Instant>,
    upstream: Option<Duration>,
    fault: Option<Denial>,
    status: Option<u16>,
    is_finished: bool,
}

impl Exchange {
    pub(super) fn new(telemetry: Arc<Telemetry>) -> Self {
        Self {
            telemetry,
            started: Instant::now(),
            stage: Stage::Received,
            serving: None,
            seen: Seen::default(),
            request_id: RequestId::none(),
            method: http::Method::GET,
            path: None,
            decision: None,
            body_bytes: 0,
            server: None,
            attempts: 0,
            sent: None,
            upstream: None,
            fault: None,
            status: None,
            is_finished: false,
        }
    }

    /// Takes up a request: its id, and the one generation that it will see.
    pub(super) fn begin(&mut self, session: &mut Session, serving: Arc<Serving>) {
        self.method = session.req_header().method.clone();
        self.request_id = RequestId::kept_or_new(session.req_header().headers.get("x-request-id"));
        let request = session.req_header_mut();
        // SECURITY: before anything is read: `identity_headers_of_the_client_are_no_attributes`.
        forward::strip_reserved(request, serving.generation.reserved_headers());
        forward::strip_nominated(request);
        self.serving = Some(serving);
    }

    /// Reads the head. What has no single reading is refused.
    pub(super) fn read(&mut self, session: &Session) -> std::result::Result<Reading, Denial> {
        let (Some(conn), Some(serving)) = (Conn::of(session), &self.serving) else { return Err(Denial::Internal) };
        let peer = Peer { address: conn.peer_address().ip(), secure: conn.is_tls() };
        let reading = Reading::of(session.req_header(), peer, &serving.generation)?;
        self.path = Some(reading.target.path.as_str().to_owned());
        Ok(reading)
    }

    /// The largest body that the permit's route takes.
    pub(super) fn body_limit(&self, permit: &Permit) -> u64 {
        let general = self.serving.as_ref().map_or(0, |serving| serving.generation.settings().limits.body_bytes);
        permit.route().body_bytes.unwrap_or(general)
    }

    /// The decision is yes.
    pub(super) fn admitted(&mut self, permit: Permit, reading: Reading) -> std::result::Result<(), Denial> {
        self.decision = Some(self.started.elapsed());
        let serving = self.serving.clone().ok_or(Denial::Internal)?;
        let wire_target = wire_target(&permit, &reading).ok_or(Denial::Internal)?;
        let request_id = self.request_id.clone();
        self.stage = Stage::Admitted(Box::new(Admitted { serving, permit, reading, wire_target, request_id }));
        Ok(())
    }

    /// What was admitted.
    ///
    /// # Errors
    /// An internal error when nothing was: the request is then not forwarded.
    pub(super) fn admission(&self) -> Result<&Admitted> {
        match &self.stage {
            Stage::Admitted(admitted) => Ok(admitted),
            // SECURITY: no permit, no peer: `an_exchange_that_was_not_admitted_has_no_peer`.
            Stage::Received | Stage::Refused(_) => {
                Err(Error::explain(ErrorType::InternalError, "the request was not admitted"))
            }
        }
    }

    /// The peer for the next attempt.
    pub(super) fn next_peer(&mut self) -> Result<Box<HttpPeer>> {
        self.attempts += 1;
        let admitted = self.admission()?;
        let streaming = admitted.reading.is_websocket() || self.wants_event_stream;
        let found = admitted.upstream()?.peer(&admitted.permit, streaming);
        self.sent.get_or_insert_with(Instant::now);
        let Some((server, peer)) = found else {
            self.note(UpstreamFault::Connect);
            self.fault = Some(Denial::UpstreamUnreachable);
            return Err(Error::explain(ErrorType::ConnectError, "no server of the upstream has an address").into_up());
        };
        self.server = Some(server);
        Ok(peer)
    }

    /// A connection was made.
    pub(super) fn connected(&mut self) {
        if let Some(server) = &self.server {
            server.accepted();
        }
    }

    /// No connection was made. True when another server should be asked.
    pub(super) fn refused(&mut self, fault: UpstreamFault) -> bool {
        if let Some(server) = &self.server {
            server.refused();
        }
        self.failed(fault);
        let servers = self.admission().and_then(Admitted::upstream).map_or(0, Upstream::size);
        self.attempts < servers.min(MOST_ATTEMPTS)
    }

    /// The upstream failed after it was connected, or for good.
    pub(super) fn failed(&mut self, fault: UpstreamFault) {
        self.note(fault);
        self.fault = Some(fault.denial());
    }

    fn note(&self, fault: UpstreamFault) {
        if let Ok(upstream) = self.admission().and_then(Admitted::upstream) {
            self.telemetry.metrics.upstream_error(upstream.id(), fault.label());
        }
    }

    /// The head of the upstream's answer is here.
    pub(super) fn answered(&mut self) {
        self.fault = None;
        if let (Some(sent), None) = (self.sent, self.upstream) {
            let took = sent.elapsed();
            self.upstream = Some(took);
            if let Ok(upstream) = self.admission().and_then(Admitted::upstream) {
                self.telemetry.metrics.upstream_duration(upstream.id(), took);
            }
        }
    }

    /// Counts the bytes of the body that pass.
    ///
    /// # Errors
    /// When they are more than the route takes; nothing more is then sent.
    pub(super) fn count_body(&mut self, bytes: usize) -> Result<()> {
        self.body_bytes = self.body_bytes.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        let admitted = self.admission()?;
        let is_upgraded = admitted.reading.is_websocket();
        if !is_upgraded && self.body_bytes > self.body_limit(&admitted.permit) {
            self.fault = Some(Denial::BodyTooLarge);
            return Err(Error::explain(ErrorType::InternalError, "the body is too large").into_down());
        }
        Ok(())
    }

    /// What a room of ours said about the failure that pingora reports.
    pub(super) fn take_fault(&mut self) -> Option<Denial> {
        self.fault.take()
    }

    /// The gateway answers itself.
    pub(super) fn settle(&mut self, denial: Denial) {
        self.decision.get_or_insert_with(|| self.started.elapsed());
        match &self.stage {
            // The decision stays an allow; what came after is told beside it.
            Stage::Admitted(_) => self.fault = Some(denial),
            Stage::Received | Stage::Refused(_) => self.stage = Stage::Refused(denial),
        }
    }

    /// The exchange ended before its end, after the answer had begun.
    pub(super) fn cut(&mut self, denial: Denial) {
        self.fault = Some(denial);
    }

    /// pingora is done with the request.
    pub(super) fn finished(&mut self, status: Option<u16>) {
        self.status = status;
        self.is_finished = true;
    }

    pub(super) fn request_id(&self) -> &str {
        self.request_id.as_str()
    }
}

fn wire_target(permit: &Permit, reading: &Reading) -> Option<String> {
    let path = &reading.target.path;
    let stripped = match &permit.route().strip_prefix {
        Some(prefix) => Some(path.strip_prefix(prefix)?),
        None => None,
    };
    let path = stripped.as_ref().unwrap_or(path);
    let query = Query::as_str(&reading.target.query());
    Some(match query {
        Some(query) => format!("{}?{query}", path.as_str()),
        None => path.as_str().to_owned(),
    })
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let (denial, permit) = match &self.stage {
            Stage::Received => (None, None),
            Stage::Refused(denial) => (Some(denial), None),
            Stage::Admitted(admitted) => (None, Some(&admitted.permit)),
        };
        self.telemetry.settle(&Account {
            request_id: self.request_id.as_str(),
            generation: self.serving.as_ref().map_or(0, |serving| serving.generation.number()),
            method: &self.method,
            path: self.path.as_deref(),
            seen: &self.seen,
            allowed: permit.is_some(),
            denial: denial.or(self.fault.as_ref()),
            status: self.status,
            decision: self.decision,
            upstream: self.upstream,
            is_finished: self.is_finished,
        });
    }
}
