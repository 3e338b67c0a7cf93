//! The proxy: pingora's phases, each of them a few lines that call the room that knows.
//!
//! Decides nothing. A request leaves `request_filter` with an [`Admitted`](exchange::Admitted) or answered; every later phase asks the
//! exchange for it, and fails closed with 500 when it is not there.

mod body;
mod exchange;
mod forward;
mod reading;
mod respond;
mod upstream;

pub use upstream::{Upstreams, keep_resolved};

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use pingora::{
    Error, ErrorSource, ErrorType, Result,
    http::{RequestHeader, ResponseHeader},
    modules::http::HttpModules,
    proxy::{FailToProxy, ProxyHttp, Session},
    upstreams::peer::HttpPeer,
};

use crate::{
    admission::Admissions,
    edge::Conn,
    gate::{Denial, Generation, Live},
    telemetry::Telemetry,
};
use exchange::{Exchange, UpstreamFault};

/// What serves at the moment: a generation, and the upstreams of its settings.
#[derive(Debug)]
pub struct Serving {
    /// Settings, policies and keys.
    pub generation: Generation,
    /// Where its routes lead.
    pub upstreams: Arc<Upstreams>,
}

/// The gateway as pingora sees it.
pub struct Gateway {
    admissions: Admissions,
    telemetry: Arc<Telemetry>,
}

impl Gateway {
    /// A gateway over whatever `live` holds.
    pub fn new(admissions: Admissions, telemetry: Arc<Telemetry>) -> Self {
        Self { admissions, telemetry }
    }

    /// Reads, admits and, where the answer is no, answers. True when answered.
    async fn receive(&self, session: &mut Session, exchange: &mut Exchange) -> Result<bool> {
        let serving = self.admissions.serving();
        let limits = serving.generation.settings().limits;
        exchange.begin(session, serving);
        let outcome = body::refuse_announced(session, limits.body_bytes).and(exchange.read(session));
        let outcome = match outcome {
            Ok(reading) => self.admit(session, exchange, reading).await,
            Err(denial) => Err(denial),
        };
        match outcome {
            Ok(()) => Ok(false),
            Err(denial) => {
                respond::refuse(session, exchange, denial).await?;
                Ok(true)
            }
        }
    }

    /// Asks the gate, and once more with the body where the decision needs it.
    async fn admit(
        &self,
        session: &mut Session,
        exchange: &mut Exchange,
        reading: reading::Reading,
    ) -> std::result::Result<(), Denial> {
        let admission = self.admissions.admit(exchange, &reading, session.req_header(), None).await?;
        let permit = match admission {
            crate::gate::Admission::Permit(permit) => permit,
            crate::gate::Admission::NeedsBody { limit } => {
                let json = body::read_for_decision(session, limit).await?;
                match self.admissions.admit(exchange, &reading, session.req_header(), Some(&json)).await? {
                    crate::gate::Admission::Permit(permit) => permit,
                    // The gate has the body and still asks for it: a defect, and no reason to forward.
                    crate::gate::Admission::NeedsBody { .. } => return Err(Denial::Internal),
                }
            }
        };
        body::refuse_announced(session, exchange.body_limit(&permit))?;
        exchange.admitted(permit, reading)
    }
}

#[async_trait]
impl ProxyHttp for Gateway {
    type CTX = Exchange;

    fn new_ctx(&self) -> Exchange {
        Exchange::new(Arc::clone(&self.telemetry))
    }

    /// No modules: nothing is compressed, cached or rewritten behind the decision's back.
    fn init_downstream_modules(&self, _: &mut HttpModules) {}

    async fn request_filter(&self, session: &mut Session, exchange: &mut Exchange) -> Result<bool> {
        self.receive(session, exchange).await
    }

    async fn request_body_filter(
        &self,
        session: &mut Session,
        chunk: &mut Option<Bytes>,
        end: bool,
        exchange: &mut Exchange,
    ) -> Result<()> {
        if let Some(conn) = Conn::of(session) {
            conn.body_progress(session.is_http2(), end);
        }
        exchange.count_body(chunk.as_ref().map_or(0, Bytes::len))
    }

    async fn upstream_peer(&self, _: &mut Session, exchange: &mut Exchange) -> Result<Box<HttpPeer>> {
        exchange.next_peer()
    }

    async fn upstream_request_filter(
        &self,
        _: &mut Session,
        request: &mut RequestHeader,
        exchange: &mut Exchange,
    ) -> Result<()> {
        exchange.connected();
        let admitted = exchange.admission()?;
        forward::apply(request, admitted, admitted.upstream()?.host())
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        exchange: &mut Exchange,
    ) -> Result<()> {
        exchange.answered();
        respond::edit(response, exchange)?;
        if Conn::of(session).is_some_and(|conn| conn.is_draining()) {
            session.set_keepalive(None);
        }
        Ok(())
    }

    fn fail_to_connect(
        &self,
        _: &mut Session,
        _: &HttpPeer,
        exchange: &mut Exchange,
        mut error: Box<Error>,
    ) -> Box<Error> {
        let fault = UpstreamFault::of(error.etype());
        // Nothing was sent yet, so another server may be asked whatever the method is.
        error.set_retry(exchange.refused(fault));
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
        if *error.esource() == ErrorSource::Upstream {
            exchange.failed(UpstreamFault::of(error.etype()));
        }
        // A pooled connection may have been closed under our hands: asking again is safe only where the method says so
        // (RFC 9110 section 9.2.2) and the body is still whole.
        if session.req_header().method.is_idempotent() && !session.as_ref().retry_buffer_truncated() {
            error.retry.decide_reuse(reused);
        } else {
            error.set_retry(false);
        }
        error
    }

    async fn fail_to_proxy(&self, session: &mut Session, error: &Error, exchange: &mut Exchange) -> FailToProxy {
        let denial = exchange.take_fault().unwrap_or_else(|| denial_of(error));
        let status = denial.face().status;
        let is_gone = *error.esource() == ErrorSource::Downstream
            && matches!(error.etype(), ErrorType::WriteError | ErrorType::ReadError | ErrorType::ConnectionClosed);
        if is_gone || session.response_written().is_some() {
            exchange.cut(denial);
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

    async fn logging(&self, session: &mut Session, _: Option<&Error>, exchange: &mut Exchange) {
        exchange.finished(session.response_written().map(|response| response.status.as_u16()));
    }
}

/// The denial for an error of pingora that no room of ours has named.
fn denial_of(error: &Error) -> Denial {
    match (error.esource(), UpstreamFault::of(error.etype())) {
        (ErrorSource::Upstream, UpstreamFault::Timeout) => Denial::UpstreamTimeout,
        (ErrorSource::Upstream, UpstreamFault::Connect | UpstreamFault::Broken) => Denial::UpstreamUnreachable,
        (ErrorSource::Downstream, UpstreamFault::Timeout) => Denial::RequestTimeout,
        (ErrorSource::Downstream, UpstreamFault::Connect | UpstreamFault::Broken) => {
            Denial::Malformed("the body is not framed as announced")
        }
        (ErrorSource::Internal | ErrorSource::Unset, _) => Denial::Internal,
    }
}
