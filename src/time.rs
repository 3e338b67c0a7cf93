//! Wall-clock time as a value.
//!
//! The core reads no clock: whoever stands at the edge reads it once and hands [`UnixTime`] down as an argument.

use std::fmt;

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
