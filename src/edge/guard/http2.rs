//! The guarded stream while it carries HTTP/2: nothing begun stays unfinished, and what h2 refused is told.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, ReadBuf};

use super::{Guard, Protocol, due, frames::Progress};
use crate::edge::{conn::Cut, refusal::EdgeEvent};

impl Guard {
    pub(super) fn read_http2(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.note_sent();
        let Protocol::Http2(frames) = &mut self.protocol else { return Poll::Pending };
        let before = buf.filled().len();
        if self.input.is_empty() {
            match Pin::new(&mut self.io).poll_read(cx, buf) {
                Poll::Pending => return self.await_frame(cx),
                Poll::Ready(read) => read?,
            }
        } else {
            let given = self.input.len().min(buf.remaining());
            buf.put_slice(&self.input.split_to(given));
        }
        let fresh = buf.filled().get(before..).unwrap_or_default();
        match frames.follow(fresh) {
            Progress::Rested => self.pace.rest(),
            Progress::Unfinished => self.pace.moved(if frames.is_in_data() { fresh.len() } else { 0 }),
            Progress::Flooded => {
                buf.set_filled(before);
                self.output.say_calm_down(&mut self.io, cx);
                return self.fail(Cut::Flooded);
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Takes account of what h2 has written by itself.
    pub(super) fn note_sent(&mut self) {
        let sent = self.output.take_sent();
        if let Protocol::Http2(frames) = &mut self.protocol {
            frames.sent_data(sent.data);
        }
        (0..sent.refusals).for_each(|_| self.conn.tell(EdgeEvent::StreamRefused));
        (0..sent.goodbyes).for_each(|_| self.conn.tell(EdgeEvent::ConnectionRefused));
    }

    fn await_frame(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Protocol::Http2(frames) = &self.protocol else { return Poll::Pending };
        if !frames.is_unfinished() {
            self.pace.rest();
            return Poll::Pending;
        }
        let (within, due) = match frames.is_in_data() {
            true => (self.limits.body_stall, due(self.limits.min_rate, self.limits.body_stall)),
            false => (self.limits.header_timeout, usize::MAX),
        };
        if self.pace.is_too_slow(cx, within, due) { self.fail(Cut::FrameStalled) } else { Poll::Pending }
    }
}
