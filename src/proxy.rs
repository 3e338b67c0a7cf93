//! The proxy: pingora's phases, each of them a few lines that call the room that knows.
//!
//! Decides nothing. A request leaves `request_filter` with an [`Admitted`](exchange::Admitted) or answered; every later phase asks the
//! exchange for it, and fails closed with 500 when it is not there.

mod annotate;
mod attempts;
mod body;
mod exchange;
mod forward;
mod front;
mod late;
mod reading;
mod request_id;
mod respond;
mod stream;
mod upstream;
mod wire;

pub use front::{Turned, proxy};
pub use upstream::{Background, Upstreams};

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use pingora::{
    Error, ErrorSource, ErrorType, Result,
    http::{RequestHeader, ResponseHeader},
    modules::http::HttpModules,
    protocols::Digest,
    proxy::{FailToProxy, ProxyHttp, Session},
    upstreams::peer::HttpPeer,
};

use crate::{
    admission::Admissions,
    gate::{Admission, Denial, Generation, Preflight},
    policy::{Body, PolicySet},
    reload::Parts,
    request::wire::Malformation,
    telemetry::Telemetry,
};
use attempts::Replay;
use exchange::Exchange;
use reading::Reading;

/// What serves at the moment: a generation, and the upstreams of its settings.
#[derive(Debug)]
pub struct Serving {
    /// Settings, policies and keys.
    pub generation: Generation,
    /// Where its routes lead.
    pub upstreams: Arc<Upstreams>,
}

impl AsRef<Generation> for Serving {
    fn as_ref(&self) -> &Generation {
        &self.generation
    }
}

impl Serving {
    /// What serves from now on. Upstreams of unchanged settings are kept; of changed ones, the servers that stay.
    pub fn of(parts: Parts<PolicySet>, previous: Option<&Self>) -> Self {
        let Parts { number, settings, policies, trust, keys, tls: _, api: _ } = parts;
        let upstreams = match previous.map(|serving| &serving.upstreams) {
            Some(upstreams) if upstreams.say(&settings, &trust) => Arc::clone(upstreams),
            previous => Arc::new(Upstreams::build(&settings, &trust, previous.map(|upstreams| &**upstreams))),
        };
        let generation = Generation::new(number, settings, policies, keys);
        let generation = match previous {
            Some(previous) => generation.following(&previous.generation),
            None => generation,
        };
        Self { generation, upstreams }
    }
}

/// What becomes of a request that is not refused.
enum Received {
    /// It is forwarded: the exchange holds the permit.
    Admitted,
    /// It is answered here.
    Preflight(Preflight),
}

/// The gateway as pingora sees it.
pub struct Gateway {
    admissions: Admissions<Serving>,
    telemetry: Arc<Telemetry>,
}

impl Gateway {
    /// A gateway over whatever `live` holds.
    pub fn new(admissions: Admissions<Serving>, telemetry: Arc<Telemetry>) -> Self {
        Self { admissions, telemetry }
    }

    /// The line: read, admit, and hold what is needed to forward.
    async fn receive(&self, session: &mut Session, exchange: &mut Exchange) -> std::result::Result<Received, Denial> {
        let reading = exchange.begin(session)?;
        let permit = match self.admit(session, exchange, &reading).await? {
            Admission::Permit(permit) => permit,
            Admission::Preflight(preflight) => return Ok(Received::Preflight(preflight)),
            // The gate has the body and still asks for it: a defect, and no reason to forward.
            Admission::NeedsBody { .. } => return Err(Denial::Internal),
        };
        body::refuse_announced(session, exchange.body_limit(&permit))?;
        exchange.admitted(permit, reading).map(|()| Received::Admitted)
    }

    /// Asks the gate, and once more with the body where the decision needs it.
    async fn admit(
        &self,
        session: &mut Session,
        exchange: &mut Exchange,
        reading: &Reading,
    ) -> std::result::Result<Admission, Denial> {
        let (serving, seen) = (&mut exchange.serving, &mut exchange.seen);
        let view = reading.view(session.req_header());
        let limit = match self.admissions.admit(serving, &view, Body::Unread, seen).await? {
            Admission::NeedsBody { limit } => limit,
            settled @ (Admission::Permit(_) | Admission::Preflight(_)) => return Ok(settled),
        };
        let json = body::read_for_decision(session, limit, exchange.body_stall()).await;
        // What ended the body is known better by the edge: one that stalls is not malformed.
        let json = json.map_err(|denial| exchange.take_fault().unwrap_or(denial))?;
        let (serving, seen) = (&mut exchange.serving, &mut exchange.seen);
        let view = reading.view(session.req_header());
        self.admissions.admit(serving, &view, Body::Json(&json), seen).await
    }
}

#[async_trait]
impl ProxyHttp for Gateway {
    type CTX = Exchange;

    fn new_ctx(&self) -> Exchange {
        Exchange::new(Arc::clone(&self.telemetry), self.admissions.serving())
    }

    /// No modules: nothing is compressed, cached or rewritten behind the decision's back.
    fn init_downstream_modules(&self, _: &mut HttpModules) {}

    async fn request_filter(&self, session: &mut Session, exchange: &mut Exchange) -> Result<bool> {
        match self.receive(session, exchange).await {
            Ok(Received::Admitted) => Ok(false),
            Ok(Received::Preflight(preflight)) => respond::preflight(session, exchange, preflight).await.map(|()| true),
            Err(denial) => respond::refuse(session, exchange, denial).await.map(|()| true),
        }
    }

    async fn request_body_filter(
        &self,
        _: &mut Session,
        chunk: &mut Option<Bytes>,
        is_end: bool,
        exchange: &mut Exchange,
    ) -> Result<()> {
        exchange.count_body(chunk.as_ref().map_or(0, Bytes::len), is_end)?;
        // SECURITY: pingora 0.9.1 writes an empty last piece as a last chunk, and then the last chunk: the second one would stand before
        // the next request on that connection: `a_body_over_http2_that_ends_with_an_empty_frame_ends_once_upstream`.
        if is_end && chunk.as_ref().is_some_and(Bytes::is_empty) {
            *chunk = None;
        }
        Ok(())
    }

    async fn upstream_peer(&self, session: &mut Session, exchange: &mut Exchange) -> Result<Box<HttpPeer>> {
        exchange.begins_attempt(session);
        exchange.next_peer(body::is_replayable(session)).await
    }

    async fn connected_to_upstream(
        &self,
        _: &mut Session,
        reused: bool,
        _: &HttpPeer,
        _: std::os::fd::RawFd,
        digest: Option<&Digest>,
        exchange: &mut Exchange,
    ) -> Result<()> {
        exchange.attached(reused, digest)
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        exchange: &mut Exchange,
    ) -> Result<()> {
        exchange.connected(session, request)?;
        let admitted = exchange.admission()?;
        forward::apply(request, admitted, admitted.upstream()?.host())
    }

    async fn upstream_response_filter(
        &self,
        _: &mut Session,
        response: &mut ResponseHeader,
        _: &mut Exchange,
    ) -> Result<()> {
        respond::check_framing(response)
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        exchange: &mut Exchange,
    ) -> Result<()> {
        exchange.answered(response)?;
        if exchange.is_draining() {
            session.set_keepalive(None);
        }
        respond::frame(session, response);
        respond::edit(response, exchange)?;
        exchange.answers(&session.req_header().method, response);
        Ok(())
    }

    fn response_body_filter(
        &self,
        _: &mut Session,
        _: &mut Option<Bytes>,
        is_end: bool,
        exchange: &mut Exchange,
    ) -> Result<Option<Duration>> {
        if is_end {
            exchange.answer_ended();
        }
        Ok(None)
    }

    fn fail_to_connect(
        &self,
        _: &mut Session,
        _: &HttpPeer,
        exchange: &mut Exchange,
        mut error: Box<Error>,
    ) -> Box<Error> {
        // Nothing was sent yet, so another server may be asked whatever the method is.
        let again = exchange.refused(&error);
        error.set_retry(again);
        error
    }

    fn error_while_proxy(
        &self,
        _: &HttpPeer,
        session: &mut Session,
        mut error: Box<Error>,
        exchange: &mut Exchange,
        reused: bool,
    ) -> Box<Error> {
        let replay = Replay {
            is_idempotent: session.req_header().method.is_idempotent(),
            is_whole: !session.as_ref().retry_buffer_truncated() && answer_written(session).is_none(),
        };
        let is_upstreams = *error.esource() == ErrorSource::Upstream;
        let again = is_upstreams && exchange.failed(&error, reused, replay);
        error.set_retry(again);
        error
    }

    async fn fail_to_proxy(&self, session: &mut Session, error: &Error, exchange: &mut Exchange) -> FailToProxy {
        exchange.begins_attempt(session);
        let denial = exchange.take_fault().unwrap_or_else(|| denial_of(error));
        let status = denial.face().status;
        // Too late for an answer. One that cannot be read any more is not waited for: the edge bounds the write.
        if answer_written(session).is_some() {
            if exchange.has_begun_grpc() {
                respond::break_off_grpc(session, &denial).await;
            }
            exchange.broke(denial);
            return FailToProxy { error_code: 0, can_reuse_downstream: false };
        }
        session.set_keepalive(None);
        if let Err(error) = respond::refuse(session, exchange, denial).await {
            tracing::debug!(%error, "the client is gone before the answer");
        }
        FailToProxy { error_code: status, can_reuse_downstream: false }
    }

    /// The error is in the audit line already; pingora's own line would carry request data.
    fn suppress_error_log(&self, _: &Session, _: &Exchange, _: &Error) -> bool {
        true
    }

    fn request_summary(&self, _: &Session, exchange: &Exchange) -> String {
        format!("request {}", exchange.request_id())
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, exchange: &mut Exchange) {
        exchange.finished(answer_written(session).map(|response| response.status.as_u16()), error);
    }
}

/// The head of the answer that the client has been sent. What only announced one does not count.
fn answer_written(session: &Session) -> Option<&ResponseHeader> {
    session.response_written().filter(|response| !wire::is_interim(response.status))
}

/// The denial for an error of pingora that no room of ours has named.
fn denial_of(error: &Error) -> Denial {
    match error.esource() {
        ErrorSource::Upstream => attempts::denial_of(attempts::kind_of(error.etype())),
        ErrorSource::Downstream if matches!(error.etype(), ErrorType::ReadTimedout | ErrorType::WriteTimedout) => {
            Denial::RequestTimeout
        }
        ErrorSource::Downstream => Denial::Malformed(Malformation::Body),
        ErrorSource::Internal | ErrorSource::Unset => Denial::Internal,
    }
}
