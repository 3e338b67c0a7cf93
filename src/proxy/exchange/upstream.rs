//! The part of an exchange that the upstream plays: attempts, how they end, and what an answer says of the server.

use http::{StatusCode, Version, header};
use pingora::{
    Error, ErrorType, Result,
    http::{RequestHeader, ResponseHeader},
    protocols::Digest,
    proxy::Session,
    upstreams::peer::HttpPeer,
};

use super::{Exchange, Stage};
use crate::{
    config::Protocol,
    edge::Tunnel,
    proxy::{
        attempts::{Replay, Verdict, denial_of, kind_of},
        respond,
        upstream::Ask,
    },
    telemetry::metrics::UpstreamError,
};

impl Exchange {
    /// The peer for the next attempt; `is_replayable` when the whole request is small enough to be sent once more.
    pub(in crate::proxy) async fn next_peer(&mut self, is_replayable: bool) -> Result<Box<HttpPeer>> {
        self.attempts.end();
        if let Some(failure) = self.unsettled.take()
            && !self.attempts.was_undelivered().await
        {
            self.note_failure(failure);
            return Err(Error::explain(ErrorType::ConnectionClosed, "the upstream may have received it").into_up());
        }
        let admitted = self.admission()?;
        let upstream = admitted.upstream()?;
        upstream.arranged().await;
        let ask = Ask {
            permit: &admitted.permit,
            answer: admitted.reading.asks_for(),
            is_small: is_replayable,
            avoid: self.attempts.server.as_ref(),
            reach: self.attempts.reach(is_replayable, upstream),
        };
        let found = upstream.peer(ask);
        match self.attempts.is_again() {
            true => self.telemetry.metrics.record_upstream_retry(upstream.id()),
            false => upstream.asked(),
        }
        let (server, peer, timeouts) = match found {
            Ok(found) => found,
            Err(why) => {
                tracing::debug!(upstream = %upstream.id(), ?why, "no server can be asked");
                self.note_failure(UpstreamError::Connect);
                return Err(Error::explain(ErrorType::ConnectError, "no server can be asked").into_up());
            }
        };
        self.attempts.begin(server, timeouts.read);
        // What was read of the body is sent once more.
        self.body.bytes = 0;
        Ok(peer)
    }

    /// Looks for a peer anew: the session is what it was before any attempt.
    pub(in crate::proxy) fn begins_attempt(&self, session: &mut Session) {
        if let Some(edge) = &self.edge {
            edge.unwatch(session.as_downstream_mut());
        }
    }

    /// The attempt has a connection.
    ///
    /// # Errors
    /// When it is a pooled one that the upstream has closed.
    pub(in crate::proxy) fn attached(&mut self, reused: bool, digest: Option<&Digest>) -> Result<()> {
        let protocol = self.upstream()?.protocol();
        self.attempts.attached(reused, protocol, digest)
    }

    /// A connection was made, and this is about to be sent on it.
    ///
    /// # Errors
    /// When the upstream does not speak what the settings say.
    pub(in crate::proxy) fn connected(&mut self, session: &mut Session, request: &RequestHeader) -> Result<()> {
        if respond::is_grpc(session) {
            self.begins_call(session)?;
        }
        self.attempts.asks_to_switch = request.headers.contains_key(header::UPGRADE);
        let upstream = self.upstream()?;
        if let Some(server) = &self.attempts.server {
            upstream.accepted(server);
            // SECURITY: pingora goes on with HTTP/1 then: `an_upstream_that_does_not_speak_http2_is_refused`.
            if upstream.protocol() == Protocol::Http2 && request.version != Version::HTTP_2 {
                upstream.tell_other_protocol(server);
                return Err(Error::explain(ErrorType::InvalidH2, "the upstream does not speak HTTP/2").into_up());
            }
        }
        Ok(())
    }

    /// A gRPC call begins, which may be open for long before its answer does.
    fn begins_call(&self, session: &mut Session) -> Result<()> {
        let Some(edge) = &self.edge else { return Ok(()) };
        if self.upstream()?.protocol() == Protocol::Http2 {
            // Its messages come when there is something to say, and one that listens says nothing at all. What bounds it is the silence
            // of the upstream (`stream_idle`), which was asked by a permit: `a_grpc_call_whose_caller_only_listens_is_not_cut`.
            edge.body_complete();
        }
        if self.deadline.is_some() {
            self.expire();
            edge.watch(session.as_downstream_mut());
        }
        Ok(())
    }

    /// No connection was made. True when another server should be asked.
    pub(in crate::proxy) fn refused(&mut self, error: &Error) -> bool {
        let Stage::Admitted(admitted) = &self.stage else { return false };
        let Ok(upstream) = admitted.upstream() else { return false };
        if let Some(server) = &self.attempts.server {
            upstream.refused(server, error);
        }
        let again = self.attempts.grants_another(error.etype(), upstream);
        self.note_failure(kind_of(error.etype()));
        again
    }

    /// The attempt failed after a connection was made. True when the request should be sent again.
    pub(in crate::proxy) fn failed(&mut self, error: &Error, reused: bool, replay: Replay) -> bool {
        let Stage::Admitted(admitted) = &self.stage else { return false };
        let Ok(upstream) = admitted.upstream() else { return false };
        let verdict = self.attempts.verdict(error, reused);
        let again = self.attempts.grants(verdict, replay, (reused, upstream));
        match verdict {
            Verdict::Stale if again => {}
            Verdict::Unsettled if again => self.unsettled = Some(kind_of(error.etype())),
            Verdict::Stale | Verdict::Unsettled => self.note_failure(kind_of(error.etype())),
            Verdict::Failed(kind) => self.note_failure(kind),
        }
        again
    }

    /// Counts a failure, against the server too where it is to blame.
    fn note_failure(&mut self, kind: UpstreamError) {
        if let Ok(upstream) = self.upstream() {
            let metrics = &self.telemetry.metrics;
            metrics.record_upstream_error(upstream.id(), kind);
            if let Some(server) = &self.attempts.server
                && self.attempts.blames(kind)
                && upstream.failed(server)
            {
                metrics.record_upstream_ejection(upstream.id());
            }
        }
        self.fault = Some(denial_of(kind));
    }

    /// The head of an answer is here, or what announces one.
    ///
    /// # Errors
    /// When it switches protocols and was not asked to, or to another one, or announces without end.
    pub(in crate::proxy) fn answered(&mut self, answer: &ResponseHeader) -> Result<()> {
        if !self.attempts.answered(answer)? {
            return Ok(());
        }
        self.fault = None;
        self.judge(answer.status);
        if answer.status == StatusCode::SWITCHING_PROTOCOLS
            && let Some(edge) = &self.edge
        {
            edge.upgraded(Tunnel::WebSocket);
            self.body.ended();
        }
        let (Some(first), None) = (self.attempts.first, self.attempts.answered_after) else { return Ok(()) };
        let took = first.elapsed();
        self.attempts.answered_after = Some(took);
        if let Ok(upstream) = self.upstream() {
            self.telemetry.metrics.record_upstream(upstream.id(), took);
        }
        Ok(())
    }

    /// What the status of an answer says about the server.
    fn judge(&self, status: StatusCode) {
        let (Ok(upstream), Some(server)) = (self.upstream(), &self.attempts.server) else { return };
        if !matches!(status.as_u16(), 502..=504) {
            upstream.succeeded(server);
        } else if upstream.failed(server) {
            self.telemetry.metrics.record_upstream_ejection(upstream.id());
        }
    }
}
