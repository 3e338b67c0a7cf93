//! How much a client brings or takes while it is waited for.
//!
//! Only waiting counts: the time in which the gateway itself was not ready is nobody's fault. Reads the clock when a wait begins and
//! when it ends, never while bytes flow.

use std::{task::Context, time::Duration};

use tokio::time::Instant;

use super::clock::Clock;

/// The bytes that are due in this time, at so many a second.
pub(in crate::edge) fn due(rate: usize, within: Duration) -> usize {
    let bytes = within.as_millis().saturating_mul(rate as u128) / 1000;
    usize::try_from(bytes).unwrap_or(usize::MAX).max(1)
}

/// The pace of one direction.
#[derive(Debug, Default)]
pub(super) struct Pace {
    since: Option<Instant>,
    waited: Duration,
    moved: usize,
    clock: Clock,
}

impl Pace {
    /// Something new begins.
    pub(super) fn rest(&mut self) {
        self.since = None;
        self.waited = Duration::ZERO;
        self.clock.stop();
    }

    /// Some bytes have moved, and a wait is over.
    pub(super) fn moved(&mut self, bytes: usize) {
        if let Some(since) = self.since.take() {
            self.waited += since.elapsed();
            self.clock.stop();
        }
        self.moved = self.moved.saturating_add(bytes);
    }

    /// The client is waited for. True once that has taken `within` in all without `due` bytes; else the task is woken then.
    pub(super) fn is_too_slow(&mut self, cx: &mut Context<'_>, within: Duration, due: usize) -> bool {
        loop {
            if self.since.is_none() && self.waited.is_zero() {
                self.moved = 0;
            }
            let (since, waited) = (*self.since.get_or_insert_with(Instant::now), self.waited);
            if self.clock.poll_until(cx, || since + within.saturating_sub(waited)).is_pending() {
                return false;
            }
            if self.moved < due {
                return true;
            }
            self.rest();
        }
    }
}
