//! How a WebSocket ends: both sides are told why, and nothing of either passes behind that.
//!
//! The client gets a Close frame where a frame may stand: a frame of the upstream that was begun is finished before, within a bounded time.
//! The upstream gets one in the client's name, then the end of the connection. What either says behind it is thrown away.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncWrite, ReadBuf},
    sync::futures::OwnedNotified,
    time::Instant,
};

use super::{Guard, clock::Clock, frames::WebSocketFrames};
use crate::edge::conn::{Cut, Farewell, Tunnel};

/// How long a frame of the upstream may take to be finished, and the client to take what is written.
const PATIENCE: Duration = Duration::from_secs(1);

/// FIN and the opcode of a Close frame.
const CLOSE: u8 = 0x88;

/// The length of a payload is followed by a masking key.
const MASKED: u8 = 0x80;

/// What is known of a WebSocket beside its bytes.
#[derive(Debug)]
pub(super) struct Talk {
    /// What the client sends.
    frames: WebSocketFrames,
    stop: Pin<Box<OwnedNotified>>,
    ending: Option<Ending>,
}

#[derive(Debug)]
struct Ending {
    farewell: Farewell,
    patience: Clock,
    /// The client's Close frame is on its way.
    is_told: bool,
    /// It has left, or cannot.
    is_over: bool,
    /// What the upstream is yet to be told.
    upstream: Vec<u8>,
}

impl Ending {
    /// Whether there was time enough; if not, the task is woken then.
    fn is_out_of_patience(&mut self, cx: &mut Context<'_>) -> bool {
        self.patience.poll_until(cx, || Instant::now() + PATIENCE).is_ready()
    }
}

/// A Close frame; `mask` as a client sends it. The masking key is zero: it protects caches from payloads that a script chose, and
/// nobody chose these.
fn close_frame(code: u16, text: &str, mask: bool) -> Vec<u8> {
    // A control frame holds at most 125 bytes; the texts are ours.
    let length = u8::try_from(2 + text.len()).unwrap_or(2).min(125);
    let mut frame = vec![CLOSE, length | if mask { MASKED } else { 0 }];
    frame.extend_from_slice(if mask { &[0; 4] } else { &[] });
    frame.extend_from_slice(&code.to_be_bytes());
    frame.extend(text.bytes().take(usize::from(length - 2)));
    frame
}

impl Guard {
    /// Whether the WebSocket is ending, which begins here when it is time.
    fn is_ending(&mut self, cx: &mut Context<'_>) -> bool {
        if self.conn.tunnel() != Some(Tunnel::WebSocket) {
            return false;
        }
        let draining = self.conn.draining();
        let talk = self.talk.get_or_insert_with(|| {
            let stop = Box::pin(draining.over());
            Box::new(Talk { frames: WebSocketFrames::of_client(), stop, ending: None })
        });
        if talk.ending.is_some() {
            return true;
        }
        let is_stopped = talk.stop.as_mut().poll(cx).is_ready() || draining.is_over();
        let cut = match is_stopped {
            true => Cut::Shutdown,
            false if self.is_expired(cx) => self.conn.time_up(),
            false => return false,
        };
        self.begin_ending(cut)
    }

    fn begin_ending(&mut self, cut: Cut) -> bool {
        let (Some(talk), Some(farewell)) = (&mut self.talk, cut.farewell()) else { return false };
        self.conn.note_cut(cut);
        tracing::debug!(peer = %self.conn.peer(), ?cut, "the edge ends a WebSocket");
        // SECURITY: bytes in the middle of a frame of the client would become part of it: `an_upstream_is_not_told_in_the_middle_of_a_frame_of_the_client`.
        let may_tell = talk.frames.is_between() && !talk.frames.is_closing();
        let upstream = if may_tell { close_frame(farewell.upstream, farewell.text, true) } else { Vec::new() };
        let patience = Clock::default();
        talk.ending = Some(Ending { farewell, patience, is_told: false, is_over: false, upstream });
        true
    }

    /// Whether a WebSocket is ending or has ended.
    pub(super) fn has_parted(&self) -> bool {
        self.talk.as_ref().is_some_and(|talk| talk.ending.is_some())
    }

    /// Tells the client, as soon as a frame may stand.
    fn part(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(ending) = self.talk.as_mut().and_then(|talk| talk.ending.as_mut()) else { return Poll::Ready(()) };
        if ending.is_over {
            return Poll::Ready(());
        }
        let frames = self.output.frames();
        if !ending.is_told && frames.is_some_and(|frames| frames.is_between() && !frames.is_closing()) {
            self.output.hold(&close_frame(ending.farewell.client, ending.farewell.text, false));
            ending.is_told = true;
        }
        // The upstream has said goodbye by itself: nothing may follow that.
        let is_said = self.output.frames().is_none_or(WebSocketFrames::is_closing);
        if (is_said && self.output.poll_drain(&mut self.io, cx).is_ready()) || ending.is_out_of_patience(cx) {
            ending.is_over = true;
            // Best effort: the connection ends either way.
            let _ = Pin::new(&mut self.io).poll_flush(cx);
            return Poll::Ready(());
        }
        Poll::Pending
    }

    /// Whether the WebSocket has ended: nothing is written any more.
    pub(super) fn is_parted(&mut self, cx: &mut Context<'_>) -> bool {
        self.is_ending(cx) && self.part(cx).is_ready()
    }

    /// Where the WebSocket is ending: what pingora may still read. The client's Close frame, then the end.
    pub(super) fn read_farewell(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Option<Poll<()>> {
        if !self.is_ending(cx) {
            return None;
        }
        if self.part(cx).is_pending() {
            return Some(Poll::Pending);
        }
        if let Some(ending) = self.talk.as_mut().and_then(|talk| talk.ending.as_mut()) {
            let given = ending.upstream.len().min(buf.remaining());
            buf.put_slice(ending.upstream.drain(..given).as_slice());
        }
        Some(Poll::Ready(()))
    }

    /// The client has sent these bytes.
    pub(super) fn heard(&mut self, bytes: &[u8]) {
        if let Some(talk) = &mut self.talk {
            talk.frames.follow(bytes);
        }
    }

    /// Where the WebSocket is ending: how many of these bytes are still written. `None` where they are thrown away.
    pub(super) fn poll_last_words(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Option<usize>> {
        if !self.is_ending(cx) {
            return Poll::Ready(Some(bytes.len()));
        }
        if self.part(cx).is_ready() {
            return Poll::Ready(None);
        }
        let rest = self.output.frames().map_or(0, |frames| frames.to_boundary(bytes));
        if rest == 0 { Poll::Pending } else { Poll::Ready(Some(rest)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_close_frame_is_the_one_of_the_rfc() {
        assert_eq!(close_frame(1008, "", false), [0x88, 0x02, 0x03, 0xF0]);
        assert_eq!(close_frame(1001, "ab", false), [0x88, 0x04, 0x03, 0xE9, b'a', b'b']);
        assert_eq!(close_frame(1001, "ab", true), [0x88, 0x84, 0, 0, 0, 0, 0x03, 0xE9, b'a', b'b']);
        for cut in [Cut::Expired, Cut::Overdue, Cut::Shutdown] {
            let farewell = cut.farewell().unwrap();
            assert!(farewell.text.len() <= 123, "a control frame holds no more");
        }
    }
}
