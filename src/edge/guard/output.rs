//! The write side of the guarded stream: small writes are gathered until a flush, and the client must go on taking them.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use pingora::protocols::Stream;
use tokio::io::AsyncWrite;

use super::{
    frames::{Http2Answers, Sent, WebSocketFrames},
    pace::Pace,
};
use crate::edge::conn::Tunnel;

/// One segment: pingora's stream gathers as much.
const SEGMENT: usize = 1460;

/// HTTP/2 GOAWAY, `ENHANCE_YOUR_CALM`: any stream may have been served.
const CALM: &[u8] = &[0, 0, 8, 7, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 11];

#[derive(Debug, Default)]
pub(super) struct Output {
    held: Vec<u8>,
    sent: usize,
    pace: Pace,
    frames: Option<Box<WebSocketFrames>>,
    answers: Option<Box<Http2Answers>>,
}

impl Output {
    /// Whether so much can wait for the next flush.
    pub(super) fn has_room(&self, length: usize) -> bool {
        self.held.len() + length <= SEGMENT
    }

    /// Everything is HTTP/2 from now on.
    pub(super) fn follow_http2(&mut self) {
        self.answers = Some(Box::default());
    }

    /// What has been sent on HTTP/2 since the last time.
    pub(super) fn take_sent(&mut self) -> Sent {
        self.answers.as_mut().map(|answers| answers.take()).unwrap_or_default()
    }

    /// A new exchange begins.
    pub(super) fn rest(&mut self) {
        self.pace.rest();
    }

    /// Keeps bytes for the next flush.
    pub(super) fn hold(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
        self.note(bytes);
    }

    /// These bytes went out past the buffer.
    pub(super) fn wrote(&mut self, bytes: &[u8]) {
        self.pace.moved(bytes.len());
        self.note(bytes);
    }

    fn note(&mut self, bytes: &[u8]) {
        if let Some(frames) = &mut self.frames {
            frames.follow(bytes);
        }
        if let Some(answers) = &mut self.answers {
            answers.follow(bytes);
        }
    }

    /// Follows the frames of a WebSocket from its first byte.
    pub(super) fn follow(&mut self, tunnel: Option<Tunnel>) {
        match tunnel {
            Some(Tunnel::WebSocket) => {
                self.frames.get_or_insert_with(|| Box::new(WebSocketFrames::of_server()));
            }
            Some(Tunnel::Opaque) | None => self.frames = None,
        }
    }

    /// Writes out what is held.
    pub(super) fn poll_drain(&mut self, io: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.held.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match Pin::new(&mut *io).poll_write(cx, rest) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(written)) => {
                    self.sent += written;
                    self.pace.moved(written);
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        self.held.clear();
        self.sent = 0;
        Poll::Ready(Ok(()))
    }

    /// Whether fewer than `due` bytes have been taken in so long a wait; called when a write would block.
    pub(super) fn is_stalled(&mut self, cx: &mut Context<'_>, within: Duration, due: usize) -> bool {
        self.pace.is_too_slow(cx, within, due)
    }

    /// The frames of a WebSocket, as far as they are written.
    pub(super) fn frames(&self) -> Option<&WebSocketFrames> {
        self.frames.as_deref()
    }

    /// Tells an HTTP/2 client why its connection ends, if a frame may stand here and the socket takes it at once.
    pub(super) fn say_calm_down(&mut self, io: &mut Stream, cx: &mut Context<'_>) {
        if self.answers.as_ref().is_some_and(|answers| answers.is_between()) && self.poll_drain(io, cx).is_ready() {
            // Best effort: the connection ends either way.
            let _ = Pin::new(&mut *io).poll_write(cx, CALM);
            let _ = Pin::new(io).poll_flush(cx);
        }
    }
}
