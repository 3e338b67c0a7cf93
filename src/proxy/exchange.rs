//! One request from its first byte to its last: what is known of it so far, and the one place where it is accounted for.
//!
//! Settles in `Drop`, whatever happened: answered, forwarded, cut, or lost to a panic. Nothing here decides.

mod upstream;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use http::Method;
use pingora::{Error, ErrorType, Result, http::ResponseHeader, proxy::Session};

use super::{
    Serving,
    attempts::Attempts,
    forward,
    reading::{Peer, Reading},
    request_id::RequestId,
    stream::{self, Stream},
    upstream::Upstream,
};
use crate::{
    admission,
    edge::{self, Cut},
    gate::{Denial, Permit, Seen},
    identity::{CredentialSource, Principal},
    request::{Headers, wire::Malformation},
    telemetry::{
        Account, Telemetry,
        metrics::{StreamEnd, StreamKind, UpstreamError},
    },
};

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

    /// Where the credential that authenticated may stand; the upstream must not see it. The same token may stand in several places, and
    /// whatever else stands in one of them was refused.
    pub(super) fn credentials_to_remove(&self) -> &[CredentialSource] {
        let settings = self.serving.generation.settings();
        if settings.forward_credential || !self.permit.is_authenticated() {
            &[]
        } else {
            &settings.identity.credentials
        }
    }
}

/// How far a request has come.
#[derive(Debug)]
enum Stage {
    /// Not decided yet.
    Received,
    /// Forwarded, or about to be.
    Admitted(Box<Admitted>),
    /// A preflight that the gateway answered with yes.
    Answered,
    /// Refused by the gateway.
    Refused(Denial),
}

/// How much of the request body has passed.
#[derive(Debug, Default)]
struct BodyCount {
    bytes: u64,
    has_ended: bool,
}

impl BodyCount {
    /// Counts bytes that pass; false when they are more than `limit` in all.
    fn takes(&mut self, bytes: usize, limit: u64) -> bool {
        self.bytes = self.bytes.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        // SECURITY: `an_upgrade_that_is_only_asked_for_does_not_lift_the_body_limit`.
        self.has_ended || self.bytes <= limit
    }

    /// The upstream has switched protocols: what passes now is no request body.
    fn ended(&mut self) {
        self.has_ended = true;
    }
}

/// The state of one request.
pub struct Exchange {
    telemetry: Arc<Telemetry>,
    pub(super) serving: Arc<Serving>,
    pub(super) seen: Seen,
    edge: Option<edge::Exchange>,
    stage: Stage,
    request_id: Option<RequestId>,
    method: Option<Method>,
    path: Option<String>,
    started: Instant,
    decision: Option<Duration>,
    body: BodyCount,
    attempts: Attempts,
    /// How the last attempt failed, where it is still to be found out whether the upstream has received it.
    unsettled: Option<UpstreamError>,
    /// When a stream must end.
    deadline: Option<Instant>,
    stream: Option<Stream>,
    /// What went wrong after the decision.
    fault: Option<Denial>,
    status: Option<u16>,
    end: Option<StreamEnd>,
    is_finished: bool,
}

impl Exchange {
    pub(super) fn new(telemetry: Arc<Telemetry>, serving: Arc<Serving>) -> Self {
        Self {
            telemetry,
            serving,
            seen: Seen::default(),
            edge: None,
            stage: Stage::Received,
            request_id: None,
            method: None,
            path: None,
            started: Instant::now(),
            decision: None,
            body: BodyCount::default(),
            attempts: Attempts::default(),
            unsettled: None,
            deadline: None,
            stream: None,
            fault: None,
            status: None,
            end: None,
            is_finished: false,
        }
    }

    /// Takes up a request and reads its head. What has no single reading is refused.
    pub(super) fn begin(&mut self, session: &mut Session) -> std::result::Result<Reading, Denial> {
        self.method = Some(session.req_header().method.clone());
        self.request_id = Some(RequestId::of(Headers::new(&session.req_header().headers)));
        if session.req_header().method == Method::CONNECT {
            return Err(Denial::connect());
        }
        let edge = edge::Exchange::of(session.as_downstream()).ok_or(Denial::Internal)?;
        let conn = edge.conn();
        let certificate = conn.tls().and_then(|tls| tls.client_certificate.clone());
        let peer = Peer { address: conn.peer().ip(), secure: conn.tls().is_some(), certificate };
        if !session.as_downstream_mut().is_body_done() {
            edge.body_awaited();
        }
        let is_shed = edge.is_shed();
        self.edge = Some(edge);
        // SECURITY: before anything is done for it: `a_request_over_the_cap_is_answered_503_before_its_token_is_read`.
        if is_shed {
            return Err(Denial::Overloaded);
        }

        let request = session.req_header_mut();
        // SECURITY: before anything is read: `identity_headers_of_the_client_are_no_attributes`.
        forward::strip_reserved(request, self.serving.generation.reserved_headers());
        forward::strip_nominated(request);
        forward::strip_unasked_upgrade(request);
        let reading = Reading::of(request, peer, &self.serving.generation)?;
        self.path = Some(reading.target.path.as_str().to_owned());
        Ok(reading)
    }

    /// The longest silence within a request body.
    pub(super) fn body_stall(&self) -> Duration {
        self.serving.generation.settings().limits.body_stall
    }

    /// The largest body that the permit's route takes, in bytes.
    pub(super) fn body_limit(&self, permit: &Permit) -> u64 {
        permit.route().body_bytes.unwrap_or(self.serving.generation.settings().limits.body_bytes)
    }

    /// The decision is yes.
    pub(super) fn admitted(&mut self, permit: Permit, reading: Reading) -> std::result::Result<(), Denial> {
        self.decision = Some(self.started.elapsed());
        self.deadline = self.deadline(&permit);
        let wire_target = wire_target(&permit, &reading).ok_or(Denial::Internal)?;
        let serving = Arc::clone(&self.serving);
        let request_id = self.request_id.clone().ok_or(Denial::Internal)?;
        self.stage = Stage::Admitted(Box::new(Admitted { serving, permit, reading, wire_target, request_id }));
        Ok(())
    }

    /// When the streams of this principal on this route must end.
    fn deadline(&self, permit: &Permit) -> Option<Instant> {
        let verified = self.seen.principal.as_ref().and_then(Principal::verified)?;
        let remaining = admission::until(verified.claims().expires());
        let left = stream::time_left(self.serving.generation.settings().streams, permit.route().streams, remaining)?;
        Instant::now().checked_add(left)
    }

    /// It is a preflight, and the answer is yes.
    pub(super) fn answered_preflight(&mut self) {
        self.decision = Some(self.started.elapsed());
        self.stage = Stage::Answered;
    }

    /// What was admitted.
    ///
    /// # Errors
    /// An internal error when nothing was: the request is then not forwarded.
    pub(super) fn admission(&self) -> Result<&Admitted> {
        match &self.stage {
            Stage::Admitted(admitted) => Ok(admitted),
            // SECURITY: no permit, no peer: `an_exchange_that_was_not_admitted_has_no_peer`.
            Stage::Received | Stage::Answered | Stage::Refused(_) => {
                Err(Error::explain(ErrorType::InternalError, "the request was not admitted"))
            }
        }
    }

    fn upstream(&self) -> Result<&Upstream> {
        self.admission().and_then(Admitted::upstream)
    }

    /// The head of the answer is about to be written. A stream is accounted for now: nobody wants to learn of it when it is over.
    pub(super) fn answers(&mut self, method: &Method, response: &ResponseHeader) {
        let Some(kind) = stream::kind_of(method, response.status, &response.headers) else { return };
        self.status = Some(response.status.as_u16());
        self.account();
        self.stream = Some(Stream::new(kind));
        self.expire();
    }

    /// Ends the exchange at the deadline of streams, if there is one.
    fn expire(&self) {
        // SECURITY: `a_websocket_ends_when_its_token_expires`, `an_event_stream_ends_when_its_token_expires` and
        // `a_grpc_call_ends_with_a_status_when_its_token_expires`.
        if let (Some(edge), Some(deadline)) = (&self.edge, self.deadline) {
            edge.expire_in(deadline.saturating_duration_since(Instant::now()));
        }
    }

    /// Whether the answer that was begun is one of gRPC.
    pub(super) fn has_begun_grpc(&self) -> bool {
        self.stream.as_ref().is_some_and(|stream| stream.kind == StreamKind::Grpc)
    }

    /// The upstream has sent the end of its answer.
    pub(super) fn answer_ended(&mut self) {
        if let Some(stream) = &mut self.stream {
            stream.is_ended = true;
        }
    }

    /// Counts the bytes of the body that pass.
    ///
    /// # Errors
    /// When they are more than the route takes; nothing more is then sent.
    pub(super) fn count_body(&mut self, bytes: usize, is_end: bool) -> Result<()> {
        if let Some(edge) = &self.edge {
            edge.body_progress(bytes);
            if is_end {
                edge.body_complete();
            }
        }
        if is_end {
            self.attempts.sent();
        }
        let limit = self.body_limit(&self.admission()?.permit);
        if !self.body.takes(bytes, limit) {
            self.fault = Some(Denial::BodyTooLarge);
            return Err(Error::explain(ErrorType::InternalError, "the body is too large").into_down());
        }
        Ok(())
    }

    /// What a room of ours says about the failure that pingora reports.
    pub(super) fn take_fault(&mut self) -> Option<Denial> {
        match self.edge.as_ref().and_then(edge::Exchange::cut) {
            Some(Cut::BodyStalled) => Some(Denial::RequestTimeout),
            Some(Cut::BodyMalformed) => Some(Denial::Malformed(Malformation::Body)),
            // The token of a stream.
            Some(Cut::Expired) => Some(Denial::expired()),
            Some(Cut::WriteStalled | Cut::FrameStalled | Cut::Flooded | Cut::Overdue | Cut::Shutdown) | None => {
                self.fault.take()
            }
        }
    }

    /// The gateway answers by itself.
    pub(super) fn settle(&mut self, denial: Denial) {
        self.decision.get_or_insert_with(|| self.started.elapsed());
        match &self.stage {
            // The decision stays a yes; what came after is told beside it.
            Stage::Admitted(_) | Stage::Answered => self.fault = Some(denial),
            Stage::Received => self.stage = Stage::Refused(denial),
            // SECURITY: whoever leaves before the answer does not change what was decided:
            // `a_client_that_resets_its_stream_does_not_change_why_it_was_refused`.
            Stage::Refused(_) => {}
        }
    }

    /// The exchange ended too early, when it was too late for an answer.
    pub(super) fn broke(&mut self, denial: Denial) {
        self.fault = Some(denial);
    }

    /// pingora is done with the request.
    pub(super) fn finished(&mut self, status: Option<u16>, error: Option<&Error>) {
        self.status = status;
        self.end = self.stream.as_ref().map(|stream| stream.end(error));
        self.is_finished = true;
    }

    /// Shutdown has begun: the answer must say that the connection closes.
    pub(super) fn is_draining(&self) -> bool {
        self.edge.as_ref().is_some_and(|edge| edge.conn().is_draining())
    }

    pub(super) fn request_id(&self) -> &str {
        self.request_id.as_ref().map_or("-", RequestId::as_str)
    }
}

/// The target that goes upstream: the path that was decided on, less the route's prefix, and the query as it came.
fn wire_target(permit: &Permit, reading: &Reading) -> Option<String> {
    let path = &reading.target.path;
    match &permit.route().strip_prefix {
        Some(prefix) => Some(path.strip_prefix(prefix)?.wire(reading.target.query())),
        None => Some(reading.target.wire()),
    }
}

impl Exchange {
    /// Tells how a stream ended.
    fn part(&self, stream: &Stream, cut: Option<Cut>) {
        // What is neither cut nor finished was dropped with its connection.
        let dropped = if self.is_draining() { StreamEnd::Shutdown } else { StreamEnd::ClientClosed };
        let end = cut.map(stream::end_of_cut).or(self.end).unwrap_or(dropped);
        self.telemetry.metrics.record_stream_end(stream.kind, end);
        tracing::debug!(
            request_id = self.request_id(),
            kind = stream.kind.as_str(),
            cause = end.as_str(),
            seconds = stream.opened.elapsed().as_secs(),
            "a stream has ended"
        );
    }

    /// Writes the audit line, and counts.
    fn account(&self) {
        let (allowed, denial) = match &self.stage {
            Stage::Received => (false, Some(&Denial::Internal)),
            Stage::Refused(denial) => (false, Some(denial)),
            Stage::Admitted(_) | Stage::Answered => (true, self.fault.as_ref()),
        };
        self.telemetry.settle(&Account {
            request_id: self.request_id(),
            generation: self.serving.generation.number(),
            method: self.method.as_ref(),
            path: self.path.as_deref(),
            seen: &self.seen,
            allowed,
            denial,
            status: self.status,
            decision: self.decision.unwrap_or_else(|| self.started.elapsed()),
            upstream: self.attempts.answered_after,
        });
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.attempts.end();
        let cut = self.edge.as_ref().and_then(edge::Exchange::cut);
        if !self.is_finished && cut.is_none() && matches!(self.stage, Stage::Received) {
            // A panic has taken the request away in the middle.
            self.telemetry.metrics.record_unsettled();
        }
        // No filter runs after the end of an HTTP/2 exchange.
        if !self.is_finished
            && cut.is_some()
            && let Some(denial) = self.take_fault()
        {
            self.settle(denial);
        }
        match &self.stream {
            Some(stream) => self.part(stream, cut),
            None => self.account(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::AuditDestination,
        gate::testing::{PUBLIC, generation},
        proxy::Upstreams,
        reload::Trust,
        telemetry::{AuditSink, Metrics},
    };

    fn exchange() -> Exchange {
        let generation = generation("upstreams: [ { id: app, endpoints: ['http://127.0.0.1:9'] } ]", PUBLIC);
        let upstreams = Arc::new(Upstreams::build(generation.settings(), &[Trust::platform()], None));
        let metrics = Arc::new(Metrics::new().unwrap());
        let audit = AuditSink::open(&AuditDestination::Off, Arc::clone(&metrics)).unwrap();
        let telemetry = Arc::new(Telemetry { metrics, audit });
        Exchange::new(telemetry, Arc::new(Serving { generation, upstreams }))
    }

    #[tokio::test]
    async fn an_exchange_that_was_not_admitted_has_no_peer() {
        let mut exchange = exchange();
        assert!(exchange.next_peer(true).await.is_err());
        exchange.settle(Denial::NoRoute);
        assert!(exchange.next_peer(true).await.is_err());
        assert!(exchange.count_body(1, false).is_err());
        exchange.finished(Some(404), None);
    }

    #[test]
    fn a_client_that_resets_its_stream_does_not_change_why_it_was_refused() {
        let mut exchange = exchange();
        exchange.settle(Denial::expired());
        // The answer could not be written.
        exchange.settle(Denial::Malformed(Malformation::Body));
        assert!(matches!(&exchange.stage, Stage::Refused(denial) if *denial == Denial::expired()));
        exchange.finished(None, None);
    }

    #[test]
    fn an_upgrade_that_is_only_asked_for_does_not_lift_the_body_limit() {
        let mut body = BodyCount::default();
        assert!(body.takes(6, 10) && body.takes(4, 10));
        assert!(!body.takes(1, 10), "no 101 has come");
        body.ended();
        assert!(body.takes(1_000, 10));
    }
}
