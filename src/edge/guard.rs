//! The guarded stream: every byte of a connection passes through it, and nothing waits without a limit.
//!
//! On HTTP/1 it hands pingora exactly one request: the judged head, then the body up to its end; what follows stays here for the next
//! head. On HTTP/2 it watches that nothing begun stays unfinished. Both ways a client must go on taking what is written.
//! Reads no head (`head` does) and no message. On the fast path it reads no clock and makes no timer: those start when a read or
//! write would block. Invariant: once a limit has been passed, every later read fails.

mod budget;
mod clock;
mod farewell;
mod frames;
mod framing;
mod http2;
mod linger;
mod output;
mod pace;
mod stream;

use std::{
    fmt, io,
    ops::Range,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::BytesMut;
use pingora::protocols::{Stream, raw_connect::ProxyDigest};
use tokio::{
    io::{AsyncRead, ReadBuf},
    time::Instant,
};

use self::{clock::Clock, farewell::Talk, frames::Http2Frames, output::Output, pace::Pace};
pub(super) use self::{frames::PREFACE, framing::Body, linger::turn_away, pace::due};
use super::conn::{Conn, Cut, Tunnel};
use crate::config::Limits;

/// How much of a next request is taken in while one is served.
const AHEAD: usize = 16 * 1024;

/// How much is read at once while a request head is awaited.
const CHUNK: usize = 4096;

/// A connection with limits.
pub(super) struct Guard {
    io: Stream,
    conn: Arc<Conn>,
    digest: Arc<ProxyDigest>,
    limits: Limits,
    protocol: Protocol,
    /// Read, and not handed over yet.
    input: BytesMut,
    output: Output,
    /// The pace of the body, and of what was begun on HTTP/2.
    pace: Pace,
    deadline: Clock,
    /// When that clock rings: not after the deadline, perhaps before it.
    deadline_at: Option<Instant>,
    /// What is said on a WebSocket.
    talk: Option<Box<Talk>>,
    failed: bool,
}

#[derive(Debug)]
enum Protocol {
    Http1(Flow),
    Http2(Http2Frames),
}

/// What pingora may read now.
#[derive(Debug)]
enum Flow {
    /// The first `left` bytes of the input: a judged head.
    Head { left: usize, body: Body },
    /// The body.
    Body(Body),
    /// Nothing: the request is complete, or none has begun.
    Rest,
}

impl Flow {
    fn of(body: Body) -> Flow {
        if body.is_complete() { Flow::Rest } else { Flow::Body(body) }
    }
}

impl fmt::Debug for Guard {
    // Not the buffers: they hold credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("peer", &self.conn.peer()).finish_non_exhaustive()
    }
}

impl Guard {
    pub(super) fn new(io: Stream, conn: Arc<Conn>, limits: Limits) -> Guard {
        // pingora's slot for what a CONNECT proxy said is the one that filters can read on every protocol.
        let (response, ()) = http::Response::new(()).into_parts();
        let digest = Arc::new(ProxyDigest::new(Box::new(response.into()), Some(Box::new(conn.clone()))));
        Guard {
            io,
            conn,
            digest,
            limits,
            protocol: Protocol::Http1(Flow::Rest),
            input: BytesMut::new(),
            output: Output::default(),
            pace: Pace::default(),
            deadline: Clock::default(),
            deadline_at: None,
            talk: None,
            failed: false,
        }
    }

    pub(super) fn conn(&self) -> &Arc<Conn> {
        &self.conn
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// What has been read and not handed over.
    pub(super) fn input(&self) -> &[u8] {
        &self.input
    }

    /// Lets pingora read the first `length` bytes of the input as a head, and then this body.
    pub(super) fn grant(&mut self, length: usize, body: Body) {
        self.conn.begin_exchange(self.limits.exchange_time);
        self.pace.rest();
        self.output.rest();
        self.talk = None;
        self.protocol = Protocol::Http1(Flow::Head { left: length.min(self.input.len()), body });
    }

    /// Puts other bytes in the place of some of the input.
    pub(super) fn rewrite(&mut self, place: Range<usize>, bytes: &[u8]) {
        let behind = self.input.split_off(place.end.min(self.input.len()));
        self.input.truncate(place.start);
        self.input.extend_from_slice(bytes);
        self.input.extend_from_slice(&behind);
    }

    /// Everything, also what has been read, is HTTP/2 from now on.
    pub(super) fn into_http2(mut self) -> Guard {
        self.protocol = Protocol::Http2(Http2Frames::new());
        self.output.follow_http2();
        self
    }

    /// Whether the request that was granted has been read to its end.
    pub(super) fn is_at_rest(&self) -> bool {
        matches!(self.protocol, Protocol::Http1(Flow::Rest))
    }

    /// Whether the client may still be sending what nobody will read.
    fn is_unread(&self) -> bool {
        match &self.protocol {
            Protocol::Http1(flow) => !matches!(flow, Flow::Rest) || !self.input.is_empty() || self.has_parted(),
            Protocol::Http2(_) => false,
        }
    }

    /// Waits for input; false at the end of the connection.
    pub(super) async fn fill(&mut self) -> io::Result<bool> {
        if self.input.is_empty() {
            // An idle connection keeps no buffer.
            self.input = BytesMut::new();
        }
        std::future::poll_fn(|cx| self.poll_fill(cx)).await
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut room = [std::mem::MaybeUninit::<u8>::uninit(); CHUNK];
        let mut read = ReadBuf::uninit(&mut room);
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut read))?;
        self.input.extend_from_slice(read.filled());
        Poll::Ready(Ok(!read.filled().is_empty()))
    }

    fn read_http1(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Protocol::Http1(flow) = &mut self.protocol else { return Poll::Pending };
        match flow {
            Flow::Head { left, body } => {
                let given = (*left).min(buf.remaining()).min(self.input.len());
                buf.put_slice(&self.input.split_to(given));
                *left -= given;
                if *left == 0 {
                    let body = std::mem::replace(body, Body::Length(0));
                    *flow = Flow::of(body);
                }
                Poll::Ready(Ok(()))
            }
            Flow::Body(_) => self.read_body(cx, buf),
            Flow::Rest if self.conn.tunnel().is_some() => self.read_tunnel(cx, buf),
            Flow::Rest => self.read_ahead(cx),
        }
    }

    fn read_body(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        if self.input.is_empty() {
            match Pin::new(&mut self.io).poll_read(cx, buf) {
                Poll::Pending => return self.await_body(cx),
                Poll::Ready(read) => read?,
            }
        } else {
            let given = self.input.len().min(buf.remaining());
            buf.put_slice(&self.input.split_to(given));
        }
        let fresh = buf.filled().get(before..).unwrap_or_default();
        let Protocol::Http1(Flow::Body(body)) = &mut self.protocol else { return Poll::Ready(Ok(())) };
        if fresh.is_empty() {
            // The client has gone; pingora says what that means.
            return Poll::Ready(Ok(()));
        }
        let Ok(taken) = body.take(fresh) else {
            buf.set_filled(before);
            return self.fail(Cut::BodyMalformed);
        };
        let complete = body.is_complete();
        if let Some(surplus) = fresh.get(taken..).filter(|surplus| !surplus.is_empty()) {
            // SECURITY: `a_second_request_behind_a_body_is_answered_on_its_own`: it was read with the body, but is not part of it.
            let mut input = BytesMut::with_capacity(surplus.len() + self.input.len());
            input.extend_from_slice(surplus);
            input.extend_from_slice(&self.input);
            self.input = input;
            buf.set_filled(before + taken);
        }
        self.pace.moved(taken);
        if complete {
            self.protocol = Protocol::Http1(Flow::Rest);
            self.pace.rest();
        }
        Poll::Ready(Ok(()))
    }

    fn await_body(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let within = self.limits.body_stall;
        // SECURITY: `a_body_that_drips_is_cut`, `a_body_below_the_least_rate_is_cut`.
        if self.pace.is_too_slow(cx, within, due(self.limits.min_rate, within)) {
            return self.fail(Cut::BodyStalled);
        }
        self.await_deadline(cx)
    }

    /// The request is complete: what comes now belongs to the next one, and only the end of the connection is told.
    fn read_ahead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.input.len() < AHEAD {
            match self.poll_fill(cx) {
                Poll::Ready(Ok(true)) => {}
                Poll::Ready(Ok(false)) => return Poll::Ready(Ok(())),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => break,
            }
        }
        self.await_deadline(cx)
    }

    fn read_tunnel(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // SECURITY: what a client says after its token has expired does not pass:
        // `a_frame_that_comes_after_the_expiry_does_not_reach_the_upstream`.
        if let Some(parted) = self.read_farewell(cx, buf) {
            return parted.map(Ok);
        }
        if self.conn.tunnel() == Some(Tunnel::Opaque) && self.is_expired(cx) {
            return self.fail(self.conn.time_up());
        }
        let before = buf.filled().len();
        if self.input.is_empty() {
            ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        } else {
            let given = self.input.len().min(buf.remaining());
            buf.put_slice(&self.input.split_to(given));
        }
        self.heard(buf.filled().get(before..).unwrap_or_default());
        Poll::Ready(Ok(()))
    }

    fn await_deadline(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_expired(cx) { self.fail(self.conn.time_up()) } else { Poll::Pending }
    }

    /// Whether the deadline of the exchange has passed; if not, the task is woken then.
    fn is_expired(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(at) = self.conn.deadline() else { return false };
        // A clock that rings too early rings for the exchange before; to set it anew for each would cost more.
        if self.deadline_at.is_none_or(|rings| rings > at) {
            self.deadline.stop();
        }
        loop {
            let rings = &mut self.deadline_at;
            if self.deadline.poll_until(cx, || *rings.insert(at)).is_pending() {
                return false;
            }
            if at <= Instant::now() {
                return true;
            }
            self.deadline.stop();
        }
    }

    /// Ends the exchange.
    fn fail(&mut self, cut: Cut) -> Poll<io::Result<()>> {
        if !self.failed {
            self.failed = true;
            self.conn.note_cut(cut);
            tracing::debug!(peer = %self.conn.peer(), ?cut, "the edge has ended an exchange");
        }
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the edge has ended this exchange")))
    }

    /// What a write that would block means: wait on, or the end.
    fn await_write<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        let cut = if self.conn.tunnel() != Some(Tunnel::WebSocket) && self.is_expired(cx) {
            self.conn.time_up()
        } else if self.output.is_stalled(
            cx,
            self.limits.write_stall,
            due(self.limits.min_rate, self.limits.write_stall),
        ) {
            Cut::WriteStalled
        } else {
            return Poll::Pending;
        };
        self.fail(cut).map(|failed| failed.and(Err(io::ErrorKind::TimedOut.into())))
    }

    /// Writes out what is buffered.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.output.poll_drain(&mut self.io, cx) {
            Poll::Pending => self.await_write(cx),
            done @ Poll::Ready(_) => done,
        }
    }

    /// How many of these bytes may be written; `None` where they are thrown away. Where a tunnel is written to, its frames are
    /// followed; an exchange over its deadline is written no further.
    fn before_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<Option<usize>>> {
        let tunnel = self.conn.tunnel();
        // A look at the clock will do: where a write would block, the task is woken at the deadline.
        let is_over = || self.conn.deadline().is_some_and(|at| at <= Instant::now());
        if tunnel != Some(Tunnel::WebSocket) && is_over() {
            return self.fail(self.conn.time_up()).map_ok(|()| None);
        }
        self.output.follow(tunnel);
        self.poll_last_words(cx, bytes).map(Ok)
    }
}

#[cfg(test)]
mod tests;
