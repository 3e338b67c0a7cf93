//! A timer that costs nothing until something waits.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::time::{Instant, Sleep};

/// Made at the first wait, and used again for the next ones.
#[derive(Debug, Default)]
pub(super) struct Clock {
    sleep: Option<Pin<Box<Sleep>>>,
    running: bool,
}

impl Clock {
    /// Forgets the wait; the next one starts anew.
    pub(super) fn stop(&mut self) {
        self.running = false;
    }

    /// Starts at the first call after a stop, to end at `at`. Ready once that is over; else the task is woken then.
    pub(super) fn poll_until(&mut self, cx: &mut Context<'_>, at: impl FnOnce() -> Instant) -> Poll<()> {
        if self.running
            && let Some(sleep) = &mut self.sleep
        {
            return sleep.as_mut().poll(cx);
        }
        self.running = true;
        let at = at();
        match &mut self.sleep {
            Some(sleep) => {
                sleep.as_mut().reset(at);
                sleep.as_mut().poll(cx)
            }
            None => self.sleep.insert(Box::pin(tokio::time::sleep_until(at))).as_mut().poll(cx),
        }
    }
}
