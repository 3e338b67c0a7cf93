//! The write side of the guarded stream: small writes are gathered until a flush, and the client must go on taking them.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use pingora::protocols::Stream;
use tokio::{io::AsyncWrite, time::Instant};

use super::{clock::Clock, frames::WebSocketFrames};
use crate::edge::conn::Tunnel;

/// One segment: pingora's stream gathers as much.
const SEGMENT: usize = 1460;

#[derive(Debug, Default)]
pub(super) struct Output {
    held: Vec<u8>,
    sent: usize,
    stall: Clock,
    frames: Option<Box<WebSocketFrames>>,
}

impl Output {
    /// Whether so much can wait for the next flush.
    pub(super) fn has_room(&self, length: usize) -> bool {
        self.held.len() + length <= SEGMENT
    }

    /// Keeps bytes for the next flush.
    pub(super) fn hold(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
        if let Some(frames) = &mut self.frames {
            frames.follow(bytes);
        }
    }

    /// These bytes went out past the buffer.
    pub(super) fn wrote(&mut self, bytes: &[u8]) {
        self.stall.stop();
        if let Some(frames) = &mut self.frames {
            frames.follow(bytes);
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
                    self.stall.stop();
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        self.held.clear();
        self.sent = 0;
        Poll::Ready(Ok(()))
    }

    /// Whether nothing has been taken for so long; called when a write would block.
    pub(super) fn is_stalled(&mut self, cx: &mut Context<'_>, within: Duration) -> bool {
        self.stall.poll_until(cx, || Instant::now() + within).is_ready()
    }

    /// The frames of a WebSocket, as far as they are written.
    pub(super) fn frames(&self) -> Option<&WebSocketFrames> {
        self.frames.as_deref()
    }
}
