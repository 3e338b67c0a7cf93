//! The attempts to get an answer for one request: which server, on which connection, and whether there is another one.
//!
//! Invariant: what an upstream may have received of a request that is not idempotent is not sent again.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use http::{StatusCode, header};
use pingora::{Error, ErrorType, Result, RetryType, http::ResponseHeader, protocols::Digest};

use super::{
    upstream::{Reach, Server, Upstream},
    wire::{Armed, Delivery, Marks, Wire, is_interim},
};
use crate::{config::Protocol, gate::Denial, telemetry::metrics::UpstreamError};

/// More announcements of an answer than this are no answer.
const MOST_INTERIM: usize = 16;
/// How long the other side of a connection that has ended may take to say whether it has received the request.
const SETTLED: Duration = Duration::from_millis(500);

/// The kinds of an upstream's failure by pingora's name for them; any other is [`UpstreamError::Other`].
const UPSTREAM_ERRORS: &[(ErrorType, UpstreamError)] = &[
    (ErrorType::ConnectTimedout, UpstreamError::ConnectTimeout),
    (ErrorType::TLSHandshakeTimedout, UpstreamError::ConnectTimeout),
    (ErrorType::ReadTimedout, UpstreamError::ReadTimeout),
    (ErrorType::WriteTimedout, UpstreamError::WriteTimeout),
    (ErrorType::TLSHandshakeFailure, UpstreamError::Tls),
    (ErrorType::InvalidCert, UpstreamError::Tls),
    (ErrorType::HandshakeError, UpstreamError::Tls),
    (ErrorType::ConnectError, UpstreamError::Connect),
    (ErrorType::ConnectRefused, UpstreamError::Connect),
    (ErrorType::ConnectNoRoute, UpstreamError::Connect),
    (ErrorType::SocketError, UpstreamError::Connect),
    (ErrorType::ConnectionClosed, UpstreamError::Closed),
    (ErrorType::ReadError, UpstreamError::Closed),
    (ErrorType::WriteError, UpstreamError::Closed),
    (ErrorType::InvalidHTTPHeader, UpstreamError::InvalidAnswer),
    (ErrorType::Custom("InvalidChunk"), UpstreamError::InvalidAnswer),
    (ErrorType::Custom("InvalidTrailerEnd"), UpstreamError::InvalidAnswer),
    (ErrorType::Custom("PrematureBodyEnd"), UpstreamError::Closed),
    (ErrorType::H1Error, UpstreamError::InvalidAnswer),
    (ErrorType::InvalidH2, UpstreamError::InvalidAnswer),
    (ErrorType::H2Error, UpstreamError::InvalidAnswer),
    (ErrorType::H2Downgrade, UpstreamError::InvalidAnswer),
];

/// The kind of an upstream's failure.
pub(super) fn kind_of(error: &ErrorType) -> UpstreamError {
    let known = UPSTREAM_ERRORS.iter().find(|(name, _)| name == error);
    known.map_or(UpstreamError::Other, |(_, kind)| *kind)
}

/// How the client is told.
pub(super) fn denial_of(kind: UpstreamError) -> Denial {
    match kind {
        UpstreamError::ConnectTimeout | UpstreamError::ReadTimeout | UpstreamError::WriteTimeout => {
            Denial::UpstreamTimeout
        }
        UpstreamError::Connect
        | UpstreamError::Tls
        | UpstreamError::Closed
        | UpstreamError::InvalidAnswer
        | UpstreamError::Other => Denial::UpstreamUnreachable,
    }
}

/// Whether a request could be sent once more.
#[derive(Clone, Copy, Debug)]
pub(super) struct Replay {
    /// Twice has the effect of once (RFC 9110 section 9.2.2).
    pub(super) is_idempotent: bool,
    /// Of the body, everything that was read is held.
    pub(super) is_whole: bool,
}

/// What an attempt's failure means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The connection had ended before it was used: nothing happened, and it is nobody's failure.
    Stale,
    /// The same, or not: what came of the bytes is not known yet.
    Unsettled,
    /// It failed.
    Failed(UpstreamError),
}

/// The attempts of one request.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    made: usize,
    /// Those that count against the settings.
    retried: usize,
    /// One was made anew because a pooled connection was of no use.
    was_renewed: bool,
    pub(super) server: Option<Arc<Server>>,
    pub(super) first: Option<Instant>,
    pub(super) answered_after: Option<Duration>,
    /// The last request that was sent asks for another protocol.
    pub(super) asks_to_switch: bool,
    head_within: Duration,
    line: Option<Line>,
    progress: Progress,
    interim: usize,
}

/// How far the current attempt is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Progress {
    #[default]
    Begun,
    /// The pooled connection was found closed, and nothing was written.
    Unusable,
    /// The request was sent to its end.
    Sent,
    /// The answer has begun.
    Answered,
}

/// The connection of the current attempt, where it serves no other request at the same time.
#[derive(Debug)]
struct Line {
    wire: Arc<Wire>,
    /// How far it was before the request; absent on a new one.
    before: Option<Marks>,
    armed: Option<Armed>,
}

impl Attempts {
    /// Makes ready for the next attempt, whose head must come within this time.
    pub(super) fn begin(&mut self, server: Arc<Server>, head_within: Duration) {
        self.end();
        self.made = self.made.saturating_add(1);
        self.server = Some(server);
        self.head_within = head_within;
        (self.line, self.progress, self.interim) = (None, Progress::Begun, 0);
        self.first.get_or_insert_with(Instant::now);
    }

    /// Whether this is not the first.
    pub(super) fn is_again(&self) -> bool {
        self.made > 0
    }

    /// Which connection the next attempt may have: a pooled one only where a request that finds it closed can be sent again.
    pub(super) fn reach(&self, is_replayable: bool, upstream: &Upstream) -> Reach {
        // HTTP/2 says which requests it has not looked at.
        let is_safe = is_replayable || upstream.protocol() == Protocol::Http2;
        if self.was_renewed || !is_safe { Reach::Fresh } else { Reach::Pooled }
    }

    /// The attempt has a connection.
    ///
    /// # Errors
    /// When a pooled one has been closed by the other side.
    pub(super) fn attached(&mut self, reused: bool, protocol: Protocol, digest: Option<&Digest>) -> Result<()> {
        let wire = match protocol {
            Protocol::Http1 => Wire::under(digest),
            Protocol::Http2 => None,
        };
        let Some(wire) = wire else { return Ok(()) };
        let before = match reused {
            false => None,
            true => match wire.open() {
                Some(marks) => Some(marks),
                None => {
                    self.progress = Progress::Unusable;
                    let error =
                        Error::explain(ErrorType::ConnectionClosed, "the connection was closed before it was used");
                    return Err(error.into_up());
                }
            },
        };
        self.line = Some(Line { wire: Arc::clone(wire), before, armed: None });
        Ok(())
    }

    /// The request was sent to its end: from now on the answer is awaited.
    pub(super) fn sent(&mut self) {
        if self.progress != Progress::Begun {
            return;
        }
        self.progress = Progress::Sent;
        if let Some(line) = &mut self.line {
            line.armed = Some(line.wire.arm(self.head_within));
        }
    }

    /// The head of an answer is here; true when it is the last one.
    ///
    /// # Errors
    /// When it switches protocols and was not asked to: what the client sends next would pass undecided. When it announces without end.
    pub(super) fn answered(&mut self, answer: &ResponseHeader) -> Result<bool> {
        let status = answer.status;
        let refuse = |why| Err(Error::explain(ErrorType::InvalidHTTPHeader, why).into_up());
        // SECURITY: `an_upstream_that_switches_protocols_unasked_is_refused` and
        // `an_upstream_that_switches_to_another_protocol_is_refused`.
        if status == StatusCode::SWITCHING_PROTOCOLS && !(self.asks_to_switch && is_websocket(answer)) {
            return refuse("the upstream switches protocols unasked");
        }
        if is_interim(status) {
            self.interim = self.interim.saturating_add(1);
            // SECURITY: `announcements_without_end_are_no_answer`.
            return if self.interim > MOST_INTERIM { refuse("the upstream announces without end") } else { Ok(false) };
        }
        self.progress = Progress::Answered;
        self.end();
        Ok(true)
    }

    /// Takes back what would end the connection.
    pub(super) fn end(&mut self) {
        if let Some(line) = &mut self.line
            && let Some(armed) = line.armed.take()
        {
            line.wire.disarm(&armed);
        }
    }

    /// What the failure of the current attempt means.
    pub(super) fn verdict(&self, error: &Error, reused: bool) -> Verdict {
        let was_cut = self.line.as_ref().is_some_and(|line| line.wire.was_cut());
        let kind = if was_cut { UpstreamError::ReadTimeout } else { kind_of(error.etype()) };
        if self.progress == Progress::Unusable {
            return Verdict::Stale;
        }
        if self.progress == Progress::Answered || was_cut || self.interim > 0 {
            return Verdict::Failed(kind);
        }
        // GOAWAY or REFUSED_STREAM: the upstream says that it has not looked at the request (RFC 9113 sections 6.8 and 8.7).
        if matches!(error.retry, RetryType::Decided(true)) {
            return Verdict::Stale;
        }
        match &self.line {
            Some(Line { wire, before: Some(before), .. }) if reused => match wire.delivery(*before) {
                Delivery::Nothing => Verdict::Stale,
                Delivery::Open => Verdict::Unsettled,
                Delivery::Perhaps => Verdict::Failed(kind),
            },
            Some(_) | None => Verdict::Failed(kind),
        }
    }

    /// Whether the request goes out again after this. Counts what it grants.
    pub(super) fn grants(&mut self, verdict: Verdict, replay: Replay, (reused, upstream): (bool, &Upstream)) -> bool {
        if !replay.is_whole || self.progress == Progress::Answered {
            return false;
        }
        let may_renew = !self.was_renewed;
        match verdict {
            Verdict::Stale | Verdict::Unsettled => {
                self.was_renewed = true;
                may_renew
            }
            // A pooled connection that ends is one that had ended, most of the time.
            Verdict::Failed(UpstreamError::Closed) if replay.is_idempotent && reused && may_renew => {
                self.was_renewed = true;
                true
            }
            Verdict::Failed(UpstreamError::Closed) if replay.is_idempotent => self.spends(upstream),
            // A second wait would be as long again, and a second answer no better.
            Verdict::Failed(_) => false,
        }
    }

    /// Whether another server is asked after one that took no connection.
    pub(super) fn grants_another(&mut self, error: &ErrorType, upstream: &Upstream) -> bool {
        // A pooled HTTP/2 connection that has just ended takes no new stream.
        if *error == ErrorType::H2Error && upstream.protocol() == Protocol::Http2 && !self.was_renewed {
            self.was_renewed = true;
            return true;
        }
        self.server.as_ref().is_some_and(|server| upstream.has_another(server)) && self.spends(upstream)
    }

    fn spends(&mut self, upstream: &Upstream) -> bool {
        let granted = self.retried < upstream.retries() && upstream.may_retry();
        self.retried = self.retried.saturating_add(usize::from(granted));
        granted
    }

    /// Waits until it is known whether the last attempt was received. True when it was not.
    pub(super) async fn was_undelivered(&self) -> bool {
        let Some(Line { wire, before: Some(before), .. }) = &self.line else { return false };
        let until = Instant::now().checked_add(SETTLED);
        let mut pause = Duration::from_millis(1);
        loop {
            match wire.delivery(*before) {
                Delivery::Nothing => return true,
                Delivery::Open if until.is_some_and(|until| Instant::now() < until) => {
                    tokio::time::sleep(pause).await;
                    pause = pause.saturating_mul(2);
                }
                // SECURITY: not known is not "no": `who_has_only_stopped_to_write_may_still_read`.
                Delivery::Open | Delivery::Perhaps => return false,
            }
        }
    }

    /// Whether a failure of this kind is the server's own: one that came while the client was still sending may be the client's.
    pub(super) fn blames(&self, kind: UpstreamError) -> bool {
        kind != UpstreamError::ReadTimeout || matches!(self.progress, Progress::Sent | Progress::Answered)
    }
}

fn is_websocket(answer: &ResponseHeader) -> bool {
    let names: Vec<_> = answer.headers.get_all(header::UPGRADE).iter().collect();
    matches!(&*names, [name] if name.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16) -> ResponseHeader {
        ResponseHeader::build(status, None).unwrap()
    }

    #[test]
    fn an_upstream_that_switches_protocols_unasked_is_refused() {
        let mut attempts = Attempts::default();
        let mut switch = answer(101);
        switch.insert_header("upgrade", "WebSocket").unwrap();
        let error = attempts.answered(&switch).unwrap_err();
        assert_eq!(denial_of(kind_of(error.etype())), Denial::UpstreamUnreachable);
        assert_eq!(kind_of(error.etype()), UpstreamError::InvalidAnswer);
        assert!(attempts.answered(&answer(200)).unwrap());
        attempts.asks_to_switch = true;
        assert!(attempts.answered(&switch).unwrap());
    }

    #[test]
    fn announcements_without_end_are_no_answer() {
        let mut attempts = Attempts::default();
        for _ in 0..MOST_INTERIM {
            assert!(!attempts.answered(&answer(103)).unwrap());
        }
        assert!(attempts.answered(&answer(100)).is_err());
    }
}
