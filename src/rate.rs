//! How often is too often?
//!
//! Owns the arithmetic ([`Rate`]: the generic cell rate algorithm) and what must be remembered for it: one number for each key, in a
//! [`Ledger`] of bounded size, or in a [`Meter`] for the one key that everybody shares. Knows no request and reads no clock.
//! Invariant: in a time of `per` no key passes more than `requests` and `burst` together, as long as the ledger remembers it.

mod ledger;

pub use ledger::Ledger;

use std::{
    num::NonZeroU32,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::time::Moment;

/// So many requests in a time, evenly, and so many of them at once.
///
/// What a key owes is kept as the moment at which it is paid: each request adds an interval to that, and is refused where it would then
/// lie further ahead than a burst takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    requests: NonZeroU32,
    per: Duration,
    burst: NonZeroU32,
    /// Nanoseconds in which one request is paid, rounded up; never zero.
    interval: u64,
    /// Nanoseconds in which a burst is paid.
    tolerance: u64,
}

/// How a key stands after a request, or after it was refused one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// So many more would pass now.
    pub remaining: u32,
    /// Until then none beyond those passes.
    pub wait: Duration,
}

impl Standing {
    /// The wait in whole seconds, rounded up, at least one: for `Retry-After`.
    pub fn wait_seconds(self) -> NonZeroU32 {
        let seconds = self.wait.as_secs().saturating_add(u64::from(self.wait.subsec_nanos() > 0));
        NonZeroU32::new(u32::try_from(seconds).unwrap_or(u32::MAX)).unwrap_or(NonZeroU32::MIN)
    }
}

impl Rate {
    /// `requests` in `per`, and at most `burst` at once.
    pub fn new(requests: NonZeroU32, per: Duration, burst: NonZeroU32) -> Self {
        let nanos = u64::try_from(per.as_nanos()).unwrap_or(u64::MAX);
        let interval = nanos.div_ceil(u64::from(requests.get())).max(1);
        Self { requests, per, burst, interval, tolerance: interval.saturating_mul(u64::from(burst.get())) }
    }

    /// How many in [`per`](Self::per).
    pub fn requests(self) -> NonZeroU32 {
        self.requests
    }

    /// The time for [`requests`](Self::requests).
    pub fn per(self) -> Duration {
        self.per
    }

    /// How many at once.
    pub fn burst(self) -> NonZeroU32 {
        self.burst
    }

    /// One more request of a key that has paid at `due`: when it will have paid then, or how it stands where it is one too many.
    fn charge(self, due: u64, now: Moment) -> Result<(u64, Standing), Standing> {
        let now = now.nanos();
        let after = due.max(now).saturating_add(self.interval);
        let owed = after.saturating_sub(now);
        if owed > self.tolerance {
            let wait = Duration::from_nanos(owed - self.tolerance);
            return Err(Standing { remaining: 0, wait });
        }
        let free = (self.tolerance - owed) / self.interval;
        // Until there is room for one more than that.
        let wait = self.interval - (self.tolerance - owed) % self.interval;
        let remaining = u32::try_from(free).unwrap_or(u32::MAX);
        Ok((after, Standing { remaining, wait: Duration::from_nanos(wait) }))
    }
}

/// What one key owes, for a limit that has only one.
#[derive(Debug, Default)]
pub struct Meter(AtomicU64);

impl Meter {
    /// Counts one request.
    ///
    /// # Errors
    /// It is one too many, and is not counted.
    pub fn take(&self, rate: Rate, now: Moment) -> Result<Standing, Standing> {
        let mut due = self.0.load(Ordering::Relaxed);
        loop {
            let (after, standing) = rate.charge(due, now)?;
            match self.0.compare_exchange_weak(due, after, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(standing),
                Err(other) => due = other,
            }
        }
    }

    /// Would one more pass? Counts nothing.
    ///
    /// # Errors
    /// It would be one too many.
    pub fn look(&self, rate: Rate, now: Moment) -> Result<(), Standing> {
        rate.charge(self.0.load(Ordering::Relaxed), now).map(drop)
    }
}

#[cfg(test)]
mod tests;
