//! Time as a value: of the wall clock, and of one that never goes back.
//!
//! The core reads no clock: whoever stands at the edge reads both once and hands [`Now`] down as an argument.

use std::{fmt, time::Duration};

/// Whole seconds since 1970-01-01T00:00:00Z, leap seconds ignored (RFC 7519 calls this a `NumericDate`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(u64);

impl UnixTime {
    /// The last second of the year 9999, the largest time that a token may carry.
    pub const MAX: Self = Self(253_402_300_799);

    /// A moment so many seconds after the epoch.
    pub const fn from_seconds(seconds: u64) -> Self {
        Self(seconds)
    }

    /// Seconds since the epoch.
    pub const fn seconds(self) -> u64 {
        self.0
    }

    /// How many seconds `self` is later than `earlier`; zero when it is not later.
    pub const fn seconds_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The moment `seconds` later, held at the end of the representable range.
    pub const fn plus(self, seconds: u64) -> Self {
        Self(self.0.saturating_add(seconds))
    }
}

impl fmt::Display for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A time that never goes back, whatever happens to the wall clock: nanoseconds since a start that is the same for the whole process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(u64);

impl Moment {
    /// The moment so long after the start; held at the end of the range, in the year 584.
    pub fn after_start(elapsed: Duration) -> Self {
        Self(u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX))
    }

    /// Nanoseconds since the start.
    pub const fn nanos(self) -> u64 {
        self.0
    }
}

/// The time of a request: to compare with what a token says, and to measure how long ago the last one was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// By the wall clock.
    pub time: UnixTime,
    /// By the clock that never goes back.
    pub moment: Moment,
}
